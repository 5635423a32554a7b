/** One pair of predictor and target on one property, or over all. */
import type { CalibrationPair, CalibrationRow, ReliabilityBin } from "../../records/calibration-scores.js";
import { pointsOf, type Points } from "./behavior-points.js";
import { calibrationMetrics, type MetricsContext } from "./calibration-metrics.js";
import type { Comparison } from "./comparison.js";
import type { ConstantPredictor } from "./constant-predictor.js";
import { distributionCost } from "./distribution-cost.js";
import { isInfinite } from "./divergence.js";
import { equalFrequencyBins, orderPoints } from "./equal-frequency-bins.js";
import { estimateStatistic } from "./estimate-statistic.js";
import { type MatchedDistributions, sumLeftOut } from "./match-distributions.js";
import { meanStatistic } from "./mean-statistic.js";
import { skill } from "./skill.js";

const HISTOGRAM_BINS = 10;

export interface MatchedPair {
  readonly pair: CalibrationPair;
  readonly matched: MatchedDistributions;
  readonly constant: ConstantPredictor;
}

/** @param property absent: all properties, every comparison counting the same */
export function scoreRow(
  { pair, matched, constant }: MatchedPair,
  property: string | undefined,
  context: Omit<MetricsContext, "valuesSeen">,
): CalibrationRow {
  const { draws, confidence } = context;
  const here = <Row extends { readonly property: string }>(rows: readonly Row[]) =>
    property === undefined ? rows : rows.filter((row) => row.property === property);
  const comparisons = here(matched.comparisons);
  const both = comparisons.flatMap((comparison) => {
    const instead = constant.instead(comparison);
    return instead ? [{ comparison, instead }] : [];
  });
  const alternatives = both.map(({ instead }) => instead);
  const metrics = { ...context, valuesSeen: constant.valuesSeen };
  const points = pointsOf(comparisons, draws);
  const share = (mass: (comparison: Comparison) => number) => {
    const range = { least: 0, most: 1 };
    return estimateStatistic(
      meanStatistic(comparisons, mass, { range, undefinedBecause: "" }, draws),
      draws,
      confidence,
    );
  };
  const count = (is: (comparison: Comparison) => boolean) => ({
    count: comparisons.filter(is).length,
    of: comparisons.length,
  });
  const compared = both.map(({ comparison }) => comparison);
  return {
    ...pair,
    ...(property === undefined ? {} : { property }),
    comparisons: comparisons.length,
    strings: new Set(comparisons.map(draws.placeOf)).size,
    points: points.strings.length,
    leftOut: sumLeftOut(here(matched.leftOut)),
    objectCompliantMass: share(({ objectMass }) => objectMass),
    hypotheticalCompliantMass: share(({ hypotheticalMass }) => hypotheticalMass),
    metrics: calibrationMetrics(comparisons, metrics),
    skill: estimateStatistic(skill(compared, alternatives, draws), draws, confidence),
    constant: calibrationMetrics(alternatives, metrics),
    klInfinite: count(isInfinite),
    sampled: count(({ sampled }) => sampled),
    objectCost: distributionCost(here(matched.object)),
    hypotheticalCost: distributionCost(here(matched.hypothetical)),
    bins: reliabilityBins(points, draws.strings),
    histogram: histogramOf(points.object),
  };
}

function reliabilityBins(points: Points, strings: number): ReliabilityBin[] {
  const bins = equalFrequencyBins(points, orderPoints(points), new Uint8Array(strings).fill(1));
  return bins.map(({ points: counted, objectSum, hypotheticalSum }) => ({
    meanObject: objectSum / counted,
    meanHypothetical: hypotheticalSum / counted,
    points: counted,
  }));
}

function histogramOf(probabilities: readonly number[]): number[] {
  const counts = new Array<number>(HISTOGRAM_BINS).fill(0);
  for (const probability of probabilities) {
    const bin = Math.min(HISTOGRAM_BINS - 1, Math.floor(HISTOGRAM_BINS * probability));
    counts[bin] = (counts[bin] as number) + 1;
  }
  return counts;
}
