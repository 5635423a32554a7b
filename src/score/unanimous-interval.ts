import type { PointRange } from "./measure.js";
import type { Interval } from "./percentile-interval.js";

/**
 * The interval of a score when resampling cannot move it because all strings scored alike; a bootstrap would give a point,
 * as if 3 strings told as much as 3,000. Of `clusters` strings none was an exception, so by the exact binomial bound
 * (Clopper & Pearson 1934) at least q = ((1 − confidence) / 2)^(1 / clusters) of all such strings score this value;
 * the rest may score anything in the range.
 * @param clusters at least 1
 */
export function unanimousInterval(value: number, clusters: number, range: PointRange, confidence: number): Interval {
  const alike = ((1 - confidence) / 2) ** (1 / clusters);
  return {
    low: alike * value + (1 - alike) * range.least,
    high: alike * value + (1 - alike) * range.most,
  };
}
