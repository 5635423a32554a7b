/** Means over strings and differences of two, by the one way in which intervals are made: whole strings are drawn, pairs stay pairs. */

import { type Estimate, estimate } from "../score/interval.js";
import { drawStrings, type ResamplingSettings, type StringDraws, type StringWeights } from "../score/resampling.js";
import type { PointRange } from "../score/tally.js";
import { weightedSum } from "../score/calibration/measures.js";
import type { ClusteredRow } from "../score/trial.js";

/** A row that counts, and what it adds. */
export interface AmountOf<Row extends ClusteredRow> {
  readonly row: Row;
  readonly amount: number;
}

/**
 * The mean over rows, each counted once.
 * @param all every string that was asked: these are drawn, counted or not, so that figures of one run are drawn alike
 */
export function estimateRows<Row extends ClusteredRow>(
  counted: readonly AmountOf<Row>[],
  all: readonly ClusteredRow[],
  range: PointRange,
  settings: ResamplingSettings,
): Estimate {
  if (counted.length === 0) return { ok: false, reason: "no string counts" };
  const draws = sharedDraws(all, settings);
  const [sums, counts] = [new Float64Array(draws.strings), new Float64Array(draws.strings)];
  const places = new Set<number>();
  for (const { row, amount } of counted) {
    const place = draws.placeOf(row);
    places.add(place);
    sums[place] = (sums[place] as number) + amount;
    counts[place] = (counts[place] as number) + 1;
  }
  const at = (weights: StringWeights) => {
    const number = weightedSum(counts, weights);
    return number === 0 ? undefined : weightedSum(sums, weights) / number;
  };
  const value = counted.reduce((sum, { amount }) => sum + amount, 0) / counted.length;
  const tasks = new Set([...places].map(draws.taskAt)).size;
  const statistic = { value, n: counted.length, clusters: places.size, tasks, range };
  const values = places.size < 2 ? [] : draws.replicates.map(at);
  return estimate(statistic, values, { confidence: settings.confidence, undefinedReplicates: "refuse_half" });
}

const drawn = new WeakMap<readonly ClusteredRow[], { readonly settings: string; readonly draws: StringDraws }>();

/** Of one list of strings all figures have the same draws. */
export function sharedDraws(all: readonly ClusteredRow[], settings: ResamplingSettings): StringDraws {
  const key = JSON.stringify(settings);
  const known = drawn.get(all);
  if (known?.settings === key) return known.draws;
  const draws = drawStrings(all, settings);
  drawn.set(all, { settings: key, draws });
  return draws;
}
