/** The middle of bootstrap replicates. */

import type { Weighting } from "./comparison/comparison.js";
import type { DifferenceRow } from "./comparison/difference.js";
import { stringScatter } from "./comparison/scatter.js";
import { normalCumulative, studentQuantile } from "./probability.js";
import type { StringDraws, StringWeights } from "./resampling.js";
import type { Estimate } from "./scores.js";
import { type Measure, type PointRange, type Tally, tallyUnits, type TaskStrings } from "./tally.js";
import type { Trial } from "./trial.js";

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

/** For readers of a report. */
export const EXPANDED =
  "Percentiles lie farther out the fewer strings there are (expanded percentiles, Hesterberg 2015).";

/**
 * @param replicates at least one finite number; sorted in place
 * @param confidence in (0, 1)
 * @param drawn widens the percentiles for few strings; left out where tasks are drawn as well, which varies more than it should already
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
  const t = studentQuantile((1 + confidence) / 2, degreesOfFreedom);
  return normalCumulative(-t * Math.sqrt(clusters / degreesOfFreedom));
}

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

// A value with its interval from tallies: the mean over units of Σ points / Σ trials.

/**
 * A cell is one unit of one tally, a micro average one unit of many tallies, a macro average many units. In a replicate a
 * unit whose strings were all left out is left out of the mean; a replicate without any unit is left out of the interval.
 * The interval is widened to hold the value where percentiles would not.
 * @param units at least one, each of at least one tally with a counted trial; all tallies from the same number of replicates
 */
export function estimateMean(units: readonly (readonly Tally[])[], range: PointRange, confidence: number): Estimate {
  const tallies = units.flat();
  const value = mean(units.map((unit) => total(unit, "points") / total(unit, "trials")));
  const n = total(tallies, "trials");
  const drawnStrings = countStrings(tallies);
  const { clusters } = drawnStrings;
  if (clusters === 1) {
    return { ok: false, reason: `only one string is counted (value ${value.toFixed(3)} of n = ${n}): no interval` };
  }
  const replicates = replicateMeans(units);
  if (replicates.length === 0) {
    return {
      ok: false,
      reason: `no replicate drew any of ${clusters} strings (value ${value.toFixed(3)} of n = ${n})`,
    };
  }
  const drawn = percentileInterval(replicates, confidence, drawnStrings);
  const { low, high } = drawn.low < drawn.high ? drawn : unanimousInterval(value, clusters, range, confidence);
  return { ok: true, value, low: Math.min(low, value), high: Math.max(high, value), n, clusters };
}

function replicateMeans(units: readonly (readonly Tally[])[]): Float64Array {
  const size = units[0]?.[0]?.resampledTrials.length ?? 0;
  const sums = new Float64Array(size);
  const counts = new Int32Array(size);
  for (const unit of units) {
    const points = addUp(unit.map((tally) => tally.resampledPoints));
    const trials = addUp(unit.map((tally) => tally.resampledTrials));
    for (let replicate = 0; replicate < size; replicate++) {
      const counted = trials[replicate] as number;
      if (counted === 0) continue;
      sums[replicate] = (sums[replicate] as number) + (points[replicate] as number) / counted;
      counts[replicate] = (counts[replicate] as number) + 1;
    }
  }
  return sums
    .map((sum, replicate) => sum / (counts[replicate] as number))
    .filter((_, replicate) => counts[replicate] !== 0);
}

function addUp(columns: readonly Int32Array[]): Int32Array {
  const sums = Int32Array.from(columns[0] as Int32Array);
  for (const column of columns.slice(1)) {
    for (let index = 0; index < sums.length; index++) sums[index] = (sums[index] as number) + (column[index] as number);
  }
  return sums;
}

function total(tallies: readonly Tally[], side: "points" | "trials"): number {
  return tallies.reduce((sum, tally) => tally[side].reduce((all, one) => all + one, sum), 0);
}

