// Do a changed model's predictions follow what it does now, and nobody's who never saw the change? By rule.

import type { StateChange } from "../../study/states.js";
import { questionKey, type Trial } from "../trial.js";
import {
  comparePredictors,
  type ComparisonSettings,
  type Finding,
  type Judgement,
  type ShiftScores,
} from "./comparison.js";
import { type DifferenceReason, differenceReasonText, findingOf, judgeDifference } from "./judge.js";
import {
  type ChangeShifts,
  hasShifted,
  pairShifts,
  scoreShift,
  type ShiftArm,
  type ShiftScope,
  type ShiftSides,
} from "./shift.js";

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
