/** When a model is finetuned to behave otherwise, and asked no hypothetical question meanwhile, do its predictions follow? */

import { concludeChange, reasonsOfArm } from "../comparison/judge-change.js";
import type { ChangeShifts, ShiftArm, ShiftScope } from "../comparison/shift.js";
import type { Experiment, Verdict, VerdictBecause, VerdictNumber, VerdictReservation } from "./verdict.js";

export const behavioralChange: Experiment = {
  name: "behavioral_change",
  judge: ({ shifts }) => (shifts ? shifts.changes.map((one) => changeVerdict(one, shifts.confidence)) : "no_change"),
};

export function changeVerdict(change: ChangeShifts, confidence: number): Verdict {
  const { name, before, after, arms, finding } = change;
  const { reasons } = concludeChange(arms, confidence);
  const following = reasons.flatMap((one) => (one.kind === "unseen_follow" ? one.predictors : []))[0];
  const decidingArm = arms.find(({ predictor, role }) =>
    following === undefined ? role === "changed" : predictor === following,
  );
  return {
    about: { kind: "change", change: name, before, after },
    finding,
    decidedBy: decidingArm?.scopes.all ? keyOf("new_minus_old", decidingArm.predictor, "all") : undefined,
    numbers: arms.flatMap((arm) => numbersOf(arm, change)),
    because: arms.flatMap((arm) => becauseOf(arm, confidence)),
    reservations: reasons.filter((one): one is Extract<VerdictReservation, typeof one> => KINDS.includes(one.kind)),
  };
}

/** What a change's finding rests on besides the differences themselves. */
const KINDS: readonly string[] = ["not_asked", "unseen_follow", "nobody_unseen", "taught_alike"];

function keyOf(measure: string, predictor: string, scope: ShiftScope): string {
  return `${measure}/${predictor}/${scope}`;
}

function becauseOf(arm: ShiftArm, confidence: number): VerdictBecause[] {
  const { predictor, role, scopes, judgement, changedMinusThis } = arm;
  const difference = scopes.all?.overall[0].difference;
  return [
    {
      kind: "follows_change",
      key: keyOf("new_minus_old", predictor, "all"),
      predictor,
      role,
      finding: judgement.finding,
      shiftedTrials: difference?.ok ? difference.n : undefined,
      reasons: reasonsOfArm(arm, confidence),
    },
    ...(changedMinusThis
      ? [
          {
            kind: "knows_more" as const,
            key: `changed_minus/${predictor}`,
            than: predictor,
            finding: changedMinusThis.judgement.finding,
          },
        ]
      : []),
  ];
}

function numbersOf({ predictor, scopes, changedMinusThis }: ShiftArm, { taughtTasks }: ChangeShifts): VerdictNumber[] {
  const byScope = Object.entries(scopes).flatMap(([name, scores]): VerdictNumber[] => {
    const scope = name as ShiftScope;
    // Where everything was taught, "taught" says nothing more than "all".
    if (scope === "taught" && !scopes.elsewhere) return [];
    const [micro] = scores.overall;
    const [matched] = scores.entropyMatched;
    const whose = { predictor, scope, tasks: scope === "taught" ? taughtTasks : undefined };
    return [
      {
        key: keyOf("new_minus_old", predictor, scope),
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
        intervalMethod: micro.intervalMethod,
      },
      {
        key: keyOf("new_minus_old_matched", predictor, scope),
        measure: "new_minus_old_matched",
        ...whose,
        estimate: matched.difference,
        unit: "difference",
        baselines: { about_new: matched.aboutNew, about_old: matched.aboutOld },
        intervalMethod: matched.intervalMethod,
      },
      {
        key: keyOf("behaviors_shifted", predictor, scope),
        measure: "behaviors_shifted",
        ...whose,
        estimate: scores.shifted,
        unit: "share",
        baselines: {},
        intervalMethod: micro.intervalMethod,
      },
    ];
  });
  if (!changedMinusThis) return byScope;
  const { micro } = changedMinusThis;
  return [
    ...byScope,
    {
      key: `changed_minus/${predictor}`,
      measure: "changed_minus",
      against: predictor,
      estimate: micro.difference,
      unit: "difference",
      baselines: { changed: micro.self, other: micro.cross },
      intervalMethod: micro.intervalMethod,
    },
  ];
}
