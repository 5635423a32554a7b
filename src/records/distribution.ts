import type { MissingReason } from "./extraction.js";

/** A value of a property and its probability at temperature 1: at least `probability`, at most `upper`. */
export interface ExpandedValue {
  readonly value: string;
  readonly probability: number;
  /** probability + tail, at most 1. */
  readonly upper: number;
}

/** Probability of texts that show no value, by reason; reasons that never occurred are left out. */
export type NotCompliant = Readonly<Partial<Record<MissingReason, number>>>;

/** By expanding the tree of continuations. Values, notCompliant and tail sum to 1. */
export interface ExpandedDistribution {
  readonly method: "expansion";
  /** Most likely first, equal ones by code unit. */
  readonly values: readonly ExpandedValue[];
  readonly notCompliant: NotCompliant;
  /** Probability that was not looked into: any value may have it. */
  readonly tail: number;
  /** Texts whose next tokens were asked for. */
  readonly expandedNodes: number;
  /** Prompt included, as often as it was evaluated. */
  readonly evaluatedTokens: number;
  /** `whole`: nothing is left · `epsilon`: the tail fell below it · `budget`: one more evaluation would have gone over it. */
  readonly stoppedBy: "whole" | "epsilon" | "budget";
}

export interface SampledValue {
  readonly value: string;
  /** Share of the samples. */
  readonly probability: number;
  /** √(p(1 − p) / samples); 0 for a share of 1, which is no certainty. */
  readonly standardError: number;
}

/** By seeded samples at temperature 1. Values and notCompliant sum to 1. */
export interface SampledDistribution {
  readonly method: "samples";
  /** What an expansion that left too much open had evaluated before; absent where none was tried. Of the samples, `samples` is the cost. */
  readonly evaluatedTokens?: number;
  /**
   * Why not by expansion. `long_answer` the property is decided late · `tail` the budget left too much of the tree ·
   * `engine` the engine cannot list next tokens.
   */
  readonly because: "long_answer" | "tail" | "engine";
  readonly values: readonly SampledValue[];
  readonly notCompliant: NotCompliant;
  readonly samples: number;
}

export type Distribution = ExpandedDistribution | SampledDistribution;
