/** Who of two predictors of the same behavior is nearer to it, on what both were asked. */

import type { Distribution } from "../../ask/expand-distribution.js";
import type { DistributionRow, MeasuredDistribution } from "../../ask/measure-distribution.js";
import { compareNames } from "../cell.js";
import type { StringDraws } from "../resampling.js";
import { PROPORTION } from "../tally.js";
import { behaviorKey, stringKey } from "../trial.js";
import { brier, brierBounds, meanAbsoluteDeviation, pointsOf, shareHidden, totalVariation } from "./measures.js";
import type {
  BrierDifference,
  CalibrationDifference,
  CalibrationPair,
  LeftOutComparisons,
  MatchedPair,
} from "./score-calibration.js";
import { BRIER, estimateWeighted, meanStatistic, type WeightedStatistic } from "./statistics.js";

const KINDS = { cross: "self_minus_cross", untrained: "self_minus_untrained" } as const;

/** Every self-prediction minus every other predictor about the same target, over all properties and by property. */
export function calibrationDifferences(
  pairs: readonly MatchedPair[],
  draws: StringDraws,
  confidence: number,
): CalibrationDifference[] {
  return pairs.flatMap((self) =>
    pairs.flatMap((other) => {
      const kind = other.pair.kind === "self" ? undefined : KINDS[other.pair.kind];
      if (self.pair.kind !== "self" || !kind || self.pair.target !== other.pair.target) return [];
      const shared = intersect(self.matched.comparisons, other.matched.comparisons);
      const properties = [...new Set(shared.map(([{ property }]) => property))].sort();
      return [undefined, ...properties].map((property): CalibrationDifference => {
        const rows = shared.filter(([{ property: own }]) => property === undefined || own === property);
        return {
          target: self.pair.target,
          predictor: self.pair.predictor,
          minus: other.pair.predictor,
          kind,
          ...(property === undefined ? {} : { property }),
          ...differences(
            rows.map(([first]) => first),
            rows.map(([, second]) => second),
            draws,
            confidence,
          ),
        };
      });
    }),
  );
}

/** Two predictions of different targets on the questions that both have, string by string: the first less the second. */
export function pairedCalibration(
  first: MatchedDistributions,
  second: MatchedDistributions,
  draws: StringDraws,
  confidence: number,
): BrierDifference {
  const shared = intersect(first.comparisons, second.comparisons);
  const side = (at: 0 | 1) => shared.map((pair) => pair[at]);
  return differences(side(0), side(1), draws, confidence);
}

function differences(
  first: readonly Comparison[],
  second: readonly Comparison[],
  draws: StringDraws,
  confidence: number,
): BrierDifference {
  type Statistic = (comparisons: readonly Comparison[]) => WeightedStatistic;
  const minus = (statistic: Statistic, ofSecond = statistic) => {
    const [one, other] = [statistic(first), ofSecond(second)];
    const most = one.range.most - one.range.least;
    const at: WeightedStatistic["at"] = (weights) => {
      const [a, b] = [one.at(weights), other.at(weights)];
      return a === undefined || b === undefined ? undefined : a - b;
    };
    return estimateWeighted({ ...one, at, range: { least: -most, most } }, draws, confidence);
  };
  const because = "no string was drawn";
  const mean =
    (score: BrierScore): Statistic =>
    (rows) =>
      meanStatistic(rows, score, { range: BRIER, undefinedBecause: because }, draws);
  const open = [...first, ...second].some(isOpen);
  const exact = minus(mean(brier));
  return {
    madPoints: minus((rows) => meanAbsoluteDeviation(pointsOf(rows, draws))),
    brier: exact,
    brierAtBounds: open
      ? { least: minus(mean(leastBrier), mean(mostBrier)), most: minus(mean(mostBrier), mean(leastBrier)) }
      : { least: exact, most: exact },
    totalVariation: minus((rows) =>
      meanStatistic(rows, totalVariation, { range: PROPORTION, undefinedBecause: because }, draws),
    ),
  };
}

