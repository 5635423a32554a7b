/**
 * Trials about a trained target, by whether training moved the behavior: who knows what the model did before is right about every
 * trial that did not move and about none that did. So only moved ones tell of its present self.
 */

import { type Extraction, value } from "../../properties/property.js";
import { isScored } from "../tally.js";
import { stringKey, type Trial } from "../trial.js";
import {
  behaviorOf,
  type ComparisonSettings,
  type Contrast,
  compareOverall,
  type OverallComparison,
} from "./comparison.js";
import type { MovedRows } from "./comparisons.js";
import { cellOf, modesOf } from "./difference.js";
import { compareThirdParties, type Guess, type ThirdPartyInput } from "./third-parties.js";

/**
 * From so many strings on with a moved behavior a yes must come out on those. Fewer would be too rough to decide (docs/validation.md:
 * of 10 strings intervals hold in 92 to 94 %), and more would let those pass who know the old behavior of a model that moved little.
 */
export const FEWEST_MOVED = 10;

interface SplitTrials {
  readonly base: string;
  /** All trials about other targets stay, so that strings are drawn as for every other comparison. */
  readonly moved: readonly Trial[];
  readonly unmoved: readonly Trial[];
  /** Trials of self whose base has no behavior on the string, or several. */
  readonly unknown: number;
  /** Strings (clusters) with a scored moved trial of self. */
  readonly strings: number;
  readonly guess: Guess;
}

/**
 * @param bases of each target: what it was before it learnt to predict
 * @param asked trials that tell what a base did, those of behaviors that are left out of comparisons among them
 */
function splitTrials(
  trials: readonly Trial[],
  contrasts: readonly Contrast[],
  bases: ReadonlyMap<string, string>,
  asked: readonly Trial[],
): SplitTrials {
  const before = new Map([...bases].map(([target, base]) => [target, behaviorOf(asked, base)]));
  const sideOf = (trial: Trial): "moved" | "unmoved" | "unknown" | "other" => {
    const was = before.get(trial.target);
    if (!was) return "other";
    const old = was(trial);
    if (!old?.ok || !isScored(trial)) return "unknown";
    return old.value === trial.behavior.value ? "unmoved" : "moved";
  };
  const sides = new Map(trials.map((trial) => [trial, sideOf(trial)]));
  const keep = (side: "moved" | "unmoved") =>
    trials.filter((trial) => [side, "other"].includes(sides.get(trial) as string));
  const own = trials.filter((trial) =>
    contrasts.some(({ target, self }) => trial.target === target && trial.predictor === self),
  );
  const movedOfSelf = own.filter((trial) => sides.get(trial) === "moved").filter(isScored);
  const modes = modesOf(movedOfSelf);
  return {
    base: [...bases.values()][0] as string,
    moved: keep("moved"),
    unmoved: keep("unmoved"),
    unknown: own.filter((trial) => sides.get(trial) === "unknown").length,
    strings: new Set(movedOfSelf.map(stringKey)).size,
    guess: (trial): Extraction | undefined => {
      const mode = isScored(trial) ? modes.get(cellOf(trial)) : undefined;
      return mode === undefined ? undefined : value(mode);
    },
  };
}

function rowsOf<Compared>(
  { base, moved, unmoved, unknown, strings }: SplitTrials,
  compare: (trials: readonly Trial[]) => Compared,
): MovedRows<Compared> {
  return {
    base,
    strings,
    isEnough: strings >= FEWEST_MOVED,
    unknown,
    moved: compare(moved),
    unmoved: compare(unmoved),
  };
}

/** Self against cross, on either side. */
export function compareMoved(
  trials: readonly Trial[],
  contrasts: readonly Contrast[],
  bases: ReadonlyMap<string, string>,
  settings: ComparisonSettings,
  asked: readonly Trial[],
): MovedRows<OverallComparison> {
  return rowsOf(splitTrials(trials, contrasts, bases, asked), (some) => compareOverall(some, contrasts, settings));
}

/**
 * Self against what needs no self, on either side. Modes and classifiers know the new behavior at large, not of moved trials; so the most
 * common new behavior of just these trials stands beside them, chosen after the fact, in its favor.
 */
export function compareMovedParties(
  input: ThirdPartyInput,
  bases: ReadonlyMap<string, string>,
  settings: ComparisonSettings,
  asked: readonly Trial[],
): MovedRows<Readonly<Record<string, OverallComparison>>> {
  const split = splitTrials(input.trials, input.contrasts, bases, asked);
  return rowsOf(split, (trials) => {
    const states = trials === split.moved ? { ...input.states, mode_moved: split.guess } : input.states;
    return compareThirdParties({ ...input, trials, states }, settings, compareOverall).comparisons;
  });
}
