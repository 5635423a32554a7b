import { z } from "zod";
import { type AnswerPosition, isLikeliest, type TokenOfLog, type TopTokens } from "./answer-tokens.js";

/** One chat turn. Content is always plain text: nothing in it becomes a control token. */
export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** Why generation ended: in plain text an answer is over where its line is. */
export type StopReason = "end_of_generation" | "end_of_line" | "max_tokens";

/**
 * How likely each option of a string is as its answer, for a task that is answered by logprob: sums of natural logprobs at temperature 1
 * over the tokens of a letter or a text, after the object-level prompt, the end of the turn left out.
 */
export interface OptionScores {
  /** Of the string as it is written, in its order; what follows has an entry for each. */
  readonly letters: readonly string[];
  /** Length of each option's text: UTF-8 bytes, and code points. */
  readonly bytes: readonly number[];
  readonly characters: readonly number[];
  /** By the order in which the options were listed, the string's own first. */
  readonly orders: readonly OrderScores[];
}

export interface OrderScores {
  /** The same letters in the order in which this prompt lists their options. */
  readonly listed: readonly string[];
  /** [letters] of saying the letter that the option has in this prompt. */
  readonly letter: readonly number[];
  /** [letters] of saying its text. */
  readonly text: readonly number[];
}

/** What a model said to one prompt, with the numbers behind it. */
export interface Reply {
  /** The text without the end-of-generation token or the end of its line, not trimmed. */
  readonly text: string;
  /** Generated token ids, the one that ended the answer included when there is one. */
  readonly tokenIds: readonly number[];
  /** Natural log of each generated token's probability at temperature 1 over the full vocabulary. */
  readonly logprobs: readonly number[];
  /** Greedy only: logit of the best minus the second-best token, nats, per generated token. Empty when sampled. */
  readonly margins: readonly number[];
  readonly stop: StopReason;
  /**
   * Where the prompt ends inside reasoning: its opening mark, and what follows it there. The reply begins inside reasoning then, and is
   * read behind this. Absent elsewhere.
   */
  readonly opened?: string;
  /**
   * Reasoning that was taken out of the text (`objectLevel.reasoning: strip`), with its marks; `opened` stands at its beginning. The
   * tokens, logprobs and margins are still those of the whole.
   */
  readonly reasoning?: string;
  /** Where the task is answered by logprob. */
  readonly options?: OptionScores;
  /** The distribution at the first answer position. */
  readonly first: TopTokens;
  /** One entry a generated token, where they were asked for (a study's `engine.alternatives`). */
  readonly positions?: readonly AnswerPosition[];
  readonly promptTokens: number;
  /** sha256 of the prompt's token ids (little-endian int32), hex. */
  readonly promptSha256: string;
}

/** @param key of the question, whatever the sample */
export function sampleKey(key: string, sample: number): string {
  return sample === 0 ? key : `${key}#${sample}`;
}

/** Which question to which model state a line is about. */
interface AskedQuestion {
  /** `<task>/<item>` for object-level, `<task>/<item>/<property>/<variant>` for hypothetical, `#<sample>` appended when sampled. */
  readonly key: string;
  /** The model state that was asked. */
  readonly state: string;
  readonly task: string;
  readonly item: string;
  readonly split: "train" | "held_out";
  /** Hypothetical only. */
  readonly property?: string;
  /** Hypothetical only: the wording around the quoted question. */
  readonly variant?: string;
  readonly sample: number;
}

/**
 * What another program's log holds of a reply: its text. Ids, logprobs and margins are not known, and none of them is empty because
 * nothing was said.
 */
export interface ReplyMadeElsewhere {
  readonly text: string;
  readonly stop: StopReason;
  readonly madeElsewhere: {
    /** The log's own id of its sample, and which of the answers to it, from 0. */
    readonly sample: string;
    readonly epoch: number;
    /** `loglikelihood`: nothing was said; the text is the letter of the option that the log finds likeliest. */
    readonly by?: "loglikelihood";
    /** Whether the log itself counts the answer as right, where it says so. */
    readonly countedRight?: boolean;
    /** Tokens as the log has them, where it has their logprobs and `engine.alternatives` is named. */
    readonly tokens?: readonly TokenOfLog[];
  };
  readonly tokenIds: readonly [];
  readonly logprobs: readonly [];
  readonly margins: readonly [];
  readonly first?: undefined;
  readonly promptTokens?: undefined;
  readonly promptSha256?: undefined;
  readonly opened?: undefined;
  readonly reasoning?: undefined;
  readonly options?: undefined;
}

/** What a record of answers has: asked here, or made elsewhere. */
export type RecordedReply = (Reply & { readonly madeElsewhere?: undefined }) | ReplyMadeElsewhere;