function intersect(first: readonly Comparison[], second: readonly Comparison[]): [Comparison, Comparison][] {
  const others = new Map(second.map((comparison) => [keyOf(comparison), comparison]));
  return first.flatMap((comparison): [Comparison, Comparison][] => {
    const other = others.get(keyOf(comparison));
    return other ? [[comparison, other]] : [];
  });
}

function keyOf({ task, item, property, variant }: Comparison): string {
  return JSON.stringify([task, item, property, variant]);
}

// One string, property and wording: what the target may do against what the predictor holds likely.

/**
 * p_obj is renormalized over the values, as if only behaviors that have one were counted. p_hyp is not: what a predictor gives
 * to replies without a value, and what was not looked into, is given to no value.
 */
export interface Comparison {
  readonly task: string;
  readonly item: string;
  readonly cluster?: string;
  readonly property: string;
  readonly variant: string;
  /** value -> p_obj, each above 0, most likely first, equal ones by code unit; sums to 1. */
  readonly object: ReadonlyMap<string, number>;
  /** value -> p_hyp, each above 0. */
  readonly hypothetical: ReadonlyMap<string, number>;
  /** Probability of any value before p_obj was renormalized, above 0. */
  readonly objectMass: number;
  readonly hypotheticalMass: number;
  /** Probability that was not looked into, 0 for samples. */
  readonly objectTail: number;
  readonly hypotheticalTail: number;
  /** What is certain of p_hyp, and what is left to any value, where p_hyp was divided by a sum or is a mean of such; absent: p_hyp itself. */
  readonly certain?: { readonly hypothetical: ReadonlyMap<string, number>; readonly tail: number };
  readonly sampled: boolean;
}

type Place = Pick<Comparison, "task" | "item" | "cluster" | "property" | "variant">;

/** @returns undefined when the target shows no value at all: there is nothing to predict */
export function compareDistributions(
  { task, item, cluster, property, variant }: Place,
  target: Distribution,
  predictor: Distribution,
): Comparison | undefined {
  const listed = valuesOf(target);
  const objectMass = total(listed);
  if (objectMass === 0) return undefined;
  const ordered = listed.sort(([a, p], [b, q]) => q - p || (a < b ? -1 : 1));
  const hypothetical = valuesOf(predictor);
  return {
    task,
    item,
    cluster,
    property,
    variant,
    object: new Map(ordered.map(([value, probability]) => [value, probability / objectMass])),
    hypothetical: new Map(hypothetical),
    objectMass,
    hypotheticalMass: Math.min(1, total(hypothetical)),
    objectTail: tailOf(target),
    hypotheticalTail: tailOf(predictor),
    sampled: target.method === "samples" || predictor.method === "samples",
  };
}

/** The same string with the predictions of a constant predictor, all of which have a value. */
function predictedBy(
  comparison: Comparison,
  hypothetical: ReadonlyMap<string, number>,
  certain: NonNullable<Comparison["certain"]>,
): Comparison {
  return { ...comparison, hypothetical, hypotheticalMass: 1, hypotheticalTail: 0, certain };
}

/**
 * Among replies with a value: p_hyp is divided by its sum as p_obj is, so that knowing and complying come apart.
 * @returns undefined where no reply has a value
 */
export function compliantOnly(comparison: Comparison): Comparison | undefined {
  const { hypothetical, hypotheticalTail, certain } = comparison;
  const mass = total([...hypothetical]);
  if (mass === 0) return undefined;
  const dividedBy = (sum: number) => new Map([...hypothetical].map(([value, share]) => [value, share / sum]));
  return {
    ...comparison,
    hypothetical: dividedBy(mass),
    hypotheticalMass: 1,
    hypotheticalTail: 0,
    certain: certain ?? {
      hypothetical: dividedBy(mass + hypotheticalTail),
      tail: hypotheticalTail / (mass + hypotheticalTail),
    },
  };
}

function valuesOf({ values }: Distribution): [string, number][] {
  return values.flatMap(({ value, probability }): [string, number][] =>
    probability > 0 ? [[value, probability]] : [],
  );
}

function tailOf(distribution: Distribution): number {
  return distribution.method === "expansion" ? distribution.tail : 0;
}

function total(values: readonly (readonly [string, number])[]): number {
  return values.reduce((sum, [, probability]) => sum + probability, 0);
}

