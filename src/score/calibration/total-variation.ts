/** Total variation between what is done and what is predicted. */
import type { TailBounds } from "../../records/calibration-scores.js";
import type { Comparison } from "./comparison.js";
import { shareHidden } from "./share-hidden.js";

/**
 * Σ max(0, p_obj − p_hyp) = 1 − Σ min(p_obj, p_hyp): half the summed distance, with "no value" as one more outcome that p_obj
 * gives 0 and p_hyp what it gives to no value. 0 to 1; 1 for a predictor that never gives a value.
 */
export function totalVariation({ object, hypothetical }: Comparison): number {
  let sum = 0;
  for (const [value, probability] of object) sum += Math.max(0, probability - (hypothetical.get(value) ?? 0));
  return Math.min(1, sum);
}

/**
 * Whatever the tails hold. The predictor's can only bring it nearer, by its own size. The target's true distribution is
 * (1 − h) p_obj + h r for some r and h up to `shareHidden`, which moves it by at most h, and up only by h (1 − distance).
 */
export function totalVariationBounds(comparison: Comparison): TailBounds {
  const hidden = shareHidden(comparison);
  const distance = totalVariation(comparison);
  return {
    least: Math.max(0, distance - comparison.hypotheticalTail - hidden),
    most: Math.min(1, (1 - hidden) * distance + hidden),
  };
}
