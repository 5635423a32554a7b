/** Does self exceed cross, and what can be had without a model? Computed from the comparisons, never written by hand. */
import type {
  Contrast,
  Finding,
  Judgement,
  PredictorComparison,
  PrivilegedAccess,
  Weighting,
} from "../../records/comparison.js";
import type { TrainLabel, Trial } from "../../records/trial.js";
import { comparePredictors } from "./compare-predictors.js";
import type { ComparisonSettings } from "./comparison-settings.js";
import { judgeDifference, SMALLEST_DIFFERENCE } from "./judge-difference.js";
import type { CrossBehavior } from "./sensitivity.js";
import { bestHeuristicOf, type Guess, heuristicGuess, stageThirdParty, trainModeGuess } from "./third-parties.js";

export interface PrivilegedAccessSettings extends ComparisonSettings {
  /** In [0, 1); two points unless told. */
  readonly smallestDifference?: number;
  /** Which average is judged; micro unless told. */
  readonly judged?: Weighting;
}

export interface PrivilegedAccessInput {
  /** All trials of the run in scope. */
  readonly trials: readonly Trial[];
  readonly trainLabels: readonly TrainLabel[];
  readonly contrasts: readonly Contrast[];
  readonly crossBehavior?: CrossBehavior;
  /** A classifier that saw the train strings and their behaviors and nothing of any model. */
  readonly inputOnly?: Guess;
}

export interface MeasuredAccess {
  readonly cross: PredictorComparison;
  readonly thirdParties: Readonly<Record<string, PredictorComparison>>;
  readonly verdict: PrivilegedAccess;
}

/** @throws InwardError STUDY_INVALID when a setting is out of range */
export function measurePrivilegedAccess(
  { trials, trainLabels, contrasts, crossBehavior, inputOnly }: PrivilegedAccessInput,
  settings: PrivilegedAccessSettings,
): MeasuredAccess {
  const rule = bestHeuristicOf(trials, contrasts);
  const guesses: Record<string, Guess | string> = {
    mode_train: trainLabels.length > 0 ? trainModeGuess(trainLabels) : "no train string has a behavior",
    best_heuristic: rule === undefined ? "no simple rule applies to these strings" : heuristicGuess(rule),
    input_only: inputOnly ?? "no input-only classifier was trained",
  };
  const comparisons: Record<string, PredictorComparison> = {};
  const notCompared: Record<string, string> = {};
  for (const [name, guess] of Object.entries(guesses)) {
    if (typeof guess === "string") {
      notCompared[name] = guess;
      continue;
    }
    const staged = stageThirdParty(trials, contrasts, name, guess);
    comparisons[name] = comparePredictors(staged.trials, staged.contrasts, settings);
  }
  const cross = comparePredictors(trials, contrasts, settings, crossBehavior);
  return {
    cross,
    thirdParties: comparisons,
    verdict: judgePrivilegedAccess(cross, comparisons, notCompared, settings),
  };
}

/** From worst to best. */
const ORDER: readonly Finding[] = ["unknown", "does_not_exceed", "cannot_tell", "exceeds"];

/**
 * All of the comparisons must come out, each at the full level: that is an intersection-union test, which needs no adjustment
 * (R. L. Berger 1982, Technometrics 24, 295-300).
 */
export function judgePrivilegedAccess(
  cross: PredictorComparison,
  thirdParties: Readonly<Record<string, PredictorComparison>>,
  notCompared: Readonly<Record<string, string>>,
  settings: PrivilegedAccessSettings,
): PrivilegedAccess {
  const { judged = "micro", smallestDifference = SMALLEST_DIFFERENCE, confidence } = settings;
  const judge = (comparison: PredictorComparison): Judgement =>
    judgeDifference(comparison.overall[judged === "micro" ? 0 : 1], { confidence, smallestDifference });
  const own = judge(cross);
  const others = Object.fromEntries(
    Object.entries(thirdParties).map(([name, comparison]) => [name, judge(comparison)]),
  );
  const findings = [own, ...Object.values(others)].map(({ finding }) => finding);
  return {
    cross: own,
    thirdParties: others,
    notCompared,
    overall: ORDER.find((finding) => findings.includes(finding)) as Finding,
    rule: [
      `Judged by the ${judged} average at ${Number((100 * confidence).toFixed(6))} %: self exceeds where the interval of the paired difference lies above 0`,
      "and the sign-flip test by string agrees; it does not exceed where the interval ends below",
      `${Number((100 * smallestDifference).toFixed(3))} points; otherwise nobody can tell. Overall it must exceed cross and every third party that was compared,`,
      "each at this level, so no adjustment for their number is needed.",
    ].join(" "),
  };
}
