/** A mean over comparisons, and the ratio of two such means, as statistics of weighted strings. */

import type { MeasuredDistribution } from "../../ask/measure-distribution.js";
import { pearsonOf, rankCorrelation, spearmanOf } from "../correlation.js";
import { estimateStatistic, type Statistic } from "../interval.js";
import type { StringDraws, StringWeights } from "../resampling.js";
import type { Estimate } from "../scores.js";
import type { PointRange } from "../tally.js";
import {
  brier,
  excessBrier,
  expectedCalibrationError,
  KL_MIXING,
  klBounds,
  klDivergence,
  meanAbsoluteDeviation,
  pointsOf,
  totalVariation,
  totalVariationBounds,
  weightedSum,
} from "./measures.js";
import type { Comparison, ConstantPredictor } from "./predictors.js";
import type { CalibrationMetrics, DistributionCost, TailBounds } from "./score-calibration.js";

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

// Every measure of one predictor on a set of comparisons.

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

/** What measuring these distributions took. */
export function distributionCost(measured: readonly MeasuredDistribution[]): DistributionCost {
  const cost = { expansions: 0, evaluatedTokens: 0, sampledDistributions: 0, samples: 0 };
  for (const { distribution } of measured) {
    // Of a sampled one, those of the expansion that was given up for it.
    cost.evaluatedTokens += distribution.evaluatedTokens ?? 0;
    if (distribution.method === "expansion") {
      cost.expansions++;
    } else {
      cost.sampledDistributions++;
      cost.samples += distribution.samples;
    }
  }
  return cost;
}
