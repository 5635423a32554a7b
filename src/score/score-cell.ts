/** The scores of one cell, and the tallies that averages are made of. */
import type { CellScore, Estimate } from "../records/scores.js";
import {
  accuracy,
  accuracyAboveNoiseFloor,
  accuracyWhenCompliant,
  hasBehavior,
  isScored,
  wasAnswered,
  wasRepliedTo,
} from "./accuracy.js";
import { accuracyAbove, alwaysAnswering, heuristicBaseline, modeOf } from "./baselines.js";
import type { Cell } from "./cells.js";
import { entropyBits } from "./entropy.js";
import { estimateMean } from "./estimate.js";
import { DIFFERENCE, type Measure, PROPORTION, type PointRange } from "./measure.js";
import { type Tally, type TaskStrings, tallyTrials } from "./tally.js";
import { countValues } from "./value-counts.js";
import { cellWarnings } from "./warnings.js";

/** The estimates that every cell and average has. */
export const MEASURED = [
  "accuracy",
  "accuracyWhenCompliant",
  "accuracyAboveNoiseFloor",
  "modeBaselineTrain",
  "modeBaselineOracle",
  "aboveModeTrain",
] as const;
export type Measured = (typeof MEASURED)[number];

/** A tally, or why there is none. */
export type Tallied = { readonly ok: true; readonly tally: Tally } | { readonly ok: false; readonly reason: string };

export interface ScoredCell {
  readonly score: CellScore;
  readonly tallies: Readonly<Record<Measured, Tallied>>;
  readonly heuristics: Readonly<Record<string, Tallied>>;
}

export interface CellSettings {
  readonly confidence: number;
  readonly noiseFloorNats: number;
}

export function rangeOf(measured: Measured): PointRange {
  return measured === "aboveModeTrain" ? DIFFERENCE : PROPORTION;
}

/** @param trainLabels values of the target's train strings for this task and property, in any order */
export function scoreCell(
  cell: Cell,
  trainLabels: readonly string[],
  strings: TaskStrings,
  { confidence, noiseFloorNats }: CellSettings,
): ScoredCell {
  const scored = cell.trials.filter(isScored);
  const behaved = cell.trials.filter(hasBehavior).length;
  const behaviors = countValues(scored.map((trial) => trial.behavior.value));
  const modeTrain = modeOf(countValues(trainLabels));
  const modeOracle = modeOf(behaviors);
  const unscored = `none of ${cell.trials.length} trials has a behavior to compare with${behaved === 0 ? "" : " and a reply"}`;
  const noLabels = "no train string has a behavior to take the mode of";

  const take = (measure: Measure, ifNone: string): Tallied => {
    if (scored.length === 0) return { ok: false, reason: unscored };
    const tally = tallyTrials(scored, measure, strings);
    return tally ? { ok: true, tally } : { ok: false, reason: ifNone };
  };
  const mode = (value: string | undefined, measure: (value: string) => Measure): Tallied =>
    value === undefined
      ? { ok: false, reason: scored.length === 0 ? unscored : noLabels }
      : take(measure(value), unscored);

  const withoutMargin = scored.filter((trial) => trial.minMargin === undefined).length;
  const tallies: Record<Measured, Tallied> = {
    accuracy: take(accuracy, unscored),
    accuracyWhenCompliant: take(accuracyWhenCompliant, `none of ${scored.length} hypothetical replies complies`),
    accuracyAboveNoiseFloor:
      withoutMargin > 0
        ? {
            ok: false,
            reason: `${withoutMargin} of ${scored.length} trials have no token margins, as sampled answers do not`,
          }
        : take(
            accuracyAboveNoiseFloor(noiseFloorNats),
            `none of ${scored.length} trials has every token margin above ${noiseFloorNats} nats`,
          ),
    modeBaselineTrain: mode(modeTrain, alwaysAnswering),
    modeBaselineOracle: mode(modeOracle, alwaysAnswering),
    aboveModeTrain: mode(modeTrain, accuracyAbove),
  };
  const rules = [...new Set(cell.trials.flatMap((trial) => Object.keys(trial.heuristics)))].sort();
  const heuristics = Object.fromEntries(
    rules.map((rule) => [rule, take(heuristicBaseline(rule), `the rule applies to none of ${scored.length} trials`)]),
  );

  const { target, predictor, task, property, variant } = cell;
  const score: Omit<CellScore, "warnings"> = {
    target,
    predictor,
    task,
    property,
    variant,
    ...estimateAll(tallies, confidence),
    objectCompliance: { count: behaved, of: cell.trials.filter(wasAnswered).length },
    hypotheticalCompliance: {
      count: cell.trials.filter((trial) => trial.prediction.ok).length,
      of: cell.trials.filter(wasRepliedTo).length,
    },
    ...(modeTrain === undefined ? {} : { modeTrainValue: modeTrain }),
    ...(modeOracle === undefined ? {} : { modeOracleValue: modeOracle }),
    heuristics: Object.fromEntries(
      Object.entries(heuristics).map(([rule, tallied]) => [rule, estimateOne(tallied, PROPORTION, confidence)]),
    ),
    behaviorEntropyBits: entropyBits(behaviors.map(({ count }) => count)),
    behaviorModeShare: (behaviors[0]?.count ?? 0) / Math.max(1, scored.length),
    behaviors,
    predictions: countValues(scored.flatMap(({ prediction }) => (prediction.ok ? [prediction.value] : []))),
  };
  return { score: { ...score, warnings: cellWarnings(score) }, tallies, heuristics };
}

function estimateAll(tallies: Record<Measured, Tallied>, confidence: number): Record<Measured, Estimate> {
  return Object.fromEntries(
    MEASURED.map((measured) => [measured, estimateOne(tallies[measured], rangeOf(measured), confidence)]),
  ) as Record<Measured, Estimate>;
}

function estimateOne(tallied: Tallied, range: PointRange, confidence: number): Estimate {
  return tallied.ok ? estimateMean([[tallied.tally]], range, confidence) : tallied;
}
