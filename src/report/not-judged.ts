/** Experiments that a study could have run and did not, with the study key that would add them. */
import { EXPERIMENTS, type ExperimentName } from "../plan/experiment-names.js";
import type { Plan } from "../records/plan.js";
import type { Shifts } from "../records/shifts.js";
import { readableName } from "./readable-name.js";

const KEYS: Readonly<Record<ExperimentName, string>> = {
  self_prediction: "a model that predicts itself (predictions)",
  cross_prediction: "another predictor of the same target (predictions)",
  calibration: "distributions at temperature 1 (calibration)",
  behavioral_change: "a self-predicting model that is finetuned on other behavior (changes)",
  matrix: "every model about every other (predictions)",
  limits: "tasks with long answers, with challenges or with a truth (tasks)",
};

export function notJudged({ experiments }: Plan): string[] {
  if (!experiments) return [];
  return EXPERIMENTS.filter((name) => !experiments.includes(name)).map(
    (name) => `Not judged: ${readableName(name)}. It takes ${KEYS[name]}.`,
  );
}

/** What a change cannot show, from the arms that were asked. */
export function changeLimits(shifts: Shifts | undefined): string[] {
  return (shifts?.changes ?? []).flatMap(({ name, arms }) => [
    ...(arms.some(({ scopes }) => scopes.elsewhere)
      ? []
      : [
          `Change ${name}: every task that is scored was taught (no task stands apart; study key changes.tasks): whether predictions follow only where it was taught is not measured.`,
        ]),
    ...(arms.some(({ role }) => role === "cross")
      ? []
      : [
          `Change ${name}: no cross-predictor that learnt the old behavior was asked about it (study key predictions): whether another model's predictions would fit the new behavior as well is not measured.`,
        ]),
  ]);
}
