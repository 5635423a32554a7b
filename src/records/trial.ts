import type { Extraction, MissingReason } from "./extraction.js";

/** One behavior joined with the prediction about it. Every score is a function of Trial[]. */
export interface Trial {
  readonly target: string;
  readonly predictor: string;
  readonly task: string;
  /** The source string: the cluster that intervals resample. */
  readonly item: string;
  readonly property: string;
  readonly variant: string;
  readonly behavior: Extraction;
  /** The object-level answer as a whole; a non-compliant one is excluded from accuracy, with this reason. */
  readonly objectCompliance: { readonly ok: true } | { readonly ok: false; readonly reason: MissingReason };
  /** A reply that does not comply is a wrong prediction, never an excluded one; where there is no reply (engine_crashed), it is excluded. */
  readonly prediction: Extraction;
  /** What simple rules on the string alone would predict, by the name of the rule. */
  readonly heuristics: Readonly<Record<string, Extraction>>;
  /** Smallest margin over the tokens of the object-level answer and of the hypothetical reply, nats; absent when sampled. */
  readonly minMargin?: number;
}

/**
 * A behavior of a train string, for baselines that may learn from labels. An adapted target's own train strings are not asked:
 * its baselines learn from the labels that its adapter learnt from.
 */
export interface TrainLabel {
  readonly target: string;
  readonly task: string;
  readonly property: string;
  readonly value: string;
}
