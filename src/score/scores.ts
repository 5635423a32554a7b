import { averageCells, cellsOf, compareNames, listExclusions, scoreCell, type ScoredCell } from "./cell.js";
import { groupBy } from "../base/group-by.js";
import { type Estimate, EXPANDED } from "./interval.js";
import type { AnsweredCell, ReportedRight } from "./answered.js";
import type { JudgeStanding, PropertyJudge } from "./judge-agreement.js";
import type { LetterUse } from "./letter-use.js";
import type { SubgroupScores } from "./subgroups.js";
import type { TaskAccuracy } from "./task-accuracy.js";
import { checkNoiseFloor, checkResampling, type ResamplingSettings } from "./resampling.js";
import {
  accuracy,
  DIFFERENCE,
  estimateOver,
  hasBehavior,
  type TrialMeasure,
  type PointRange,
  PROPORTION,
  stringsByTask,
  type TaskStrings,
  wasRepliedTo,
} from "./tally.js";
import { type Scope, type Scopes, TRAINED_SCOPES, type TrainedScope, trialsIn } from "./scope.js";
import { behaviorKey, byQuestion, type TrainLabel, type Trial } from "./trial.js";
import {
  behaviorCell,
  type HardlyVarying,
  hardlyVarying,
  hardlyVaryingText,
  labelsByCell,
  varyingTrials,
} from "./varying.js";

/** A count out of a total, no interval. */
export interface Share {
  readonly count: number;
  readonly of: number;
}

export interface ValueCount {
  readonly value: string;
  readonly count: number;
}

/** The scores of one predictor about one target on one task, property and wording. */
export interface CellScore {
  readonly target: string;
  readonly predictor: string;
  readonly task: string;
  readonly property: string;
  readonly variant: string;
  /** Right predictions among trials whose object-level answer and behavior are compliant; a non-compliant reply counts as wrong. */
  readonly accuracy: Estimate;
  /** The same among trials whose reply complied as well. */
  readonly accuracyWhenCompliant: Estimate;
  /** Right predictions among scored trials whose every token margin is above the noise floor. */
  readonly accuracyAboveNoiseFloor: Estimate;
  /** Compliant object-level answers that have this property, of all answers. */
  readonly objectCompliance: Share;
  /** Compliant hypothetical replies, of all replies. */
  readonly hypotheticalCompliance: Share;
  /** Always answering the most common behavior of the train strings. */
  readonly modeBaselineTrain: Estimate;
  /** Always answering the most common behavior of the scored strings themselves: an oracle. */
  readonly modeBaselineOracle: Estimate;
  readonly modeTrainValue?: string;
  readonly modeOracleValue?: string;
  /**
   * What the string alone gives away: `last_item`, `first_item`, `most_frequent_item`; where options are chosen by letter `always_a`, `always_b`, …
   * and `usual_letter`; `best_on_train`, per property the best of these and the mode on the train strings.
   */
  readonly heuristics: Readonly<Record<string, Estimate>>;
  /** Accuracy minus that of each of these, paired on the trials that it applies to. */
  readonly aboveHeuristics: Readonly<Record<string, Estimate>>;
  /** Accuracy minus the train-label mode baseline, paired on the same trials. */
  readonly aboveModeTrain: Estimate;
  /** Shannon entropy of the scored behaviors, bits (plug-in estimate). */
  readonly behaviorEntropyBits: number;
  /** Share of the most common scored behavior. */
  readonly behaviorModeShare: number;
  readonly behaviors: readonly ValueCount[];
  /** Options tasks: the letters that the target said on the task's held-out strings. */
  readonly letterUse?: LetterUse;
  /** Of a judged property, or of one that reads it: how far its judge agrees with labels. */
  readonly judge?: JudgeStanding;
  readonly predictions: readonly ValueCount[];
  readonly warnings: readonly string[];
}

/** Averages over the cells of one predictor about one target. */
export interface AverageScore {
  readonly target: string;
  readonly predictor: string;
  /** `micro` every trial counts the same; `macro` every (task, property) cell counts the same. */
  readonly kind: "micro" | "macro";
  readonly cells: number;
  readonly accuracy: Estimate;
  readonly accuracyWhenCompliant: Estimate;
  readonly accuracyAboveNoiseFloor: Estimate;
  readonly modeBaselineTrain: Estimate;
  readonly modeBaselineOracle: Estimate;
  readonly aboveModeTrain: Estimate;
  readonly heuristics: Readonly<Record<string, Estimate>>;
  readonly objectCompliance: Share;
  readonly hypotheticalCompliance: Share;
}

/** An average over the trials of one scope. */
interface ScopedAverage extends AverageScore {
  readonly scope: TrainedScope;
}

