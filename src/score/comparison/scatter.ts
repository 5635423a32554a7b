/** How a paired difference scatters from string to string: what its standard error and every sample size come from. */

import type { DesignEffect, Weighting } from "./comparison.js";
import { clusterIn } from "../trial.js";
import type { DifferenceRow } from "./difference.js";

interface ScatteredString {
  /** The cluster, or the string that is its own. */
  readonly cluster: string;
  readonly trials: number;
  /** Sum of its trials' weights: 1 each (micro), or 1 ÷ the trials of their task and property (macro). */
  readonly weight: number;
  /** Weighted sum of its trials' differences minus the mean difference. */
  readonly contribution: number;
  /** The same minus what the mean expects of it: of all trials (micro), of each task and property (macro). */
  readonly influence: number;
}

interface ScatteredTask {
  readonly task: string;
  /** In code-unit order. */
  readonly strings: readonly ScatteredString[];
}

export interface StringScatter {
  /** The mean difference, in [-1, 1]. */
  readonly difference: number;
  readonly trials: number;
  readonly strings: number;
  /** Sum of all weights. */
  readonly weight: number;
  /** In code-unit order. */
  readonly tasks: readonly ScatteredTask[];
  /** Of the sum of contributions over strings drawn from the same tasks: Σ over tasks of m ÷ (m − 1) · Σ (influence − mean influence)². */
  readonly variance: number;
  /** Welch and Satterthwaite's, for a sum of variances of tasks that have m − 1 each. */
  readonly degreesOfFreedom: number;
}

type Scattered = ({ readonly ok: true } & StringScatter) | { readonly ok: false; readonly reason: string };

/** @param rows paired trials in any order */
export function stringScatter(rows: readonly DifferenceRow[], kind: Weighting): Scattered {
  const trials = rows.length;
  if (trials === 0) return { ok: false, reason: "no trial is paired" };
  const cells = cellSums(rows);
  const weight = kind === "micro" ? trials : cells.size;
  let difference = 0;
  for (const { sum, rows: counted } of cells.values()) difference += kind === "micro" ? sum : sum / counted;
  difference /= weight;

  const tasks = byTask(rows).map(([task, ofTask]): ScatteredTask => {
    const strings = new Map<string, { trials: number; weight: number; contribution: number; influence: number }>();
    for (const row of ofTask) {
      const { sum, rows: counted } = cells.get(scatterCell(row)) as CellSum;
      const share = kind === "micro" ? 1 : 1 / counted;
      const string = strings.get(clusterIn(row)) ?? { trials: 0, weight: 0, contribution: 0, influence: 0 };
      string.trials++;
      string.weight += share;
      string.contribution += share * (row.difference - difference);
      string.influence += share * (row.difference - (kind === "micro" ? difference : sum / counted));
      strings.set(clusterIn(row), string);
    }
    return { task, strings: [...strings].map(([cluster, string]) => ({ cluster, ...string })) };
  });
  const alone = tasks.find(({ strings }) => strings.length < 2);
  if (alone) return { ok: false, reason: `${alone.task} has one string only: how its strings scatter is not known` };
  const variances = tasks.map(({ strings }) => varianceOfSum(strings.map(({ influence }) => influence)));
  const variance = variances.reduce((sum, one) => sum + one, 0);
  // Differences are whole numbers; what is left of sums of equal ones is rounding.
  if (variance <= 1e-24 * weight ** 2) {
    return {
      ok: false,
      reason: `all strings of a task have the same difference (${trials} trials): they do not scatter`,
    };
  }
  const squares = tasks.reduce(
    (sum, { strings }, at) => sum + (variances[at] as number) ** 2 / (strings.length - 1),
    0,
  );
  return {
    ok: true,
    difference,
    trials,
    strings: tasks.reduce((sum, { strings }) => sum + strings.length, 0),
    weight,
    tasks,
    variance,
    degreesOfFreedom: variance ** 2 / squares,
  };
}

interface CellSum {
  readonly sum: number;
  readonly rows: number;
}

function cellSums(rows: readonly DifferenceRow[]): Map<string, CellSum> {
  const cells = new Map<string, CellSum>();
  for (const row of rows) {
    const key = scatterCell(row);
    const { sum, rows: counted } = cells.get(key) ?? { sum: 0, rows: 0 };
    cells.set(key, { sum: sum + row.difference, rows: counted + 1 });
  }
  // In a fixed order, because means of cells are summed in floating point.
  return new Map([...cells].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Rows in one order, whatever order they came in. */
function byTask(rows: readonly DifferenceRow[]): [string, DifferenceRow[]][] {
  const keyed = rows.map((row) => ({
    row,
    key: JSON.stringify([row.task, clusterIn(row), row.property, row.difference]),
  }));
  const tasks = new Map<string, DifferenceRow[]>();
  for (const { row } of keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))) {
    const known = tasks.get(row.task);
    if (known) known.push(row);
    else tasks.set(row.task, [row]);
  }
  return [...tasks];
}

function varianceOfSum(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return (values.length / (values.length - 1)) * squares;
}

function scatterCell({ task, property }: DifferenceRow): string {
  return JSON.stringify([task, property]);
}

/**
 * How much more the mean of clustered rows varies than that of as many independent ones: the cluster-robust variance of the mean
 * (with m ÷ (m − 1) for m strings) over the plain s² ÷ n. Kish 1965, Survey Sampling; the correlation is (effect − 1) ÷ (rows per string − 1).
 * @param strings the values of each string's rows, no string without any
 */
export function designEffect(strings: readonly (readonly number[])[]): DesignEffect {
  const n = strings.reduce((sum, rows) => sum + rows.length, 0);
  if (strings.length < 2) return { ok: false, reason: `only ${strings.length} string is counted` };
  const mean = strings.reduce((sum, rows) => sum + total(rows), 0) / n;
  const squares = strings.flat().reduce((sum, value) => sum + (value - mean) ** 2, 0);
  if (squares === 0) return { ok: false, reason: `all ${n} trials have the same difference` };
  const between = strings.reduce((sum, rows) => sum + (total(rows) - mean * rows.length) ** 2, 0);
  const clustered = ((strings.length / (strings.length - 1)) * between) / n ** 2;
  const value = clustered / (squares / (n - 1) / n);
  const rowsPerString = strings.reduce((sum, rows) => sum + rows.length ** 2, 0) / n;
  return { ok: true, value, rowsPerString, correlation: rowsPerString === 1 ? 0 : (value - 1) / (rowsPerString - 1) };
}

function total(rows: readonly number[]): number {
  return rows.reduce((sum, value) => sum + value, 0);
}
