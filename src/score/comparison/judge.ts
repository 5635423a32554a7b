/** What a difference says, by rule. */

import { FEW_STRINGS } from "../cell.js";
import {
  comparePredictors,
  type ComparisonSettings,
  type Finding,
  type Judgement,
  type OverallComparison,
  type PredictorComparison,
  type PredictorDifference,
  type PrivilegedAccess,
  type SelfPredictionVerdict,
  type TestedDifference,
  type Weighting,
} from "./comparison.js";
import type { MovedRows } from "./comparisons.js";
import type { CrossBehavior } from "./sensitivity.js";
import { compareThirdParties, type ThirdPartyComparisons, type ThirdPartyInput } from "./third-parties.js";

/** A difference of less than this is no difference that matters here: two points. */
export const SMALLEST_DIFFERENCE = 0.02;

export interface JudgeSettings {
  /** In (0, 1): the test is read at the level 1 − confidence. */
  readonly confidence: number;
  /** In [0, 1); an interval that ends below it shows that there is no greater difference. */
  readonly smallestDifference?: number;
  /** In [0, 1), 0 unless told: a yes needs the whole interval above it. */
  readonly yesAbove?: number;
}

/** Why a difference gives no plain yes, or what weakens it. */
export type DifferenceReason =
  | { readonly kind: "no_difference"; readonly reason: string }
  | { readonly kind: "test_disagrees"; readonly p: number }
  | { readonly kind: "no_test"; readonly reason: string }
  | { readonly kind: "lies_below_zero" }
  | { readonly kind: "too_small"; readonly yesAbove: number }
  | { readonly kind: "ends_below_smallest"; readonly smallestDifference: number }
  | { readonly kind: "leaves_both_open"; readonly smallestDifference: number }
  | { readonly kind: "few_strings"; readonly strings: number; readonly fewest: number }
  | { readonly kind: "tasks_and_seeds"; readonly tasks: number; readonly seeds: number };

type JudgedDifference = Pick<TestedDifference, "difference" | "signFlip" | "hierarchical">;

/**
 * `exceeds` takes both the interval above 0 (of a primary contrast: above the smallest difference) and the sign-flip p below the level; where the two disagree nobody can tell.
 * The interval draws strings; whether the finding also holds for other tasks and seeds stands among the reasons.
 */
export function findingOf(
  { difference, signFlip, hierarchical }: JudgedDifference,
  { confidence, smallestDifference = SMALLEST_DIFFERENCE, yesAbove = 0 }: JudgeSettings,
): { readonly finding: Finding; readonly reasons: readonly DifferenceReason[] } {
  if (!difference.ok) return { finding: "unknown", reasons: [{ kind: "no_difference", reason: difference.reason }] };
  const reasons: DifferenceReason[] = [];
  const significant = signFlip.ok && signFlip.p < 1 - confidence;
  let finding: Finding = "cannot_tell";
  if (difference.low > yesAbove && significant) finding = "exceeds";
  else if (difference.low > 0 && difference.low <= yesAbove && difference.high >= smallestDifference) {
    reasons.push({ kind: "too_small", yesAbove });
  } else if (difference.low > yesAbove) {
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
    case "too_small":
      return `the interval lies above 0, and not above ${pointsText(reason.yesAbove)}, which a yes needs here`;
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

export function pointsText(difference: number): string {
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

// Two questions about one target: is self better than the other model, and is it better than what needs no self? Each has its own answer.

/** What a primary contrast is judged by in the place of what all others are. */
export interface ContrastRule extends Omit<JudgeSettings, "confidence"> {
  /** Which average is judged; micro unless told. */
  readonly judged?: Weighting;
}

/** What a contrast is judged by; a primary one has its own rule. */
export interface ContrastSettings extends ComparisonSettings, ContrastRule {}

interface PrivilegedAccessInput extends ThirdPartyInput {
  readonly moved?: MovedRows<OverallComparison>;
  readonly crossBehavior?: CrossBehavior;
}

interface MeasuredAccess {
  readonly cross: PredictorComparison;
  readonly thirdParties: Readonly<Record<string, PredictorComparison>>;
  readonly verdict: PrivilegedAccess;
}

/** @throws InwardError STUDY_INVALID when a setting is out of range */
export function measurePrivilegedAccess(
  { crossBehavior, moved, ...input }: PrivilegedAccessInput,
  settings: ContrastSettings,
  /** Of self against cross alone, where that is the primary contrast. */
  crossSettings: ContrastSettings = settings,
): MeasuredAccess {
  const found = compareThirdParties(input, settings);
  const cross = comparePredictors(input.trials, input.contrasts, settings, crossBehavior);
  const own = judgeComparison(cross, crossSettings);
  const onMoved = moved?.isEnough ? judgeComparison(moved.moved, crossSettings) : undefined;
  return {
    cross,
    thirdParties: found.comparisons,
    verdict: {
      cross: own,
      ...(onMoved ? { crossMoved: onMoved } : {}),
      crossOverall: worstFinding([own, ...(onMoved ? [onMoved] : [])].map(({ finding }) => finding)),
      crossRule: ruleOf(crossSettings),
      ...judgeSelfPrediction(found, settings),
    },
  };
}

/**
 * Is self better than everything that needs no self, and where the target is trained, on the trials that training moved as well? That
 * all trials must come out too is for properties of two values, where saying what the model did not do before is right on all moved ones. All of the comparisons must come out, each at the full level: that is an
 * intersection-union test, which needs no adjustment (R. L. Berger 1982, Technometrics 24, 295-300).
 */
export function judgeSelfPrediction(
  { comparisons, notCompared }: ThirdPartyComparisons,
  settings: ContrastSettings,
  moved?: MovedRows<Readonly<Record<string, OverallComparison>>>,
): SelfPredictionVerdict {
  const judge = (comparison: OverallComparison) => judgeComparison(comparison, settings);
  const thirdParties = mapValues(comparisons, judge);
  const onMoved = moved?.isEnough ? mapValues(moved.moved, judge) : undefined;
  return {
    thirdParties,
    notCompared,
    ...(onMoved ? { moved: onMoved } : {}),
    overall: worstFinding(
      [...Object.values(thirdParties), ...Object.values(onMoved ?? {})].map(({ finding }) => finding),
    ),
    rule: `${ruleOf(settings)} Overall it must exceed every third party that was compared, each at this level, so no adjustment for their number is needed.`,
  };
}

/** The average that is judged. */
export function judgedAverage<One extends PredictorDifference>(
  { overall: [micro, macro] }: { readonly overall: readonly [One, One] },
  { judged = "micro" }: Pick<ContrastSettings, "judged">,
): One {
  return judged === "micro" ? micro : macro;
}

function judgeComparison(comparison: Pick<OverallComparison, "overall">, settings: ContrastSettings): Judgement {
  return judgeDifference(judgedAverage(comparison, settings), settings);
}

function ruleOf({
  judged = "micro",
  smallestDifference = SMALLEST_DIFFERENCE,
  yesAbove = 0,
  confidence,
}: ContrastSettings): string {
  return [
    `Judged by the ${judged} average at ${Number((100 * confidence).toFixed(6))} %: self exceeds where the interval of the paired difference lies above ${yesAbove === 0 ? "0" : pointsText(yesAbove)}`,
    "and the sign-flip test by string agrees; it does not exceed where the interval ends below",
    `${pointsText(smallestDifference)}; otherwise nobody can tell.`,
  ].join(" ");
}

function mapValues<From, To>(record: Readonly<Record<string, From>>, map: (one: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([name, one]) => [name, map(one)]));
}
