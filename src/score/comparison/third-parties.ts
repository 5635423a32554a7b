/** What can be had without asking any model about itself, put in a predictor's place so that it is compared as one. */

import { type Extraction, value } from "../../properties/property.js";
import type { Plan, PlannedLabels } from "../../study/plan.js";
import { type PlanOfStates, statesOf } from "../../study/states.js";
import { countValues, isRight, isScored, modeOf, wasRepliedTo } from "../tally.js";
import { byQuestion, type TrainLabel, type Trial } from "../trial.js";
import {
  comparePredictors,
  type ComparisonSettings,
  type Contrast,
  type OverallComparison,
  type PredictorComparison,
} from "./comparison.js";
import type { SelfPrediction } from "./contrasts.js";

/** What a third party says to a trial's question; undefined where it has nothing to go by, and the trial is left out. */
export type Guess = (trial: Trial) => Extraction | undefined;

interface Staged {
  readonly trials: readonly Trial[];
  /** The contrasts with the third party in cross's place. */
  readonly contrasts: readonly Contrast[];
}

/** @returns self's trials, and beside each the third party's answer to the same question */
export function stageThirdParty(
  trials: readonly Trial[],
  contrasts: readonly Contrast[],
  name: string,
  guess: Guess,
): Staged {
  const staged = contrasts.map(({ target, self }, seed) => {
    const cross = contrasts.length === 1 ? name : `${name}#${seed + 1}`;
    const asked = trials.filter((trial) => trial.target === target && trial.predictor === self);
    const said = asked.flatMap((trial): Trial[] => {
      const prediction = guess(trial);
      return prediction ? [{ ...trial, predictor: cross, prediction }] : [];
    });
    return { contrast: { target, self, cross }, said };
  });
  return {
    // All trials stay, so that the strings drawn are the same as for every other comparison.
    trials: [...trials, ...staged.flatMap(({ said }) => said)],
    contrasts: staged.map(({ contrast }) => contrast),
  };
}

/** Always the most common behavior of the target's train strings, per task and property. */
export function trainModeGuess(trainLabels: readonly TrainLabel[]): Guess {
  const labels = new Map<string, string[]>();
  for (const { target, task, property, value: label } of trainLabels) {
    const key = JSON.stringify([target, task, property]);
    const known = labels.get(key);
    if (known) known.push(label);
    else labels.set(key, [label]);
  }
  const modes = new Map([...labels].map(([key, values]) => [key, modeOf(countValues(values))]));
  return ({ target, task, property }) => {
    const mode = modes.get(JSON.stringify([target, task, property]));
    return mode === undefined ? undefined : value(mode);
  };
}

/** One rule on the string alone; it has nothing to say on tasks where it means nothing. */
function heuristicGuess(rule: string): Guess {
  return ({ heuristics }) => (Object.hasOwn(heuristics, rule) ? heuristics[rule] : undefined);
}

/**
 * @returns the rule that is right on most of self's trials, seen after the fact, so in the third party's favor; the first by name of equal
 *   ones. A trial that a rule says nothing about is none it is right on: a rule for one task must not stand for all of them
 */
export function bestHeuristicOf(trials: readonly Trial[], contrasts: readonly Contrast[]): string | undefined {
  const asked = askedOf(trials, contrasts).filter(isScored);
  const rules = [...new Set(asked.flatMap(({ heuristics }) => Object.keys(heuristics)))].sort();
  let best: { rule: string; right: number } | undefined;
  for (const rule of rules) {
    const guess = heuristicGuess(rule);
    const right = asked.filter((trial) => {
      const said = guess(trial);
      return said !== undefined && isRight(trial, said);
    }).length;
    if (!best || right > best.right) best = { rule, right };
  }
  return best?.rule;
}

// Self against everything that can be had without the model looking at itself: rules, a classifier, and adapters that are controls.

export interface ThirdPartyInput {
  /** All trials of the run in scope. */
  readonly trials: readonly Trial[];
  readonly trainLabels: readonly TrainLabel[];
  readonly contrasts: readonly Contrast[];
  /** A classifier that saw what the target's adapter learnt from, strings and behaviors, and nothing of any model. */
  readonly inputOnly?: Guess;
  /** One that saw every train string of the scored tasks; left out where it says what the other says. */
  readonly inputOnlyHeldOutLabels?: Guess;
  /** Other states in a third party's place, by its name: what each says, or why there is none. */
  readonly states?: Readonly<Record<string, Guess | string>>;
}

export interface ThirdPartyComparisons<Compared extends OverallComparison = PredictorComparison> {
  readonly comparisons: Readonly<Record<string, Compared>>;
  /** Third parties that were not run, with the reason. */
  readonly notCompared: Readonly<Record<string, string>>;
}

/** Third parties that every self-prediction has, whatever the plan's states. */
export const STRING_PARTIES = ["mode_train", "best_heuristic", "input_only"] as const;

