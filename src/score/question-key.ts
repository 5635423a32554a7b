import type { Trial } from "../records/trial.js";

/** Of what was asked in one wording: the same for all predictors and targets, and for every sample. */
export function questionKey({
  task,
  item,
  property,
  variant,
}: Pick<Trial, "task" | "item" | "property" | "variant">): string {
  return JSON.stringify([task, item, property, variant]);
}
