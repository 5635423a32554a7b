/** What a difference says, by rule. */

import { FEW_STRINGS } from "../cell.js";
import { questionKey, type Trial } from "../trial.js";
import {
  comparePredictors,
  type ComparisonSettings,
  type Finding,
  type Judgement,
  type PredictorComparison,
  type PrivilegedAccess,
  type SelfPredictionVerdict,
  type ShiftScores,
  type TestedDifference,
  type Weighting,
} from "./comparison.js";
import type { CrossBehavior } from "./sensitivity.js";
import {
  type ChangeShifts,
  hasShifted,
  pairShifts,
  scoreShift,
  type ShiftArm,
  type ShiftScope,
  type ShiftSides,
} from "./shift.js";
import { compareThirdParties, type ThirdPartyComparisons, type ThirdPartyInput } from "./third-parties.js";
import type { StateChange } from "../../study/states.js";

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

// Do a changed model's predictions follow what it does now, and nobody's who never saw the change? By rule.

/** @param trials of the whole run: strings are drawn as for its other scores */
export function judgeChange(
  trials: readonly Trial[],
  { after, change, predictors }: StateChange,
  settings: ComparisonSettings,
): ChangeShifts {
  const before = change.from;
  const isTaught = ({ task }: Trial) => change.tasks.includes(task);
  const scopes: Record<ShiftScope, readonly Trial[]> = {
    all: trials,
    taught: trials.filter(isTaught),
    elsewhere: trials.filter((trial) => !isTaught(trial)),
  };
  const arms = predictors.map(({ predictor, role }): ShiftArm => {
    const scored = Object.entries(scopes).flatMap(([scope, some]): [string, ShiftScores][] =>
      some.some((trial) => trial.target === after && trial.predictor === predictor)
        ? [[scope, scoreShift(some, { predictor, before, after }, settings)]]
        : [],
    );
    const byScope = Object.fromEntries(scored) as ShiftArm["scopes"];
    return {
      predictor,
      role,
      scopes: byScope,
      judgement: judgeArm(byScope.all, settings.confidence),
      ...(role === "cross_changed"
        ? { changedMinusThis: besideChanged(trials, { predictor, before, after }, settings) }
        : {}),
    };
  });
  const conclusion = concludeChange(arms, settings.confidence);
  return {
    name: change.name,
    before,
    after,
    answers: change.answers,
    taughtTasks: change.tasks,
    arms,
    finding: conclusion.finding,
    because: conclusion.reasons.map(changeReasonText),
  };
}

/** Who learnt the same answers without being the changed model: what it knows of the new behavior takes no look inside. */
function besideChanged(
  trials: readonly Trial[],
  sides: ShiftSides,
  settings: ComparisonSettings,
): NonNullable<ShiftArm["changedMinusThis"]> {
  const { after, predictor } = sides;
  const shifted = new Set(
    pairShifts(trials, { ...sides, predictor: after })
      .pairs.filter(hasShifted)
      .map((pair) => questionKey(pair.after)),
  );
  const some = trials.filter((trial) => trial.target === after && shifted.has(questionKey(trial)));
  const {
    overall: [micro],
  } = comparePredictors(some, [{ target: after, self: after, cross: predictor }], settings);
  return { micro, judgement: judgeDifference(micro, settings) };
}

/** Tasks and seeds are not drawn here. */
const NOT_DRAWN = { ok: false as const, reason: "tasks and seeds are not drawn here" };
const NOBODY = { kind: "no_difference" as const, reason: "nobody was asked" };

function judgeArm(scores: ShiftScores | undefined, confidence: number): Judgement {
  if (!scores) {
    const none = { ok: false as const, reason: NOBODY.reason };
    return { finding: "unknown", difference: none, signFlip: none, because: [differenceReasonText(NOBODY)] };
  }
  const [{ difference, signFlip }] = scores.overall;
  return judgeDifference({ difference, signFlip, hierarchical: NOT_DRAWN }, { confidence });
}

/** Why predictions are said to follow the new behavior or not. */
export function reasonsOfArm({ scopes }: Pick<ShiftArm, "scopes">, confidence: number): readonly DifferenceReason[] {
  if (!scopes.all) return [NOBODY];
  const [{ difference, signFlip }] = scopes.all.overall;
  return findingOf({ difference, signFlip, hierarchical: NOT_DRAWN }, { confidence }).reasons;
}

/** What else a change's finding rests on than the changed model's own difference. */
export type ChangeReason =
  | DifferenceReason
  | { readonly kind: "not_asked" }
  | { readonly kind: "unseen_follow"; readonly predictors: readonly string[] }
  | { readonly kind: "nobody_unseen" }
  | { readonly kind: "taught_alike"; readonly predictor: string };

export function changeReasonText(reason: ChangeReason): string {
  switch (reason.kind) {
    case "not_asked":
      return "the changed model was not asked";
    case "unseen_follow":
      return `${reason.predictors.join(" and ")}, which never saw the change, follows the new behavior too: the strings may give it away`;
    case "nobody_unseen":
      return "nobody who never saw the change was asked beside it";
    case "taught_alike":
      return `${reason.predictor}, a cross-predictor that learnt the same answers, is not told apart from it: knowing what was taught may be enough`;
    default:
      return differenceReasonText(reason);
  }
}

/** Where a cross-predictor that learnt the same answers knows as much, following the change shows no look inside. */
function alsoKnown({ predictor, changedMinusThis }: ShiftArm): ChangeReason[] {
  if (!changedMinusThis || changedMinusThis.judgement.finding === "exceeds") return [];
  return [{ kind: "taught_alike", predictor }];
}

export function concludeChange(
  arms: readonly ShiftArm[],
  confidence: number,
): { readonly finding: Finding; readonly reasons: readonly ChangeReason[] } {
  const changed = arms.find(({ role }) => role === "changed");
  if (!changed) return { finding: "unknown", reasons: [{ kind: "not_asked" }] };
  const { finding } = changed.judgement;
  const own = reasonsOfArm(changed, confidence);
  if (finding !== "exceeds") return { finding, reasons: own };
  const others = arms.filter(({ role }) => role === "unchanged" || role === "cross");
  const following = others.filter(({ judgement }) => judgement.finding === "exceeds").map(({ predictor }) => predictor);
  if (following.length > 0) {
    return { finding: "cannot_tell", reasons: [...own, { kind: "unseen_follow", predictors: following }] };
  }
  const unseen: ChangeReason[] = others.length > 0 ? [] : [{ kind: "nobody_unseen" }];
  return { finding, reasons: [...own, ...unseen, ...arms.flatMap(alsoKnown)] };
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
