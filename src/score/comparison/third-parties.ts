/** What can be had without asking any model about itself, put in a predictor's place so that it is compared as one. */
import type { Contrast } from "../../records/comparison.js";
import { type Extraction, value } from "../../records/extraction.js";
import type { TrainLabel, Trial } from "../../records/trial.js";
import { isRight, isScored } from "../accuracy.js";
import { modeOf } from "../baselines.js";
import { countValues } from "../value-counts.js";

/** What a third party says to a trial's question; undefined where it has nothing to go by, and the trial is left out. */
export type Guess = (trial: Trial) => Extraction | undefined;

export interface Staged {
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
export function heuristicGuess(rule: string): Guess {
  return ({ heuristics }) => (Object.hasOwn(heuristics, rule) ? heuristics[rule] : undefined);
}

/** @returns the rule that is right most often on self's trials, seen after the fact, so in the third party's favor; the first by name of equal ones */
export function bestHeuristicOf(trials: readonly Trial[], contrasts: readonly Contrast[]): string | undefined {
  const asked = trials
    .filter((trial) => contrasts.some(({ target, self }) => trial.target === target && trial.predictor === self))
    .filter(isScored);
  const rules = [...new Set(asked.flatMap(({ heuristics }) => Object.keys(heuristics)))].sort();
  let best: { rule: string; share: number } | undefined;
  for (const rule of rules) {
    const guess = heuristicGuess(rule);
    const points = asked.flatMap((trial) => {
      const said = guess(trial);
      return said ? [Number(isRight(trial, said))] : [];
    });
    const share = points.reduce((sum, point) => sum + point, 0) / points.length;
    if (!best || share > best.share) best = { rule, share };
  }
  return best?.rule;
}
