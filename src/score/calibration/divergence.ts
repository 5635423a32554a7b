/** KL divergence from what is done to what is predicted, kept finite by mixing. */
import type { TailBounds } from "../../records/calibration-scores.js";
import type { Comparison } from "./comparison.js";
import { shareHidden } from "./share-hidden.js";

/** Share of the uniform distribution over the values seen that every predictor's is mixed with. */
export const KL_MIXING = 0.01;

/**
 * Σ p_obj ln(p_obj / q), nats, with q = (1 − m) p_hyp + m / values and m = KL_MIXING: a predictor that gives a behavior nothing
 * is charged as if it gave it m / values. 0 to about ln(values / m).
 * @param values how many values the target shows for this task and property, over all strings
 */
export function klDivergence({ object, hypothetical }: Comparison, values: number): number {
  return Math.max(
    0,
    divergence(object, (value) => hypothetical.get(value) ?? 0, values),
  );
}

/**
 * Whatever the tails hold, as long as it is among the values seen. Least: every value gets the predictor's whole tail. The
 * target's true distribution is (1 − h) p_obj + h r; KL is convex in it, and its entropy is at most
 * (1 − h) H(p_obj) + h ln(values) + H(h).
 */
export function klBounds(comparison: Comparison, values: number): TailBounds {
  const { object, hypothetical, hypotheticalTail } = comparison;
  const hidden = shareHidden(comparison);
  const generous = (value: string) => Math.min(1, (hypothetical.get(value) ?? 0) + hypotheticalTail);
  const nearest = divergence(object, generous, values);
  const mostAtOneValue = Math.log(values / KL_MIXING);
  return {
    least: Math.max(0, (1 - hidden) * nearest - hidden * Math.log(values) - binaryEntropy(hidden)),
    most: (1 - hidden) * klDivergence(comparison, values) + hidden * mostAtOneValue,
  };
}

/** Whether KL without mixing is infinite: the target does what the predictor gives nothing. */
export function isInfinite({ object, hypothetical }: Comparison): boolean {
  return [...object.keys()].some((value) => !hypothetical.has(value));
}

function divergence(object: Comparison["object"], predicted: (value: string) => number, values: number): number {
  let sum = 0;
  for (const [value, probability] of object) {
    sum += probability * Math.log(probability / ((1 - KL_MIXING) * predicted(value) + KL_MIXING / values));
  }
  return sum;
}

/** Nats. */
function binaryEntropy(share: number): number {
  return share === 0 || share === 1 ? 0 : -share * Math.log(share) - (1 - share) * Math.log(1 - share);
}
