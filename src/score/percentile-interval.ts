/** The middle of bootstrap replicates. */
import { normalCumulative } from "./normal.js";
import { studentQuantile } from "./student-t.js";

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** What was drawn: strings, of each task among themselves. */
export interface DrawnStrings {
  /** Strings that the value rests on, and tasks that they are of. */
  readonly clusters: number;
  readonly tasks: number;
}

/** For readers of a report. */
export const EXPANDED =
  "Percentiles lie farther out the fewer strings there are (expanded percentiles, Hesterberg 2015).";

/**
 * @param replicates at least one finite number; sorted in place
 * @param confidence in (0, 1)
 * @param drawn widens the percentiles for few strings; left out where tasks are drawn as well, which varies more than it should already
 */
export function percentileInterval(replicates: Float64Array, confidence: number, drawn?: DrawnStrings): Interval {
  replicates.sort();
  const tail = drawn ? expandedTail(confidence, drawn) : (1 - confidence) / 2;
  return { low: quantile(replicates, tail), high: quantile(replicates, 1 - tail) };
}

/**
 * Drawing m strings with replacement understates a task's variance by (m − 1) ÷ m, and percentiles know nothing of how uncertain
 * that variance is: so the limits lie farther out, where √(n ÷ f) times Student's t with f = strings − tasks degrees of freedom does on the normal
 * scale (T. C. Hesterberg 2015, The American Statistician 69, 371-386, "expanded percentile"). docs/validation.md has what it mends.
 */
export function expandedTail(confidence: number, { clusters, tasks }: DrawnStrings): number {
  const degreesOfFreedom = Math.max(1, clusters - tasks);
  const t = studentQuantile((1 + confidence) / 2, degreesOfFreedom);
  return normalCumulative(-t * Math.sqrt(clusters / degreesOfFreedom));
}

/** Linear between order statistics, as in Hyndman & Fan 1996, type 7. */
function quantile(sorted: Float64Array, probability: number): number {
  const place = probability * (sorted.length - 1);
  const below = sorted[Math.floor(place)] as number;
  const above = sorted[Math.ceil(place)] as number;
  return below + (above - below) * (place - Math.floor(place));
}