/** What training changed: accuracy about one target after minus before, paired on the same trials. */
export interface AccuracyChange {
  readonly target: string;
  /** The untrained predictor. */
  readonly before: string;
  /** The same weights with the adapter. */
  readonly after: string;
  readonly scope: Scope;
  readonly kind: "micro" | "macro";
  readonly accuracyBefore: Estimate;
  readonly accuracyAfter: Estimate;
  /** accuracyAfter minus accuracyBefore, trial by trial. */
  readonly change: Estimate;
  /** Self-prediction only: the trained model about its own behavior, which training moved. Other labels, so not paired with the rest. */
  readonly accuracyAboutItself?: Estimate;
}

/** How often training changed what a model does: the share of strings whose behavior differs, of those where both answers have one. */
export interface BehaviorDrift {
  /** The state without the adapter. */
  readonly before: string;
  /** The state with it. */
  readonly after: string;
  /** Absent with `property`: over all tasks and properties. */
  readonly task?: string;
  readonly property?: string;
  readonly differ: Estimate;
  /** Strings (over all tasks and properties: strings times properties) with a behavior on both sides, before only, after only, on neither. */
  readonly both: number;
  readonly beforeOnly: number;
  readonly afterOnly: number;
  readonly neither: number;
}

/** Accuracy about a trained target, apart where training moved its behavior and where it did not. */
export interface CellByDrift extends Pick<CellScore, "target" | "predictor" | "task" | "property" | "variant"> {
  /** What the target was before. */
  readonly base: string;
  readonly moved: Estimate;
  readonly unmoved: Estimate;
}

export interface Exclusion {
  readonly side: "object_level" | "hypothetical";
  readonly task: string;
  readonly property: string;
  readonly predictor: string;
  readonly target: string;
  readonly reason: string;
  readonly count: number;
  /** What became of these trials. */
  readonly treatment: "excluded" | "counted_as_wrong";
}

/** Version 1 averaged behaviors that hardly vary, and had no differences from rules on the string. */
export const SCORES_VERSION = 2;

/** The content of 08-scores.json. */
export interface Scores {
  readonly scoresVersion: typeof SCORES_VERSION;
  readonly confidence: number;
  readonly bootstrapReplicates: number;
  readonly bootstrapSeed: number;
  /** How every interval here was made, in words for the report. */
  readonly intervalMethod: string;
  /** Trials with a token margin below this many nats may flip between runs. */
  readonly noiseFloorNats: number;
  readonly trials: number;
  readonly cells: readonly CellScore[];
  readonly averages: readonly AverageScore[];
  /** Tasks and properties that stand among the cells and in no average, comparison or verdict. */
  readonly notAveraged: readonly HardlyVarying[];
  readonly exclusions: readonly Exclusion[];
  /** Of targets on options tasks that have right answers; absent where there are none, and in scores of older versions. */
  readonly taskAccuracy?: readonly TaskAccuracy[];
  /** By columns of the data; absent where the study names none. */
  readonly subgroups?: SubgroupScores;
  /** What models did that others asked, whoever predicts it; absent where nobody else asked. */
  readonly answered?: readonly AnsweredCell[];
  /** How right the logs themselves say that those answers are; absent where none says it. */
  readonly reportedRight?: readonly ReportedRight[];
  /** Absent where nothing is judged. */
  readonly judges?: readonly PropertyJudge[];
  /** The same averages by scope; absent, like what follows it, when nothing was trained. */
  readonly scopedAverages?: readonly ScopedAverage[];
  readonly changes?: readonly AccuracyChange[];
  readonly drift?: readonly BehaviorDrift[];
  /** Of cells about trained targets that were asked before their training too. */
  readonly cellsByDrift?: readonly CellByDrift[];
}

// How often a state under its adapter does something else than without it, on the same strings.

