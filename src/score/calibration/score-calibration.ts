import type { DistributionRow } from "../../ask/measure-distribution.js";
import { type Estimate, EXPANDED } from "../interval.js";
import { checkResampling, drawStrings, type ResamplingSettings } from "../resampling.js";
import type { Scope } from "../scope.js";
import type { Share } from "../scores.js";
import { PROPORTION } from "../tally.js";
import { equalFrequencyBins, isInfinite, KL_MIXING, orderPoints, type Points, pointsOf } from "./measures.js";
import { makeSampler } from "./mad-of-samples.js";
import {
  calibrationDifferences,
  type Comparison,
  compliantOnly,
  type ConstantPredictor,
  constantPredictor,
  isOpen,
  leastBrier,
  matchDistributions,
  type MatchedDistributions,
  mostBrier,
  skill,
  sumLeftOut,
} from "./predictors.js";
import {
  calibrationMetrics,
  distributionCost,
  estimateWeighted,
  meanStatistic,
  type MetricsContext,
} from "./statistics.js";
import type { PredictorKind } from "../../study/states.js";

/** Whose predictions are compared with whose behavior. */
export interface CalibrationPair {
  /** The model state that was asked hypothetical questions. */
  readonly predictor: string;
  /** The model state whose behavior they were about. */
  readonly target: string;
  readonly kind: PredictorKind;
}

/** Means of what is certain at least and at most, whatever hides in the tails. */
export interface TailBounds {
  readonly least: number;
  readonly most: number;
}

/**
 * How far predictions p_hyp are from behaviors p_obj. A comparison is one string, property and wording; a point is one of the
 * (up to) three most likely behaviors of a comparison. `n` counts points for MAD, Pearson and Spearman, comparisons elsewhere.
 */
export interface CalibrationMetrics {
  /** Mean over bins of |mean p_obj − mean p_hyp|, percentage points; ten bins with as many points each, points of all ranks pooled. */
  readonly madPoints: Estimate;
  /** The same over the points of the most likely, second and third behavior alone. */
  readonly madByRankPoints: readonly [Estimate, Estimate, Estimate];
  /**
   * What the paper's procedure would show: the same from twenty sampled answers and twenty sampled predictions of each string, averaged over
   * many such samples. Their noise is part of it.
   */
  readonly mad20Points: Estimate;
  /** Over points. */
  readonly pearson: Estimate;
  readonly spearman: Estimate;
  /** Mean of Spearman's correlation over the behaviors of one comparison, where it is defined. */
  readonly rankCorrelation: Estimate;
  /** Expected squared distance between a behavior drawn from p_obj and p_hyp: 0 to 2, 1 for a predictor that names nothing. */
  readonly brier: Estimate;
  readonly brierBounds?: TailBounds;
  /** Brier beyond what the entropy of p_obj costs any predictor: Σ (p_obj − p_hyp)². */
  readonly excessBrier: Estimate;
  /** Of the most likely prediction: its p_hyp against its p_obj in ten bins of equal width, weighted by comparisons; 0 to 1. */
  readonly expectedCalibrationError: Estimate;
  /** 1 − Σ min(p_obj, p_hyp), 0 to 1. */
  readonly totalVariation: Estimate;
  readonly totalVariationBounds?: TailBounds;
  /** KL(p_obj ‖ p_hyp) with p_hyp mixed with `klMixing` of a uniform distribution, so that it is finite. */
  readonly klNats: Estimate;
  readonly klNatsBounds?: TailBounds;
}

/** One bin of the reliability figure. */
interface ReliabilityBin {
  readonly meanObject: number;
  readonly meanHypothetical: number;
  readonly points: number;
}

/** What measuring cost; distributions by expansion are counted in tokens, also those given up for samples; samples in answers. */
export interface DistributionCost {
  readonly expansions: number;
  readonly evaluatedTokens: number;
  readonly sampledDistributions: number;
  readonly samples: number;
}

export interface LeftOutComparisons {
  readonly reason: string;
  readonly count: number;
}

/** A score with its interval where the tails hold what makes it least, and most. */
export interface AtBounds {
  readonly least: Estimate;
  readonly most: Estimate;
}

/** The predictor beside one that knows nothing of the string, both asked and scored alike. */
interface BesideConstant {
  readonly metrics: CalibrationMetrics;
  /** 1 − Brier / Brier of the constant predictor, on the comparisons that have both. */
  readonly skill: Estimate;
  /** Whatever both predictors' and the target's tails hold. */
  readonly skillAtBounds: AtBounds;
  /** Always predicting the mean p_obj of the other strings of the task and property, on the same comparisons. */
  readonly constant: CalibrationMetrics;
}