// The predictor that knows what a target tends to do, and nothing about the string.

export interface ConstantPredictor {
  /** The same comparison with the constant prediction; undefined where no other string shows a value. */
  readonly instead: (comparison: Comparison) => Comparison | undefined;
  /** How many values the target shows for the comparison's task and property. */
  readonly valuesSeen: (comparison: Comparison) => number;
}

interface Sums {
  strings: number;
  readonly byValue: Map<string, number>;
  /** Of what is certain, which hides nothing in a tail. */
  readonly certain: Map<string, number>;
  hidden: number;
}

/**
 * For a string the mean p_obj of the target's other strings of the same task and property, every one counting the same; strings of
 * its own cluster are no others.
 * @param object the target's distributions, at most one for each task, string and property
 */
export function constantPredictor(object: readonly MeasuredDistribution[]): ConstantPredictor {
  const sums = new Map<string, Sums>();
  const own = new Map<string, Sums>();
  for (const measured of object) {
    const { distribution } = measured;
    const behaviors = compareDistributions({ ...measured, variant: "" }, distribution, distribution);
    if (!behaviors) continue;
    addTo(sums, cellKey(measured), behaviors);
    addTo(own, ownKey(measured), behaviors);
  }
  const cellOf = (comparison: Comparison) => sums.get(cellKey(comparison)) as Sums;
  return {
    instead: (comparison) => {
      const { strings, byValue, certain, hidden } = cellOf(comparison);
      const taken = own.get(ownKey(comparison)) as Sums;
      if (strings === taken.strings) return undefined;
      const others = strings - taken.strings;
      return predictedBy(comparison, meanOfOthers(byValue, taken.byValue, others), {
        hypothetical: meanOfOthers(certain, taken.certain, others),
        tail: Math.max(0, hidden - taken.hidden) / others,
      });
    },
    valuesSeen: (comparison) => cellOf(comparison).byValue.size,
  };
}

function addTo(sums: Map<string, Sums>, key: string, behaviors: Comparison): void {
  const sum = sums.get(key) ?? { strings: 0, byValue: new Map(), certain: new Map(), hidden: 0 };
  sums.set(key, sum);
  const hidden = shareHidden(behaviors);
  sum.strings++;
  sum.hidden += hidden;
  for (const [value, probability] of behaviors.object) {
    sum.byValue.set(value, (sum.byValue.get(value) ?? 0) + probability);
    sum.certain.set(value, (sum.certain.get(value) ?? 0) + (1 - hidden) * probability);
  }
}

function meanOfOthers(
  all: ReadonlyMap<string, number>,
  own: ReadonlyMap<string, number>,
  others: number,
): ReadonlyMap<string, number> {
  return new Map(
    [...all].flatMap(([value, sum]): [string, number][] => {
      // What only this string shows is left with rounding errors.
      const left = (sum - (own.get(value) ?? 0)) / others;
      return left > 1e-15 ? [[value, left]] : [];
    }),
  );
}

function ownKey({ property, ...row }: Pick<MeasuredDistribution, "task" | "item" | "cluster" | "property">): string {
  return JSON.stringify([stringKey(row), property]);
}

function cellKey({ task, property }: Pick<MeasuredDistribution, "task" | "property">): string {
  return JSON.stringify([task, property]);
}

/** A Brier score, or a bound of one. */
type BrierScore = (comparison: Comparison) => number;

export const leastBrier: BrierScore = (comparison) => brierBounds(comparison).least;
export const mostBrier: BrierScore = (comparison) => brierBounds(comparison).most;

/** Whether anything was left open that could move a score. */
export function isOpen({ objectTail, hypotheticalTail, certain }: Comparison): boolean {
  return objectTail > 0 || hypotheticalTail > 0 || (certain?.tail ?? 0) > 0;
}

// How much better than the constant predictor: the part of its Brier score that a predictor takes away.

/**
 * 1 − mean Brier / mean Brier of the constant predictor: 1 is perfect, 0 no better, below 0 worse. Constant predictions stay
 * the same in all replicates.
 * @param constant the same comparisons in the same order with constant predictions
 * @param scores of the predictor, and of the constant one
 */
