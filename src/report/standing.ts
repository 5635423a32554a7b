/** Which verdict a study is judged by, in words: its primary contrast, or none. */

import type { Finding } from "../score/comparison/comparison.js";
import { pointsText } from "../score/comparison/judge.js";
import type { ExperimentResults } from "../score/verdicts/experiments.js";
import type { Verdict } from "../score/verdicts/verdict.js";
import type { Plan, PlannedPrimary } from "../study/plan.js";
import type { ExperimentName } from "../study/schema.js";
import { formatCount } from "./document.js";
import { readableName } from "./terms.js";

/** The answer with its standing, where one contrast of the study is its primary one and the others are not. */
export function standingAnswer(verdict: Verdict): string {
  const answer = answerOf(verdict);
  if (verdict.status === "primary") return `Primary: ${answer.toLowerCase()}`;
  return verdict.status === "exploratory" ? `Exploratory: ${answer.toLowerCase()}` : answer;
}

/** A verdict that a section makes without the plan: what is not the primary contrast's is exploratory, where there is one. */
export function withStanding({ primary }: Pick<Plan, "primary">, verdict: Verdict): Verdict {
  return { ...verdict, status: verdict.status ?? (primary && "exploratory") };
}

/** What the study is judged by, once: how its primary contrast answers, or that it names none. */
export function standingText({ primary, experiments }: ExperimentResults): string {
  if (!primary) {
    return "This study names no primary contrast (the key primary), so every answer is exploratory: it may suggest a question, and settles none.";
  }
  const counts = pointsText(primary.smallestDifference);
  const judged = experiments.some(({ verdicts }) => verdicts.some(({ status }) => status === "primary"));
  return [
    `The primary contrast was settled in the plan: ${lowered(EXPERIMENT_TITLES[primary.experiment])}, ${primaryText(primary)}.`,
    judged
      ? `Its yes takes the interval above ${counts}, its no the interval below; every other answer is exploratory.`
      : "It has no verdict, because nothing of it was scored: every answer here is exploratory.",
  ].join(" ");
}

/** Who a primary contrast is about, where, and how it is averaged. */
export function primaryText({ self = "", cross, target, change, scope, average, strings }: PlannedPrimary): string {
  const who = change ?? `${self}${cross === undefined ? "" : ` against ${cross}`}, about ${target}`;
  return `${who}, ${readableName(scope)}, ${average} average, ${formatCount(strings)} strings`;
}

/** Verdicts as they are shown where no contrast is primary: that all are exploratory is said once. */
export function shownVerdicts(
  { primary }: Pick<ExperimentResults, "primary">,
  verdicts: readonly Verdict[],
): Verdict[] {
  if (!primary) return verdicts.map((verdict) => ({ ...verdict, status: undefined }));
  const isPrimary = ({ status }: Verdict) => status === "primary";
  return [...verdicts.filter(isPrimary), ...verdicts.filter((one) => !isPrimary(one))];
}

// What an experiment asks, and what the answer is called.

export const EXPERIMENT_TITLES: Readonly<Record<ExperimentName, string>> = {
  self_prediction: "Self-prediction",
  cross_prediction: "Self against others",
  calibration: "Calibration",
  behavioral_change: "Behavioral change",
  matrix: "Everybody about everybody",
  limits: "Known limits",
  self_simulation: "Self-simulation",
  injection: "Concept injection",
};

export const ANSWERS: Readonly<Record<Finding, string>> = {
  exceeds: "Yes",
  does_not_exceed: "No",
  cannot_tell: "Cannot be told",
  unknown: "Not known",
};

/** A yes that something weakens, or that lacks a comparison, is no plain one. */
export function answerOf({ finding, because, reservations }: Verdict): string {
  const isWeakened = reservations.length > 0 || because.some((one) => "reasons" in one && one.reasons.length > 0);
  return finding === "exceeds" && isWeakened ? `${ANSWERS.exceeds}, with reservations` : ANSWERS[finding];
}

export function lowered(text: string): string {
  return `${text.charAt(0).toLowerCase()}${text.slice(1)}`;
}
