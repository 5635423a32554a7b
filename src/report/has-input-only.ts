import type { Scores } from "../records/scores.js";
import { INPUT_ONLY } from "../score/input-only/input-only-predictions.js";

/** Whether the classifier of strings was scored beside a predictor of this target, or beside any. */
export function hasInputOnly({ averages }: Pick<Scores, "averages">, target?: string): boolean {
  return averages.some((row) => (target === undefined || row.target === target) && row.heuristics[INPUT_ONLY]?.ok);
}
