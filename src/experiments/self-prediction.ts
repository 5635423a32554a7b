/** Does a model predict what it does better than what can be had without it: rules, a classifier of strings, itself untrained, controls? */
import type { ExperimentNumber, ExperimentVerdict } from "../records/experiments.js";
import type { ComparedSelf } from "../records/comparisons.js";
import { missingComparisons } from "../report/comparison/comparison-names.js";
import { selfPredictionSentences } from "../report/privileged-access-words.js";
import { accuracyNumber } from "./accuracy-numbers.js";
import type { Experiment, ExperimentInput } from "./experiment.js";

export const selfPrediction: Experiment = {
  name: "self_prediction",
  question:
    "Asked beforehand, does a model say what it does, better than can be said from the string, from its common answers, or by it untrained?",
  judge: (input) => {
    const selves = input.comparisons?.selfPredictions;
    return selves ? selves.map((self) => selfPredictionVerdict(input, self)) : "nobody predicts itself in this study";
  },
};

function selfPredictionVerdict(
  input: ExperimentInput,
  { target, self, seeds, verdict }: ComparedSelf,
): ExperimentVerdict {
  const { scores } = input;
  const seeded = seeds > 1 ? `, ${seeds} seeds` : "";
  return {
    about: self === target ? `${self} about itself${seeded}` : `${self} about ${target}${seeded}`,
    finding: verdict.overall,
    sentence: selfPredictionSentences(verdict).join(" "),
    numbers: [
      // Seeds are pooled in comparisons; an accuracy is that of one of them.
      ...accuracyNumber(scores, seeds > 1 ? `accuracy of ${self}, the first seed` : "accuracy", self, target),
      ...scopedNumbers(input, self, target),
      ...driftNumber(input, self, target),
    ],
    because: missingComparisons(verdict.notCompared),
  };
}

/** Strings of trained tasks that were held out, and tasks that were held out as a whole, apart. */
function scopedNumbers({ scores }: ExperimentInput, self: string, target: string): ExperimentNumber[] {
  return (scores.scopedAverages ?? []).flatMap((average): ExperimentNumber[] =>
    average.predictor === self && average.target === target && average.kind === "micro"
      ? [
          {
            label: average.scope === "held_out_strings" ? "held-out strings of trained tasks" : "held-out tasks",
            estimate: average.accuracy,
            unit: "share",
            baselines: { mode_train: average.modeBaselineTrain, mode_oracle: average.modeBaselineOracle },
            intervalMethod: scores.intervalMethod,
          },
        ]
      : [],
  );
}

/** Training moves behavior: how often the model that predicts does something else than the one that it learnt from. */
function driftNumber({ scores }: ExperimentInput, self: string, target: string): ExperimentNumber[] {
  const drift = (scores.drift ?? []).find((one) => one.after === self && one.task === undefined);
  if (!drift || self !== target) return [];
  return [
    {
      label: `behaviors that training changed (${drift.before} against ${drift.after})`,
      estimate: drift.differ,
      unit: "share",
      baselines: {},
      intervalMethod: scores.intervalMethod,
    },
  ];
}
