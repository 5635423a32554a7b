/** What a comparison of self and cross cannot show, from what was and was not run. */
import type { Comparisons, SeriesKind } from "../../records/comparisons.js";
import type { Plan } from "../../records/plan.js";
import { PredictorKinds } from "../../score/comparison/predictor-kinds.js";
import { formatCount } from "../format-number.js";
import { joinWords } from "../readable-name.js";
import { plateauSentence } from "../self/series-words.js";

export function comparisonLimits(scores: Comparisons, plan: Plan): string[] {
  const { comparisons } = scores;
  const targets = [...new Set(comparisons.map(({ target }) => target))];
  const compared = comparisons.map(({ target, cross }) => `${cross} about ${target}`);
  const oneSeed = comparisons.filter(({ comparison }) => comparison.contrasts.length === 1);
  const bases = Object.entries(plan.states ?? {}).filter(([, { adapter }]) => adapter === undefined);
  const unasked = (bases.length > 0 ? bases.map(([name]) => name) : Object.keys(plan.models)).filter(
    (model) => !targets.some((target) => (plan.states?.[target]?.model ?? target) === model),
  );
  const untrained = comparisons.filter(({ trained }) => !trained.self && !trained.cross);
  return [
    `Self was compared with ${joinWords(compared)} only: ${comparisons.length === 1 ? "a model" : "models"} nearer to the target, or trained on more of its behavior, may predict it better.`,
    ...(oneSeed.length > 0
      ? [
          "Each predictor stands for one training with one seed: how far the difference varies between trainings is not measured.",
        ]
      : []),
    ...(untrained.length > 0
      ? [
          "No adapter was trained on either side: untrained models are compared, whose replies may differ in form first.",
        ]
      : []),
    ...plateaus(scores, plan),
    ...(unasked.length > 0
      ? [
          `What ${joinWords(unasked)} predict${unasked.length === 1 ? "s" : ""} about ${unasked.length === 1 ? "itself" : "themselves"} was not asked: the comparison was not run in the other direction.`,
        ]
      : []),
    `Comparisons (${formatCount(comparisons.length)}) are not adjusted for each other.`,
  ];
}

/** Whether cross could still learn more, as far as the study's series tell. */
function plateaus({ comparisons, series = [] }: Comparisons, plan: Plan): string[] {
  const kinds = new PredictorKinds(plan);
  const of = (kind: SeriesKind) =>
    series.filter(
      (one) =>
        one.kind === kind &&
        comparisons.some(({ cross, target }) => kinds.model(cross) === one.model && target === one.target),
    );
  const learnt = of("learnt");
  return [
    ...(learnt.length > 0
      ? learnt.map(plateauSentence)
      : [
          "No series of training amounts was run for a cross-predictor (study key predictions.examplesPerProperty): whether it has reached its plateau is not known.",
        ]),
    ...of("shown").map(plateauSentence),
    ...(comparisons.some(({ shown }) => shown !== undefined)
      ? []
      : ["No predictor was given the target's behaviors in its prompt (study key predictions.shown)."]),
  ];
}
