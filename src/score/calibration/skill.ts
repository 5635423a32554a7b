/** How much better than the constant predictor: the part of its Brier score that a predictor takes away. */
import type { Comparison } from "./comparison.js";
import { BRIER } from "./calibration-metrics.js";
import { brier } from "./brier.js";
import type { Statistic } from "./estimate-statistic.js";
import { meanStatistic } from "./mean-statistic.js";
import type { StringDraws } from "./string-draws.js";

/**
 * 1 − mean Brier / mean Brier of the constant predictor: 1 is perfect, 0 no better, below 0 worse. Constant predictions stay
 * the same in all replicates.
 * @param constant the same comparisons in the same order with constant predictions
 */
export function skill(
  comparisons: readonly Comparison[],
  constant: readonly Comparison[],
  draws: StringDraws,
): Statistic {
  const because = { range: BRIER, undefinedBecause: "no string was drawn" };
  const own = meanStatistic(comparisons, brier, because, draws);
  const other = meanStatistic(constant, brier, because, draws);
  const whole = other.at(new Uint8Array(draws.strings).fill(1)) ?? 0;
  return {
    at: (weights) => {
      const [score, reference] = [own.at(weights), other.at(weights)];
      return score === undefined || !reference ? undefined : 1 - score / reference;
    },
    strings: own.strings,
    range: { least: whole > 0 ? 1 - BRIER.most / whole : 0, most: 1 },
    undefinedBecause: "the constant predictor is never wrong: nothing to improve on",
  };
}
