/** The Brier score of a whole distribution, and what of it is the predictor's. */

import type { StringDraws, StringWeights } from "../resampling.js";
import type { Comparison } from "./predictors.js";
import type { TailBounds } from "./score-calibration.js";
import type { WeightedStatistic } from "./statistics.js";

/**
 * E over v ~ p_obj of Σ_u (1[u = v] − p_hyp(u))², u over all values, = 1 − 2 Σ p_obj p_hyp + Σ p_hyp²; 0 to 2. Replies without
 * a value add nothing to p_hyp, so a predictor that never gives one scores 1.
 */
export function brier(comparison: Comparison): number {
  return excessBrier(comparison) + giniImpurity(comparison);
}

/** Σ_u (p_obj(u) − p_hyp(u))²: what is left when the predictor that knows p_obj has had its share; 0 to 2. */
export function excessBrier({ object, hypothetical }: Comparison): number {
  let sum = 0;
  for (const [value, probability] of object) sum += (probability - (hypothetical.get(value) ?? 0)) ** 2;
  for (const [value, probability] of hypothetical) if (!object.has(value)) sum += probability ** 2;
  return sum;
}

/** 1 − Σ p_obj²: the Brier score of p_obj about itself, the entropy part of the score. */
function giniImpurity({ object }: Comparison): number {
  let sum = 0;
  for (const probability of object.values()) sum += probability * (1 - probability);
  return sum;
}

/**
 * Whatever the tails hold. The predictor's p + x, with x spread over any values, costs least where it fills what p_obj has more of, the
 * largest lack first, and most where all of it lies on one value. The target's true distribution is (1 − h) p_obj + h r: the score is
 * linear in it, so that r counts as the behavior that such predictions foresee best, or worst.
 */
export function brierBounds(comparison: Comparison): TailBounds {
  const certain = certainOf(comparison);
  const { object, hypothetical, hypotheticalTail: tail } = certain;
  const hidden = shareHidden(comparison);
  const score = brier(certain);
  let squares = 0;
  let highest = 0;
  for (const probability of hypothetical.values()) {
    squares += probability ** 2;
    highest = Math.max(highest, probability);
  }
  const excesses = [0, ...[...hypothetical].map(([value, probability]) => probability - (object.get(value) ?? 0))];
  const most = score + Math.max(0, ...excesses) * 2 * tail + tail ** 2;
  const least = Math.max(0, score - gainOfFilling(certain));
  const foreseen = [0, ...hypothetical.values()].map(
    (probability) => squares - probability ** 2 + (1 - Math.min(1, probability + tail)) ** 2,
  );
  const unforeseen = 1 + squares + 2 * tail * highest + tail ** 2;
  return {
    least: Math.min(least, (1 - hidden) * least + hidden * Math.min(...foreseen)),
    most: Math.min(2, Math.max(most, (1 - hidden) * most + hidden * unforeseen)),
  };
}

/** How much the score falls where the tail is poured on what p_obj has more of than p_hyp, down to one level. */
function gainOfFilling({ object, hypothetical, hypotheticalTail: tail }: Comparison): number {
  const lacks = [...object]
    .map(([value, probability]) => probability - (hypothetical.get(value) ?? 0))
    .filter((lack) => lack > 0)
    .sort((a, b) => b - a);
  let filled = 0;
  let level = 0;
  lacks.some((lack, at) => {
    filled += lack;
    const next = lacks[at + 1] ?? 0;
    // With the first at + 1 lacks poured down to the next one, so much is used.
    level = Math.max(0, (filled - tail) / (at + 1));
    return level >= next;
  });
  return lacks.reduce((gain, lack) => {
    const poured = Math.max(0, lack - level);
    return gain + 2 * poured * lack - poured ** 2;
  }, 0);
}

/** What is certain of a prediction stands in its place: bounds begin there. */
function certainOf(comparison: Comparison): Comparison {
  const { certain } = comparison;
  return certain ? { ...comparison, hypothetical: certain.hypothetical, hypotheticalTail: certain.tail } : comparison;
}

/** The largest part of the target's behaviors that its tail may hold, were all of the tail texts with a value; 0 to 1. */
export function shareHidden({ objectMass, objectTail }: Pick<Comparison, "objectMass" | "objectTail">): number {
  return objectTail / (objectMass + objectTail);
}

// KL divergence from what is done to what is predicted, kept finite by mixing.

