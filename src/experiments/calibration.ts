/** Are a predictor's probabilities those of the behavior, both at temperature 1, and are self-predictions nearer than others? */
import type { CalibrationDifference, CalibrationRow } from "../records/calibration-scores.js";
import type { Finding } from "../records/comparison.js";
import type { ExperimentVerdict } from "../records/experiments.js";
import { worstFinding } from "../score/comparison/worst-finding.js";
import { sideOfZero } from "../score/side-of-zero.js";
import type { Experiment, ExperimentInput } from "./experiment.js";
import { intervalFinding } from "./interval-finding.js";

export const calibration: Experiment = {
  name: "calibration",
  question:
    "At temperature 1, is the probability that a model gives to a behavior the probability that it shows it, and nearer than another predictor's?",
  judge: ({ calibration: scores, plan }: ExperimentInput) => {
    if (!scores) return "no distributions were measured";
    const pooled = scores.rows.filter(({ property, kind, predictor, target }) => {
      if (property !== undefined) return false;
      return kind === "self" || (kind === "untrained" && predictor === target && !plan.adapters);
    });
    return pooled.map((row) => calibrationVerdict(row, scores.differences, scores.intervalMethod));
  },
};

function calibrationVerdict(
  { predictor, target, metrics, constant, skill }: CalibrationRow,
  differences: readonly CalibrationDifference[],
  intervalMethod: string,
): ExperimentVerdict {
  const own = differences.filter(
    (one) => one.predictor === predictor && one.target === target && one.property === undefined,
  );
  const beatsConstant = intervalFinding(sideOfZero(skill));
  const nearer = own.map(({ minus, brier }) => ({ minus, finding: intervalFinding(sideOfZero(brier), "less") }));
  const findings = [beatsConstant, ...nearer.map(({ finding }) => finding)];
  return {
    about: `${predictor} about ${target}`,
    finding: worstFinding(findings),
    sentence: [
      `${predictor} about ${target}: ${SKILL[beatsConstant]}.`,
      ...nearer.map(({ minus, finding }) => `${NEARER[finding]} ${minus}'s.`),
    ].join(" "),
    numbers: [
      {
        label: "mean distance in ten bins (MAD), points",
        estimate: metrics.madPoints,
        unit: "plain",
        baselines: { constant: constant.madPoints },
        intervalMethod,
      },
      {
        label: "Brier score",
        estimate: metrics.brier,
        unit: "plain",
        baselines: { constant: constant.brier },
        intervalMethod,
      },
      { label: "skill over a constant predictor", estimate: skill, unit: "plain", baselines: {}, intervalMethod },
      ...own.map(({ minus, brier }) => ({
        label: `Brier score minus ${minus}'s, paired`,
        estimate: brier,
        unit: "plain" as const,
        baselines: {},
        intervalMethod,
      })),
    ],
    because: [],
  };
}

const SKILL: Record<Finding, string> = {
  exceeds: "its probabilities tell more than always giving the mean behavior",
  does_not_exceed: "its probabilities tell less than always giving the mean behavior",
  cannot_tell: "whether its probabilities tell more than always giving the mean behavior cannot be told",
  unknown: "whether its probabilities tell more than always giving the mean behavior is not known",
};

const NEARER: Record<Finding, string> = {
  exceeds: "They are nearer to the behavior's than",
  does_not_exceed: "They are farther from the behavior's than",
  cannot_tell: "It cannot be told whether they are nearer to the behavior's than",
  unknown: "It is not known whether they are nearer to the behavior's than",
};
