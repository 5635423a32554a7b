/**
 * Where two states behave differently, does each say what it does itself or what the other does? Likeness has no part in this:
 * strings on which they behave alike are not counted. Each pair is taken both ways, so that neither a target that is easily guessed
 * nor an answer that is common to all favors a side.
 */
import type { Estimate } from "../../records/scores.js";
import type { Trial } from "../../records/trial.js";
import { isScored } from "../accuracy.js";
import { behaviorOf } from "../comparison/behavior-of.js";
import { estimateOver } from "../estimate-over.js";
import { DIFFERENCE, type Measure, type PointRange, PROPORTION } from "../measure.js";
import type { ResamplingSettings } from "../resampling-settings.js";
import type { TaskStrings } from "../tally.js";

export interface OwnOrOther {
  /** Unordered pairs of states that both predict and are predicted. */
  readonly pairs: number;
  /** Shares of the trials in which the two behave differently. */
  readonly own: Estimate;
  readonly others: Estimate;
  /** own − others, paired trial by trial. */
  readonly difference: Estimate;
}

/**
 * @param trials every predictor about every target
 * @param pairs of different states, each once
 * @param strings the strings of every task among the trials, with their draws
 */
export function ownOrOther(
  trials: readonly Trial[],
  pairs: readonly (readonly [string, string])[],
  strings: ReadonlyMap<string, TaskStrings>,
  { confidence }: ResamplingSettings,
): OwnOrOther {
  const about = new Map<string, Trial[]>();
  for (const trial of trials) {
    if (trial.predictor !== trial.target) continue;
    const own = about.get(trial.target);
    if (own) own.push(trial);
    else about.set(trial.target, [trial]);
  }
  const others = new Map<Trial, string>();
  const behaviors = new Map([...about.keys()].map((state) => [state, behaviorOf(trials, state)]));
  for (const [first, second] of pairs.flatMap(([a, b]) => [[a, b] as const, [b, a] as const])) {
    for (const trial of about.get(first) ?? []) {
      const other = behaviors.get(second)?.(trial);
      if (other?.ok && isScored(trial) && other.value !== trial.behavior.value) others.set({ ...trial }, other.value);
    }
  }
  const differing = [...others.keys()];
  const saysOwn = (trial: Trial) => Number(isScored(trial) && says(trial, trial.behavior.value));
  const saysOther = (trial: Trial) => Number(says(trial, others.get(trial) as string));
  const estimate = (measure: Measure, range: PointRange): Estimate =>
    differing.length === 0
      ? { ok: false, reason: pairs.length === 0 ? "there are no two states" : "the states differ on no string" }
      : estimateOver(differing, { measure, range, kind: "micro" }, strings, confidence);
  return {
    pairs: pairs.length,
    own: estimate(saysOwn, PROPORTION),
    others: estimate(saysOther, PROPORTION),
    difference: estimate((trial) => saysOwn(trial) - saysOther(trial), DIFFERENCE),
  };
}

function says({ prediction }: Trial, value: string): boolean {
  return prediction.ok && prediction.value === value;
}
