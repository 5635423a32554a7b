// Do a changed model's predictions follow what it does now, for a reason that nobody else has? By rule.

import type { ShiftRole, StateChange } from "../../study/states.js";
import type { Estimate } from "../interval.js";
import { questionKey, type Trial } from "../trial.js";
import { comparePredictors, type ComparisonSettings, type Finding, type TestedDifference } from "./comparison.js";
import { type DifferenceReason, differenceReasonText, findingOf, type JudgeSettings } from "./judge.js";
import {
  type ArmScores,
  type ChangeShifts,
  hasShifted,
  pairShifts,
  scoreShift,
  type ShiftArm,
  type ShiftScope,
  type ShiftSides,
} from "./shift.js";

/** What was taught says nothing of what reaches farther, so it comes second. */
const SCOPES: readonly ShiftScope[] = ["elsewhere", "taught"];

/** @param trials of the whole run: strings are drawn as for its other scores */
export function judgeChange(
  trials: readonly Trial[],
  { after, changed, change, predictors }: StateChange,
  settings: ComparisonSettings,
  judgedBy?: ChangeRule,
): ChangeShifts {
  const before = change.from;
  const isIn = (scope: ShiftScope, { task }: Trial) => change.tasks.includes(task) === (scope === "taught");
  const arms = predictors.map(({ predictor, role }): ShiftArm => {
    const sides = { predictor, before, after };
    const scopes = SCOPES.flatMap((scope): [ShiftScope, ArmScores][] => {
      const some = trials.filter((trial) => isIn(scope, trial));
      if (!some.some((trial) => trial.target === after && trial.predictor === predictor)) return [];
      const scores = scoreShift(some, sides, settings);
      return [
        [
          scope,
          role === "changed"
            ? scores
            : { ...scores, changedMinusThis: besideChanged(some, sides, changed ?? after, settings) },
        ],
      ];
    });
    return { predictor, role, scopes: Object.fromEntries(scopes) };
  });
  return {
    name: change.name,
    before,
    after,
    staleLabels: changed,
    answers: change.answers,
    taughtTasks: change.tasks,
    planted: change.planted,
    judgedBy,
    arms,
    conclusions: scopesOfArms(arms).map((scope) => {
      const { finding, conditions, reasons } = concludeChange(
        arms,
        scope,
        settingsIn(scope, settings.confidence, judgedBy),
        changed !== undefined,
      );
      const short = conditions.flatMap(conditionText);
      return { scope, finding, because: [...short, ...reasons.map(changeReasonText)] };
    }),
  };
}

/** Of the study's primary contrast: the scope that it is judged on, and by what. */
export interface ChangeRule extends Pick<JudgeSettings, "smallestDifference" | "yesAbove"> {
  readonly scope: ShiftScope;
}

/** What a scope is judged by. */
export function settingsIn(scope: ShiftScope, confidence: number, judgedBy?: ChangeRule): JudgeSettings {
  if (judgedBy?.scope !== scope) return { confidence };
  const { smallestDifference, yesAbove } = judgedBy;
  return { confidence, smallestDifference, yesAbove };
}

/** Those that anybody was asked in; of a change about which nobody was asked, the first. */
export function scopesOfArms(arms: readonly ShiftArm[]): ShiftScope[] {
  const asked = SCOPES.filter((scope) => arms.some(({ scopes }) => scopes[scope]));
  return asked.length > 0 ? asked : SCOPES.slice(0, 1);
}

/** What somebody else knows of the new behavior takes no look inside the changed model. */
function besideChanged(
  trials: readonly Trial[],
  sides: ShiftSides,
  changed: string,
  settings: ComparisonSettings,
): TestedDifference {
  const { after, predictor } = sides;
  const shifted = new Set(
    pairShifts(trials, { ...sides, predictor: changed })
      .pairs.filter(hasShifted)
      .map((pair) => questionKey(pair.after)),
  );
  const some = trials.filter((trial) => trial.target === after && shifted.has(questionKey(trial)));
  return comparePredictors(some, [{ target: after, self: changed, cross: predictor }], settings).overall[0];
}

/** Tasks and seeds are not drawn here. */
const NOT_DRAWN = { ok: false as const, reason: "tasks and seeds are not drawn here" };

