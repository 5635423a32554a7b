/**
 * Which trials count and which predictions are right. The policy: a trial whose object-level answer does not comply, or has
 * no such property, is excluded; a hypothetical reply that does not comply is wrong, never excluded. A question on which the
 * engine crashed was answered by no model: its trials are excluded on either side, neither right nor wrong.
 */
import type { Extraction } from "../records/extraction.js";
import type { Trial } from "../records/trial.js";
import type { Measure } from "./measure.js";

/** A trial with a ground truth. */
export type ScoredTrial = Trial & { readonly behavior: Extract<Extraction, { ok: true }> };

/** Whether there is something to compare with. */
export function hasBehavior(trial: Trial): trial is ScoredTrial {
  return trial.objectCompliance.ok && trial.behavior.ok;
}

/** Whether the target answered the object-level question at all, compliant or not. */
export function wasAnswered({ objectCompliance }: Trial): boolean {
  return objectCompliance.ok || objectCompliance.reason !== "engine_crashed";
}

/** Whether the predictor replied to the hypothetical question at all, compliant or not. */
export function wasRepliedTo({ prediction }: Trial): boolean {
  return prediction.ok || prediction.reason !== "engine_crashed";
}

export function isScored(trial: Trial): trial is ScoredTrial {
  return hasBehavior(trial) && wasRepliedTo(trial);
}

/** Exact match; both sides went through the same normalizer. A missing guess is wrong. */
export function isRight(trial: ScoredTrial, guess: Extraction): boolean {
  return guess.ok && guess.value === trial.behavior.value;
}

export const accuracy: Measure = (trial) => (isScored(trial) ? Number(isRight(trial, trial.prediction)) : undefined);

/** Both sides comply. */
export const accuracyWhenCompliant: Measure = (trial) => (trial.prediction.ok ? accuracy(trial) : undefined);

/** Trials whose every token margin is above the floor; a trial without margins is not counted, so check for those first. */
export function accuracyAboveNoiseFloor(noiseFloorNats: number): Measure {
  return (trial) => (trial.minMargin !== undefined && trial.minMargin > noiseFloorNats ? accuracy(trial) : undefined);
}