/** What each third party says, by its name, or why there is none. */
export function thirdPartyGuesses({
  trials,
  trainLabels,
  contrasts,
  inputOnly,
  inputOnlyHeldOutLabels,
  states = {},
}: ThirdPartyInput): Record<string, Guess | string> {
  const rule = bestHeuristicOf(trials, contrasts);
  const guesses: Record<string, Guess | string> = {
    mode_train: trainLabels.length > 0 ? trainModeGuess(trainLabels) : "no train string has a behavior",
    best_heuristic: rule === undefined ? "no simple rule applies to these strings" : heuristicGuess(rule),
    input_only: inputOnly ?? "no input-only classifier was trained",
    ...(inputOnlyHeldOutLabels && !saysTheSame(inputOnly, inputOnlyHeldOutLabels, trials, contrasts)
      ? { input_only_held_out_labels: inputOnlyHeldOutLabels }
      : {}),
    ...states,
  } satisfies Record<(typeof STRING_PARTIES)[number], Guess | string>;
  const asked = askedOf(trials, contrasts);
  const isSilent = (guess: Guess) => asked.length > 0 && asked.every((trial) => guess(trial) === undefined);
  return Object.fromEntries(
    Object.entries(guesses).map(([name, guess]) => [
      name,
      typeof guess !== "string" && isSilent(guess)
        ? "it has nothing to say on these trials: nothing that it learnt from was about them"
        : guess,
    ]),
  );
}

export function compareThirdParties(input: ThirdPartyInput, settings: ComparisonSettings): ThirdPartyComparisons;
export function compareThirdParties<Compared extends OverallComparison>(
  input: ThirdPartyInput,
  settings: ComparisonSettings,
  compare: CompareContrasts<Compared>,
): ThirdPartyComparisons<Compared>;
export function compareThirdParties(
  input: ThirdPartyInput,
  settings: ComparisonSettings,
  compare: CompareContrasts<OverallComparison> = comparePredictors,
): ThirdPartyComparisons<OverallComparison> {
  const { trials, contrasts } = input;
  const comparisons: Record<string, OverallComparison> = {};
  const notCompared: Record<string, string> = {};
  for (const [name, guess] of Object.entries(thirdPartyGuesses(input))) {
    if (typeof guess === "string") {
      notCompared[name] = guess;
      continue;
    }
    const staged = stageThirdParty(trials, contrasts, name, guess);
    comparisons[name] = compare(staged.trials, staged.contrasts, settings);
  }
  return { comparisons, notCompared };
}

type CompareContrasts<Compared> = (
  trials: readonly Trial[],
  contrasts: readonly Contrast[],
  settings: ComparisonSettings,
) => Compared;

function saysTheSame(
  one: Guess | undefined,
  other: Guess,
  trials: readonly Trial[],
  contrasts: readonly Contrast[],
): boolean {
  if (!one) return false;
  return askedOf(trials, contrasts).every((trial) => {
    const [a, b] = [one(trial), other(trial)];
    return a?.ok && b?.ok ? a.value === b.value : a?.ok === b?.ok;
  });
}

/** Self's trials. */
function askedOf(trials: readonly Trial[], contrasts: readonly Contrast[]): Trial[] {
  return trials.filter((trial) =>
    contrasts.some(({ target, self }) => trial.target === target && trial.predictor === self),
  );
}

export type PlannedParts = PlanOfStates & Pick<Plan, "models" | "predictions">;

// States of a plan that stand in a third party's place: the untrained model, and adapters that are controls.

/** What each state says in a third party's place, by its name, or why there is none. */
export function stateParties(
  plan: PlannedParts,
  trials: readonly Trial[],
  selves: readonly SelfPrediction[],
): Record<string, Guess | string> {
  const states = statesOf(plan);
  const [{ target, self }] = selves as [SelfPrediction, ...SelfPrediction[]];
  if (!states.of(self).isTrained) return {};
  const { origin } = states.of(self);
  const asked = (name: string) =>
    plan.predictions.some((pair) => pair.predictor === name && selves.some((one) => one.target === pair.target));
  const control = (labels: PlannedLabels): string | undefined =>
    states.trained.find((state) => state.labels === labels && state.origin === origin && asked(state.name))?.name;
  const guess = (state: string | undefined, otherwise: string) =>
    state === undefined ? otherwise : guessOfState(trials, state);
  const told = states.of(origin).implant?.told === true;
  return {
    // A positive control knows before it learns to answer: falling short of itself would hide what was planted.
    untrained: told
      ? `${origin} was told beforehand what it would answer`
      : guess(asked(origin) ? origin : undefined, `${origin}, untrained, was not asked about ${target}`),
    scrambled_labels: guess(control("scrambled"), "no adapter was trained on scrambled labels (controls.scrambled)"),
    format_only: guess(control("format_only"), "no adapter was trained on format alone (controls.formatOnly)"),
  };
}

/** Among the wordings of a self-predictor, the one that learnt from noisy labels. */
export const NOISY_LABELS = "noisy_labels";

/** Wording, or noisy labels -> the self-predictor as it is asked in it, or as it learnt from them. */
export function ablationsOf(plan: PlannedParts, { target, self }: SelfPrediction): Record<string, string> {
  const states = statesOf(plan);
  const { adapter, model, origin } = states.of(self);
  return Object.fromEntries(
    plan.predictions.flatMap(({ predictor, target: about }): [string, string][] => {
      const state = states.of(predictor);
      const isOne = state.wording !== undefined && state.model === model && state.adapter === adapter;
      if (state.labels === "noisy" && state.origin === origin && about === target) return [[NOISY_LABELS, predictor]];
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
