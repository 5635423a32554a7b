/** A value with its interval from tallies: the mean over units of Σ points / Σ trials. */
import type { Estimate } from "../records/scores.js";
import type { PointRange } from "./measure.js";
import { type DrawnStrings, percentileInterval } from "./percentile-interval.js";
import type { Tally } from "./tally.js";
import { unanimousInterval } from "./unanimous-interval.js";

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