export function skill(
  comparisons: readonly Comparison[],
  constant: readonly Comparison[],
  draws: StringDraws,
  [ofOwn, ofConstant]: readonly [BrierScore, BrierScore] = [brier, brier],
): WeightedStatistic {
  const because = { range: BRIER, undefinedBecause: "no string was drawn" };
  const own = meanStatistic(comparisons, ofOwn, because, draws);
  const other = meanStatistic(constant, ofConstant, because, draws);
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

// Which distributions of a target and of a predictor are about the same question.

export interface MatchedDistributions {
  /** By task, item, property and wording, whatever the order of the input. */
  readonly comparisons: readonly Comparison[];
  /** With the property that each belongs to. */
  readonly leftOut: readonly (LeftOutComparisons & { readonly property: string })[];
  /** Everything that was measured for this pair, compared or not; without what was set aside. */
  readonly object: readonly MeasuredDistribution[];
  readonly hypothetical: readonly MeasuredDistribution[];
}

const NO_VALUE = "the target shows no value: all it may answer is without one";
const NO_BEHAVIOR = "no distribution of behaviors was measured";
const SET_ASIDE_BEHAVIOR = "set aside: the engine crashed while the distribution of behaviors was measured";
const SET_ASIDE_PREDICTION = "set aside: the engine crashed while the distribution of predictions was measured";
const NO_PREDICTION = "no distribution of predictions was measured";

export function matchDistributions(
  distributions: readonly DistributionRow[],
  { predictor, target }: Pick<CalibrationPair, "predictor" | "target">,
): MatchedDistributions {
  const sorted = [...distributions].sort((a, b) => compareNames(nameOf(a), nameOf(b)));
  const object = sorted.filter(({ side, state }) => side === "object_level" && state === target);
  const hypothetical = sorted.filter(({ side, state }) => side === "hypothetical" && state === predictor);
  const behaviors = new Map(object.map((measured) => [behaviorKey(measured), measured]));
  const predicted = new Set(hypothetical.map(behaviorKey));
  const comparisons: Comparison[] = [];
  const missed: { property: string; reason: string }[] = object
    .filter((measured) => !predicted.has(behaviorKey(measured)))
    .map(({ property }) => ({ property, reason: NO_PREDICTION }));
  for (const measured of hypothetical) {
    const { property } = measured;
    const behavior = behaviors.get(behaviorKey(measured));
    if (!behavior) missed.push({ property, reason: NO_BEHAVIOR });
    else if (behavior.setAside) missed.push({ property, reason: SET_ASIDE_BEHAVIOR });
    else if (measured.setAside) missed.push({ property, reason: SET_ASIDE_PREDICTION });
    else {
      const place = { ...measured, variant: measured.variant ?? "" };
      const comparison = compareDistributions(place, behavior.distribution, measured.distribution);
      if (comparison) comparisons.push(comparison);
      else missed.push({ property, reason: NO_VALUE });
    }
  }
  return {
    comparisons,
    leftOut: countReasons(missed),
    object: object.filter(isMeasured),
    hypothetical: hypothetical.filter(isMeasured),
  };
}

function isMeasured(row: DistributionRow): row is MeasuredDistribution & { readonly setAside?: undefined } {
  return row.setAside === undefined;
}

/** Adds up over properties. */
export function sumLeftOut(rows: MatchedDistributions["leftOut"]): LeftOutComparisons[] {
  return countReasons(
    rows.flatMap(({ reason, count }) => Array.from({ length: count }, () => ({ property: "", reason }))),
  ).map(({ reason, count }) => ({ reason, count }));
}

function countReasons(
  missed: readonly { property: string; reason: string }[],
): (LeftOutComparisons & { property: string })[] {
  const counts = new Map<string, { property: string; reason: string; count: number }>();
  for (const { property, reason } of missed) {
    const key = JSON.stringify([property, reason]);
    counts.set(key, { property, reason, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}

function nameOf({ side, state, task, item, property, variant }: DistributionRow): string[] {
  return [side, state, task, item, property, variant ?? ""];
}
