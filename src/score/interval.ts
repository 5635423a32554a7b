/** The one place where intervals are made: a value and its values in the bootstrap replicates become an estimate, or the reason why there is none. */

import type { Weighting } from "./comparison/comparison.js";
import type { DifferenceRow } from "./comparison/difference.js";
import { stringScatter } from "./comparison/scatter.js";
import { normalCumulative, studentQuantile } from "./probability.js";
import type { PointRange } from "./tally.js";

/** A proportion or mean with its interval, or the reason why there is none. */
export type Estimate =
  | {
      readonly ok: true;
      readonly value: number;
      readonly low: number;
      readonly high: number;
      /** Rows that the value averages. */
      readonly n: number;
      /** Source strings among them: what the interval resamples. */
      readonly clusters: number;
    }
  | { readonly ok: false; readonly reason: string };

/** What is estimated, on the strings as they are. */
export interface Statistic {
  /** undefined where these strings give it none. */
  readonly value: number | undefined;
  /** Rows that the value averages, strings among them, and tasks that the strings are of. */
  readonly n: number;
  readonly clusters: number;
  readonly tasks: number;
  /** The least and the most that one string can say. */
  readonly range: PointRange;
  /** Why there is no value, where there is none. */
  readonly undefinedBecause?: string;
  /** Why no replicate has a value, where none has; that none drew a string of it, unless told. */
  readonly neverBecause?: string;
}

/** The rules that are not the same for all estimates of a run; docs/log.md says which of them are to become one. */
export interface IntervalOptions {
  /** In (0, 1). */
  readonly confidence: number;
  /**
   * `expanded` (unless told) percentiles lie farther out the fewer strings there are · `plain` as they are: where tasks are drawn
   * as well, which varies more than it should already.
   */
  readonly percentiles?: "expanded" | "plain";
  /**
   * Where no draw moves the value: `bound` (unless told) the exact bound for so many strings without an exception · `refuse` no
   * interval, for a value whose range is not known · `as_drawn` the value itself, for what is the same by definition.
   */
  readonly unmoved?: "bound" | "refuse" | "as_drawn";
  /** Replicates without a value: left out (unless told), or no interval where they are half of all or more. */
  readonly undefinedReplicates?: "leave_out" | "refuse_half";
}

/** Replicates closer than this to each other differ by rounding only: sums of equal shares in another order. */
const ROUNDING = 1e-12;

/** For readers of a report. */
export const EXPANDED =
  "Percentiles lie farther out the fewer strings there are (expanded percentiles, Hesterberg 2015).";

/**
 * Percentiles of the replicates, widened to hold the value where they would not. One string has no interval: every draw is that string.
 * @param draws the statistic's value in each replicate, undefined where that has none
 */
export function estimate(
  { value, n, clusters, tasks, range, undefinedBecause, neverBecause }: Statistic,
  draws: ArrayLike<number | undefined>,
  { confidence, percentiles, unmoved = "bound", undefinedReplicates }: IntervalOptions,
): Estimate {
  if (value === undefined) return { ok: false, reason: undefinedBecause ?? "no trial is counted" };
  const seen = `value ${value.toFixed(3)} of n = ${n}`;
  if (clusters < 2) return { ok: false, reason: `only one string is counted (${seen}): no interval` };
  const defined = definedIn(draws);
  if (undefinedReplicates === "refuse_half" && 2 * defined.length <= draws.length) {
    const those = `${defined.length} of ${draws.length} replicates`;
    return { ok: false, reason: `defined in only ${those} (${seen}): no interval` };
  }
  if (defined.length === 0) {
    return { ok: false, reason: `${neverBecause ?? `no replicate drew any of ${clusters} strings`} (${seen})` };
  }
  const drawn = percentileInterval(defined, confidence, percentiles === "plain" ? undefined : { clusters, tasks });
  const moved = drawn.high - drawn.low > ROUNDING;
  if (!moved && unmoved === "refuse") {
    return { ok: false, reason: `no draw of ${clusters} strings changes it: no interval` };
  }
  const bound = !moved && unmoved === "bound";
  const { low, high } = bound ? unanimousInterval(value, clusters, range, confidence) : drawn;
  return { ok: true, value, low: Math.min(low, value), high: Math.max(high, value), n, clusters };
}