/** Share of the uniform distribution over the values seen that every predictor's is mixed with. */
export const KL_MIXING = 0.01;

/**
 * Σ p_obj ln(p_obj / q), nats, with q = (1 − m) p_hyp + m / values and m = KL_MIXING: a predictor that gives a behavior nothing
 * is charged as if it gave it m / values. 0 to about ln(values / m).
 * @param values how many values the target shows for this task and property, over all strings
 */
export function klDivergence({ object, hypothetical }: Comparison, values: number): number {
  return Math.max(
    0,
    divergence(object, (value) => hypothetical.get(value) ?? 0, values),
  );
}

/**
 * Whatever the tails hold, as long as it is among the values seen. Least: every value gets the predictor's whole tail. The
 * target's true distribution is (1 − h) p_obj + h r; KL is convex in it, and its entropy is at most
 * (1 − h) H(p_obj) + h ln(values) + H(h).
 */
export function klBounds(comparison: Comparison, values: number): TailBounds {
  const certain = certainOf(comparison);
  const { object, hypothetical, hypotheticalTail } = certain;
  const hidden = shareHidden(comparison);
  const generous = (value: string) => Math.min(1, (hypothetical.get(value) ?? 0) + hypotheticalTail);
  const nearest = divergence(object, generous, values);
  const mostAtOneValue = Math.log(values / KL_MIXING);
  return {
    least: Math.max(0, (1 - hidden) * nearest - hidden * Math.log(values) - binaryEntropy(hidden)),
    most: (1 - hidden) * klDivergence(certain, values) + hidden * mostAtOneValue,
  };
}

/** Whether KL without mixing is infinite: the target does what the predictor gives nothing. */
export function isInfinite({ object, hypothetical }: Comparison): boolean {
  return [...object.keys()].some((value) => !hypothetical.has(value));
}

function divergence(object: Comparison["object"], predicted: (value: string) => number, values: number): number {
  let sum = 0;
  for (const [value, probability] of object) {
    sum += probability * Math.log(probability / ((1 - KL_MIXING) * predicted(value) + KL_MIXING / values));
  }
  return sum;
}

/** Nats. */
function binaryEntropy(share: number): number {
  return share === 0 || share === 1 ? 0 : -share * Math.log(share) - (1 - share) * Math.log(1 - share);
}

// Total variation between what is done and what is predicted.

/**
 * Σ max(0, p_obj − p_hyp) = 1 − Σ min(p_obj, p_hyp): half the summed distance, with "no value" as one more outcome that p_obj
 * gives 0 and p_hyp what it gives to no value. 0 to 1; 1 for a predictor that never gives a value.
 */
export function totalVariation({ object, hypothetical }: Comparison): number {
  let sum = 0;
  for (const [value, probability] of object) sum += Math.max(0, probability - (hypothetical.get(value) ?? 0));
  return Math.min(1, sum);
}

/**
 * Whatever the tails hold. The predictor's can only bring it nearer, by its own size. The target's true distribution is
 * (1 − h) p_obj + h r for some r and h up to `shareHidden`, which moves it by at most h, and up only by h (1 − distance).
 */
export function totalVariationBounds(comparison: Comparison): TailBounds {
  const hidden = shareHidden(comparison);
  const certain = certainOf(comparison);
  const distance = totalVariation(certain);
  return {
    least: Math.max(0, distance - certain.hypotheticalTail - hidden),
    most: Math.min(1, (1 - hidden) * distance + hidden),
  };
}

// Bins with as many points each, cut at quantiles of p_obj, for points that count a whole number of times.

const BINS = 10;

interface PointBin {
  /** Weighted. */
  readonly points: number;
  readonly objectSum: number;
  readonly hypotheticalSum: number;
}

/** @returns places of the points, lowest p_obj first: the same for all weights */
export function orderPoints({ object }: Points): Int32Array {
  return Int32Array.from(object.keys()).sort((a, b) => (object[a] as number) - (object[b] as number) || a - b);
}

/**
 * Edges are the deciles (Hyndman & Fan type 7) of p_obj with every point repeated by its string's weight; equal edges are
 * merged, and a bin holds its upper edge, the first one its lower edge too. Bins without points are left out.
 */
