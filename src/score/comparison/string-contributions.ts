import type { Weighting } from "../../records/comparison.js";

/** A row's share in a difference. */
export interface DifferenceRow {
  readonly task: string;
  readonly item: string;
  readonly property: string;
  /** -1, 0 or 1. */
  readonly difference: number;
}

/**
 * What each string adds to a difference, up to a factor that all share: for micro the sum of its rows' differences (whole
 * numbers), for macro that of each row ÷ the rows of its task and property. A sum of these with other signs is the difference
 * that would have been seen had self and cross been exchanged in the strings whose sign turned.
 * @returns in code-unit order of task and item
 */
export function stringContributions(rows: readonly DifferenceRow[], kind: Weighting): number[] {
  const sizes = new Map<string, number>();
  for (const row of rows) sizes.set(taskPropertyOf(row), (sizes.get(taskPropertyOf(row)) ?? 0) + 1);
  const sums = new Map<string, number>();
  const ordered = [...rows].sort((a, b) =>
    taskPropertyOf(a) < taskPropertyOf(b) ? -1 : taskPropertyOf(a) > taskPropertyOf(b) ? 1 : 0,
  );
  for (const row of ordered) {
    const key = JSON.stringify([row.task, row.item]);
    const weight = kind === "micro" ? 1 : 1 / (sizes.get(taskPropertyOf(row)) as number);
    sums.set(key, (sums.get(key) ?? 0) + weight * row.difference);
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum);
}

function taskPropertyOf({ task, property }: DifferenceRow): string {
  return JSON.stringify([task, property]);
}
