/** What the answer to an experiment's question is called, and what each of the words means. */
import type { Finding } from "../../records/comparison.js";
import type { ExperimentName } from "../../plan/experiment-names.js";
import type { ExperimentVerdict } from "../../records/experiments.js";
import type { Inline } from "../document.js";

export const ANSWERS: Readonly<Record<Finding, string>> = {
  exceeds: "Yes",
  does_not_exceed: "No",
  cannot_tell: "Cannot be told",
  unknown: "Not known",
};

/** A yes that something weakens, or that lacks a comparison, is no plain one. */
export function answerOf({ finding, because }: Pick<ExperimentVerdict, "finding" | "because">): string {
  return finding === "exceeds" && because.length > 0 ? `${ANSWERS.exceeds}, with reservations` : ANSWERS[finding];
}

export const EXPERIMENT_TITLES: Readonly<Record<ExperimentName, string>> = {
  self_prediction: "Self-prediction",
  cross_prediction: "Self against others",
  calibration: "Calibration",
  behavioral_change: "Behavioral change",
  matrix: "Everybody about everybody",
  limits: "Known limits",
};

const MEANINGS: Readonly<Record<Finding, string>> = {
  exceeds:
    "in every comparison that the question needs, the interval of the difference lies above 0 (with reservations: something weakens it, or a comparison is missing, as the verdict says)",
  does_not_exceed: "in one of them it ends below any difference that would count",
  cannot_tell: "the interval leaves both open: these trials are too few, or too alike",
  unknown: "something that it takes to answer was not run, or gave nothing",
};

/** @param used only these are explained */
export function meaningsOf(used: ReadonlySet<Finding>): Inline[] {
  const order: readonly Finding[] = ["exceeds", "does_not_exceed", "cannot_tell", "unknown"];
  return order
    .filter((finding) => used.has(finding))
    .flatMap((finding): Inline[] => [{ strong: `${ANSWERS[finding]}: ` }, `${MEANINGS[finding]}. `]);
}
