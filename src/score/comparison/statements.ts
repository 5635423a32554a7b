/** What each number of a comparison estimates and how its interval was made, in words that reports show beside it. */
import type { Contrast, Weighting } from "../../records/comparison.js";
import { EXPANDED } from "../percentile-interval.js";
import type { ComparisonSettings } from "./comparison-settings.js";

const WEIGHTS: Record<Weighting, string> = {
  micro: "every trial counting the same",
  macro: "every task and property counting the same",
};

/** @param over which trials, such as "paired trials" */
export function differenceEstimand(contrasts: readonly Contrast[], kind: Weighting, over: string): string {
  const [first] = contrasts;
  if (!first) return "no contrast was named";
  const others = contrasts.length === 1 ? "" : ` (and ${contrasts.length - 1} more such pairs, as seeds)`;
  const who = `accuracy of ${first.self} minus accuracy of ${first.cross} about what ${first.target} does${others}`;
  return `${who}, on the same ${over}, ${WEIGHTS[kind]}, for strings like those drawn of these tasks`;
}

export function shiftEstimand(
  { predictor, before, after }: { readonly predictor: string; readonly before: string; readonly after: string },
  kind: Weighting,
  over: string,
): string {
  const who = `accuracy of ${predictor} about what ${after} does minus its accuracy about what ${before} did`;
  return `${who}, on ${over}, ${WEIGHTS[kind]}, for strings like those drawn of these tasks`;
}

export function stringIntervals({ confidence, bootstrapReplicates, bootstrapSeed }: ComparisonSettings): string {
  return [
    `${percent(confidence)} percentile cluster bootstrap by source string, paired: each of ${bootstrapReplicates} replicates (seed ${bootstrapSeed})`,
    "draws the strings of every task with replacement, and all rows of a string move together, for both sides.",
    EXPANDED,
    "Where no draw can move it, the exact binomial (Clopper-Pearson) bound for that many strings without an exception.",
  ].join(" ");
}

export function hierarchicalIntervals({ confidence, bootstrapReplicates, bootstrapSeed }: ComparisonSettings): string {
  return [
    `${percent(confidence)} percentile bootstrap over levels: each of ${bootstrapReplicates} replicates (seed ${bootstrapSeed}) draws tasks with replacement,`,
    "strings of each drawn task with replacement, and, crossed with them, seeds with replacement. With few tasks or seeds it is rough",
    "and tends to be too narrow.",
  ].join(" ");
}

export const ONE_OF_A_PAIR = "none: micro and macro weigh the same trials in two ways";
export const SENSITIVITY_ONLY =
  "none: a sensitivity analysis, read beside the main difference and not as a finding of its own";

export function holmMultiplicity(tasks: number): string {
  return `interval not adjusted; p adjusted by Holm's method over ${tasks} task${tasks === 1 ? "" : "s"}`;
}

function percent(confidence: number): string {
  return `${Number((100 * confidence).toFixed(6))} %`;
}
