import type { NextTokensReply } from "../model/next-tokens.js";

/** The tree of continuations of one prompt, as expansion needs it: a model, or a table in a test. */
export interface ContinuationSource {
  readonly vocabularySize: number;
  /** @param topTokens [paths] most tokens listed of each; `vocabularySize` lists all */
  next(paths: readonly (readonly number[])[], topTokens: readonly number[]): Promise<NextTokensReply>;
  /** The most tokens that `next` would evaluate for these paths. */
  tokensFor(paths: readonly (readonly number[])[]): number;
  /** The beginning of a text that no further token changes. */
  settled(text: string): string;
}
