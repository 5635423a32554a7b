/** What can be had without asking the model about itself: the most common answer, and simple rules on the string. */
import type { ValueCount } from "../records/scores.js";
import type { Trial } from "../records/trial.js";
import { accuracy, isRight, isScored } from "./accuracy.js";
import type { Measure } from "./measure.js";

/** @returns the most common value; of equally common ones the first in code-unit order, so that row order never matters */
export function modeOf(counts: readonly ValueCount[]): string | undefined {
  let best: ValueCount | undefined;
  for (const entry of counts) {
    if (!best || entry.count > best.count || (entry.count === best.count && entry.value < best.value)) best = entry;
  }
  return best?.value;
}

/**
 * Always giving this answer, on the same trials as accuracy. The answer is fixed before resampling: a mode taken anew in
 * each replicate is a maximum, biased upward, and its interval could lie wholly above its own value.
 */
export function alwaysAnswering(value: string): Measure {
  return (trial) => (isScored(trial) ? Number(trial.behavior.value === value) : undefined);
}

/** Accuracy minus always giving this answer, paired trial by trial. */
export function accuracyAbove(value: string): Measure {
  const baseline = alwaysAnswering(value);
  return (trial) => {
    const points = accuracy(trial);
    const without = baseline(trial);
    return points === undefined || without === undefined ? undefined : points - without;
  };
}

/** A simple rule's accuracy: trials that the rule does not apply to are not counted, an answer without the property is wrong. */
export function heuristicBaseline(rule: string): Measure {
  return (trial) => {
    const guess = heuristicOf(trial, rule);
    return guess && isScored(trial) ? Number(isRight(trial, guess)) : undefined;
  };
}

function heuristicOf(trial: Trial, rule: string) {
  return Object.hasOwn(trial.heuristics, rule) ? trial.heuristics[rule] : undefined;
}
