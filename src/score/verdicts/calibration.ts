/** Are a predictor's probabilities those of the behavior, both at temperature 1, and are self-predictions nearer than others? */

import { statesOf } from "../../study/states.js";
import type { AtBounds, CalibrationDifference, CalibrationRow } from "../calibration/score-calibration.js";
import type { Finding } from "../comparison/comparison.js";
import { worstFinding } from "../comparison/judge.js";
import { sideOfZero } from "../interval.js";
import { type Experiment, intervalFinding, type Verdict, type VerdictNumber } from "./verdict.js";

export const calibration: Experiment = {
  name: "calibration",
  judge: ({ calibration: scores, plan }) => {
    if (!scores) return "no_distributions";
    const isTrained = statesOf(plan).trained.length > 0;
    return [scores, ...(scores.beside ?? [])].flatMap(({ scope, rows, differences }) =>
      rows
        .filter(({ property, kind, predictor, target, comparisons }) => {
          if (property !== undefined || (comparisons === 0 && scope !== scores.scope)) return false;
          return kind === "self" || (kind === "untrained" && predictor === target && !isTrained);
        })
        .map((row): Verdict => ({ ...verdictOf(row, differences, scores.intervalMethod), scope })),
    );
  },
};

/** What holds whatever the tails hide; nobody can tell where they could turn it. @param better whether more of the score is a yes, or less */
function atBothBounds({ least, most }: AtBounds, better: "more" | "less" = "more"): Finding {
  const [low, high] = [least, most].map((one) => intervalFinding(sideOfZero(one), better));
  if (low === high) return low as Finding;
  return low === "unknown" || high === "unknown" ? "unknown" : "cannot_tell";
}

function verdictOf(
  { predictor, target, metrics, constant, skill, skillAtBounds, compliant }: CalibrationRow,
  differences: readonly CalibrationDifference[],
  intervalMethod: string,
): Verdict {
  const own = differences.filter(
    (one) => one.predictor === predictor && one.target === target && one.property === undefined,
  );
  const because = [
    { kind: "beats_constant" as const, key: "skill", finding: atBothBounds(skillAtBounds) },
    ...own.map(({ minus, brierAtBounds }) => ({
      kind: "nearer" as const,
      key: `brier_minus/${minus}`,
      than: minus,
      finding: atBothBounds(brierAtBounds, "less"),
    })),
  ];
  const alone = [
    intervalFinding(sideOfZero(skill)),
    ...own.map(({ brier }) => intervalFinding(sideOfZero(brier), "less")),
  ];
  const finding = worstFinding(because.map((one) => one.finding));
  const plain = { unit: "plain" as const, intervalMethod };
  const numbers: VerdictNumber[] = [
    {
      key: "mad_points",
      measure: "mad_points",
      estimate: metrics.madPoints,
      baselines: { constant: constant.madPoints },
      ...plain,
    },
    {
      key: "mad20_points",
      measure: "mad20_points",
      estimate: metrics.mad20Points,
      baselines: { constant: constant.mad20Points },
      ...plain,
    },
    { key: "brier", measure: "brier", estimate: metrics.brier, baselines: { constant: constant.brier }, ...plain },
    { key: "skill", measure: "skill", estimate: skill, baselines: {}, ...plain },
    { key: "skill_compliant", measure: "skill_compliant", estimate: compliant.skill, baselines: {}, ...plain },
    ...own.map(
      ({ minus, brier }): VerdictNumber => ({
        key: `brier_minus/${minus}`,
        measure: "brier_minus",
        against: minus,
        estimate: brier,
        baselines: {},
        ...plain,
      }),
    ),
  ];
  return {
    about: { kind: "probabilities", predictor, target },
    finding,
    // Skill and differences of scores have no common unit: the first that has the finding of the whole.
    decidedBy: because.find((one) => one.finding === finding)?.key,
    numbers,
    because,
    reservations: because.some((one, at) => one.finding !== alone[at]) ? [{ kind: "tails_open" }] : [],
  };
}
