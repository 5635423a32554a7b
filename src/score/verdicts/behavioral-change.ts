/** When a model is finetuned to behave otherwise, and asked no hypothetical question meanwhile, do its predictions follow? */

import {
  type ChangeCondition,
  concludeChange,
  controlsNotFound,
  scopesOfArms,
  settingsIn,
} from "../comparison/judge-change.js";
import type { ChangeShifts, ShiftArm, Shifts, ShiftScope } from "../comparison/shift.js";
import { type Experiment, smallestOf, type Verdict, type VerdictBecause, type VerdictNumber } from "./verdict.js";

export const behavioralChange: Experiment = {
  name: "behavioral_change",
  judge: ({ shifts }) => (shifts ? shifts.changes.flatMap((one) => changeVerdicts(one, shifts)) : "no_change"),
};

/** One for each scope, the one that counts first: what was taught and what was not are never pooled. */
export function changeVerdicts(
  change: ChangeShifts,
  { changes, confidence }: Pick<Shifts, "changes" | "confidence">,
): Verdict[] {
  const { name, before, after, arms, taughtTasks, judgedBy, staleLabels } = change;
  return scopesOfArms(arms).map((scope): Verdict => {
    const { finding, conditions, reasons } = concludeChange(
      arms,
      scope,
      settingsIn(scope, confidence, judgedBy),
      staleLabels !== undefined,
    );
    const numbers = arms.flatMap((arm) => numbersOf(arm, scope, taughtTasks));
    const needed = conditions.filter(({ kind, role }) => kind === "changed_minus" || role === "changed").map(named);
    const following = reasons.flatMap((one) => (one.kind === "unseen_follow" ? one.predictors : []))[0];
    const instead = following === undefined ? needed[0]?.key : `new_minus_old/${following}`;
    return {
      about: { kind: "change", change: name, before, after, scope },
      status: judgedBy?.scope === scope ? "primary" : undefined,
      finding,
      decidedBy: smallestOf(finding, needed, numbers) ?? instead,
      numbers,
      because: conditions.map((one) => becauseOf(one, scope)),
      reservations: [...reasons, ...controlsNotFound(changes, change, scope)],
    };
  });
}

function named({ kind, predictor, finding }: ChangeCondition) {
  return { key: `${kind}/${predictor}`, finding };
}

function becauseOf(
  { kind, predictor, role, finding, difference, reasons }: ChangeCondition,
  scope: ShiftScope,
): VerdictBecause {
  const key = `${kind}/${predictor}`;
  switch (kind) {
    case "new_minus_old": {
      const shiftedTrials = difference.ok ? difference.n : undefined;
      return { kind: "follows_change", key, predictor, role, scope, finding, shiftedTrials, reasons };
    }
    case "changed_minus":
      return { kind: "knows_more", key, than: predictor, role, finding, reasons };
    default:
      return { kind, key, predictor, role, finding, reasons };
  }
}

function numbersOf(
  { predictor, scopes }: ShiftArm,
  scope: ShiftScope,
  taughtTasks: readonly string[],
): VerdictNumber[] {
  const scores = scopes[scope];
  if (!scores) return [];
  const [micro] = scores.overall;
  const [matched] = scores.entropyMatched;
  const { intervalMethod } = micro;
  const whose = { predictor, scope, tasks: scope === "taught" ? taughtTasks : undefined };
  const own: VerdictNumber[] = [
    {
      key: `new_minus_old/${predictor}`,
      measure: "new_minus_old",
      ...whose,
      estimate: micro.difference,
      unit: "difference",
      baselines: {
        about_new: micro.aboutNew,
        mode_new: micro.modeNew,
        about_old: micro.aboutOld,
        mode_old: micro.modeOld,
      },
      intervalMethod,
    },
    {
      key: `above_mode_new/${predictor}`,
      measure: "above_mode_new",
      ...whose,
      estimate: micro.aboveModeNew,
      unit: "difference",
      baselines: { about_new: micro.aboutNew, mode_new: micro.modeNew },
      intervalMethod,
    },
    {
      key: `new_minus_old_matched/${predictor}`,
      measure: "new_minus_old_matched",
      ...whose,
      estimate: matched.difference,
      unit: "difference",
      baselines: { about_new: matched.aboutNew, about_old: matched.aboutOld },
      intervalMethod: matched.intervalMethod,
    },
    {
      key: `behaviors_shifted/${predictor}`,
      measure: "behaviors_shifted",
      ...whose,
      estimate: scores.shifted,
      unit: "share",
      baselines: {},
      intervalMethod,
    },
  ];
  const beside = scores.changedMinusThis;
  if (!beside) return own;
  return [
    ...own,
    {
      key: `changed_minus/${predictor}`,
      measure: "changed_minus",
      against: predictor,
      scope,
      estimate: beside.difference,
      unit: "difference",
      baselines: { changed: beside.self, other: beside.cross },
      intervalMethod: beside.intervalMethod,
    },
  ];
}
