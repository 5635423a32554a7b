/** Accuracy about old and new behavior with their own mode baselines, on trials as they are and with matched histograms. */
import type { ShiftAccuracy } from "../../records/comparison.js";
import type { Estimate } from "../../records/scores.js";
import { isRight } from "../accuracy.js";
import { DIFFERENCE, PROPORTION } from "../measure.js";
import type { ComparisonSettings } from "./comparison-settings.js";
import { cellOf, modesOf, WEIGHTINGS } from "./difference-over.js";
import { intervalOf } from "./interval-of.js";
import type { ShiftPair, ShiftSides } from "./pair-shifts.js";
import { everything, type Resampling, stringDraws, valuesIn } from "./resampling.js";
import { shiftEstimand, stringIntervals } from "./statements.js";
import { amountAt, apart, matchedMeanOf, meanOf, type Side, type Statistic } from "./statistics.js";
import { type StringTable, stringTable, type TableRow } from "./string-table.js";

export interface ShiftInput {
  /** Only those whose behavior changed. */
  readonly pairs: readonly ShiftPair[];
  readonly sides: ShiftSides;
  readonly resampling: Resampling;
  readonly settings: ComparisonSettings;
  /** Which trials these are, for the estimand. */
  readonly over: string;
  readonly multiplicity: string;
}

/** 1 where right, about the old and about the new behavior. */
export function rightAbout({ before, after }: ShiftPair): [number, number] {
  return [Number(isRight(before, before.prediction)), Number(isRight(after, after.prediction))];
}

/** @returns micro, then macro */
export function plainShift(input: ShiftInput): [ShiftAccuracy, ShiftAccuracy] {
  const modes = modeAnswers(input.pairs);
  const rows = input.pairs.map(
    (pair): TableRow => ({ ...placeOf(pair), stratum: "", amounts: [1, ...rightAbout(pair), ...modes(pair)] }),
  );
  const table = stringTable(rows, 5, input.resampling);
  const statistics = WEIGHTINGS.flatMap((kind): Statistic[] => {
    const [old, now, modeOld, modeNew] = [1, 2, 3, 4].map((offset) => meanOf(table.cells, amountAt(offset), kind)) as [
      Statistic,
      Statistic,
      Statistic,
      Statistic,
    ];
    return [old, now, apart(now, old), modeOld, modeNew];
  });
  return estimateAll(input, table, statistics, input.pairs.length, input.over);
}

/**
 * Old and new behaviors with the same histogram for each task and property: of every value the smaller of its two counts. What
 * always says the most common answer then gains nothing on either side, so the two mode baselines are one. The pairs are broken up
 * by it, but strings are still drawn as a whole.
 * @returns micro, then macro
 */
export function matchedShift(input: ShiftInput): [ShiftAccuracy, ShiftAccuracy] {
  const counts = matchedCounts(input.pairs);
  const modes = modeOfMatched(counts);
  const rows = input.pairs.flatMap((pair): TableRow[] => {
    const [old, now] = rightAbout(pair);
    const mode = modes.get(keyOf(pair));
    const row = (value: string, amounts: (says: number) => number[]): TableRow => ({
      ...placeOf(pair),
      stratum: value,
      amounts: amounts(Number(value === mode)),
    });
    return [
      row(pair.before.behavior.value, (says) => [1, old, says, 0, 0, 0]),
      row(pair.after.behavior.value, (says) => [0, 0, 0, 1, now, says]),
    ];
  });
  const table = stringTable(rows, 6, input.resampling);
  const statistics = WEIGHTINGS.flatMap((kind): Statistic[] => {
    const of = (side: Side, points: 1 | 2) => matchedMeanOf(table.cells, { side, points, kind });
    return [of("old", 1), of("new", 1), apart(of("new", 1), of("old", 1)), of("old", 2), of("new", 2)];
  });
  const matched = [...counts.values()].flatMap((values) => [...values.values()]).reduce((sum, count) => sum + count, 0);
  return estimateAll(input, table, statistics, matched, `${input.over}, old and new behaviors in equal numbers`);
}

/** @param statistics for each weighting: old, new, new minus old, mode of the old, mode of the new */
function estimateAll(
  { pairs, sides, resampling, settings, multiplicity }: ShiftInput,
  table: StringTable,
  statistics: readonly Statistic[],
  n: number,
  over: string,
): [ShiftAccuracy, ShiftAccuracy] {
  const values = valuesIn(table, [everything(resampling, 1)], statistics);
  const replicates = valuesIn(table, stringDraws(resampling, 1), statistics);
  const clusters = new Set(pairs.map(({ after }) => JSON.stringify([after.task, after.item]))).size;
  const tasks = new Set(pairs.map(({ after }) => after.task)).size;
  const estimates = statistics.map((_, at): Estimate => {
    const range = at % 5 === 2 ? DIFFERENCE : PROPORTION;
    return intervalOf(values[at]?.[0], replicates[at] ?? [], { n, clusters, tasks }, range, settings.confidence);
  });
  return WEIGHTINGS.map((kind, at): ShiftAccuracy => {
    const [aboutOld, aboutNew, difference, modeOld, modeNew] = estimates.slice(5 * at, 5 * at + 5) as [
      Estimate,
      Estimate,
      Estimate,
      Estimate,
      Estimate,
    ];
    return {
      kind,
      estimand: shiftEstimand(sides, kind, over),
      intervalMethod: stringIntervals(settings),
      multiplicity,
      aboutOld,
      modeOld,
      aboutNew,
      modeNew,
      difference,
    };
  }) as [ShiftAccuracy, ShiftAccuracy];
}

/** Whether the most common old, and the most common new behavior of these trials is a pair's. */
function modeAnswers(pairs: readonly ShiftPair[]): (pair: ShiftPair) => [number, number] {
  const modes = modesOf(pairs.flatMap(({ before, after }) => [before, after]));
  return ({ before, after }) => [
    Number(modes.get(cellOf(before)) === before.behavior.value),
    Number(modes.get(cellOf(after)) === after.behavior.value),
  ];
}

/** Of every value of a task and property, the smaller of its counts among old and new behaviors, where it is not 0. */
function matchedCounts(pairs: readonly ShiftPair[]): Map<string, Map<string, number>> {
  const sides = new Map<string, Map<string, { old: number; now: number }>>();
  const countOf = (pair: ShiftPair, value: string) => {
    const values = sides.get(keyOf(pair)) ?? new Map<string, { old: number; now: number }>();
    sides.set(keyOf(pair), values);
    const count = values.get(value) ?? { old: 0, now: 0 };
    values.set(value, count);
    return count;
  };
  for (const pair of pairs) {
    countOf(pair, pair.before.behavior.value).old++;
    countOf(pair, pair.after.behavior.value).now++;
  }
  return new Map(
    [...sides].map(([key, values]) => [
      key,
      new Map(
        [...values]
          .map(([value, { old, now }]): [string, number] => [value, Math.min(old, now)])
          .filter(([, count]) => count > 0),
      ),
    ]),
  );
}

/** Of equally common values the first in code-unit order. */
function modeOfMatched(counts: ReadonlyMap<string, ReadonlyMap<string, number>>): Map<string, string> {
  return new Map(
    [...counts].flatMap(([key, values]): [string, string][] => {
      const [first] = [...values].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
      return first ? [[key, first[0]]] : [];
    }),
  );
}

function placeOf({ after }: ShiftPair): Pick<TableRow, "task" | "item" | "seed" | "property"> {
  return { task: after.task, item: after.item, seed: 0, property: after.property };
}

function keyOf({ after }: ShiftPair): string {
  return JSON.stringify([after.task, after.property]);
}