export function equalFrequencyBins(points: Points, order: Int32Array, weights: StringWeights): PointBin[] {
  const edges = quantileEdges(points, order, weights);
  const bins: PointBin[] = [];
  let edge = 0;
  let counted = 0;
  let objectSum = 0;
  let hypotheticalSum = 0;
  const close = () => {
    if (counted > 0) bins.push({ points: counted, objectSum, hypotheticalSum });
    counted = objectSum = hypotheticalSum = 0;
  };
  for (const at of order) {
    const weight = weights[points.strings[at] as number] as number;
    if (weight === 0) continue;
    const object = points.object[at] as number;
    while (edge < edges.length - 1 && object > (edges[edge] as number)) {
      edge++;
      close();
    }
    counted += weight;
    objectSum += weight * object;
    hypotheticalSum += weight * (points.hypothetical[at] as number);
  }
  close();
  return bins;
}

/** Upper edges of the bins, rising; none where nothing counts. */
function quantileEdges({ object, strings }: Points, order: Int32Array, weights: StringWeights): number[] {
  const sorted = new Float64Array(strings.reduce((sum, string) => sum + (weights[string] as number), 0));
  let filled = 0;
  for (const at of order) {
    const end = filled + (weights[strings[at] as number] as number);
    sorted.fill(object[at] as number, filled, end);
    filled = end;
  }
  if (filled === 0) return [];
  const quantiles = Array.from({ length: BINS + 1 }, (_, bin) => {
    // The product is exact, so a place that should be whole is.
    const place = (bin * (filled - 1)) / BINS;
    const below = sorted[Math.floor(place)] as number;
    return below + ((sorted[Math.ceil(place)] as number) - below) * (place - Math.floor(place));
  });
  const rising = quantiles.filter((edge, index) => index === 0 || edge > (quantiles[index - 1] as number));
  return rising.length === 1 ? rising : rising.slice(1);
}

// MAD: how far mean p_hyp is from mean p_obj in a bin, averaged over the bins of equal frequency.

/** Percentage points; every bin counts the same, and the bins are cut again in every replicate. */
export function meanAbsoluteDeviation(points: Points): WeightedStatistic {
  const order = orderPoints(points);
  return {
    at: (weights) => {
      const bins = equalFrequencyBins(points, order, weights);
      if (bins.length === 0) return undefined;
      const gaps = bins.map(
        ({ points: counted, objectSum, hypotheticalSum }) => Math.abs(objectSum - hypotheticalSum) / counted,
      );
      return (100 * gaps.reduce((sum, gap) => sum + gap, 0)) / bins.length;
    },
    strings: points.strings,
    range: { least: 0, most: 100 },
    undefinedBecause: "there is no point",
  };
}

// ECE of the likeliest prediction: is what a predictor gives 30 % done in 30 % of cases?

/**
 * Σ over ten bins of equal width of the bin's share of comparisons times |mean p_hyp − mean p_obj| of each comparison's likeliest
 * prediction (equal ones: the first by value); the last bin holds 1. Comparisons without any prediction are left out.
 */
export function expectedCalibrationError(comparisons: readonly Comparison[], draws: StringDraws): WeightedStatistic {
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

// Points of the reliability figure: the likeliest behaviors of each string, how likely they are and were held to be.

export const RANKS = 3;

/** Columns of points, one entry each. */
export interface Points {
  readonly object: readonly number[];
  readonly hypothetical: readonly number[];
  /** Place of the point's string among all strings. */
  readonly strings: readonly number[];
}

/**
 * Up to three values of each comparison by p_obj, the likeliest first, equal ones by value. Only values that p_obj lists, so a
 * property with two values gives at most two points and a certain behavior one. p_hyp is 0 where it lists no such value.
 * @param rank 0 for the likeliest value alone, and so on; absent: all ranks
 */
export function pointsOf(comparisons: readonly Comparison[], { placeOf }: StringDraws, rank?: number): Points {
  const points = comparisons.flatMap((comparison) => {
    const top = [...comparison.object].slice(rank ?? 0, rank === undefined ? RANKS : rank + 1);
    const string = placeOf(comparison);
    return top.map(([value, object]) => ({ string, object, hypothetical: comparison.hypothetical.get(value) ?? 0 }));
  });
  return {
    object: points.map((point) => point.object),
    hypothetical: points.map((point) => point.hypothetical),
    strings: points.map((point) => point.string),
  };
}

export function weightedSum(perString: ArrayLike<number>, weights: StringWeights): number {
  let sum = 0;
  for (let place = 0; place < perString.length; place++) {
    sum += (perString[place] as number) * (weights[place] as number);
  }
  return sum;
}