/**
 * Why a question has no reply. `engine_crashed` three times, the third time with nothing asked beside it · `failed_elsewhere` the log has
 * the sample, and no answer · `not_in_log` it has no such sample.
 */
export const SET_ASIDE_REASONS = ["engine_crashed", "failed_elsewhere", "not_in_log"] as const;
export type SetAsideReason = (typeof SET_ASIDE_REASONS)[number];

/** Whether a missing value is missing because nobody replied. */
export function isSetAside(reason: string): reason is SetAsideReason {
  return (SET_ASIDE_REASONS as readonly string[]).includes(reason);
}

/**
 * One question put to one model state, and its reply or why it was set aside: a line of 02-object-level.jsonl or
 * 07-hypothetical.jsonl. What the engine last wrote before each crash stands in events.jsonl, since it differs from run to run.
 */
export type Answer = AskedQuestion &
  (
    | { readonly reply: RecordedReply; readonly setAside?: undefined }
    | { readonly setAside: SetAsideReason; readonly reply?: undefined }
  );

// What a line of answers must be when it is read back.

const numbers = z.array(z.number());
const letters = z.array(z.string().regex(/^[A-Z]$/));
const optionScoresSchema = z
  .object({
    letters,
    bytes: numbers,
    characters: numbers,
    orders: z.array(z.object({ listed: letters, letter: numbers, text: numbers })).min(1),
  })
  .refine(
    ({ letters: { length }, bytes, characters, orders }) =>
      length >= 2 &&
      [bytes, characters, ...orders.flatMap(({ listed, letter, text }) => [listed, letter, text])].every(
        (one) => one.length === length,
      ),
    "options without a score each",
  );
const stop = z.enum(["end_of_generation", "end_of_line", "max_tokens"]);
const none = z.tuple([]);
const tokenOfLog = z.object({ text: z.string(), bytes: z.string().optional(), logprob: z.number().max(0) });
const mark = z.object({
  at: z.int().min(0),
  bytes: z.string().optional(),
  control: z.literal(true).optional(),
});
const positionSchema = z
  .looseObject({
    text: z.string(),
    bytes: z.string().optional(),
    control: z.literal(true).optional(),
    tokenIds: numbers,
    texts: z.array(z.string()),
    logprobs: numbers,
    logSumExp: z.number(),
    marks: z.array(mark).optional(),
  })
  .refine(isLikeliest, "a list of tokens that are not the likeliest in their order");
const replyMadeElsewhere = z.object({
  text: z.string(),
  stop,
  madeElsewhere: z.object({
    sample: z.string(),
    epoch: z.int().min(0),
    by: z.literal("loglikelihood").optional(),
    countedRight: z.boolean().optional(),
    tokens: z
      .array(tokenOfLog.extend({ logprob: z.number().max(0).optional(), alternatives: z.array(tokenOfLog).optional() }))
      .optional(),
  }),
  tokenIds: none,
  logprobs: none,
  margins: none,
});
const replySchema: z.ZodType<Reply> = z
  .object({
    text: z.string(),
    tokenIds: numbers,
    logprobs: numbers,
    margins: numbers,
    stop,
    first: z.object({
      tokenIds: numbers,
      texts: z.array(z.string()),
      logprobs: numbers,
      logSumExp: z.number(),
      vocabularySize: z.number(),
    }),
    promptTokens: z.number(),
    promptSha256: z.string(),
    options: optionScoresSchema.optional(),
    positions: z.array(positionSchema).optional(),
  })
  .refine(({ tokenIds, logprobs }) => tokenIds.length === logprobs.length, "a token without a logprob")
  .refine(
    ({ tokenIds, logprobs, positions }) =>
      positions === undefined ||
      (positions.length === tokenIds.length &&
        positions.every((position, at) => {
          const rank = position.tokenIds.indexOf(tokenIds[at] as number);
          return rank < 0 || position.logprobs[rank] === logprobs[at];
        })),
    "tokens that are others at their positions",
  );

export const setAsideSchema: z.ZodType<SetAsideReason> = z.enum(SET_ASIDE_REASONS);

export const answerSchema = z
  .object({
    key: z.string(),
    state: z.string(),
    task: z.string(),
    item: z.string(),
    split: z.enum(["train", "held_out"]),
    property: z.string().optional(),
    variant: z.string().optional(),
    sample: z.number(),
    reply: z.union([replyMadeElsewhere, replySchema]).optional(),
    setAside: setAsideSchema.optional(),
  })
  .refine(({ reply, setAside }) => (reply === undefined) !== (setAside === undefined), "neither a reply nor set aside");
