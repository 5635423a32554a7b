/** Tokens of an answer as people read them, and what else could have stood in their places. Needs nothing: pages have it too. */

/** A token as people read it. */
export interface TokenText {
  /** What it stands for, a control token by its name. Bytes that are no whole character stand as U+FFFD: `bytes` has them then. */
  readonly text: string;
  /** Hex. Only where they are not UTF-8 alone: a character's first or last bytes. */
  readonly bytes?: string;
}

/** A token, and whether it is one that nobody's text becomes: the end of a turn, another mark of the template. */
export interface MarkedToken extends TokenText {
  readonly control?: true;
}

/** What the text of a listed token does not say by itself. */
export interface TokenMark extends Omit<MarkedToken, "text"> {
  /** Its place in the list, from 0. */
  readonly at: number;
}

/** The most likely tokens at one position, over the full vocabulary at temperature 1. */
export interface TopTokens {
  readonly tokenIds: readonly number[];
  readonly texts: readonly string[];
  /** Natural log of the plain softmax of the raw logits, most likely first. */
  readonly logprobs: readonly number[];
  /** log Σ exp(logit) over the whole vocabulary, nats, summed in double precision. */
  readonly logSumExp: number;
  readonly vocabularySize: number;
  /** As AnswerPosition has it, where positions were asked for. */
  readonly marks?: readonly TokenMark[];
}

/** Where one token of an answer stands: the token, and what else could have been there. */
export interface AnswerPosition extends MarkedToken {
  /** log Σ exp(logit) over the whole vocabulary, nats. */
  readonly logSumExp: number;
  /** The most likely tokens, as TopTokens has them: equal ones by id, as many as were asked for. */
  readonly tokenIds: readonly number[];
  readonly texts: readonly string[];
  readonly logprobs: readonly number[];
  /** Of the listed tokens those whose text is not all that they are; absent where there is none. */
  readonly marks?: readonly TokenMark[];
}

/** A token that another program's log has: its id is not known, nor at which temperature its logprob is. */
export interface TokenOfLog extends TokenText {
  /** Absent where the log says only that the token is none of the likeliest. */
  readonly logprob?: number;
  /** What the log says was likeliest there, most likely first; absent where it says nothing. */
  readonly alternatives?: readonly (TokenText & { readonly logprob: number })[];
}

/** @returns the token at a place of a list, with what marks it */
export function listedToken({ texts, marks }: Pick<AnswerPosition, "texts" | "marks">, place: number): MarkedToken {
  const { at: _, ...mark } = marks?.find(({ at }) => at === place) ?? { at: place };
  return { text: texts[place] as string, ...mark };
}

/** Rounding of single-precision exponentials, summed. */
const MOST_PROBABILITY = 1 + 1e-5;

/** Whether lists of one position can be what a model finds likeliest: ids once each, most likely first, at most 1 together. */
export function isLikeliest({
  tokenIds,
  texts,
  logprobs,
  marks = [],
}: Omit<AnswerPosition, "text" | "logSumExp">): boolean {
  return (
    texts.length === tokenIds.length &&
    logprobs.length === tokenIds.length &&
    new Set(tokenIds).size === tokenIds.length &&
    logprobs.every((_, at) => at === 0 || isBefore(at - 1, at, { tokenIds, logprobs })) &&
    logprobs.reduce((sum, one) => sum + Math.exp(one), 0) <= MOST_PROBABILITY &&
    marks.every(({ at }) => at < tokenIds.length)
  );
}

function isBefore(
  a: number,
  b: number,
  { tokenIds, logprobs }: Pick<AnswerPosition, "tokenIds" | "logprobs">,
): boolean {
  const [first, second] = [logprobs[a] as number, logprobs[b] as number];
  return first > second || (first === second && (tokenIds[a] as number) < (tokenIds[b] as number));
}
