/** Any statistic of weighted strings with its percentile bootstrap interval. */
import type { Estimate } from "../../records/scores.js";
import type { PointRange } from "../measure.js";
import { percentileInterval } from "../percentile-interval.js";
import { unanimousInterval } from "../unanimous-interval.js";
import type { StringDraws, StringWeights } from "./string-draws.js";

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