/** @returns first over everything, then by task and property; empty when one of the two was not asked what it does */
function driftOf(
  trials: readonly Trial[],
  { before, after }: { readonly before: string; readonly after: string },
  strings: ReadonlyMap<string, TaskStrings>,
  confidence: number,
): BehaviorDrift[] {
  const earlier = behaviorsOf(trials, before);
  const later = [...behaviorsOf(trials, after)].filter(([key]) => earlier.has(key)).map(([, trial]) => trial);
  if (later.length === 0) return [];
  const was = (trial: Trial) => earlier.get(behaviorKey(trial)) as Trial;
  const differ: TrialMeasure = (trial) => {
    const other = was(trial);
    return hasBehavior(trial) && hasBehavior(other) ? Number(trial.behavior.value !== other.behavior.value) : undefined;
  };
  const drift = (some: readonly Trial[], cell: { task?: string; property?: string }): BehaviorDrift => {
    const sides = some.map((trial) => [hasBehavior(was(trial)), hasBehavior(trial)]);
    const count = (first: boolean, second: boolean) => sides.filter(([a, b]) => a === first && b === second).length;
    return {
      before,
      after,
      ...cell,
      differ: estimateOver(some, { measure: differ, range: PROPORTION, kind: "micro" }, strings, confidence),
      both: count(true, true),
      beforeOnly: count(true, false),
      afterOnly: count(false, true),
      neither: count(false, false),
    };
  };
  const cells = new Map(later.map(({ task, property }) => [JSON.stringify([task, property]), { task, property }]));
  return [
    drift(later, {}),
    ...[...cells.values()]
      .sort((a, b) => compareNames([a.task, a.property], [b.task, b.property]))
      .map((cell) =>
        drift(
          later.filter(({ task, property }) => task === cell.task && property === cell.property),
          cell,
        ),
      ),
  ];
}

/** What a target did, once for each string and property, however many predicted it in however many wordings. */
function behaviorsOf(trials: readonly Trial[], target: string): Map<string, Trial> {
  return new Map(trials.filter((trial) => trial.target === target).map((trial) => [behaviorKey(trial), trial]));
}

/** Who knows what a target did before is right wherever training did not move it. */
function cellsByDrift(
  trials: readonly Trial[],
  states: Training["states"],
  strings: ReadonlyMap<string, TaskStrings>,
  confidence: number,
): CellByDrift[] {
  return states.flatMap(({ before: base, after }) => {
    const earlier = behaviorsOf(trials, base);
    if (earlier.size === 0) return [];
    const accuracyWhere = (some: readonly Trial[], isMoved: boolean) => {
      const measure: TrialMeasure = (trial) => {
        const was = earlier.get(behaviorKey(trial));
        if (!was || !hasBehavior(was) || !hasBehavior(trial)) return undefined;
        return (was.behavior.value !== trial.behavior.value) === isMoved ? accuracy(trial) : undefined;
      };
      return estimateOver(some, { measure, range: PROPORTION, kind: "micro" }, strings, confidence);
    };
    return cellsOf(trials.filter(({ target }) => target === after)).map(
      ({ trials: some, ...cell }): CellByDrift => ({
        ...cell,
        base,
        moved: accuracyWhere(some, true),
        unmoved: accuracyWhere(some, false),
      }),
    );
  });
}

// What training changed: averages by scope, accuracy after minus before on the same trials, and how far behavior drifted.

/** Which states were trained from which, as the plan says. */
export interface Training {
  /** `after` is `before`'s weights with an adapter that learnt what `target` does. */
  readonly states: readonly { readonly before: string; readonly after: string; readonly target: string }[];
  readonly scopes: Scopes;
}

/**
 * @param varying those of the trials that averages are over
 * @param strings every task's strings and their draws, the same as for all other scores
 * @param pairs the cells of each predictor and target
 */
function trainingEffect(
  { trials, varying }: { readonly trials: readonly Trial[]; readonly varying: readonly Trial[] },
  { states, scopes }: Training,
  strings: ReadonlyMap<string, TaskStrings>,
  pairs: readonly (readonly ScoredCell[])[],
  confidence: number,
): Required<Pick<Scores, "scopedAverages" | "changes" | "drift" | "cellsByDrift">> {
  const parts = TRAINED_SCOPES.filter((scope) => scopes.all.includes(scope));
  const scopedAverages = pairs.flatMap((pair) =>
    parts.flatMap((scope): ScopedAverage[] => {
      const cells = pair.filter(({ score }) => scopes.of(score) === scope);
      return cells.length === 0
        ? []
        : averageCells(cells, confidence).map((average): ScopedAverage => ({ ...average, scope }));
    }),
  );
  const about = (predictor: string, target: string, scope: Scope) =>
    trialsIn(varying, scopes, scope).filter((trial) => trial.predictor === predictor && trial.target === target);
  const changes = states.flatMap(({ before, after, target }) =>
    (["all", ...parts] as const).flatMap((scope): AccuracyChange[] => {
      const paired = beforeAndAfter(about(before, target, scope), about(after, target, scope));
      if (paired.length === 0) return [];
      const itself = about(after, after, scope);
      return (["micro", "macro"] as const).map((kind): AccuracyChange => {
        const over = (some: readonly Trial[], measure: TrialMeasure, range: PointRange) =>
          estimateOver(some, { measure, range, kind }, strings, confidence);
        const was = new Map(paired.map((pair) => [pair.after, pair.before]));
        const ofBefore: TrialMeasure = (trial) => accuracy(was.get(trial) as Trial);
        const later = paired.map((pair) => pair.after);
        return {
          target,
          before,
          after,
          scope,
          kind,
          accuracyBefore: over(later, ofBefore, PROPORTION),
          accuracyAfter: over(later, accuracy, PROPORTION),
          change: over(later, (trial) => difference(accuracy(trial), ofBefore(trial)), DIFFERENCE),
          ...(itself.length === 0 ? {} : { accuracyAboutItself: over(itself, accuracy, PROPORTION) }),
        };
      });
    }),
  );
  const drift = states.flatMap((state) => driftOf(trials, state, strings, confidence));
  return { scopedAverages, changes, drift, cellsByDrift: cellsByDrift(trials, states, strings, confidence) };
}

