/** What results take for granted, in this study: from its plan and scores, so that nothing is assumed silently. */
import type { Plan } from "../records/plan.js";
import { PredictorKinds } from "../score/comparison/predictor-kinds.js";
import { formatCount } from "./format-number.js";
import { joinWords, readableName } from "./readable-name.js";
import type { ReportInput } from "./report-input.js";

export function assumptionsOf({ plan, scores }: Pick<ReportInput, "plan" | "scores">): string[] {
  return [...labels(plan), ...wordings(plan), ...addressed(plan), ...weights(plan), ...fewStrings(scores.averages)];
}

/** Percentile intervals of fewer clusters cover too little. */
const FEW_STRINGS = 50;

/** M's labels, M1's behavior. */
function labels({ adapters = {}, predictions }: Plan): string[] {
  const itself = predictions.filter(
    ({ predictor, target }) => predictor === target && adapters[predictor] && !adapters[predictor].change,
  );
  if (itself.length === 0) return [];
  return [
    `${joinWords(itself.map(({ predictor }) => predictor))} learnt what the model did before training, and ${itself.length === 1 ? "is" : "are"} scored also about what ${itself.length === 1 ? "it does" : "they do"} since: where training moved behavior, a prediction that is true to the labels counts as wrong there.`,
  ];
}

function wordings(plan: Plan): string[] {
  const { adapters, states = {}, hypothetical } = plan;
  if (!adapters || Object.keys(adapters).length === 0) return [];
  const others = [...new Set(Object.values(states).flatMap(({ wording }) => (wording === undefined ? [] : [wording])))];
  const trained = joinWords(hypothetical.variants.map((name) => `“${readableName(name)}”`));
  return [
    others.length === 0
      ? `Trained predictors are asked in the wording that they were trained on (${trained}) and in no other (study key controls.wordings): that the gain is one of knowing rather than of the wording is assumed.`
      : `Main results are in the wording that was trained on (${trained}); only self-predictors were asked in another (${joinWords(others.map(readableName))}).`,
  ];
}

/** Who is asked of "your response" and means another's. */
function addressed(plan: Plan): string[] {
  const kinds = new PredictorKinds(plan);
  const cross = plan.predictions.filter(
    ({ predictor, target }) => kinds.model(predictor) !== kinds.model(target) && kinds.role(predictor) !== "changed",
  );
  if (cross.length === 0) return [];
  const untold = [...new Set(cross.map(({ predictor }) => predictor))].filter(
    (name) => !kinds.isTrained(name) && !kinds.state(name).shown,
  );
  return [
    "Questions say “you” to everybody: predictors of another model are asked in the very words in which self is, and know whose behavior is meant from examples alone.",
    ...(untold.length > 0
      ? [
          `${joinWords(untold)} had no such examples: what ${untold.length === 1 ? "it says" : "they say"} is about ${untold.length === 1 ? "itself" : "themselves"}, and only scored as if it were about another.`,
        ]
      : []),
  ];
}

function weights({ models }: Plan): string[] {
  return Object.entries(models).flatMap(([name, { roundedTo, layersRemoved, encoding }]) => [
    ...(roundedTo
      ? [`${name} runs on weights rounded to the grid of ${roundedTo.fileType}: results are about those.`]
      : []),
    ...(layersRemoved
      ? [
          `${name} is no model of its own: it is another file's network without ${formatCount(layersRemoved.layers.length)} of its ${formatCount(layersRemoved.of)} layers, so it may know its source better than a stranger would.`,
        ]
      : []),
    ...(/^(f32|f16|bf16)$/i.test(encoding)
      ? []
      : [
          `${name} runs on quantized weights (${encoding}): answers with small margins may turn over with the batch, which the noise floor measures.`,
        ]),
  ]);
}

function fewStrings(averages: ReportInput["scores"]["averages"]): string[] {
  const counts = averages.flatMap(({ accuracy }) => (accuracy.ok ? [accuracy.clusters] : []));
  const least = Math.min(...counts);
  return counts.length > 0 && least < FEW_STRINGS
    ? [
        `Some averages rest on ${formatCount(least)} strings only, fewer than ${FEW_STRINGS}: bootstrap intervals over so few strings are rough, and mostly too narrow.`,
      ]
    : [];
}
