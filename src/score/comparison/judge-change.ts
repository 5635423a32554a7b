/** Do a changed model's predictions follow what it does now, and nobody's who never saw the change? By rule. Pure. */
import type { Finding, Judgement, ShiftScores } from "../../records/comparison.js";
import type { PlannedAdapter } from "../../records/plan.js";
import type { ChangeShifts, ShiftArm, ShiftRole, ShiftScope } from "../../records/shifts.js";
import type { Trial } from "../../records/trial.js";
import type { ComparisonSettings } from "./comparison-settings.js";
import { comparePredictors } from "./compare-predictors.js";
import { judgeDifference } from "./judge-difference.js";
import { questionKey } from "../question-key.js";
import { hasShifted, pairShifts, type ShiftSides } from "./pair-shifts.js";
import { scoreShift } from "./score-shift.js";

export interface ChangeToJudge {
  /** The changed state. */
  readonly after: string;
  readonly change: NonNullable<PlannedAdapter["change"]>;
  /** Who is asked about it, with the part that each plays. */
  readonly predictors: readonly { readonly predictor: string; readonly role: ShiftRole }[];
}

/** @param trials of the whole run: strings are drawn as for its other scores */
export function judgeChange(
  trials: readonly Trial[],
  { after, change, predictors }: ChangeToJudge,
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
  return {
    name: change.name,
    before,
    after,
    answers: change.answers,
    taughtTasks: change.tasks,
    arms,
    ...conclude(arms),
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

function judgeArm(scores: ShiftScores | undefined, confidence: number): Judgement {
  if (!scores) {
    const reason = "nobody was asked";
    return {
      finding: "unknown",
      difference: { ok: false, reason },
      signFlip: { ok: false, reason },
      because: [reason],
    };
  }
  const [{ difference, signFlip }] = scores.overall;
  const hierarchical = { ok: false as const, reason: "tasks and seeds are not drawn here" };
  return judgeDifference({ difference, signFlip, hierarchical }, { confidence });
}

/** Where a cross-predictor that learnt the same answers knows as much, following the change shows no look inside. */
function alsoKnown({ predictor, changedMinusThis }: ShiftArm): string[] {
  if (!changedMinusThis || changedMinusThis.judgement.finding === "exceeds") return [];
  return [
    `${predictor}, a cross-predictor that learnt the same answers, is not told apart from it: knowing what was taught may be enough`,
  ];
}

function conclude(arms: readonly ShiftArm[]): { finding: Finding; because: string[] } {
  const changed = arms.find(({ role }) => role === "changed");
  if (!changed) return { finding: "unknown", because: ["the changed model was not asked"] };
  const { finding, because } = changed.judgement;
  const others = arms.filter(({ role }) => role === "unchanged" || role === "cross");
  const following = others.filter(({ judgement }) => judgement.finding === "exceeds").map(({ predictor }) => predictor);
  if (finding !== "exceeds") return { finding, because: [...because] };
  if (following.length > 0) {
    return {
      finding: "cannot_tell",
      because: [
        ...because,
        `${following.join(" and ")}, which never saw the change, follows the new behavior too: the strings may give it away`,
      ],
    };
  }
  return {
    finding,
    because: [
      ...because,
      ...(others.length > 0 ? [] : ["nobody who never saw the change was asked beside it"]),
      ...arms.flatMap(alsoKnown),
    ],
  };
}