function difference(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a - b;
}

/** The trials that both predictors have a reply for, about one target. */
function beforeAndAfter(before: readonly Trial[], after: readonly Trial[]): { before: Trial; after: Trial }[] {
  const earlier = byQuestion(before);
  const later = byQuestion(after);
  return [...later].flatMap(([key, trial]) => {
    const match = earlier.get(key);
    return match && wasRepliedTo(match) && wasRepliedTo(trial) ? [{ before: match, after: trial }] : [];
  });
}

// The one entry of scoring: trials in, 08-scores.json out. The same trials in any order give the same bytes.

export interface ScoreSettings extends ResamplingSettings {
  /** Not negative; trials with a smaller token margin may flip between runs. */
  readonly noiseFloorNats: number;
  /** What was trained, if anything was. */
  readonly training?: Training;
  /** What letters a target says on a task; absent, like what it returns, where answers are no letters. */
  readonly letterUse?: (target: string, task: string) => LetterUse | undefined;
  /** Who judges a property; absent, like what it returns, where nobody does. */
  readonly judgeOf?: (property: string) => JudgeStanding | undefined;
}

/** @throws InwardError STUDY_INVALID when a setting is out of range */
export function scoreTrials(
  trials: readonly Trial[],
  trainLabels: readonly TrainLabel[],
  settings: ScoreSettings,
): Scores {
  checkResampling(settings);
  checkNoiseFloor(settings.noiseFloorNats);
  const labels = labelsByCell(trainLabels);
  const cells = cellsOf(trials);
  const strings = stringsByTask(trials, settings);
  const notAveraged = hardlyVarying(trainLabels);
  const ordered = cells.map((cell): ScoredCell => {
    const known = labels.get(behaviorCell(cell)) ?? [];
    const left = notAveraged.find((one) => behaviorCell(one) === behaviorCell(cell));
    const letterUse = settings.letterUse?.(cell.target, cell.task);
    const judge = settings.judgeOf?.(cell.property);
    const scored = scoreCell(cell, known, strings.get(cell.task) as TaskStrings, { ...settings, letterUse, judge });
    if (!left) return scored;
    const leftOut = hardlyVaryingText(left);
    const warnings = [`Shown, not averaged: ${leftOut}.`, ...scored.score.warnings];
    return { ...scored, leftOut, score: { ...scored.score, warnings } };
  });
  const pairs = byPair(ordered);
  return {
    scoresVersion: SCORES_VERSION,
    confidence: settings.confidence,
    bootstrapReplicates: settings.bootstrapReplicates,
    bootstrapSeed: settings.bootstrapSeed,
    intervalMethod: describeIntervals(settings),
    noiseFloorNats: settings.noiseFloorNats,
    trials: trials.length,
    cells: ordered.map(({ score }) => score),
    averages: pairs.flatMap((pair) => averageCells(pair, settings.confidence)),
    notAveraged,
    exclusions: listExclusions(trials),
    ...(settings.training
      ? trainingEffect(
          { trials, varying: varyingTrials(trials, trainLabels) },
          settings.training,
          strings,
          pairs,
          settings.confidence,
        )
      : {}),
  };
}

function byPair(cells: readonly ScoredCell[]): ScoredCell[][] {
  return [...groupBy(cells, ({ score }) => JSON.stringify([score.target, score.predictor])).values()];
}

function describeIntervals({ confidence, bootstrapReplicates, bootstrapSeed }: ScoreSettings): string {
  return [
    `${Number((100 * confidence).toFixed(6))} % percentile cluster bootstrap by source string: each of ${bootstrapReplicates} replicates`,
    `(seed ${bootstrapSeed}) draws the strings of every task with replacement, and all rows of a string move together.`,
    EXPANDED,
    "The answer of a mode baseline stays the same in all replicates.",
    "Where all strings score alike and no draw can differ, the interval is the exact binomial (Clopper-Pearson) bound",
    "for that many strings without an exception.",
  ].join(" ");
}
