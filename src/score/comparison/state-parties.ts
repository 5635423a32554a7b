/** States of a plan that stand in a third party's place: the untrained model, and adapters that are controls. */
import type { Extraction } from "../../records/extraction.js";
import type { PlannedLabels } from "../../records/plan.js";
import type { Trial } from "../../records/trial.js";
import { wasRepliedTo } from "../accuracy.js";
import { byQuestion } from "../by-question.js";
import type { PlannedParts } from "./predictor-kinds.js";
import { PredictorKinds } from "./predictor-kinds.js";
import type { SelfPrediction } from "./find-contrasts.js";
import type { Guess } from "./third-parties.js";

/** What each state says in a third party's place, by its name, or why there is none. */
export function stateParties(
  plan: PlannedParts,
  trials: readonly Trial[],
  selves: readonly SelfPrediction[],
): Record<string, Guess | string> {
  const kinds = new PredictorKinds(plan);
  const [{ target, self }] = selves as [SelfPrediction, ...SelfPrediction[]];
  if (!kinds.isTrained(self)) return {};
  const model = kinds.model(self);
  const asked = (name: string) =>
    plan.predictions.some((pair) => pair.predictor === name && selves.some((one) => one.target === pair.target));
  const control = (labels: PlannedLabels): string | undefined =>
    Object.keys(plan.adapters ?? {}).find(
      (name) => plan.adapters?.[name]?.labels === labels && kinds.model(name) === model && asked(name),
    );
  const guess = (state: string | undefined, otherwise: string) =>
    state === undefined ? otherwise : guessOfState(trials, state);
  return {
    untrained: guess(asked(model) ? model : undefined, `${model} without an adapter was not asked about ${target}`),
    scrambled_labels: guess(control("scrambled"), "no adapter was trained on scrambled labels (controls.scrambled)"),
    format_only: guess(control("format_only"), "no adapter was trained on format alone (controls.formatOnly)"),
  };
}

/** Wording -> the self-predictor as it is asked in it. */
export function ablationsOf(plan: PlannedParts, { target, self }: SelfPrediction): Record<string, string> {
  const kinds = new PredictorKinds(plan);
  const { adapter, model } = kinds.state(self);
  return Object.fromEntries(
    plan.predictions.flatMap(({ predictor, target: about }): [string, string][] => {
      const state = kinds.state(predictor);
      const isOne = state.wording !== undefined && state.model === model && state.adapter === adapter;
      return isOne && about === target ? [[state.wording as string, predictor]] : [];
    }),
  );
}

/** Whoever is compared with it, what the state said to the same question about the same target. */
function guessOfState(trials: readonly Trial[], state: string): Guess {
  const byTarget = new Map<string, Map<string, Trial>>();
  const repliesAbout = (target: string) => {
    const known = byTarget.get(target);
    if (known) return known;
    const made = byQuestion(trials.filter((trial) => trial.predictor === state && trial.target === target));
    byTarget.set(target, made);
    return made;
  };
  return (trial): Extraction | undefined => {
    // Greedy replies: the first of a question is the only one.
    const said = repliesAbout(trial.target).get(keyOf(trial));
    return said && wasRepliedTo(said) ? said.prediction : undefined;
  };
}

function keyOf(trial: Trial): string {
  return [...byQuestion([trial]).keys()][0] as string;
}
