/** One measure of one cell, summed per string, with its resampled sums: all that an interval needs. */
import type { Trial } from "../records/trial.js";
import { drawResamples, type Resamples, resampledSums } from "./cluster-bootstrap.js";
import type { Measure } from "./measure.js";
import type { DrawSettings } from "./resampling-settings.js";

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
