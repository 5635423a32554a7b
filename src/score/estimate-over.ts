/** The estimate of one measure over trials of any cells: what averages are, for a choice of trials that is no choice of cells. */
import type { Estimate } from "../records/scores.js";
import type { Trial } from "../records/trial.js";
import { estimateMean } from "./estimate.js";
import type { Measure, PointRange } from "./measure.js";
import { type TaskStrings, tallyUnits } from "./tally.js";

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
  const tallies = tallyUnits(trials, measure, strings);
  if (tallies.length === 0) return { ok: false, reason: `none of ${trials.length} trials can be counted` };
  return estimateMean(kind === "micro" ? [tallies] : tallies.map((tally) => [tally]), range, confidence);
}
