/** Both accuracies, the mode baseline and the paired difference over a choice of paired trials. */
import type { Contrast, PredictorDifference, Weighting } from "../../records/comparison.js";
import { isRight, type ScoredTrial } from "../accuracy.js";
import { modeOf } from "../baselines.js";
import { DIFFERENCE, PROPORTION, type PointRange } from "../measure.js";
import { countValues } from "../value-counts.js";
import type { ComparisonSettings } from "./comparison-settings.js";
import { intervalOf } from "./interval-of.js";
import type { PairedTrial } from "./pair-trials.js";
import { everything, type Resampling, stringDraws, valuesIn } from "./resampling.js";
import { differenceEstimand, stringIntervals } from "./statements.js";
import { amountAt, amountsApart, meanOf, type Statistic } from "./statistics.js";
import { type StringTable, stringTable } from "./string-table.js";

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
  const measures = WEIGHTINGS.flatMap((kind): { statistic: Statistic; range: PointRange }[] => [
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
    intervalOf(values[at]?.[0], replicates[at] ?? [], counted, range, settings.confidence),
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

export function differenceOf(table: StringTable, kind: Weighting): Statistic {
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
  return new Set(paired.map(({ self }) => JSON.stringify([self.task, self.item]))).size;
}

export function countTasks(paired: readonly Pick<PairedTrial, "self">[]): number {
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