/** Strings with a counted trial in any tally, and their tasks; a string of another task is another string. */
function countStrings(tallies: readonly Tally[]): DrawnStrings {
  const byTask = new Map<string, Int32Array[]>();
  for (const { task, trials } of tallies) byTask.set(task, [...(byTask.get(task) ?? []), trials]);
  const counts = [...byTask.values()].map((columns) => addUp(columns).filter((trials) => trials > 0).length);
  return { clusters: counts.reduce((sum, count) => sum + count, 0), tasks: counts.filter((count) => count > 0).length };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

// The estimate of one measure over trials of any cells: what averages are, for a choice of trials that is no choice of cells.

interface Measured {
  readonly measure: Measure;
  readonly range: PointRange;
  /** `micro` every trial counts the same; `macro` every task and property does, its wordings pooled. */
  readonly kind: "micro" | "macro";
}

/** @param strings the strings of every task among the trials, with their draws */
export function estimateOver(
  trials: readonly Trial[],
  { measure, range, kind }: Measured,
  strings: ReadonlyMap<string, TaskStrings>,
  confidence: number,
): Estimate {
  const tallies = tallyUnits(trials, measure, strings);
  if (tallies.length === 0) return { ok: false, reason: `none of ${trials.length} trials can be counted` };
  return estimateMean(kind === "micro" ? [tallies] : tallies.map((tally) => [tally]), range, confidence);
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

interface Counted {
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

// An interval for few strings, where percentiles of resampled strings are too narrow.

type TInterval =
  | (Extract<Estimate, { ok: true }> & { readonly standardError: number; readonly degreesOfFreedom: number })
  | { readonly ok: false; readonly reason: string };

/**
 * The difference ± Student's t times its cluster-robust standard error: each string's influence is one observation, tasks are strata,
 * degrees of freedom by Welch and Satterthwaite (F. E. Satterthwaite 1946, Biometrics Bulletin 2, 110-114). Drawing m strings with
 * replacement understates a task's variance by m ÷ (m − 1), and percentiles know nothing of degrees of freedom; this has both.
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

// Any statistic of weighted strings with its percentile bootstrap interval.

export interface Statistic {
  /** @returns undefined where the statistic is not defined for these weights */
  readonly at: (weights: StringWeights) => number | undefined;
  /** Places of the strings of what it averages, one entry for each. */
  readonly strings: readonly number[];
  readonly range: PointRange;
  /** Why it is not defined, where it is not. */
  readonly undefinedBecause: string;
}

/** Replicates closer than this to each other differ by rounding only. */
const ROUNDING = 1e-12;

/** The interval is widened to hold the value; replicates where the statistic is not defined are left out if they are the fewer. */
export function estimateStatistic(
  { at, strings, range, undefinedBecause }: Statistic,
  { strings: all, taskAt, replicates }: StringDraws,
  confidence: number,
): Estimate {
  const n = strings.length;
  if (n === 0) return { ok: false, reason: "nothing to compare" };
  const value = at(new Uint8Array(all).fill(1));
  if (value === undefined) return { ok: false, reason: undefinedBecause };
  const counted = [...new Set(strings)];
  const clusters = counted.length;
  const seen = `value ${value.toFixed(3)} of n = ${n}`;
  if (clusters === 1) return { ok: false, reason: `only one string is counted (${seen}): no interval` };
  const drawn = Float64Array.from(replicates.flatMap((weights) => at(weights) ?? []));
  if (2 * drawn.length <= replicates.length) {
    const defined = `${drawn.length} of ${replicates.length} replicates`;
    return { ok: false, reason: `defined in only ${defined} (${seen}): no interval` };
  }
  const percentiles = percentileInterval(drawn, confidence, { clusters, tasks: new Set(counted.map(taskAt)).size });
  const moves = percentiles.high - percentiles.low > ROUNDING;
  const { low, high } = moves ? percentiles : unanimousInterval(value, clusters, range, confidence);
  return { ok: true, value, low: Math.min(low, value), high: Math.max(high, value), n, clusters };
}