/** One thing that it takes to follow a change, or to follow it better than somebody else. */
export interface ChangeCondition {
  /**
   * `new_minus_old` right about the new behavior more often than about the old · `above_mode_new` than whoever always says its most common
   * value · `new_minus_old_matched` also where no value is right by being common · `changed_minus` the changed model knows more of it than this one
   */
  readonly kind: "new_minus_old" | "above_mode_new" | "new_minus_old_matched" | "changed_minus";
  readonly predictor: string;
  readonly role: ShiftRole;
  readonly finding: Finding;
  readonly difference: Estimate;
  readonly reasons: readonly DifferenceReason[];
}

const CONDITIONS: Readonly<Record<ChangeCondition["kind"], string>> = {
  new_minus_old: "new minus old",
  above_mode_new: "above the mode of the new behavior",
  new_minus_old_matched: "new minus old in equal numbers",
  changed_minus: "the changed model minus",
};

/** @returns why it is no plain yes, or what weakens it; nothing where nothing does */
function conditionText({ kind, predictor, role, reasons }: ChangeCondition): string[] {
  const name = kind === "changed_minus" ? `${CONDITIONS[kind]} ${predictor}` : CONDITIONS[kind];
  return role === "changed" || kind === "changed_minus"
    ? reasons.map((one) => `${name}: ${differenceReasonText(one)}`)
    : [];
}

/** What it takes to follow a change. An answer that does not depend on the string, such as the one value that all behavior fell to, never does. */
function conditionsOf(
  { predictor, role, scopes }: ShiftArm,
  scope: ShiftScope,
  settings: JudgeSettings,
): ChangeCondition[] {
  const scores = scopes[scope];
  if (!scores) return [];
  const [{ difference, signFlip, aboveModeNew, aboveModeSignFlip }] = scores.overall;
  const [matched] = scores.entropyMatched;
  const who = { predictor, role };
  return [
    {
      kind: "new_minus_old",
      ...who,
      difference,
      ...findingOf({ difference, signFlip, hierarchical: NOT_DRAWN }, settings),
    },
    {
      kind: "above_mode_new",
      ...who,
      difference: aboveModeNew,
      ...findingOf({ difference: aboveModeNew, signFlip: aboveModeSignFlip, hierarchical: NOT_DRAWN }, settings),
    },
    {
      kind: "new_minus_old_matched",
      ...who,
      difference: matched.difference,
      ...byInterval(matched.difference, settings),
    },
  ];
}

/** Matching breaks trials up, so that there is no sign to flip: the interval alone decides. */
function byInterval(difference: Estimate, settings: JudgeSettings): ReturnType<typeof findingOf> {
  const judged = findingOf(
    { difference, signFlip: { ok: false, reason: "matched trials have no test" }, hierarchical: NOT_DRAWN },
    settings,
  );
  const reasons = judged.reasons.filter(({ kind }) => kind !== "no_test");
  return difference.ok && difference.low > (settings.yesAbove ?? 0)
    ? { finding: "exceeds", reasons }
    : { ...judged, reasons };
}

function knowsMore(
  { predictor, role, scopes }: ShiftArm,
  scope: ShiftScope,
  settings: JudgeSettings,
): ChangeCondition[] {
  const beside = scopes[scope]?.changedMinusThis;
  if (!beside) return [];
  const { difference, signFlip } = beside;
  const judged = findingOf({ difference, signFlip, hierarchical: NOT_DRAWN }, settings);
  return [{ kind: "changed_minus", predictor, role, difference, ...judged }];
}

/** What else a change's finding rests on, or what weakens it. */
export type ChangeReason =
  | { readonly kind: "not_asked" }
  | { readonly kind: "unseen_follow"; readonly predictors: readonly string[] }
  | { readonly kind: "nobody_unseen" }
  /** `implanted`: the change is an implant, after which a predictor learnt the labels of before. */
  | { readonly kind: "nobody_taught_alike" | "all_taught"; readonly implanted?: true }
  | { readonly kind: "planted" }
  | { readonly kind: "control_not_found"; readonly change: string };

