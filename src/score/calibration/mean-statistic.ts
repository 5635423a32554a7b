/** A mean over comparisons, and the ratio of two such means, as statistics of weighted strings. */
import type { PointRange } from "../measure.js";
import type { Comparison } from "./comparison.js";
import type { Statistic } from "./estimate-statistic.js";
import type { StringDraws, StringWeights } from "./string-draws.js";

/** @param amount of one comparison; undefined when it is not counted */
export function meanStatistic(
  comparisons: readonly Comparison[],
  amount: (comparison: Comparison) => number | undefined,
  { range, undefinedBecause }: { readonly range: PointRange; readonly undefinedBecause: string },
  draws: StringDraws,
): Statistic {
  const sums = new Float64Array(draws.strings);
  const counts = new Int32Array(draws.strings);
  const strings = comparisons.flatMap((comparison) => {
    const one = amount(comparison);
    if (one === undefined) return [];
    const place = draws.placeOf(comparison);
    sums[place] = (sums[place] as number) + one;
    counts[place] = (counts[place] as number) + 1;
    return [place];
  });
  const at = (weights: StringWeights) => {
    const counted = weightedSum(counts, weights);
    return counted === 0 ? undefined : weightedSum(sums, weights) / counted;
  };
  return { at, strings, range, undefinedBecause: strings.length === 0 ? undefinedBecause : "no string was drawn" };
}

export function weightedSum(perString: ArrayLike<number>, weights: StringWeights): number {
  let sum = 0;
  for (let place = 0; place < perString.length; place++) {
    sum += (perString[place] as number) * (weights[place] as number);
  }
  return sum;
}
