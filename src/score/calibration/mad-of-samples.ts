/** What the paper's procedure would show of these distributions: MAD from twenty answers and twenty predictions of each string. */

import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { randomStream } from "../../base/random.js";
import type { StringDraws } from "../resampling.js";
import { meanAbsoluteDeviation, type Points, RANKS } from "./measures.js";
import type { Comparison } from "./predictors.js";
import type { WeightedStatistic } from "./statistics.js";

/** Of each side and string. */
const SAMPLES = 20;
/** Procedures that the value averages. */
const PROCEDURES = 200;
/** Procedures that say how the value moves with the strings: more would cost much and change intervals little. */
const RESAMPLED = 4;

/** The points of one comparison in every procedure: how often of twenty a value was done, and predicted; 0 and 0 for no point. */
interface Sampled {
  readonly object: Uint8Array;
  readonly hypothetical: Uint8Array;
}

export type Sampler = (comparison: Comparison) => Sampled;

/**
 * The answers to a question are the same whoever predicts it, and so are the draws behind its predictions: predictors are compared on
 * equal luck.
 * @param seed any safe integer
 */
export function makeSampler(seed: number): Sampler {
  const known = new WeakMap<Comparison, Sampled>();
  return (comparison) => {
    const sampled = known.get(comparison) ?? sample(comparison, seed);
    known.set(comparison, sampled);
    return sampled;
  };
}

function sample(comparison: Comparison, seed: number): Sampled {
  const { task, item, property, variant, object, hypothetical } = comparison;
  const values = [...object.keys()];
  const done = cumulative([...object.values()]);
  // What is no value of the target, or none at all, lies above the last of these.
  const said = cumulative(values.map((value) => hypothetical.get(value) ?? 0));
  const answers = randomStream(JSON.stringify(["answers", task, item, property]), seed);
  const predictions = randomStream(JSON.stringify(["predictions", task, item, property, variant]), seed);
  const points = { object: new Uint8Array(PROCEDURES * RANKS), hypothetical: new Uint8Array(PROCEDURES * RANKS) };
  for (let procedure = 0; procedure < PROCEDURES; procedure++) {
    const did = countDraws(done, answers);
    const foretold = countDraws(said, predictions);
    // The most frequent first; of equally frequent ones the first that was seen, as a counter lists them.
    const top = [...did].filter(([at]) => at < values.length).sort(([, a], [, b]) => b - a);
    top.slice(0, RANKS).forEach(([at, count], rank) => {
      points.object[procedure * RANKS + rank] = count;
      points.hypothetical[procedure * RANKS + rank] = foretold.get(at) ?? 0;
    });
  }
  return points;
}

function cumulative(probabilities: readonly number[]): Float64Array {
  let sum = 0;
  return Float64Array.from(probabilities, (probability) => {
    sum += probability;
    return sum;
  });
}

/** @returns counts by place in the order in which places came up */
function countDraws(upTo: Float64Array, random: RandomGenerator): Map<number, number> {
  const counts = new Map<number, number>();
  for (let drawn = 0; drawn < SAMPLES; drawn++) {
    const at = placeOf(uniformFloat64(random), upTo);
    counts.set(at, (counts.get(at) ?? 0) + 1);
  }
  return counts;
}

/** The first place that a number lies below; one more than the last where it lies above all. */
function placeOf(number: number, upTo: Float64Array): number {
  let low = 0;
  let high = upTo.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (number < (upTo[middle] as number)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/**
 * Percentage points, averaged over procedures. Sampling noise of both sides is part of it: even a perfect predictor has some. How it
 * moves with the strings is taken from a few procedures, each against itself.
 */
export function madOfSamples(
  comparisons: readonly Comparison[],
  { draws, sampler }: { readonly draws: StringDraws; readonly sampler: Sampler },
): WeightedStatistic {
  const everything = new Uint8Array(draws.strings).fill(1);
  const procedures = Array.from({ length: PROCEDURES }, (_, procedure) =>
    meanAbsoluteDeviation(pointsIn(comparisons, procedure, { draws, sampler })),
  );
  const values = procedures.flatMap(({ at }) => at(everything) ?? []);
  const value = values.reduce((sum, one) => sum + one, 0) / values.length;
  const own = procedures.slice(0, RESAMPLED).map(({ at }) => ({ at, whole: at(everything) ?? 0 }));
  return {
    at: (weights) => {
      const moved = own.flatMap(({ at, whole }) => {
        const one = at(weights);
        return one === undefined ? [] : [one - whole];
      });
      if (moved.length === 0) return undefined;
      return Math.min(100, Math.max(0, value + moved.reduce((sum, one) => sum + one, 0) / moved.length));
    },
    strings: comparisons.map(draws.placeOf),
    range: { least: 0, most: 100 },
    undefinedBecause: "there is no point",
  };
}

function pointsIn(
  comparisons: readonly Comparison[],
  procedure: number,
  { draws, sampler }: { readonly draws: StringDraws; readonly sampler: Sampler },
): Points {
  const points = { object: [] as number[], hypothetical: [] as number[], strings: [] as number[] };
  for (const comparison of comparisons) {
    const { object, hypothetical } = sampler(comparison);
    for (let at = procedure * RANKS; at < (procedure + 1) * RANKS; at++) {
      const count = object[at] as number;
      if (count === 0) break;
      points.object.push(count / SAMPLES);
      points.hypothetical.push((hypothetical[at] as number) / SAMPLES);
      points.strings.push(draws.placeOf(comparison));
    }
  }
  return points;
}
