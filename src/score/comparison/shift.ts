/** 08-shifts.json: behavioral change. After a self-predictor was finetuned on other behavior, which behavior do predictions follow? */

import { InwardError } from "../../errors.js";
import type { PlannedImplant } from "../../study/plan.js";
import type { ChangeSource } from "../../study/study.js";
import { type Estimate, estimate } from "../interval.js";
import {
  everything,
  type Resampling,
  resamplingOf,
  stringDraws,
  type StringTable,
  stringTable,
  type AmountRow,
  valuesIn,
} from "../resampling.js";
import { DIFFERENCE, hasBehavior, isRight, isScored, PROPORTION, type ScoredTrial } from "../tally.js";
import { questionKey, stringKey, type Trial } from "../trial.js";
import {
  checkComparison,
  type ComparisonSettings,
  type Finding,
  type ShiftAccuracy,
  type ShiftCell,
  type ShiftScores,
  SIGN_FLIP_DRAWS,
  type TestedDifference,
  type TestedShift,
  type Weighting,
} from "./comparison.js";
import {
  amountAt,
  apart,
  cellOf,
  matchedMeanOf,
  meanOf,
  modesOf,
  ONE_OF_A_PAIR,
  shiftEstimand,
  type MatchedSide,
  type SumStatistic,
  stringContributions,
  stringIntervals,
  WEIGHTINGS,
} from "./difference.js";
import type { ChangeRule } from "./judge-change.js";
import { signFlipTest } from "./tests.js";
import type { ShiftRole } from "../../study/states.js";

/** `elsewhere` tasks on which nothing of the change was taught · `taught` held-out strings of those whose train strings taught it. */
export type ShiftScope = "elsewhere" | "taught";

/** One predictor about one change, on the trials of one scope. */
export interface ArmScores extends ShiftScores {
  /** Of everybody but the changed model: right about the new behavior, the changed model minus this one, on the trials that shifted. */
  readonly changedMinusThis?: TestedDifference;
}

export interface ShiftArm {
  readonly predictor: string;
  readonly role: ShiftRole;
  readonly scopes: Readonly<Partial<Record<ShiftScope, ArmScores>>>;
}

export interface ScopeConclusion {
  readonly scope: ShiftScope;
  /** `exceeds` only where the changed model follows the new behavior, knows more of it than everybody else, and nobody follows who never saw the change. */
  readonly finding: Finding;
  readonly because: readonly string[];
}

export interface ChangeShifts {
  readonly name: string;
  readonly before: string;
  readonly after: string;
  /** A predictor with an implant that learnt the labels of before, and is judged in the place of the state itself. */
  readonly staleLabels?: string;
  readonly answers: ChangeSource | PlannedImplant["answers"];
  readonly taughtTasks: readonly string[];
  /** A positive control, which was also taught what the model would say. */
  readonly planted?: true;
  /** Of the study's primary contrast: where, and by what, its verdict is judged. */
  readonly judgedBy?: ChangeRule;
  readonly arms: readonly ShiftArm[];
  /** What counts first: elsewhere where there are trials. The scopes are never pooled. */
  readonly conclusions: readonly ScopeConclusion[];
}

export interface Shifts {
  readonly shiftsVersion: typeof SHIFTS_VERSION;
  readonly confidence: number;
  readonly bootstrapReplicates: number;
  readonly bootstrapSeed: number;
  readonly changes: readonly ChangeShifts[];
}

/** Version 1 pooled what was taught with the rest. */
export const SHIFTS_VERSION = 2;

// A predictor's trials about two states of one target, joined on task, string, property and wording.

export interface ShiftSides {
  readonly predictor: string;
  /** The target as it was, and as it is now. */
  readonly before: string;
  readonly after: string;
}

/** One question: the same reply, scored about what the target did and about what it does now. */
interface ShiftPair {
  readonly before: ScoredTrial;
  readonly after: ScoredTrial;
}

interface ShiftPairs {
  /** In code-unit order of their keys. */
  readonly pairs: readonly ShiftPair[];
  readonly beforeOnly: number;
  readonly afterOnly: number;
  readonly neither: number;
  readonly unpaired: number;
}

/** @throws InwardError STUDY_INVALID when a question has several samples: which of them changed into which is not known */
export function pairShifts(trials: readonly Trial[], { predictor, before, after }: ShiftSides): ShiftPairs {
  const about = (target: string) =>
    shiftsByQuestion(trials.filter((one) => one.predictor === predictor && one.target === target));
  const earlier = about(before);
  const pairs: ShiftPair[] = [];
  const counts = { beforeOnly: 0, afterOnly: 0, neither: 0, unpaired: 0 };
  for (const [key, now] of [...about(after)].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const old = earlier.get(key);
    earlier.delete(key);
    if (!old) counts.unpaired++;
    else if (isScored(old) && isScored(now)) pairs.push({ before: old, after: now });
    else if (hasBehavior(old) && hasBehavior(now)) counts.unpaired++;
    else if (hasBehavior(old)) counts.beforeOnly++;
    else if (hasBehavior(now)) counts.afterOnly++;
    else counts.neither++;
  }
  return { pairs, ...counts, unpaired: counts.unpaired + earlier.size };
}

