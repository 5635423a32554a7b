/** The estimate of one measure over trials of any cells: what averages are, for a choice of trials that is no choice of cells. */
import type { Estimate } from "../records/scores.js";
import type { Trial } from "../records/trial.js";
import { estimateMean } from "./estimate.js";
import type { Measure, PointRange } from "./measure.js";
import { type TaskStrings, tallyTrials } from "./tally.js";

export interface Measured {
  readonly measure: Measure;
  readonly range: PointRange;
  /** `micro` every trial counts the same; `macro` every task and property does, its wordings pooled. */
  readonly kind: "micro" | "macro";
}

/** @param strings the strings of every task among the trials, with their draws */
export function estimateOver(
  trials: readonly Trial[],
  { measure, range, kind }: Measured,
  strings: ReadonlyMap<string, TaskStrings>,
  confidence: number,
): Estimate {
  const units = new Map<string, Trial[]>();
  for (const trial of trials) {
    const key = JSON.stringify([trial.task, trial.property]);
    const unit = units.get(key);
    if (unit) unit.push(trial);
    else units.set(key, [trial]);
  }
  // In a fixed order, because a mean of means is summed in floating point.
  const sorted = [...units].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, unit]) => unit);
  const tallies = sorted.flatMap((unit) => {
    const tally = tallyTrials(unit, measure, strings.get((unit[0] as Trial).task) as TaskStrings);
    return tally ? [tally] : [];
  });
  if (tallies.length === 0) return { ok: false, reason: `none of ${trials.length} trials can be counted` };
  return estimateMean(kind === "micro" ? [tallies] : tallies.map((tally) => [tally]), range, confidence);
}
