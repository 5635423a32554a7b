/** Both accuracies, the mode baseline and the paired difference over a choice of paired trials. */

import { estimate, EXPANDED } from "../interval.js";
import {
  everything,
  type Resampling,
  stringDraws,
  type StringTable,
  stringTable,
  type AmountCell,
  valuesIn,
} from "../resampling.js";
import { countValues, DIFFERENCE, isRight, modeOf, type PointRange, PROPORTION, type ScoredTrial } from "../tally.js";
import { stringKey } from "../trial.js";
import type { ComparisonSettings, Contrast, PairedTrial, PredictorDifference, Weighting } from "./comparison.js";

// What each number of a comparison estimates and how its interval was made, in words that reports show beside it.

const WEIGHTS: Record<Weighting, string> = {
  micro: "every trial counting the same",
  macro: "every task and property counting the same",
};

/** @param over which trials, such as "paired trials" */
function differenceEstimand(contrasts: readonly Contrast[], kind: Weighting, over: string): string {
  const [first] = contrasts;
  if (!first) return "no contrast was named";
  const others = contrasts.length === 1 ? "" : ` (and ${contrasts.length - 1} more such pairs, as seeds)`;
  const who = `accuracy of ${first.self} minus accuracy of ${first.cross} about what ${first.target} does${others}`;
  return `${who}, on the same ${over}, ${WEIGHTS[kind]}, for strings like those drawn of these tasks`;
}

export function shiftEstimand(
  { predictor, before, after }: { readonly predictor: string; readonly before: string; readonly after: string },
  kind: Weighting,
  over: string,
): string {
  const who = `accuracy of ${predictor} about what ${after} does minus its accuracy about what ${before} did`;
  return `${who}, on ${over}, ${WEIGHTS[kind]}, for strings like those drawn of these tasks`;
}

export function stringIntervals({ confidence, bootstrapReplicates, bootstrapSeed }: ComparisonSettings): string {
  return [
    `${percent(confidence)} percentile cluster bootstrap by source string, paired: each of ${bootstrapReplicates} replicates (seed ${bootstrapSeed})`,
    "draws the strings of every task with replacement, and all rows of a string move together, for both sides.",
    EXPANDED,
    "Where no draw can move it, the exact binomial (Clopper-Pearson) bound for that many strings without an exception.",
  ].join(" ");
}

export function hierarchicalIntervals({ confidence, bootstrapReplicates, bootstrapSeed }: ComparisonSettings): string {
  return [
    `${percent(confidence)} percentile bootstrap over levels: each of ${bootstrapReplicates} replicates (seed ${bootstrapSeed}) draws tasks with replacement,`,
    "strings of each drawn task with replacement, and, crossed with them, seeds with replacement. With few tasks or seeds it is rough",
    "and tends to be too narrow.",
  ].join(" ");
}

export const ONE_OF_A_PAIR = "none: micro and macro weigh the same trials in two ways";
export const SENSITIVITY_ONLY =
  "none: a sensitivity analysis, read beside the main difference and not as a finding of its own";

export function holmMultiplicity(tasks: number): string {
  return `interval not adjusted; p adjusted by Holm's method over ${tasks} task${tasks === 1 ? "" : "s"}`;
}

function percent(confidence: number): string {
  return `${Number((100 * confidence).toFixed(6))} %`;
}

// The means that comparisons are made of, as functions of a table's sums; undefined where a draw holds no row.

/** @param tasks how often each task was drawn: a cell of a task drawn twice counts twice in a macro average */
export type SumStatistic = (sums: Float64Array, tasks: Uint16Array) => number | undefined;

/** @returns points of a stratum whose sums begin at `start`; the sum at `start` itself is the number of rows */
type DifferencePoints = (sums: Float64Array, start: number) => number;

/** The amount at this place after the number of rows. */
export function amountAt(offset: number): DifferencePoints {
  return (sums, start) => sums[start + offset] as number;
}

/** One amount minus another of the same rows. */
function amountsApart(offset: number, minus: number): DifferencePoints {
  return (sums, start) => (sums[start + offset] as number) - (sums[start + minus] as number);
}

/**
 * Micro: cells weighted by their rows, macro: all alike. Inside a cell its strata weigh the same, however many rows each has; a
 * stratum without a drawn row is left out.
 */