function definedIn(draws: ArrayLike<number | undefined>): Float64Array {
  const defined = new Float64Array(draws.length);
  let count = 0;
  for (let replicate = 0; replicate < draws.length; replicate++) {
    const value = draws[replicate];
    if (value !== undefined) defined[count++] = value;
  }
  return defined.subarray(0, count);
}

interface Interval {
  readonly low: number;
  readonly high: number;
}

/** What was drawn: strings, of each task among themselves. */
interface DrawnStrings {
  /** Strings that the value rests on, and tasks that they are of. */
  readonly clusters: number;
  readonly tasks: number;
}

/**
 * @param replicates at least one finite number; sorted in place
 * @param confidence in (0, 1)
 * @param drawn widens the percentiles for few strings
 */
export function percentileInterval(replicates: Float64Array, confidence: number, drawn?: DrawnStrings): Interval {
  replicates.sort();
  const tail = drawn ? expandedTail(confidence, drawn) : (1 - confidence) / 2;
  return { low: quantile(replicates, tail), high: quantile(replicates, 1 - tail) };
}

/**
 * Drawing m strings with replacement understates a task's variance by (m − 1) ÷ m, and percentiles know nothing of how uncertain
 * that variance is: so the limits lie farther out, where √(n ÷ f) times Student's t with f = strings − tasks degrees of freedom does on the normal
 * scale (T. C. Hesterberg 2015, The American Statistician 69, 371-386, "expanded percentile"). docs/validation.md has what it mends.
 */
export function expandedTail(confidence: number, { clusters, tasks }: DrawnStrings): number {
  const degreesOfFreedom = Math.max(1, clusters - tasks);
  const t = lastQuantile(confidence, degreesOfFreedom);
  return normalCumulative(-t * Math.sqrt(clusters / degreesOfFreedom));
}

/** Most intervals of a table rest on as many strings as the one before, and a quantile takes sixty steps of an incomplete beta function. */
const lastQuantile = (() => {
  let last = { confidence: Number.NaN, degreesOfFreedom: Number.NaN, t: Number.NaN };
  return (confidence: number, degreesOfFreedom: number): number => {
    if (last.confidence !== confidence || last.degreesOfFreedom !== degreesOfFreedom)
      last = { confidence, degreesOfFreedom, t: studentQuantile((1 + confidence) / 2, degreesOfFreedom) };
    return last.t;
  };
})();

/** Linear between order statistics, as in Hyndman & Fan 1996, type 7. */
function quantile(sorted: Float64Array, probability: number): number {
  const place = probability * (sorted.length - 1);
  const below = sorted[Math.floor(place)] as number;
  const above = sorted[Math.ceil(place)] as number;
  return below + (above - below) * (place - Math.floor(place));
}

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

type TInterval =
  | (Extract<Estimate, { ok: true }> & { readonly standardError: number; readonly degreesOfFreedom: number })
  | { readonly ok: false; readonly reason: string };

/**
 * Another method, which percentiles are judged by: the difference ± Student's t times its cluster-robust standard error. Each string's influence is one
 * observation, tasks are strata, degrees of freedom by Welch and Satterthwaite (F. E. Satterthwaite 1946, Biometrics Bulletin 2, 110-114).
 * Drawing m strings with replacement understates a task's variance by m ÷ (m − 1), and percentiles know nothing of degrees of freedom; this has both.
 * @param rows paired trials in any order
 * @param confidence in (0, 1)
 */
export function clusterTInterval(rows: readonly DifferenceRow[], kind: Weighting, confidence: number): TInterval {
  const scatter = stringScatter(rows, kind);
  if (!scatter.ok) return scatter;
  const { difference: value, degreesOfFreedom, weight, trials: n, strings: clusters } = scatter;
  const standardError = Math.sqrt(scatter.variance) / weight;
  const half = studentQuantile((1 + confidence) / 2, degreesOfFreedom) * standardError;
  return {
    ok: true,
    value,
    low: Math.max(-1, value - half),
    high: Math.min(1, value + half),
    n,
    clusters,
    standardError,
    degreesOfFreedom,
  };
}

/** Where the interval of a difference or a coefficient lies: the one rule that findings by interval alone follow. */
export type Side = "above" | "below" | "across" | "unknown";

/** Ends at 0 are across. */
export function sideOfZero(
  interval: { readonly ok: true; readonly low: number; readonly high: number } | { readonly ok: false },
): Side {
  if (!interval.ok) return "unknown";
  if (interval.low > 0) return "above";
  return interval.high < 0 ? "below" : "across";
}