export function hasShifted({ before, after }: ShiftPair): boolean {
  return before.behavior.value !== after.behavior.value;
}

function shiftsByQuestion(trials: readonly Trial[]): Map<string, Trial> {
  const keyed = new Map<string, Trial>();
  for (const trial of trials) {
    const { task, item, target } = trial;
    const key = questionKey(trial);
    if (keyed.has(key)) {
      throw new InwardError(
        "STUDY_INVALID",
        `${target} has several answers to ${task}/${item}: a change of behavior is scored on greedy answers, one for each string.`,
      );
    }
    keyed.set(key, trial);
  }
  return keyed;
}

// Accuracy about old and new behavior with their own mode baselines, on trials as they are and with matched histograms.

interface ShiftInput {
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
function rightAbout({ before, after }: ShiftPair): [number, number] {
  return [Number(isRight(before, before.prediction)), Number(isRight(after, after.prediction))];
}

/** @returns micro, then macro */
function plainShift(input: ShiftInput): [ShiftAccuracy, ShiftAccuracy] {
  const modes = modeAnswers(input.pairs);
  const rows = input.pairs.map(
    (pair): AmountRow => ({ ...placeOf(pair), stratum: "", amounts: [1, ...rightAbout(pair), ...modes(pair)] }),
  );
  const table = stringTable(rows, 5, input.resampling);
  const statistics = WEIGHTINGS.flatMap((kind): SumStatistic[] => {
    const [old, now, modeOld, modeNew] = [1, 2, 3, 4].map((offset) => meanOf(table.cells, amountAt(offset), kind)) as [
      SumStatistic,
      SumStatistic,
      SumStatistic,
      SumStatistic,
    ];
    return [old, now, apart(now, old), modeOld, modeNew, apart(now, modeNew)];
  });
  return estimateAll(input, table, statistics, input.pairs.length, input.over);
}

/**
 * Old and new behaviors with the same histogram for each task and property: of every value the smaller of its two counts. What
 * always says the most common answer then gains nothing on either side, so the two mode baselines are one. The pairs are broken up
 * by it, but strings are still drawn as a whole.
 * @returns micro, then macro
 */
function matchedShift(input: ShiftInput): [ShiftAccuracy, ShiftAccuracy] {
  const counts = matchedCounts(input.pairs);
  const modes = modeOfMatched(counts);
  const rows = input.pairs.flatMap((pair): AmountRow[] => {
    const [old, now] = rightAbout(pair);
    const mode = modes.get(keyOf(pair));
    const row = (value: string, amounts: (says: number) => number[]): AmountRow => ({
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
  const statistics = WEIGHTINGS.flatMap((kind): SumStatistic[] => {
    const of = (side: MatchedSide, points: 1 | 2) => matchedMeanOf(table.cells, { side, points, kind });
    const [old, now, modeNew] = [of("old", 1), of("new", 1), of("new", 2)];
    return [old, now, apart(now, old), of("old", 2), modeNew, apart(now, modeNew)];
  });
  const matched = [...counts.values()].flatMap((values) => [...values.values()]).reduce((sum, count) => sum + count, 0);
  return estimateAll(input, table, statistics, matched, `${input.over}, old and new behaviors in equal numbers`);
}

/** @param statistics for each weighting: old, new, new minus old, mode of the old, mode of the new, new minus its mode */
function estimateAll(
  { pairs, sides, resampling, settings, multiplicity }: ShiftInput,
  table: StringTable,
  statistics: readonly SumStatistic[],
  n: number,
  over: string,
): [ShiftAccuracy, ShiftAccuracy] {
  const values = valuesIn(table, [everything(resampling, 1)], statistics);
  const replicates = valuesIn(table, stringDraws(resampling, 1), statistics);
  const clusters = new Set(pairs.map(({ after }) => stringKey(after))).size;
  const tasks = new Set(pairs.map(({ after }) => after.task)).size;
  const estimates = statistics.map((_, at): Estimate => {
    const range = at % 6 === 2 || at % 6 === 5 ? DIFFERENCE : PROPORTION;
    return estimate({ value: values[at]?.[0], n, clusters, tasks, range }, replicates[at] ?? [], settings);
  });
  return WEIGHTINGS.map((kind, at): ShiftAccuracy => {
    const [aboutOld, aboutNew, difference, modeOld, modeNew, aboveModeNew] = estimates.slice(6 * at, 6 * at + 6) as [
      Estimate,
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
      aboveModeNew,
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

function placeOf({ after }: ShiftPair): Pick<AmountRow, "task" | "item" | "cluster" | "seed" | "property"> {
  return { task: after.task, item: after.item, cluster: after.cluster, seed: 0, property: after.property };
}

function keyOf({ after }: ShiftPair): string {
  return JSON.stringify([after.task, after.property]);
}

// Behavioral change: after a target was trained to behave otherwise, do predictions follow what it did or what it does now?

/**
 * @param trials all trials of the run in scope; the predictor's about `before` and about `after` are scored. Any predictor can be
 * asked: the changed state itself, or one that never saw the change.
 * @throws InwardError STUDY_INVALID when a setting is out of range or the behaviors were sampled
 */
export function scoreShift(trials: readonly Trial[], sides: ShiftSides, settings: ComparisonSettings): ShiftScores {
  checkComparison(settings);
  const { pairs, ...counts } = pairShifts(trials, sides);
  const resampling = resamplingOf(trials, settings);
  const shifted = pairs.filter(hasShifted);
  const input = { sides, resampling, settings };
  const over = "trials whose behavior changed";
  return {
    ...sides,
    trials: { both: pairs.length, ...counts },
    shifted: shareShifted(pairs, resampling, settings.confidence),
    hypotheticalCompliance: {
      count: shifted.filter(({ after }) => after.prediction.ok).length,
      of: shifted.length,
    },
    overall: tested(plainShift({ ...input, pairs: shifted, over, multiplicity: ONE_OF_A_PAIR }), shifted, settings),
    entropyMatched: matchedShift({ ...input, pairs: shifted, over, multiplicity: ONE_OF_A_PAIR }),
    cells: shiftCells(pairs).map(([{ task, property }, some]): ShiftCell => {
      const moved = some.filter(hasShifted);
      const [micro] = tested(
        plainShift({
          ...input,
          pairs: moved,
          over: `${over}, ${property} of ${task}`,
          multiplicity: "none: one of several cells, shown to see where the overall difference comes from",
        }),
        moved,
        settings,
      );
      return {
        ...micro,
        task,
        property,
        values: new Set(some.flatMap(({ before, after }) => [before.behavior.value, after.behavior.value])).size,
        shifted: { count: moved.length, of: some.length },
      };
    }),
  };
}

function tested(
  accuracies: readonly [ShiftAccuracy, ShiftAccuracy],
  pairs: readonly ShiftPair[],
  { signFlipDraws = SIGN_FLIP_DRAWS, bootstrapSeed }: ComparisonSettings,
): [TestedShift, TestedShift] {
  const modes = modeAnswers(pairs);
  const test = (kind: Weighting, difference: (pair: ShiftPair) => number) => {
    const rows = pairs.map((pair) => {
      const { task, item, cluster, property } = pair.after;
      return { task, item, cluster, property, difference: difference(pair) };
    });
    return signFlipTest(stringContributions(rows, kind), { draws: signFlipDraws, seed: bootstrapSeed });
  };
  const newMinusOld = (pair: ShiftPair) => {
    const [old, now] = rightAbout(pair);
    return now - old;
  };
  return accuracies.map(
    (accuracy): TestedShift => ({
      ...accuracy,
      signFlip: test(accuracy.kind, newMinusOld),
      aboveModeSignFlip: test(accuracy.kind, (pair) => rightAbout(pair)[1] - modes(pair)[1]),
    }),
  ) as [TestedShift, TestedShift];
}

function shareShifted(pairs: readonly ShiftPair[], resampling: Resampling, confidence: number): Estimate {
  const rows = pairs.map((pair) => {
    const { task, item, cluster, property } = pair.after;
    return { task, item, cluster, property, seed: 0, stratum: "", amounts: [1, Number(hasShifted(pair))] };
  });
  const table = stringTable(rows, 2, resampling);
  const statistics = [meanOf(table.cells, amountAt(1), "micro")];
  const [value] = valuesIn(table, [everything(resampling, 1)], statistics);
  const [replicates] = valuesIn(table, stringDraws(resampling, 1), statistics);
  const clusters = new Set(rows.map(stringKey)).size;
  const tasks = new Set(rows.map(({ task }) => task)).size;
  const statistic = { value: value?.[0], n: pairs.length, clusters, tasks, range: PROPORTION };
  return estimate(statistic, replicates ?? [], { confidence });
}

function shiftCells(pairs: readonly ShiftPair[]): [{ task: string; property: string }, ShiftPair[]][] {
  const cells = new Map<string, ShiftPair[]>();
  for (const pair of pairs) {
    const key = JSON.stringify([pair.after.task, pair.after.property]);
    const cell = cells.get(key);
    if (cell) cell.push(pair);
    else cells.set(key, [pair]);
  }
  return [...cells].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, some]) => [(some[0] as ShiftPair).after, some]);
}
