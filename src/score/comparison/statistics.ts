/** The means that comparisons are made of, as functions of a table's sums; undefined where a draw holds no row. */
import type { Weighting } from "../../records/comparison.js";
import type { TableCell } from "./string-table.js";

/** @param tasks how often each task was drawn: a cell of a task drawn twice counts twice in a macro average */
export type Statistic = (sums: Float64Array, tasks: Uint16Array) => number | undefined;

/** @returns points of a stratum whose sums begin at `start`; the sum at `start` itself is the number of rows */
export type Points = (sums: Float64Array, start: number) => number;

/** The amount at this place after the number of rows. */
export function amountAt(offset: number): Points {
  return (sums, start) => sums[start + offset] as number;
}

/** One amount minus another of the same rows. */
export function amountsApart(offset: number, minus: number): Points {
  return (sums, start) => (sums[start + offset] as number) - (sums[start + minus] as number);
}

/**
 * Micro: cells weighted by their rows, macro: all alike. Inside a cell its strata weigh the same, however many rows each has; a
 * stratum without a drawn row is left out.
 */
export function meanOf(cells: readonly TableCell[], points: Points, kind: Weighting): Statistic {
  return (sums, tasks) => {
    let total = 0;
    let weights = 0;
    for (const { task, strata } of cells) {
      let means = 0;
      let present = 0;
      let rows = 0;
      let all = 0;
      for (const start of strata) {
        const counted = sums[start] as number;
        if (counted === 0) continue;
        const amount = points(sums, start);
        rows += counted;
        all += amount;
        means += amount / counted;
        present++;
      }
      if (present === 0) continue;
      const weight = kind === "micro" ? rows : (tasks[task] as number);
      // One stratum needs no division in a micro average, which keeps whole numbers whole.
      total += kind === "micro" && present === 1 ? all : (weight * means) / present;
      weights += weight;
    }
    return weights === 0 ? undefined : total / weights;
  };
}

/** Sums of a stratum with two sides: rows of the old side and two amounts of theirs, then the same of the new side. */
export type Side = "old" | "new";

export interface MatchedMean {
  readonly side: Side;
  /** Which of the side's two amounts. */
  readonly points: 1 | 2;
  readonly kind: Weighting;
}

/**
 * Mean points of one side when both sides have the same histogram over strata: of each stratum the smaller number of rows counts on
 * either side. That is what drawing so many rows at random gives on average, without the draw.
 */
export function matchedMeanOf(cells: readonly TableCell[], { side, points, kind }: MatchedMean): Statistic {
  const rows = side === "old" ? 0 : 3;
  return (sums, tasks) => {
    let total = 0;
    let weights = 0;
    for (const { task, strata } of cells) {
      let amount = 0;
      let matched = 0;
      for (const start of strata) {
        const fewer = Math.min(sums[start] as number, sums[start + 3] as number);
        if (fewer === 0) continue;
        matched += fewer;
        amount += (fewer * (sums[start + rows + points] as number)) / (sums[start + rows] as number);
      }
      if (matched === 0) continue;
      const weight = kind === "micro" ? matched : (tasks[task] as number);
      total += (weight * amount) / matched;
      weights += weight;
    }
    return weights === 0 ? undefined : total / weights;
  };
}

/** The difference of two statistics of the same draw. */
export function apart(first: Statistic, second: Statistic): Statistic {
  return (sums, tasks) => {
    const [a, b] = [first(sums, tasks), second(sums, tasks)];
    return a === undefined || b === undefined ? undefined : a - b;
  };
}
