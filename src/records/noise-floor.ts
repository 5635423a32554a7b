/** What asking the same questions again in another order and batch composition changed: the content of 07-noise-floor.json. */
export interface NoiseFloor {
  readonly state: string;
  /** Questions asked twice. */
  readonly questions: number;
  /** Questions whose generated token ids were the same both times. */
  readonly sameTokens: number;
  /** Token positions compared: those up to and including the first difference. */
  readonly positions: number;
  readonly meanLogprobDifference: number;
  readonly maxLogprobDifference: number;
  /** Largest difference of a top-1/top-2 margin, nats: answers with a smaller margin may flip. */
  readonly maxMarginDifference: number;
}
