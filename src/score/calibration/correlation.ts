/** Pearson's correlation of two columns, and Spearman's as Pearson's of their ranks, each row counting a whole number of times. */
import { type Column, once, pearson } from "../pearson.js";
import type { Points } from "./behavior-points.js";
import type { Statistic } from "./estimate-statistic.js";

const CONSTANT = "one side is constant: no correlation";

export function pearsonOf({ object, hypothetical, strings }: Points): Statistic {
  return {
    at: (weights) => pearson(object, hypothetical, (row) => weights[strings[row] as number] as number),
    strings,
    range: { least: -1, most: 1 },
    undefinedBecause: CONSTANT,
  };
}

export function spearmanOf({ object, hypothetical, strings }: Points): Statistic {
  const orders = [rising(object), rising(hypothetical)] as const;
  return {
    at: (weights) => {
      const weigh = (row: number) => weights[strings[row] as number] as number;
      return pearson(midranks(object, orders[0], weigh), midranks(hypothetical, orders[1], weigh), weigh);
    },
    strings,
    range: { least: -1, most: 1 },
    undefinedBecause: CONSTANT,
  };
}

/** Of plain columns, every row counting once. @returns undefined where one of them is constant */
export function spearman(x: Column, y: Column): number | undefined {
  return pearson(midranks(x, rising(x), once), midranks(y, rising(y), once));
}

function rising(column: Column): Int32Array {
  return Int32Array.from({ length: column.length }, (_, row) => row).sort(
    (a, b) => (column[a] as number) - (column[b] as number) || a - b,
  );
}

/** Equal values share the mean of the ranks they take up. */
function midranks(column: Column, order: Int32Array, weigh: (row: number) => number): Float64Array {
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
