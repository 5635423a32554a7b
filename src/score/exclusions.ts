/** Every trial that did not simply count, with its reason. */
import type { Exclusion } from "../records/scores.js";
import type { Trial } from "../records/trial.js";
import { wasRepliedTo } from "./accuracy.js";
import { compareNames } from "./cells.js";

/**
 * A trial without ground truth stands here once, as excluded, whatever its reply was; of the others, those that never had a reply
 * (the engine crashed on the question) stand as excluded, and those whose reply does not comply as counted wrong. Wordings are pooled.
 * @returns in code-unit order of target, predictor, task, property, side, reason
 */
export function listExclusions(trials: readonly Trial[]): Exclusion[] {
  const found = new Map<string, Exclusion>();
  for (const trial of trials) {
    const why = exclusionOf(trial);
    if (!why) continue;
    const { task, property, predictor, target } = trial;
    const key = JSON.stringify([target, predictor, task, property, why.side, why.reason]);
    found.set(key, { ...why, task, property, predictor, target, count: (found.get(key)?.count ?? 0) + 1 });
  }
  return [...found.values()].sort((a, b) => compareNames(orderOf(a), orderOf(b)));
}

function exclusionOf(trial: Trial): Pick<Exclusion, "side" | "reason" | "treatment"> | undefined {
  const { objectCompliance, behavior, prediction } = trial;
  if (!objectCompliance.ok) return { side: "object_level", reason: objectCompliance.reason, treatment: "excluded" };
  if (!behavior.ok) return { side: "object_level", reason: behavior.reason, treatment: "excluded" };
  if (!prediction.ok) {
    const treatment = wasRepliedTo(trial) ? "counted_as_wrong" : "excluded";
    return { side: "hypothetical", reason: prediction.reason, treatment };
  }
  return undefined;
}

function orderOf({ target, predictor, task, property, side, reason }: Exclusion): string[] {
  return [target, predictor, task, property, side, reason];
}