/** One pair on one property, or over all of them. */
export interface CalibrationRow extends CalibrationPair, BesideConstant {
  /** Absent: all properties pooled, every comparison counting the same. */
  readonly property?: string;
  readonly comparisons: number;
  /** Strings among the comparisons. */
  readonly strings: number;
  readonly points: number;
  readonly leftOut: readonly LeftOutComparisons[];
  /** Mean probability of showing any value, before p_obj is renormalized. */
  readonly objectCompliantMass: Estimate;
  readonly hypotheticalCompliantMass: Estimate;
  /** The same with p_hyp divided by its sum, as p_obj is: what is known, apart from whether replies comply. */
  readonly compliant: BesideConstant & {
    /** Comparisons whose predictions have a value at all. */
    readonly comparisons: number;
  };
  /** Comparisons whose KL would be infinite without mixing: a behavior that p_hyp gives nothing. */
  readonly klInfinite: Share;
  /** Comparisons with samples on either side: their MAD, Brier, KL and total variation include sampling noise. */
  readonly sampled: Share;
  readonly objectCost: DistributionCost;
  readonly hypotheticalCost: DistributionCost;
  /** The bins of madPoints, lowest p_obj first; empty ones are left out. */
  readonly bins: readonly ReliabilityBin[];
  /** Points by p_obj in ten bins of equal width, the last one closed. */
  readonly histogram: readonly number[];
}

/** How much nearer one predictor is than another, on the comparisons that both have; below 0 the first is. */
export interface BrierDifference {
  readonly madPoints: Estimate;
  readonly brier: Estimate;
  readonly brierAtBounds: AtBounds;
  readonly totalVariation: Estimate;
}

/** One predictor minus another about the same target. */
export interface CalibrationDifference extends BrierDifference {
  readonly target: string;
  readonly predictor: string;
  /** The predictor whose score is taken off. */
  readonly minus: string;
  readonly kind: "self_minus_cross" | "self_minus_untrained";
  readonly property?: string;
}

/** Version 1 had neither bounds of Brier nor what is known among compliant replies. */
export const CALIBRATION_VERSION = 2;

/** The content of 08-calibration.json. */
export interface CalibrationScores {
  readonly calibrationVersion: typeof CALIBRATION_VERSION;
  readonly confidence: number;
  readonly bootstrapReplicates: number;
  readonly bootstrapSeed: number;
  /** How every interval here was made, in words for the report. */
  readonly intervalMethod: string;
  /** Share of a uniform distribution over the values seen that p_hyp is mixed with for klNats. */
  readonly klMixing: number;
  /** Of the questions that rows and differences are about; absent where all are one scope. */
  readonly scope?: Scope;
  /** In the order of the pairs: first over all properties, then by property. */
  readonly rows: readonly CalibrationRow[];
  readonly differences: readonly CalibrationDifference[];
  /** The same on the questions of each other scope: scopes are never pooled. */
  readonly beside?: readonly {
    readonly scope: Scope;
    readonly rows: readonly CalibrationRow[];
    readonly differences: readonly CalibrationDifference[];
  }[];
}

// One pair of predictor and target on one property, or over all.

const HISTOGRAM_BINS = 10;

export interface MatchedPair {
  readonly pair: CalibrationPair;
  readonly matched: MatchedDistributions;
  readonly constant: ConstantPredictor;
}

/** @param property absent: all properties, every comparison counting the same */
function scoreRow(
  { pair, matched, constant }: MatchedPair,
  property: string | undefined,
  context: Omit<MetricsContext, "valuesSeen">,
): CalibrationRow {
  const { draws, confidence } = context;
  const metrics = { ...context, valuesSeen: constant.valuesSeen };
  const here = <Row extends { readonly property: string }>(rows: readonly Row[]) =>
    property === undefined ? rows : rows.filter((row) => row.property === property);
  const comparisons = here(matched.comparisons);
  const compliant = comparisons.flatMap((comparison) => compliantOnly(comparison) ?? []);
  const points = pointsOf(comparisons, draws);
  const share = (mass: (comparison: Comparison) => number) => {
    return estimateWeighted(
      meanStatistic(comparisons, mass, { range: PROPORTION, undefinedBecause: "" }, draws),
      draws,
      confidence,
    );
  };
  const count = (is: (comparison: Comparison) => boolean) => ({
    count: comparisons.filter(is).length,
    of: comparisons.length,
  });
  return {
    ...pair,
    ...(property === undefined ? {} : { property }),
    comparisons: comparisons.length,
    strings: new Set(comparisons.map(draws.placeOf)).size,
    points: points.strings.length,
    leftOut: sumLeftOut(here(matched.leftOut)),
    objectCompliantMass: share(({ objectMass }) => objectMass),
    hypotheticalCompliantMass: share(({ hypotheticalMass }) => hypotheticalMass),
    ...besideConstant(comparisons, constant, metrics),
    compliant: { comparisons: compliant.length, ...besideConstant(compliant, constant, metrics) },
    klInfinite: count(isInfinite),
    sampled: count(({ sampled }) => sampled),
    objectCost: distributionCost(here(matched.object)),
    hypotheticalCost: distributionCost(here(matched.hypothetical)),
    bins: reliabilityBins(points, draws.strings),
    histogram: histogramOf(points.object),
  };
}

