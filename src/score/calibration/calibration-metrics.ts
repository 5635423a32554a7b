/** Every measure of one predictor on a set of comparisons. */
import type { CalibrationMetrics, TailBounds } from "../../records/calibration-scores.js";
import type { Estimate } from "../../records/scores.js";
import type { PointRange } from "../measure.js";
import { pointsOf } from "./behavior-points.js";
import { brier, excessBrier } from "./brier.js";
import type { Comparison } from "./comparison.js";
import type { ConstantPredictor } from "./constant-predictor.js";
import { pearsonOf, spearmanOf } from "./correlation.js";
import { KL_MIXING, klBounds, klDivergence } from "./divergence.js";
import { estimateStatistic, type Statistic } from "./estimate-statistic.js";
import { expectedCalibrationError } from "./expected-calibration-error.js";
import { meanAbsoluteDeviation } from "./mean-absolute-deviation.js";
import { meanStatistic } from "./mean-statistic.js";
import { rankCorrelation } from "./rank-correlation.js";
import type { StringDraws } from "./string-draws.js";
import { totalVariation, totalVariationBounds } from "./total-variation.js";

const SHARE: PointRange = { least: 0, most: 1 };
export const BRIER: PointRange = { least: 0, most: 2 };

export interface MetricsContext {
  readonly draws: StringDraws;
  readonly confidence: number;
  readonly valuesSeen: ConstantPredictor["valuesSeen"];
}

export function calibrationMetrics(
  comparisons: readonly Comparison[],
  { draws, confidence, valuesSeen }: MetricsContext,
): CalibrationMetrics {
  const estimate = (statistic: Statistic): Estimate => estimateStatistic(statistic, draws, confidence);
  const mean = (amount: (comparison: Comparison) => number | undefined, range: PointRange, undefinedBecause = "") =>
    estimate(meanStatistic(comparisons, amount, { range, undefinedBecause }, draws));
  const mad = (rank?: number) => estimate(meanAbsoluteDeviation(pointsOf(comparisons, draws, rank)));
  const points = pointsOf(comparisons, draws);
  const mostValues = comparisons.reduce((most, comparison) => Math.max(most, valuesSeen(comparison)), 1);
  return {
    madPoints: mad(),
    madByRankPoints: [mad(0), mad(1), mad(2)],
    pearson: estimate(pearsonOf(points)),
    spearman: estimate(spearmanOf(points)),
    rankCorrelation: mean(
      rankCorrelation,
      { least: -1, most: 1 },
      "no string has several behaviors that the predictor tells apart",
    ),
    brier: mean(brier, BRIER),
    excessBrier: mean(excessBrier, BRIER),
    expectedCalibrationError: estimate(expectedCalibrationError(comparisons, draws)),
    totalVariation: mean(totalVariation, SHARE),
    ...bounds("totalVariationBounds", comparisons.map(totalVariationBounds)),
    klNats: mean((comparison) => klDivergence(comparison, valuesSeen(comparison)), {
      least: 0,
      most: Math.log(mostValues / KL_MIXING),
    }),
    ...bounds(
      "klNatsBounds",
      comparisons.map((comparison) => klBounds(comparison, valuesSeen(comparison))),
    ),
  };
}

function bounds<Name extends string>(name: Name, rows: readonly TailBounds[]): { readonly [_ in Name]?: TailBounds } {
  if (rows.length === 0) return {};
  const mean = (side: keyof TailBounds) => rows.reduce((sum, row) => sum + row[side], 0) / rows.length;
  return { [name]: { least: mean("least"), most: mean("most") } } as { readonly [_ in Name]?: TailBounds };
}
