/** ECE of the likeliest prediction: is what a predictor gives 30 % done in 30 % of cases? */
import type { Comparison } from "./comparison.js";
import type { Statistic } from "./estimate-statistic.js";
import { weightedSum } from "./mean-statistic.js";
import type { StringDraws, StringWeights } from "./string-draws.js";

const BINS = 10;

/**
 * Σ over ten bins of equal width of the bin's share of comparisons times |mean p_hyp − mean p_obj| of each comparison's likeliest
 * prediction (equal ones: the first by value); the last bin holds 1. Comparisons without any prediction are left out.
 */
export function expectedCalibrationError(comparisons: readonly Comparison[], draws: StringDraws): Statistic {
  const counts = new Int32Array(draws.strings);
  const gaps = Array.from({ length: BINS }, () => new Float64Array(draws.strings));
  const strings = comparisons.flatMap((comparison) => {
    const top = likeliest(comparison.hypothetical);
    if (top === undefined) return [];
    const place = draws.placeOf(comparison);
    const [value, held] = top;
    const bin = gaps[Math.min(BINS - 1, Math.floor(BINS * held))] as Float64Array;
    bin[place] = (bin[place] as number) + held - (comparison.object.get(value) ?? 0);
    counts[place] = (counts[place] as number) + 1;
    return [place];
  });
  return {
    at: (weights: StringWeights) => {
      const counted = weightedSum(counts, weights);
      if (counted === 0) return undefined;
      return gaps.reduce((sum, gap) => sum + Math.abs(weightedSum(gap, weights)), 0) / counted;
    },
    strings,
    range: { least: 0, most: 1 },
    undefinedBecause: "no prediction has a value",
  };
}

function likeliest(predictions: ReadonlyMap<string, number>): [string, number] | undefined {
  let best: [string, number] | undefined;
  for (const [value, probability] of predictions) {
    if (!best || probability > best[1] || (probability === best[1] && value < best[0])) best = [value, probability];
  }
  return best;
}