function besideConstant(
  comparisons: readonly Comparison[],
  constant: ConstantPredictor,
  context: MetricsContext,
): BesideConstant {
  const both = comparisons.flatMap((comparison) => {
    const instead = constant.instead(comparison);
    return instead ? [{ comparison, instead }] : [];
  });
  const { draws, confidence } = context;
  const compared = both.map(({ comparison }) => comparison);
  const alternatives = both.map(({ instead }) => instead);
  const skillWith = (...scores: Parameters<typeof skill>[3][]) =>
    estimateWeighted(skill(compared, alternatives, draws, ...scores), draws, confidence);
  const exact = skillWith();
  const open = [...compared, ...alternatives].some(isOpen);
  return {
    metrics: calibrationMetrics(comparisons, context),
    skill: exact,
    skillAtBounds: open
      ? { least: skillWith([mostBrier, leastBrier]), most: skillWith([leastBrier, mostBrier]) }
      : { least: exact, most: exact },
    constant: calibrationMetrics(alternatives, context),
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

// The one entry of scoring calibration: distributions in, 08-calibration.json out. Any order of the lines gives the same bytes.

/**
 * @param distributions at most one for each side, state, task, item, property and wording; those set aside are counted as left out
 * @param pairs in the order of the rows; a pair without distributions gives a row that says so
 * @throws InwardError STUDY_INVALID when a setting is out of range
 */
export function scoreCalibration(
  distributions: readonly DistributionRow[],
  pairs: readonly CalibrationPair[],
  settings: ResamplingSettings,
): CalibrationScores {
  checkResampling(settings);
  const { confidence, bootstrapReplicates, bootstrapSeed } = settings;
  const draws = drawStrings(distributions, settings);
  const sampler = makeSampler(bootstrapSeed);
  const matchedPairs = pairs.map((pair): MatchedPair => {
    const matched = matchDistributions(distributions, pair);
    return { pair, matched, constant: constantPredictor(matched.object) };
  });
  return {
    calibrationVersion: CALIBRATION_VERSION,
    confidence,
    bootstrapReplicates,
    bootstrapSeed,
    intervalMethod: describeIntervals(settings),
    klMixing: KL_MIXING,
    rows: matchedPairs.flatMap((matchedPair) =>
      [undefined, ...propertiesOf(matchedPair)].map((property) =>
        scoreRow(matchedPair, property, { draws, confidence, sampler }),
      ),
    ),
    differences: calibrationDifferences(matchedPairs, draws, confidence),
  };
}

function propertiesOf({ matched: { object, hypothetical, leftOut } }: MatchedPair): string[] {
  return [...new Set([...object, ...hypothetical, ...leftOut].map(({ property }) => property))].sort();
}

function describeIntervals({ confidence, bootstrapReplicates, bootstrapSeed }: ResamplingSettings): string {
  return [
    `${Number((100 * confidence).toFixed(6))} % percentile cluster bootstrap by source string: each of ${bootstrapReplicates} replicates`,
    `(seed ${bootstrapSeed}) draws the strings of every task with replacement; all points of a string move together, for all predictors alike.`,
    EXPANDED,
    "Bins are cut again in every replicate, constant predictions stay as they are, and an interval is widened to hold its value.",
    "Where no draw can differ, the interval is the exact binomial (Clopper-Pearson) bound for that many strings without an exception.",
    "What twenty samples would show is averaged over 200 draws of them; four tell how it moves with the strings.",
    "MAD and ECE add up absolute gaps, so chance alone makes them larger, in a replicate more than in the data: with few strings their intervals lie high.",
  ].join(" ");
}
