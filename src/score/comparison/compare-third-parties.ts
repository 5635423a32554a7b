/** Self against everything that can be had without the model looking at itself: rules, a classifier, and adapters that are controls. */
import type { Contrast, PredictorComparison } from "../../records/comparison.js";
import type { TrainLabel, Trial } from "../../records/trial.js";
import { comparePredictors } from "./compare-predictors.js";
import type { ComparisonSettings } from "./comparison-settings.js";
import { bestHeuristicOf, type Guess, heuristicGuess, stageThirdParty, trainModeGuess } from "./third-parties.js";

export interface ThirdPartyInput {
  /** All trials of the run in scope. */
  readonly trials: readonly Trial[];
  readonly trainLabels: readonly TrainLabel[];
  readonly contrasts: readonly Contrast[];
  /** A classifier that saw the train strings and their behaviors and nothing of any model. */
  readonly inputOnly?: Guess;
  /** Other states in a third party's place, by its name: what each says, or why there is none. */
  readonly states?: Readonly<Record<string, Guess | string>>;
}

export interface ThirdPartyComparisons {
  readonly comparisons: Readonly<Record<string, PredictorComparison>>;
  /** Third parties that were not run, with the reason. */
  readonly notCompared: Readonly<Record<string, string>>;
}

export function compareThirdParties(
  { trials, trainLabels, contrasts, inputOnly, states = {} }: ThirdPartyInput,
  settings: ComparisonSettings,
): ThirdPartyComparisons {
  const rule = bestHeuristicOf(trials, contrasts);
  const guesses: Record<string, Guess | string> = {
    mode_train: trainLabels.length > 0 ? trainModeGuess(trainLabels) : "no train string has a behavior",
    best_heuristic: rule === undefined ? "no simple rule applies to these strings" : heuristicGuess(rule),
    input_only: inputOnly ?? "no input-only classifier was trained",
    ...states,
  };
  const comparisons: Record<string, PredictorComparison> = {};
  const notCompared: Record<string, string> = {};
  for (const [name, guess] of Object.entries(guesses)) {
    if (typeof guess === "string") {
      notCompared[name] = guess;
      continue;
    }
    const staged = stageThirdParty(trials, contrasts, name, guess);
    comparisons[name] = comparePredictors(staged.trials, staged.contrasts, settings);
  }
  return { comparisons, notCompared };
}
