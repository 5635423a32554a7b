/** What a difference says, by rule. */

import { FEW_STRINGS } from "../cell.js";
import {
  comparePredictors,
  type ComparisonSettings,
  type Finding,
  type Judgement,
  type PredictorComparison,
  type PrivilegedAccess,
  type SelfPredictionVerdict,
  type TestedDifference,
  type Weighting,
} from "./comparison.js";
import type { CrossBehavior } from "./sensitivity.js";
import { compareThirdParties, type ThirdPartyComparisons, type ThirdPartyInput } from "./third-parties.js";

/** A difference of less than this is no difference that matters here: two points. */
export const SMALLEST_DIFFERENCE = 0.02;

interface JudgeSettings {
  /** In (0, 1): the test is read at the level 1 − confidence. */
  readonly confidence: number;
  /** In [0, 1); an interval that ends below it shows that there is no greater difference. */
  readonly smallestDifference?: number;
}

/** Why a difference gives no plain yes, or what weakens it. */
export type DifferenceReason =
  | { readonly kind: "no_difference"; readonly reason: string }
  | { readonly kind: "test_disagrees"; readonly p: number }
  | { readonly kind: "no_test"; readonly reason: string }
  | { readonly kind: "lies_below_zero" }
  | { readonly kind: "ends_below_smallest"; readonly smallestDifference: number }
  | { readonly kind: "leaves_both_open"; readonly smallestDifference: number }
  | { readonly kind: "few_strings"; readonly strings: number; readonly fewest: number }
  | { readonly kind: "tasks_and_seeds"; readonly tasks: number; readonly seeds: number };

type JudgedDifference = Pick<TestedDifference, "difference" | "signFlip" | "hierarchical">;

/**
 * `exceeds` takes both the interval above 0 and the sign-flip p below the level; where the two disagree nobody can tell.
 * The interval draws strings; whether the finding also holds for other tasks and seeds stands among the reasons.
 */
export function findingOf(
  { difference, signFlip, hierarchical }: JudgedDifference,
  { confidence, smallestDifference = SMALLEST_DIFFERENCE }: JudgeSettings,
): { readonly finding: Finding; readonly reasons: readonly DifferenceReason[] } {
  if (!difference.ok) return { finding: "unknown", reasons: [{ kind: "no_difference", reason: difference.reason }] };
  const reasons: DifferenceReason[] = [];
  const significant = signFlip.ok && signFlip.p < 1 - confidence;
  let finding: Finding = "cannot_tell";
  if (difference.low > 0 && significant) finding = "exceeds";
  else if (difference.low > 0) {
    reasons.push(
      signFlip.ok ? { kind: "test_disagrees", p: signFlip.p } : { kind: "no_test", reason: signFlip.reason },
    );
  } else if (difference.high < smallestDifference) {
    finding = "does_not_exceed";
    reasons.push(
      difference.high < 0 ? { kind: "lies_below_zero" } : { kind: "ends_below_smallest", smallestDifference },
    );
  } else reasons.push({ kind: "leaves_both_open", smallestDifference });
  if (difference.clusters < FEW_STRINGS) {
    reasons.push({ kind: "few_strings", strings: difference.clusters, fewest: FEW_STRINGS });
  }
  if (finding === "exceeds" && hierarchical.ok && hierarchical.low <= 0) {
    reasons.push({ kind: "tasks_and_seeds", tasks: hierarchical.tasks, seeds: hierarchical.seeds });
  }
  return { finding, reasons };
}

export function differenceReasonText(reason: DifferenceReason): string {
  switch (reason.kind) {
    case "no_difference":
      return reason.reason;
    case "test_disagrees":
      return `the interval lies above 0, but the sign-flip test by string gives p = ${reason.p.toPrecision(2)}`;
    case "no_test":
      return `the interval lies above 0, but there is no test: ${reason.reason}`;
    case "lies_below_zero":
      return "the interval lies below 0";
    case "ends_below_smallest":
      return `the interval reaches 0 and ends below ${pointsText(reason.smallestDifference)}, the smallest difference that matters`;
    case "leaves_both_open":
      return `the interval reaches from 0 or below to ${pointsText(reason.smallestDifference)} or more`;
    case "few_strings":
      return `only ${reason.strings} strings are compared (fewer than ${reason.fewest}): the interval is rough`;
    case "tasks_and_seeds":
      return `for these tasks and seeds: drawing ${reason.tasks} tasks and ${reason.seeds} seeds as well, the interval reaches 0`;
  }
}

function pointsText(difference: number): string {
  return `${Number((100 * difference).toFixed(3))} points`;
}

export function judgeDifference(judged: JudgedDifference, settings: JudgeSettings): Judgement {
  const { finding, reasons } = findingOf(judged, settings);
  const { difference, signFlip } = judged;
  return { finding, difference, signFlip, because: reasons.map(differenceReasonText) };
}

/** From worst to best. */
const ORDER: readonly Finding[] = ["unknown", "does_not_exceed", "cannot_tell", "exceeds"];

/** Of several comparisons that must all come out; `unknown` of none. */
export function worstFinding(findings: readonly Finding[]): Finding {
  return ORDER.find((finding) => findings.includes(finding)) ?? "unknown";
}

// Does self exceed cross, and what can be had without a model? Computed from the comparisons, never written by hand.

interface PrivilegedAccessSettings extends ComparisonSettings {
  /** In [0, 1); two points unless told. */
  readonly smallestDifference?: number;
  /** Which average is judged; micro unless told. */
  readonly judged?: Weighting;
}

interface PrivilegedAccessInput extends ThirdPartyInput {
  readonly crossBehavior?: CrossBehavior;
}

interface MeasuredAccess {
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
function judgePrivilegedAccess(
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