export function changeReasonText(reason: ChangeReason): string {
  switch (reason.kind) {
    case "not_asked":
      return "the changed model was not asked";
    case "unseen_follow":
      return `${reason.predictors.join(" and ")}, which never saw the change, follows the new behavior too: the strings may give it away`;
    case "nobody_unseen":
      return "nobody who never saw the change was asked beside it, and a yes takes somebody";
    case "nobody_taught_alike":
      return reason.implanted
        ? "nobody without the implant learnt its answers: how much of them can be known by having seen them is not measured"
        : "no cross-predictor learnt the same answers: knowing what was taught may be enough";
    case "all_taught":
      if (reason.implanted) {
        return "the implant has answers to every task that was asked: what the model does where nothing was planted is not tested";
      }
      return "the change was taught on every task that was asked: whether predictions follow it elsewhere is not tested";
    case "planted":
      return "a positive control: it was also taught what it would say, so following shows that the experiment can see it";
    case "control_not_found":
      return `the planted change ${reason.change} was not found on these trials: the experiment may not see a change that is followed`;
  }
}

export interface ChangeConclusion {
  readonly finding: Finding;
  /** Of the changed model and against everybody else, all of which must come out; then what others come to. */
  readonly conditions: readonly ChangeCondition[];
  readonly reasons: readonly ChangeReason[];
}

/**
 * Scopes are judged apart: what was taught is never pooled with what was not.
 * @param isImplanted whether the change is an implant, and the arms learnt the labels of before
 */
export function concludeChange(
  arms: readonly ShiftArm[],
  scope: ShiftScope,
  settings: JudgeSettings,
  isImplanted = false,
): ChangeConclusion {
  const implanted = isImplanted || undefined;
  const changed = arms.find(({ role, scopes }) => role === "changed" && scopes[scope]);
  const others = arms.filter(({ role, scopes }) => role !== "changed" && scopes[scope]);
  // Of the others it is enough that they say the new behavior more often than the old, however they come to it.
  const besides = others.flatMap((arm) => conditionsOf(arm, scope, { confidence: settings.confidence }).slice(0, 1));
  if (!changed) return { finding: "unknown", conditions: besides, reasons: [{ kind: "not_asked" }] };
  const needed = [
    ...conditionsOf(changed, scope, settings),
    ...others.flatMap((arm) => knowsMore(arm, scope, settings)),
  ];
  const unseen = others.filter(({ role }) => role === "unchanged" || role === "cross");
  const following = unseen
    .map(({ predictor }) => predictor)
    .filter((name) => besides.some((one) => one.predictor === name && one.finding === "exceeds"));
  const all = allOf(needed.map(({ finding }) => finding));
  const isOpen = following.length > 0 || unseen.length === 0;
  return {
    finding: all === "exceeds" && isOpen ? "cannot_tell" : all,
    conditions: [...needed, ...besides],
    reasons: [
      ...(following.length > 0 ? [{ kind: "unseen_follow" as const, predictors: following }] : []),
      ...(unseen.length === 0 ? [{ kind: "nobody_unseen" as const }] : []),
      ...(others.some(({ role }) => role === "cross_changed")
        ? []
        : [{ kind: "nobody_taught_alike" as const, implanted }]),
      ...(arms.some(({ scopes }) => scopes.elsewhere) ? [] : [{ kind: "all_taught" as const, implanted }]),
    ],
  };
}

/** Of conditions that must all come out, a no settles it, whatever is not known of the others. */
const SETTLING: readonly Finding[] = ["does_not_exceed", "unknown", "cannot_tell", "exceeds"];

function allOf(findings: readonly Finding[]): Finding {
  return SETTLING.find((finding) => findings.includes(finding)) ?? "unknown";
}

/** Where a planted change is not found, no other change's answer is worth much. */
export function controlsNotFound(
  changes: readonly ChangeShifts[],
  change: ChangeShifts,
  scope: ShiftScope,
): ChangeReason[] {
  if (change.planted) return [{ kind: "planted" }];
  return changes.flatMap(({ name, planted, conclusions }): ChangeReason[] => {
    const found = conclusions.find((one) => one.scope === scope)?.finding === "exceeds";
    return planted && !found ? [{ kind: "control_not_found", change: name }] : [];
  });
}
