import type { ChatMessage } from "../records/answer.js";

/** What may come next after one text, most likely first, equal ones by id. All arrays have one entry a token. */
export interface NextTokens {
  readonly ids: ArrayLike<number>;
  /** Natural log of the probability at temperature 1, over the full vocabulary. */
  readonly logprobs: ArrayLike<number>;
  /** 1 where the token ends generation. */
  readonly ends: ArrayLike<number>;
  /** The answer with this token as its last, exactly as asking would detokenize it; without a token that ends generation. */
  readonly texts: readonly string[];
}

export interface NextTokensReply {
  /** In the order of the paths. */
  readonly steps: readonly NextTokens[];
  readonly evaluatedTokens: number;
}

/** What an engine must offer besides LanguageModel for exact distributions. */
export interface ListsNextTokens {
  /**
   * @param messages rendered as `ask` renders them
   * @param paths answers so far as generated token ids, evaluated together in one group; an empty path is the answer's beginning
   * @param topTokens most tokens listed, of all paths alike or [paths] of each; the whole vocabulary when it is as large
   * @throws ENGINE_*, CHAT_*
   */
  nextTokens(
    messages: readonly ChatMessage[],
    paths: readonly (readonly number[])[],
    topTokens: number | readonly number[],
  ): Promise<NextTokensReply>;
}
