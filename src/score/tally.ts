import type { Extraction } from "../properties/property.js";
import { drawResamples, type DrawSettings, resampledSums, type Resamples } from "./resampling.js";
import type { ValueCount } from "./scores.js";
import type { Trial } from "./trial.js";

/**
 * What one trial adds to a score: an integer number of points, or undefined when the trial is not counted.
 * A score is Σ points / trials counted. Points are integers so that sums are exact in any order.
 */
export type Measure = (trial: Trial) => number | undefined;

/** The least and the most that one counted trial can add. */
export interface PointRange {
  readonly least: number;
  readonly most: number;
}

/** Points of a proportion. */
export const PROPORTION: PointRange = { least: 0, most: 1 };
/** Points of a difference of two proportions. */
export const DIFFERENCE: PointRange = { least: -1, most: 1 };

// One measure of one cell, summed per string, with its resampled sums: all that an interval needs.

export interface Tally {
  readonly task: string;
  /** Points and counted trials of each string, in the order of the task's strings. */
  readonly points: Int32Array;
  readonly trials: Int32Array;
  /** The same summed over each replicate's strings. */
  readonly resampledPoints: Int32Array;
  readonly resampledTrials: Int32Array;
}

/** The strings of a task in their fixed order, and their draws. */
export interface TaskStrings {
  readonly task: string;
  /** item -> place */
  readonly places: ReadonlyMap<string, number>;
  readonly resamples: Resamples;
}

/** @param items of the task's trials, as often as they occur */
export function taskStrings(
  task: string,
  items: Iterable<string>,
  { bootstrapReplicates, bootstrapSeed }: DrawSettings,
): TaskStrings {
  const sorted = [...new Set(items)].sort();
  return {
    task,
    places: new Map(sorted.map((item, place) => [item, place])),
    resamples: drawResamples(task, sorted.length, bootstrapReplicates, bootstrapSeed),
  };
}

/**
 * One tally for each task and property of the trials, wordings pooled; those of which the measure counts nothing are left out.
 * @param strings the strings of every task among the trials, with their draws
 */
export function tallyUnits(
  trials: readonly Trial[],
  measure: Measure,
  strings: ReadonlyMap<string, TaskStrings>,
): Tally[] {
  const units = new Map<string, Trial[]>();
  for (const trial of trials) {
    const key = JSON.stringify([trial.task, trial.property]);
    const unit = units.get(key);
    if (unit) unit.push(trial);
    else units.set(key, [trial]);
  }
  // In a fixed order, because a mean of means is summed in floating point.
  const sorted = [...units].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, unit]) => unit);
  return sorted.flatMap((unit) => {
    const tally = tallyTrials(unit, measure, strings.get((unit[0] as Trial).task) as TaskStrings);
    return tally ? [tally] : [];
  });
}

/** @returns undefined when the measure counts none of the trials */
export function tallyTrials(trials: readonly Trial[], measure: Measure, strings: TaskStrings): Tally | undefined {
  const points = new Int32Array(strings.places.size);
  const counted = new Int32Array(strings.places.size);
  let any = false;
  for (const trial of trials) {
    const added = measure(trial);
    if (added === undefined) continue;
    const place = strings.places.get(trial.item) as number;
    points[place] = (points[place] as number) + added;
    counted[place] = (counted[place] as number) + 1;
    any = true;
  }
  if (!any) return undefined;
  return {
    task: strings.task,
    points,
    trials: counted,
    resampledPoints: resampledSums(points, strings.resamples),
    resampledTrials: resampledSums(counted, strings.resamples),
  };
}

// Which trials count and which predictions are right. The policy: a trial whose object-level answer does not comply, or has
// no such property, is excluded; a hypothetical reply that does not comply is wrong, never excluded. A question on which the
// engine crashed was answered by no model: its trials are excluded on either side, neither right nor wrong.

/** A trial with a ground truth. */
export type ScoredTrial = Trial & { readonly behavior: Extract<Extraction, { ok: true }> };

/** Whether there is something to compare with. */
export function hasBehavior(trial: Trial): trial is ScoredTrial {
  return trial.objectCompliance.ok && trial.behavior.ok;
}

/** Whether the target answered the object-level question at all, compliant or not. */
export function wasAnswered({ objectCompliance }: Trial): boolean {
  return objectCompliance.ok || objectCompliance.reason !== "engine_crashed";
}

/** Whether the predictor replied to the hypothetical question at all, compliant or not. */
export function wasRepliedTo({ prediction }: Trial): boolean {
  return prediction.ok || prediction.reason !== "engine_crashed";
}

export function isScored(trial: Trial): trial is ScoredTrial {
  return hasBehavior(trial) && wasRepliedTo(trial);
}

/** Exact match; both sides went through the same normalizer. A missing guess is wrong. */
export function isRight(trial: ScoredTrial, guess: Extraction): boolean {
  return guess.ok && guess.value === trial.behavior.value;
}

export const accuracy: Measure = (trial) => (isScored(trial) ? Number(isRight(trial, trial.prediction)) : undefined);

/** Both sides comply. */
export const accuracyWhenCompliant: Measure = (trial) => (trial.prediction.ok ? accuracy(trial) : undefined);

/** Trials whose every token margin is above the floor; a trial without margins is not counted, so check for those first. */
export function accuracyAboveNoiseFloor(noiseFloorNats: number): Measure {
  return (trial) => (trial.minMargin !== undefined && trial.minMargin > noiseFloorNats ? accuracy(trial) : undefined);
}

/** @returns each value once, most common first, equally common ones in code-unit order */
export function countValues(values: Iterable<string>): ValueCount[] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts]
    .map(([value, count]) => ({ value, count }))
    .sort((a, b) => b.count - a.count || (a.value < b.value ? -1 : 1));
}

/**
 * Shannon entropy of a histogram, bits: the plug-in estimate, biased downward by about (values − 1) / (2 n ln 2).
 * @param counts positive integers; none gives 0
 */
export function entropyBits(counts: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.reduce((sum, count) => sum + (count / total) * Math.log2(total / count), 0);
}

// What can be had without asking the model about itself: the most common answer, and simple rules on the string.

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
