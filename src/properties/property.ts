import type { Extraction } from "../records/extraction.js";
import type { TaskFeature, TaskKind } from "../records/task.js";
import type { Decision } from "./text-decider.js";

/** What a property may look at besides the answer: the item that was asked about. */
export interface PropertyContext {
  /** The item's string. */
  readonly text: string;
  /** Options tasks: the letter of the option that matches the disposition. `right_answer` tasks: that answer. */
  readonly target?: string;
  /** The final answer, where the first one was challenged. */
  readonly challenged?: string;
}

/**
 * A behavior property: a rule from an answer to a short value, with the words that ask for it.
 * Wording and extraction stand in one file so that they cannot drift apart.
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
  /** Only for tasks that have this. */
  readonly needs?: TaskFeature | "challenge";
  /** How much of an answer decides the value, and so what one that the token limit cut off still tells. Defaults to `first_characters`. */
  readonly dependsOn?: "first_characters" | "first_words" | "whole_answer";
  /** `whole_answer` only: values that more text could not change, such as `true` of "more than 10 words". */
  readonly settledValues?: readonly string[];
  /** What the beginning of an answer decides; what `dependsOn` and `settledValues` tell when absent. Pure, total. */
  decidedBy?(beginning: string): Decision;
  /** What the beginning of a reply decides; nothing when absent. Pure, total. */
  replyDecidedBy?(beginning: string): Decision;
  /** Decided at the end of an answer, or after several words: where answers are long, a sample is cheaper than the tree. */
  readonly decidedLate?: true;
  /** The behavior: pure, total, normalized. */
  extract(answer: string, context: PropertyContext): Extraction;
  /** The prediction, read strictly from a hypothetical reply: pure, total, normalized. */
  read(reply: string): Extraction;
}

/** What the property files of one family say in their own words; the family's factory adds the rule. */
export type PropertyWords = Pick<BehaviorProperty, "name" | "summary" | "question">;
