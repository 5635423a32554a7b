/** What the answer to an experiment's question is called, and what each of the words means. */
import type { Finding } from "../../records/comparison.js";
import type { ExperimentName } from "../../records/experiments.js";
import type { Inline } from "../document.js";

export const ANSWERS: Readonly<Record<Finding, string>> = {
  exceeds: "Yes",
  does_not_exceed: "No",
  cannot_tell: "Cannot be told",
  unknown: "Not known",
};

export const EXPERIMENT_TITLES: Readonly<Record<ExperimentName, string>> = {
  self_prediction: "Self-prediction",
  cross_prediction: "Self against others",
  calibration: "Calibration",
  behavioral_change: "Behavioral change",
  matrix: "Everybody about everybody",
  limits: "Known limits",
};

const MEANINGS: Readonly<Record<Finding, string>> = {
  exceeds: "in every comparison that the question needs, the interval of the difference lies above 0",
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
