/** Privileged access: does a model predict its own behavior better than another one does that learnt just that behavior? */
import type { ComparedPredictors } from "../records/comparisons.js";
import type { ExperimentVerdict } from "../records/experiments.js";
import { privilegedAccessSentences } from "../report/privileged-access-words.js";
import { accuracyNumber } from "./accuracy-numbers.js";
import { missingComparisons } from "../report/comparison/comparison-names.js";
import { notAtPlateau } from "../report/self/series-words.js";
import { PredictorKinds } from "../score/comparison/predictor-kinds.js";
import { mainFirst } from "../report/comparison/main-comparisons.js";
import type { Experiment, ExperimentInput } from "./experiment.js";

export const crossPrediction: Experiment = {
  name: "cross_prediction",
  question:
    "Does a model predict what it does better than another model that learnt the same behavior from the same examples?",
  judge: (input) =>
    input.comparisons && input.comparisons.comparisons.length > 0
      ? mainFirst(input.plan, input.comparisons.comparisons).map((one) => crossPredictionVerdict(input, one))
      : "no target has both a self- and a cross-predictor",
};

function crossPredictionVerdict(
  { plan, scores, comparisons }: ExperimentInput,
  one: ComparedPredictors,
): ExperimentVerdict {
  const { target, self, cross, comparison, verdict } = one;
  const [micro] = comparison.overall;
  const model = new PredictorKinds(plan).model(cross);
  const kind = one.shown === undefined ? "learnt" : "shown";
  const seeds = comparison.contrasts.length > 1 ? `, ${comparison.contrasts.length} seeds` : "";
  return {
    about: `${self} against ${cross}, about ${target}${seeds}`,
    finding: verdict.overall,
    sentence: privilegedAccessSentences(verdict).join(" "),
    numbers: [
      {
        label: "self minus cross, paired",
        estimate: micro.difference,
        unit: "difference",
        baselines: { self: micro.self, cross: micro.cross, mode_oracle: micro.modeBaseline },
        intervalMethod: micro.intervalMethod,
      },
      ...accuracyNumber(scores, "accuracy of self", self, target),
      ...accuracyNumber(scores, "accuracy of cross", cross, target),
    ],
    because: [
      ...verdict.cross.because,
      ...missingComparisons(verdict.notCompared),
      ...notAtPlateau(comparisons?.series ?? [], { model, target, kind }),
      ...(one.trained.self === one.trained.cross
        ? []
        : ["only one of the two was trained: the difference is one of training before it is one of access"]),
      ...(one.sameWeights ? ["both run on the same base weights: they differ in what was trained beside them"] : []),
    ],
  };
}
