/** How the sides of a comparison are called. */
import type { ComparedPredictors } from "../../records/comparisons.js";
import type { Finding, SensitivityName } from "../../records/comparison.js";

/** As a row of a table or a figure. */
export const THIRD_PARTY_NAMES: Readonly<Record<string, string>> = {
  mode_train: "mode of the train strings",
  best_heuristic: "best rule on the string",
  input_only: "input-only classifier",
  untrained: "itself untrained",
  scrambled_labels: "control: scrambled labels",
  format_only: "control: format only",
};

/** Third parties that were not run, a reservation each. */
export function missingComparisons(notCompared: Readonly<Record<string, string>>): string[] {
  return Object.entries(notCompared).map(
    ([name, reason]) => `not compared with ${THIRD_PARTY_NAMES[name] ?? name} (${reason})`,
  );
}

export const SENSITIVITY_NAMES: Readonly<Record<SensitivityName, string>> = {
  compliant_only: "Both replies comply",
  above_noise_floor: "All token margins above the noise floor",
  behaviors_differ: "The two behave differently",
  mode_balanced: "All behaviors weigh the same",
};

export const FINDING_WORDS: Readonly<Record<Finding, string>> = {
  exceeds: "self exceeds it",
  does_not_exceed: "self does not exceed it",
  cannot_tell: "cannot be told",
  unknown: "not known",
};

export function comparisonTitle({ target, self, cross }: ComparedPredictors): string {
  return `About ${target}: ${self} against ${cross}`;
}
