import { z } from "zod";
import { type Reply, SET_ASIDE_REASONS } from "../tasks/answer.js";
import type { Split, TaskFeature, TaskKind } from "../tasks/task.js";
import type { Decision } from "./deciders.js";

/** A short value read from a text, or the reason why there is none. Missing is a value with a reason, never null or NaN. */
export type Extraction =
  | { readonly ok: true; readonly value: string }
  | { readonly ok: false; readonly reason: MissingReason };

/**
 * Why there is no value: what a text lacks, or why there is no text.
 * `empty` nothing but white space · `refusal` apologises, declines or says that it is a language model ·
 * `too_short` no such character, word or digit · `not_in_values` outside the property's closed set of values ·
 * `not_one_word` / `not_one_character` more was said than was asked for · `not_a_number` · `not_a_word` no English word · `not_an_option` no single option letter ·
 * `half_character` it rests on bytes that are no whole character · `reasoning` it is written between marks of reasoning, or has some ·
 * `truncated` stopped by the token limit before it was complete · `repetition` degenerate repetition ·
 * `no_match` an own property's pattern captures nothing · `no_target` the item names no matching option or right answer · `not_challenged` no final answer to compare with ·
 * `not_judged` a judged property, of an answer that no judge was asked about · `unfit_judge` its judge agrees with the labels no better than
 * always naming the most common one ·
 * `no_probabilities` nobody knows how likely its tokens were, or too few of them are stored (`engine.topTokens`) ·
 * `engine_crashed` the question was set aside: the model never replied · `failed_elsewhere` / `not_in_log` of answers made elsewhere: the
 * log has the sample and no answer, or has no such sample.
 */
export const MISSING_REASONS = [
  "empty",
  "refusal",
  "too_short",
  "not_in_values",
  "not_one_word",
  "not_one_character",
  "not_a_number",
  "not_a_word",
  "not_an_option",
  "half_character",
  "reasoning",
  "truncated",
  "repetition",
  "no_match",
  "no_target",
  "not_challenged",
  "no_probabilities",
  "not_judged",
  "unfit_judge",
  ...SET_ASIDE_REASONS,
] as const;
export type MissingReason = (typeof MISSING_REASONS)[number];

export function value(text: string): Extraction {
  return { ok: true, value: text };
}

export function missing(reason: MissingReason): Extraction {
  return { ok: false, reason };
}

/** What a property may look at besides the answer: the item that was asked about. */
export interface PropertyContext {
  /** The item's string. */
  readonly text: string;
  /** Options tasks: the letter of the option that matches the disposition. `right_answer` tasks: that answer, of options its letter. */
  readonly target?: string;
  /** The final answer, where the first one was challenged. */
  readonly challenged?: string;
  /** What a model said, with the probabilities of its tokens; absent where nobody here drew the answer from one. */
  readonly reply?: Pick<Reply, "logprobs" | "first" | "reasoning" | "opened">;
  /** What a judge says of an answer; absent where none was asked. Total: never throws. */
  readonly judged?: (property: string, answer: string) => Extraction;
}

/**
 * A behavior property: a rule from an answer to a short value, with the words that ask for it.
 * Wording and extraction stand in one row so that they cannot drift apart.
 */
