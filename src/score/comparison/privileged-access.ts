/** Does self exceed cross, and what can be had without a model? Computed from the comparisons, never written by hand. */
import type {
  Finding,
  Judgement,
  PredictorComparison,
  PrivilegedAccess,
  SelfPredictionVerdict,
  Weighting,
} from "../../records/comparison.js";
import { comparePredictors } from "./compare-predictors.js";
import { compareThirdParties, type ThirdPartyComparisons, type ThirdPartyInput } from "./compare-third-parties.js";
import type { ComparisonSettings } from "./comparison-settings.js";
import { judgeDifference, SMALLEST_DIFFERENCE } from "./judge-difference.js";
import type { CrossBehavior } from "./sensitivity.js";
import { worstFinding } from "./worst-finding.js";

export interface PrivilegedAccessSettings extends ComparisonSettings {
  /** In [0, 1); two points unless told. */
  readonly smallestDifference?: number;
  /** Which average is judged; micro unless told. */
  readonly judged?: Weighting;
}

export interface PrivilegedAccessInput extends ThirdPartyInput {
  readonly crossBehavior?: CrossBehavior;
}

export interface MeasuredAccess {
  readonly cross: PredictorComparison;
  readonly thirdParties: Readonly<Record<string, PredictorComparison>>;
  readonly verdict: PrivilegedAccess;
}

/** @throws InwardError STUDY_INVALID when a setting is out of range */
export function measurePrivilegedAccess(
  { crossBehavior, ...input }: PrivilegedAccessInput,
  settings: PrivilegedAccessSettings,
): MeasuredAccess {
  const { comparisons, notCompared } = compareThirdParties(input, settings);
  const cross = comparePredictors(input.trials, input.contrasts, settings, crossBehavior);
  return {
    cross,
    thirdParties: comparisons,
    verdict: judgePrivilegedAccess(cross, comparisons, notCompared, settings),
  };
}

/** Self against third parties where there is no cross predictor: what is left to be shown is that self beats what needs no self. */
export function judgeSelfPrediction(
  { comparisons, notCompared }: ThirdPartyComparisons,
  settings: PrivilegedAccessSettings,
): SelfPredictionVerdict {
  const thirdParties = mapValues(comparisons, (comparison) => judgeOne(comparison, settings));
  return { thirdParties, notCompared, overall: worstOf(Object.values(thirdParties)), rule: ruleOf("every", settings) };
}

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
  const own = judgeOne(cross, settings);
  const others = mapValues(thirdParties, (comparison) => judgeOne(comparison, settings));
  return {
    cross: own,
    thirdParties: others,
    notCompared,
    overall: worstOf([own, ...Object.values(others)]),
    rule: ruleOf("cross and every", settings),
  };
}

function judgeOne(
  comparison: PredictorComparison,
  { judged = "micro", smallestDifference = SMALLEST_DIFFERENCE, confidence }: PrivilegedAccessSettings,
): Judgement {
  return judgeDifference(comparison.overall[judged === "micro" ? 0 : 1], { confidence, smallestDifference });
}

function worstOf(judgements: readonly Judgement[]): Finding {
  return worstFinding(judgements.map(({ finding }) => finding));
}

function ruleOf(
  whom: string,
  { judged = "micro", smallestDifference = SMALLEST_DIFFERENCE, confidence }: PrivilegedAccessSettings,
): string {
  return [
    `Judged by the ${judged} average at ${Number((100 * confidence).toFixed(6))} %: self exceeds where the interval of the paired difference lies above 0`,
    "and the sign-flip test by string agrees; it does not exceed where the interval ends below",
    `${Number((100 * smallestDifference).toFixed(3))} points; otherwise nobody can tell. Overall it must exceed ${whom} third party that was compared,`,
    "each at this level, so no adjustment for their number is needed.",
  ].join(" ");
}

function mapValues<From, To>(record: Readonly<Record<string, From>>, map: (one: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([name, one]) => [name, map(one)]));
}
