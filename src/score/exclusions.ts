/** Every trial that did not simply count, with its reason. */
import type { Exclusion } from "../records/scores.js";
import type { Trial } from "../records/trial.js";
import { compareNames } from "./cells.js";

/**
 * A trial without ground truth stands here once, as excluded, whatever its reply was; of the others, those whose reply does
 * not comply stand as counted wrong. Wordings are pooled.
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

function exclusionOf({
  objectCompliance,
  behavior,
  prediction,
}: Trial): Pick<Exclusion, "side" | "reason" | "treatment"> | undefined {
  if (!objectCompliance.ok) return { side: "object_level", reason: objectCompliance.reason, treatment: "excluded" };
  if (!behavior.ok) return { side: "object_level", reason: behavior.reason, treatment: "excluded" };
  if (!prediction.ok) return { side: "hypothetical", reason: prediction.reason, treatment: "counted_as_wrong" };
  return undefined;
}

function orderOf({ target, predictor, task, property, side, reason }: Exclusion): string[] {
  return [target, predictor, task, property, side, reason];
}
