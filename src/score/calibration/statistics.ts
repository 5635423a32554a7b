/** Statistics of weighted strings: a mean over comparisons, and every measure of one predictor. */

import type { MeasuredDistribution } from "../../ask/measure-distribution.js";
import { CORRELATION, pearsonOf, rankCorrelation, spearmanOf } from "../correlation.js";
import { type Estimate, estimate } from "../interval.js";
import type { StringDraws, StringWeights } from "../resampling.js";
import { type PointRange, PROPORTION } from "../tally.js";
import type { ClusteredRow } from "../trial.js";
import {
  brier,
  brierBounds,
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
import { madOfSamples, type Sampler } from "./mad-of-samples.js";
import type { Comparison, ConstantPredictor } from "./predictors.js";
import type { CalibrationMetrics, DistributionCost, TailBounds } from "./score-calibration.js";

export interface WeightedStatistic {
  /** @returns undefined where the statistic is not defined for these weights */
  readonly at: (weights: StringWeights) => number | undefined;
  /** Places of the strings of what it averages, one entry for each. */
  readonly strings: readonly number[];
  readonly range: PointRange;
  /** Why it is not defined, where it is not. */
  readonly undefinedBecause: string;
}

export function estimateWeighted(
  { at, strings, range, undefinedBecause }: WeightedStatistic,
  { strings: all, taskAt, replicates }: StringDraws,
  confidence: number,
): Estimate {
  if (strings.length === 0) return { ok: false, reason: "nothing to compare" };
  const value = at(new Uint8Array(all).fill(1));
  const counted = [...new Set(strings)];
  const clusters = counted.length;
  // Of one string every draw is that string: nothing to be gained from drawing it.
  const draws = value === undefined || clusters === 1 ? [] : replicates.map(at);
  const tasks = new Set(counted.map(taskAt)).size;
  return estimate({ value, n: strings.length, clusters, tasks, range, undefinedBecause }, draws, {
    confidence,
    undefinedReplicates: "refuse_half",
  });
}

/** @param amount of one comparison; undefined when it is not counted */
export function meanStatistic<Row extends ClusteredRow>(
  comparisons: readonly Row[],
  amount: (comparison: Row) => number | undefined,
  { range, undefinedBecause }: { readonly range: PointRange; readonly undefinedBecause: string },
  draws: StringDraws,
): WeightedStatistic {
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

export const BRIER: PointRange = { least: 0, most: 2 };

export interface MetricsContext {
  readonly draws: StringDraws;
  readonly confidence: number;
  readonly sampler: Sampler;
  readonly valuesSeen: ConstantPredictor["valuesSeen"];
}

export function calibrationMetrics(
  comparisons: readonly Comparison[],
  { draws, confidence, sampler, valuesSeen }: MetricsContext,
): CalibrationMetrics {
  const measure = (statistic: WeightedStatistic): Estimate => estimateWeighted(statistic, draws, confidence);
  const mean = (amount: (comparison: Comparison) => number | undefined, range: PointRange, undefinedBecause = "") =>
    measure(meanStatistic(comparisons, amount, { range, undefinedBecause }, draws));
  const mad = (rank?: number) => measure(meanAbsoluteDeviation(pointsOf(comparisons, draws, rank)));
  const points = pointsOf(comparisons, draws);
  const mostValues = comparisons.reduce((most, comparison) => Math.max(most, valuesSeen(comparison)), 1);
  return {
    madPoints: mad(),
    madByRankPoints: [mad(0), mad(1), mad(2)],
    mad20Points: measure(madOfSamples(comparisons, { draws, sampler })),
    pearson: measure(pearsonOf(points)),
    spearman: measure(spearmanOf(points)),
    rankCorrelation: mean(
      rankCorrelation,
      CORRELATION,
      "no string has several behaviors that the predictor tells apart",
    ),
    brier: mean(brier, BRIER),
    ...bounds("brierBounds", comparisons.map(brierBounds)),
    excessBrier: mean(excessBrier, BRIER),
    expectedCalibrationError: measure(expectedCalibrationError(comparisons, draws)),
    totalVariation: mean(totalVariation, PROPORTION),
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
