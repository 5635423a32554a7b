/** One measure of one cell, summed per string, with its resampled sums: all that an interval needs. */
import type { Trial } from "../records/trial.js";
import { type Resamples, resampledSums } from "./cluster-bootstrap.js";
import type { Measure } from "./measure.js";

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
