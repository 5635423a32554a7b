/** A request whose prompt is token ids already. */
export interface TokenizedRequest {
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
  readonly temperature: 0 | 1;
  readonly seed?: string;
  readonly topTokens: number;
  readonly shares?: string;
}
