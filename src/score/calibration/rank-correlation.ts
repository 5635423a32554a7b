import type { Comparison } from "./comparison.js";
import { spearman } from "./correlation.js";

/**
 * Whether the predictor orders the behaviors of one string as the target does: Spearman's correlation over the values that
 * p_obj lists, so that what is compared does not depend on the predictor. -1 to 1.
 * @returns undefined with fewer than two behaviors, or where either side holds all of them equally likely
 */
export function rankCorrelation({ object, hypothetical }: Comparison): number | undefined {
  const values = [...object.keys()];
  return spearman(
    [...object.values()],
    values.map((value) => hypothetical.get(value) ?? 0),
  );
}
