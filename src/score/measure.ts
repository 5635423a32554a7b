import type { Trial } from "../records/trial.js";

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