export function meanOf(cells: readonly AmountCell[], points: DifferencePoints, kind: Weighting): SumStatistic {
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
export type MatchedSide = "old" | "new";

interface MatchedMean {
  readonly side: MatchedSide;
  /** Which of the side's two amounts. */
  readonly points: 1 | 2;
  readonly kind: Weighting;
}

/**
 * Mean points of one side when both sides have the same histogram over strata: of each stratum the smaller number of rows counts on
 * either side. That is what drawing so many rows at random gives on average, without the draw.
 */
export function matchedMeanOf(cells: readonly AmountCell[], { side, points, kind }: MatchedMean): SumStatistic {
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
export function apart(first: SumStatistic, second: SumStatistic): SumStatistic {
  return (sums, tasks) => {
    const [a, b] = [first(sums, tasks), second(sums, tasks)];
    return a === undefined || b === undefined ? undefined : a - b;
  };
}

export interface DifferenceInput {
  readonly paired: readonly PairedTrial[];
  readonly contrasts: readonly Contrast[];
  readonly resampling: Resampling;
  readonly settings: ComparisonSettings;
  /** Which trials these are, for the estimand. */
  readonly over: string;
  readonly multiplicity: string;
  /** Behaviors of a task and property count the same, however often each was shown. */
  readonly balanced?: boolean;
}

export const WEIGHTINGS = ["micro", "macro"] as const satisfies readonly Weighting[];

/** Places of what a row adds, after the row itself. */
const SELF = 1;
const CROSS = 2;
const MODE = 3;

/** @returns micro, then macro */
export function differencesOver(input: DifferenceInput): [PredictorDifference, PredictorDifference] {
  const { paired, contrasts, resampling, settings } = input;
  const table = tableOf(input);
  const measures = WEIGHTINGS.flatMap((kind): { statistic: SumStatistic; range: PointRange }[] => [
    { statistic: meanOf(table.cells, amountAt(SELF), kind), range: PROPORTION },
    { statistic: meanOf(table.cells, amountAt(CROSS), kind), range: PROPORTION },
    { statistic: meanOf(table.cells, amountAt(MODE), kind), range: PROPORTION },
    { statistic: differenceOf(table, kind), range: DIFFERENCE },
  ]);
  const statistics = measures.map(({ statistic }) => statistic);
  const values = valuesIn(table, [everything(resampling, contrasts.length)], statistics);
  const replicates = valuesIn(table, stringDraws(resampling, contrasts.length), statistics);
  const counted = { n: paired.length, clusters: countStrings(paired), tasks: countTasks(paired) };
  const estimates = measures.map(({ range }, at) =>
    estimate({ value: values[at]?.[0], ...counted, range }, replicates[at] ?? [], settings),
  );
  return WEIGHTINGS.map((kind, at): PredictorDifference => {
    const [self, cross, modeBaseline, difference] = estimates.slice(4 * at, 4 * at + 4) as [
      PredictorDifference["self"],
      PredictorDifference["cross"],
      PredictorDifference["modeBaseline"],
      PredictorDifference["difference"],
    ];
    return {
      kind,
      estimand: differenceEstimand(contrasts, kind, input.over),
      intervalMethod: stringIntervals(settings),
      multiplicity: input.multiplicity,
      self,
      cross,
      modeBaseline,
      difference,
    };
  }) as [PredictorDifference, PredictorDifference];
}

export function differenceOf(table: StringTable, kind: Weighting): SumStatistic {
  return meanOf(table.cells, amountsApart(SELF, CROSS), kind);
}

export function tableOf({
  paired,
  resampling,
  balanced,
}: Pick<DifferenceInput, "paired" | "resampling" | "balanced">): StringTable {
  const modes = modesOf(paired.map(({ self }) => self));
  return stringTable(
    paired.map(({ seed, self, cross }) => ({
      task: self.task,
      item: self.item,
      cluster: self.cluster,
      seed,
      property: self.property,
      stratum: balanced ? self.behavior.value : "",
      amounts: [1, ...rightOf({ self, cross }), Number(modes.get(cellOf(self)) === self.behavior.value)],
    })),
    4,
    resampling,
  );
}

/** 1 where right, of self and cross. */
export function rightOf({ self, cross }: Pick<PairedTrial, "self" | "cross">): [number, number] {
  return [Number(isRight(self, self.prediction)), Number(isRight(cross, cross.prediction))];
}

export function countStrings(paired: readonly Pick<PairedTrial, "self">[]): number {
  return new Set(paired.map(({ self }) => stringKey(self))).size;
}

function countTasks(paired: readonly Pick<PairedTrial, "self">[]): number {
  return new Set(paired.map(({ self }) => self.task)).size;
}

/** The most common behavior of each target, task and property. */
export function modesOf(trials: readonly ScoredTrial[]): ReadonlyMap<string, string> {
  const values = new Map<string, string[]>();
  for (const trial of trials) {
    const key = cellOf(trial);
    const known = values.get(key);
    if (known) known.push(trial.behavior.value);
    else values.set(key, [trial.behavior.value]);
  }
  return new Map([...values].map(([key, some]) => [key, modeOf(countValues(some)) as string]));
}

export function cellOf({ target, task, property }: ScoredTrial): string {
  return JSON.stringify([target, task, property]);
}

/** A row's share in a difference. */
export interface DifferenceRow {
  readonly task: string;
  readonly item: string;
  readonly cluster?: string;
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
    const key = stringKey(row);
    const weight = kind === "micro" ? 1 : 1 / (sizes.get(taskPropertyOf(row)) as number);
    sums.set(key, (sums.get(key) ?? 0) + weight * row.difference);
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum);
}

function taskPropertyOf({ task, property }: DifferenceRow): string {
  return JSON.stringify([task, property]);
}
