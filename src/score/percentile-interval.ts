/** The middle `confidence` of bootstrap replicates. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * @param replicates at least one finite number; sorted in place
 * @param confidence in (0, 1)
 */
export function percentileInterval(replicates: Float64Array, confidence: number): Interval {
  replicates.sort();
  const tail = (1 - confidence) / 2;
  return { low: quantile(replicates, tail), high: quantile(replicates, 1 - tail) };
}

/** Linear between order statistics, as in Hyndman & Fan 1996, type 7. */
function quantile(sorted: Float64Array, probability: number): number {
  const place = probability * (sorted.length - 1);
  const below = sorted[Math.floor(place)] as number;
  const above = sorted[Math.ceil(place)] as number;
  return below + (above - below) * (place - Math.floor(place));
}
