/** Which states the matrix of every predictor about every target has. A function of the plan alone. */
import type { Plan } from "../records/plan.js";

type States = Pick<Plan, "states" | "predictions">;

export function hasMatrix({ experiments = [] }: Pick<Plan, "experiments">): boolean {
  return experiments.includes("matrix");
}

/** The rows: whoever predicts anything. A reply to a hypothetical question does not depend on whom it is held against. */
export function matrixPredictors({ predictions }: States): string[] {
  return [...new Set(predictions.map(({ predictor }) => predictor))];
}

/** The columns: the targets of predictions, then every plain predictor, which the matrix would else know nothing of. */
export function matrixTargets(plan: States): string[] {
  const predictors = matrixPredictors(plan).filter((state) => isPlain(plan, state));
  return [...new Set([...plan.predictions.map(({ target }) => target), ...predictors])];
}

/** Of all states that predict or are predicted, those that are weights alone or weights under an adapter. */
export function plainStates(plan: States): string[] {
  return [...new Set([...matrixPredictors(plan), ...matrixTargets(plan)])].filter((state) => isPlain(plan, state));
}

/** Another wording or solved examples in the prompt make another asking of the same network, not another network. */
function isPlain({ states }: Pick<Plan, "states">, state: string): boolean {
  const known = new Set(["model", "adapter"]);
  return Object.keys(states?.[state] ?? {}).every((part) => known.has(part));
}
