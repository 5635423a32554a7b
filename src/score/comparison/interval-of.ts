import type { Estimate } from "../../records/scores.js";
import type { PointRange } from "../measure.js";
import { percentileInterval } from "../percentile-interval.js";
import { unanimousInterval } from "../unanimous-interval.js";

export interface Counted {
  /** Rows that the value averages, and strings among them. */
  readonly n: number;
  readonly clusters: number;
  /** Of the strings; left out where tasks were drawn as well. */
  readonly tasks?: number;
}

/**
 * As every estimate of a run: percentiles, widened to hold the value, and the exact bound for so many strings without an
 * exception where no draw can move it.
 * @param value undefined when no row is counted
 */
export function intervalOf(
  value: number | undefined,
  replicates: readonly number[],
  { n, clusters, tasks }: Counted,
  range: PointRange,
  confidence: number,
): Estimate {
  if (value === undefined) return { ok: false, reason: "no trial is counted" };
  if (clusters < 2) {
    return { ok: false, reason: `only one string is counted (value ${value.toFixed(3)} of n = ${n}): no interval` };
  }
  if (replicates.length === 0) {
    return {
      ok: false,
      reason: `no replicate drew any of ${clusters} strings (value ${value.toFixed(3)} of n = ${n})`,
    };
  }
  const drawn = percentileInterval(
    Float64Array.from(replicates),
    confidence,
    tasks === undefined ? undefined : { clusters, tasks },
  );
  const { low, high } = drawn.low < drawn.high ? drawn : unanimousInterval(value, clusters, range, confidence);
  return { ok: true, value, low: Math.min(low, value), high: Math.max(high, value), n, clusters };
}
