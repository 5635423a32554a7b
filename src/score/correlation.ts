import type { Points } from "./calibration/measures.js";
import type { Comparison } from "./calibration/predictors.js";
import type { WeightedStatistic } from "./calibration/statistics.js";
import type { PointRange } from "./tally.js";

type ColumnMoments = ArrayLike<number>;

export const CORRELATION: PointRange = { least: -1, most: 1 };

/** The weight of rows that all count once. */
function once(): number {
  return 1;
}

/**
 * Pearson's correlation of two columns.
 * @param weigh how often a row counts, a whole number
 * @returns in [−1, 1]; undefined where one side is the same in all rows that count
 */
export function pearson(x: ColumnMoments, y: ColumnMoments, weigh: (row: number) => number = once): number | undefined {
  const { mean: meanX, constant: constantX } = center(x, weigh);
  const { mean: meanY, constant: constantY } = center(y, weigh);
  if (constantX || constantY) return undefined;
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let row = 0; row < x.length; row++) {
    const weight = weigh(row);
    const dx = (x[row] as number) - meanX;
    const dy = (y[row] as number) - meanY;
    xx += weight * dx * dx;
    yy += weight * dy * dy;
    xy += weight * dx * dy;
  }
  // Differences that are too small to be squared leave nothing to divide by.
  const spread = Math.sqrt(xx) * Math.sqrt(yy);
  return spread > 0 ? Math.max(-1, Math.min(1, xy / spread)) : undefined;
}

function center(column: ColumnMoments, weigh: (row: number) => number): { mean: number; constant: boolean } {
  let sum = 0;
  let counted = 0;
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let row = 0; row < column.length; row++) {
    const weight = weigh(row);
    if (weight === 0) continue;
    const value = column[row] as number;
    sum += weight * value;
    counted += weight;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return { mean: sum / counted, constant: !(least < most) };
}

// Pearson's correlation of two columns, and Spearman's as Pearson's of their ranks, each row counting a whole number of times.

const CONSTANT = "one side is constant: no correlation";

export function pearsonOf({ object, hypothetical, strings }: Points): WeightedStatistic {
  return {
    at: (weights) => pearson(object, hypothetical, (row) => weights[strings[row] as number] as number),
    strings,
    range: CORRELATION,
    undefinedBecause: CONSTANT,
  };
}

export function spearmanOf({ object, hypothetical, strings }: Points): WeightedStatistic {
  const orders = [rising(object), rising(hypothetical)] as const;
  return {
    at: (weights) => {
      const weigh = (row: number) => weights[strings[row] as number] as number;
      return pearson(midranks(object, orders[0], weigh), midranks(hypothetical, orders[1], weigh), weigh);
    },
    strings,
    range: CORRELATION,
    undefinedBecause: CONSTANT,
  };
}

/** Of plain columns, every row counting once. @returns undefined where one of them is constant */
function spearman(x: ColumnMoments, y: ColumnMoments): number | undefined {
  return pearson(midranks(x, rising(x), once), midranks(y, rising(y), once));
}

function rising(column: ColumnMoments): Int32Array {
  return Int32Array.from({ length: column.length }, (_, row) => row).sort(
    (a, b) => (column[a] as number) - (column[b] as number) || a - b,
  );
}

/** Equal values share the mean of the ranks they take up. */
function midranks(column: ColumnMoments, order: Int32Array, weigh: (row: number) => number): Float64Array {
  const ranks = new Float64Array(column.length);
  let before = 0;
  for (let start = 0; start < order.length; ) {
    const value = column[order[start] as number];
    let end = start;
    let taken = 0;
    for (; end < order.length && column[order[end] as number] === value; end++) taken += weigh(order[end] as number);
    for (let at = start; at < end; at++) ranks[order[at] as number] = before + (taken + 1) / 2;
    before += taken;
    start = end;
  }
  return ranks;
}

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
