/** What a comparison of self and cross cannot show, from what was and was not run. */
import type { Comparisons } from "../../records/comparisons.js";
import type { Plan } from "../../records/plan.js";
import { formatCount } from "../format-number.js";
import { joinWords } from "../readable-name.js";

export function comparisonLimits({ comparisons }: Comparisons, plan: Plan): string[] {
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
    ...plateau(plan),
    ...(unasked.length > 0
      ? [
          `What ${joinWords(unasked)} predict${unasked.length === 1 ? "s" : ""} about ${unasked.length === 1 ? "itself" : "themselves"} was not asked: the comparison was not run in the other direction.`,
        ]
      : []),
    `Comparisons (${formatCount(comparisons.length)}) are not adjusted for each other.`,
  ];
}

function plateau({ adapters = {}, states = {} }: Plan): string[] {
  const plain = Object.values(adapters).filter(({ labels, change }) => !labels && !change);
  const sizes = (one: (typeof plain)[number]) =>
    new Set(
      plain
        .filter((other) => other.base === one.base && other.target === one.target)
        .map((other) => other.examplesPerProperty),
    ).size;
  const hasSeries = plain.some((one) => sizes(one) > 1);
  const hasShown = Object.values(states).some(({ shown }) => shown);
  if (!hasSeries && !hasShown) {
    return [
      "No series of training amounts was run, and no predictor was given the target's behaviors in its prompt: whether cross has reached its plateau is not known.",
    ];
  }
  return [
    ...(hasSeries
      ? [
          "A series of training amounts was run: cross has reached its plateau only where the table of series no longer rises.",
        ]
      : [
          "No series of training amounts was run (study key predictions.examplesPerProperty): whether cross has reached its plateau is not known.",
        ]),
    ...(hasShown ? [] : ["No predictor was given the target's behaviors in its prompt (study key predictions.shown)."]),
  ];
}