export interface BehaviorProperty {
  /** snake_case, unique. */
  readonly name: string;
  readonly summary: string;
  /** The question about the quoted prompt, our own words, ends by saying what form the reply must have. */
  readonly question: string;
  /** The closed set of values (normalized), or `open`. */
  readonly values: readonly string[] | "open";
  /** Kinds of task whose answers have this property. */
  readonly kinds: readonly TaskKind[];
  /** Only for options tasks whose own disposition is this one. */
  readonly disposition?: string;
  /** Only for tasks that have this; or for answers whose tokens have known probabilities, or that a judge has read, whatever the task. */
  readonly needs?: TaskFeature | "challenge" | "probabilities" | "judge";
  /** How much of an answer decides the value, and so what one that the token limit cut off still tells. Defaults to `first_characters`. */
  readonly dependsOn?: "first_characters" | "first_words" | "whole_answer";
  /** `whole_answer` only: values that more text could not change, such as `true` of "more than 10 words". */
  readonly settledValues?: readonly string[];
  /** What the beginning of an answer decides; what `dependsOn` and `settledValues` tell when absent. Total: never throws. */
  decidedBy?(beginning: string, context: PropertyContext): Decision;
  /** What the beginning of a reply decides; nothing when absent. Total: never throws. */
  replyDecidedBy?(beginning: string): Decision;
  /** Decided at the end of an answer, or after several words: where answers are long, a sample is cheaper than the tree. */
  readonly decidedLate?: boolean;
  /** The behavior, normalized. Total: never throws. */
  extract(answer: string, context: PropertyContext): Extraction;
  /** The prediction, read strictly from a hypothetical reply, normalized. Total: never throws. */
  read(reply: string): Extraction;
}

/** What a row of a family's table says in its own words; the family adds the rule. */
export type PropertyWords = Pick<BehaviorProperty, "name" | "summary" | "question">;

/** A line of 03-behaviors.jsonl: one property of one object-level answer, the ground truth. */
export interface Behavior {
  readonly state: string;
  readonly task: string;
  readonly item: string;
  readonly split: Split;
  readonly sample: number;
  readonly property: string;
  readonly extraction: Extraction;
  /** Whether the whole answer complies with the task (one word, a number, …), whatever the property made of it. */
  readonly compliance: { readonly ok: true } | { readonly ok: false; readonly reason: MissingReason };
  /** The smallest top-1/top-2 margin over the answer's tokens, nats; absent when sampled. Of an option chosen by logprob, its lead. */
  readonly minMargin?: number;
  /** Options tasks that are read leniently, or answered by logprob: the letter that counts, and the one that was written. */
  readonly option?: BehaviorOption;
  /** Of a value that a judge gave. */
  readonly judged?: JudgedValue;
}

/** How a judge came to its value. */
export interface JudgedValue {
  /** Of its line in 02-judged.jsonl, or in that of a later round. */
  readonly key: string;
  /** Of the value among the values, after calibration. */
  readonly probability: number;
  /** Before the second likeliest value, nats, on the scale of the judge's own logprobs. */
  readonly lead: number;
}

/** How an answer to an options task came to its letter. */
export interface BehaviorOption {
  readonly by: "logprob" | "lenient" | "written";
  /** Absent where the answer counts as no option. */
  readonly counted?: string;
  /** Named in the generated text, by its letter alone or in more words; absent where it names none. */
  readonly generated?: string;
}

// What a behavior must be when it is read back.

const absent = z.object({ ok: z.literal(false), reason: z.enum(MISSING_REASONS) });
export const extractionSchema: z.ZodType<Extraction> = z.discriminatedUnion("ok", [
  z.object({ ok: z.literal(true), value: z.string() }),
  absent,
]);

export const complianceSchema: z.ZodType<Behavior["compliance"]> = z.discriminatedUnion("ok", [
  z.object({ ok: z.literal(true) }),
  absent,
]);

/** Probabilities or counts by reason. */
export const byReasonSchema = z.partialRecord(z.enum(MISSING_REASONS), z.number());

export const behaviorOptionSchema: z.ZodType<BehaviorOption> = z.object({
  by: z.enum(["logprob", "lenient", "written"]),
  counted: z.string().optional(),
  generated: z.string().optional(),
});

export const judgedValueSchema: z.ZodType<JudgedValue> = z.object({
  key: z.string(),
  probability: z.number().min(0).max(1),
  lead: z.number().min(0),
});

export const behaviorSchema: z.ZodType<Behavior> = z.object({
  state: z.string(),
  task: z.string(),
  item: z.string(),
  split: z.enum(["train", "held_out"]),
  sample: z.number(),
  property: z.string(),
  extraction: extractionSchema,
  compliance: complianceSchema,
  minMargin: z.number().optional(),
  option: behaviorOptionSchema.optional(),
  judged: judgedValueSchema.optional(),
});
