/** How far what a file may do is from what its source may do, whole distributions at temperature 1; and how well each file foresees its own. */

import type { Distribution } from "../ask/expand-distribution.js";
import type { DistributionRow, MeasuredDistribution } from "../ask/measure-distribution.js";
import {
  KL_MIXING,
  klBounds,
  klDivergence,
  totalVariation,
  totalVariationBounds,
} from "../score/calibration/measures.js";
import {
  type Comparison,
  compareDistributions,
  compliantOnly,
  matchDistributions,
  pairedCalibration,
} from "../score/calibration/predictors.js";
import type {
  BrierDifference,
  CalibrationMetrics,
  CalibrationRow,
  CalibrationScores,
  TailBounds,
} from "../score/calibration/score-calibration.js";
import { estimateWeighted, meanStatistic } from "../score/calibration/statistics.js";
import type { Estimate } from "../score/interval.js";
import type { ResamplingSettings, StringDraws } from "../score/resampling.js";
import { PROPORTION } from "../score/tally.js";
import { behaviorKey } from "../score/trial.js";
import { sharedDraws } from "./paired-estimate.js";

export interface DistanceScores {
  /** Half the summed distance, 0 to 1; an answer without the property, whatever the reason, is one value more. */
  readonly totalVariation: Estimate;
  /** Whatever the parts that were not expanded hold. */
  readonly totalVariationBounds: TailBounds | null;
  /** Of the file from its source, nats, both mixed with `KL_MIXING` of a uniform one over the values seen, so that it is finite and 0 of the same. */
  readonly klNats: Estimate;
  readonly klNatsBounds: TailBounds | null;
  /** Strings and properties whose distribution was drawn and not computed, on either side. */
  readonly sampled: number;
  /** The total variation that drawing alone gives two files that do the same, about, over all of them. Exact ones add 0. */
  readonly drawnFloor: number;
}

export interface BehaviorDistances extends DistanceScores {
  readonly properties: readonly (DistanceScores & { readonly task: string; readonly property: string })[];
}

/** What a file says of its own distributions; a row of 08-calibration.json, over all properties. */
export interface OwnCalibration {
  readonly row: Pick<CalibrationMetrics, "brier" | "brierBounds" | "madPoints" | "totalVariation"> &
    Pick<CalibrationRow, "skill" | "comparisons" | "sampled">;
  /** Less the source's of its own, on the same strings, properties and wordings: above 0 the file knows itself worse. */
  readonly change: BrierDifference;
}

interface DistributionsInput {
  readonly source: string;
  readonly variant: string;
  /** With their clusters. */
  readonly distributions: readonly DistributionRow[];
}

const NO_VALUE = "no value";

interface MeasuredPair {
  readonly comparison: Comparison;
  readonly values: number;
  readonly floor: number;
}

/** @returns undefined where nothing was measured of both */
export function scoreDistances(
  { source, variant, distributions }: DistributionsInput,
  settings: ResamplingSettings,
): BehaviorDistances | undefined {
  const draws = sharedDraws(distributions, settings);
  const of = (state: string) =>
    distributions.filter(
      (row): row is MeasuredDistribution & { setAside?: undefined } =>
        row.side === "object_level" && row.state === state && row.setAside === undefined,
    );
  const theirs = new Map(of(variant).map((row) => [behaviorKey(row), row]));
  const both = of(source).flatMap((row) => {
    const other = theirs.get(behaviorKey(row));
    return other ? [{ row, was: wholly(row.distribution), now: wholly(other.distribution) }] : [];
  });
  if (both.length === 0) return undefined;
  const cellOf = ({ row }: (typeof both)[number]) => JSON.stringify([row.task, row.property]);
  const seen = new Map<string, Set<string>>();
  for (const one of both) {
    const values = seen.get(cellOf(one)) ?? new Set();
    seen.set(cellOf(one), values);
    for (const { value } of [...one.was.values, ...one.now.values]) values.add(value);
  }
  const cells = new Map<string, MeasuredPair[]>();
  for (const one of both) {
    const { row, was, now } = one;
    const raw = compareDistributions({ ...row, variant: "" }, was, now);
    const comparison = raw && compliantOnly(raw);
    if (!comparison) continue;
    const pair = { comparison, values: (seen.get(cellOf(one)) as Set<string>).size, floor: drawnFloor(was, now) };
    cells.set(cellOf(one), [...(cells.get(cellOf(one)) ?? []), pair]);
  }
  const score = (pairs: readonly MeasuredPair[]) => scorePairs(pairs, draws, settings.confidence, seen);
  return {
    ...score([...cells.values()].flat()),
    properties: [...cells]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([cell, pairs]) => {
        const [task, property] = JSON.parse(cell) as [string, string];
        return { task, property, ...score(pairs) };
      }),
  };
}

function scorePairs(
  pairs: readonly MeasuredPair[],
  draws: StringDraws,
  confidence: number,
  seen: ReadonlyMap<string, ReadonlySet<string>>,
): DistanceScores {
  const comparisons = pairs.map(({ comparison }) => comparison);
  const because = "nothing was measured of both";
  const valuesOf = new Map(pairs.map(({ comparison, values }) => [comparison, values]));
  const mixed = new Map(
    pairs.map(({ comparison, values }) => [
      comparison,
      mixedObject(comparison, seen.get(JSON.stringify([comparison.task, comparison.property])) ?? new Set(), values),
    ]),
  );
  const most = Math.log(Math.max(...pairs.map(({ values }) => values)) / KL_MIXING);
  const mean = (amount: (comparison: Comparison) => number, range: { least: number; most: number }) =>
    estimateWeighted(
      meanStatistic(comparisons, amount, { range, undefinedBecause: because }, draws),
      draws,
      confidence,
    );
  const bounds = (of: (comparison: Comparison) => TailBounds): TailBounds | null => {
    if (comparisons.every(({ objectTail, certain }) => objectTail === 0 && !certain?.tail)) return null;
    const all = comparisons.map(of);
    const side = (which: keyof TailBounds) => all.reduce((sum, one) => sum + one[which], 0) / all.length;
    return { least: side("least"), most: side("most") };
  };
  const values = (comparison: Comparison) => valuesOf.get(comparison) as number;
  const apart = (comparison: Comparison) => mixed.get(comparison) as Comparison;
  return {
    totalVariation: mean(totalVariation, PROPORTION),
    totalVariationBounds: bounds(totalVariationBounds),
    klNats: mean((one) => klDivergence(apart(one), values(one)), { least: 0, most }),
    klNatsBounds: bounds((one) => klBounds(apart(one), values(one))),
    sampled: comparisons.filter(({ sampled }) => sampled).length,
    drawnFloor: pairs.reduce((sum, { floor }) => sum + floor, 0) / pairs.length,
  };
}

/** What shows no value is a value: two files that both leave half of their answers open differ in nothing by that. */
function wholly(distribution: Distribution): Distribution {
  const none = Object.values(distribution.notCompliant).reduce((sum, one) => sum + one, 0);
  if (none === 0) return distribution;
  const value = { value: NO_VALUE, probability: none };
  return distribution.method === "expansion"
    ? { ...distribution, values: [...distribution.values, { ...value, upper: Math.min(1, none + distribution.tail) }] }
    : { ...distribution, values: [...distribution.values, { ...value, standardError: 0 }] };
}

/** The source's with the same share of a uniform one that KL mixes into the file's. */
function mixedObject(comparison: Comparison, seen: ReadonlySet<string>, values: number): Comparison {
  const { object } = comparison;
  return {
    ...comparison,
    object: new Map([...seen].map((value) => [value, (1 - KL_MIXING) * (object.get(value) ?? 0) + KL_MIXING / values])),
  };
}

/** Of two shares of so many draws of one distribution the mean distance is √(p (1 − p) (1 ÷ n + 1 ÷ m) · 2 ÷ π), were they normal. */
function drawnFloor(was: Distribution, now: Distribution): number {
  const spread = [was, now].reduce((sum, one) => sum + (one.method === "samples" ? 1 / one.samples : 0), 0);
  if (spread === 0) return 0;
  const shares = new Map<string, number>();
  for (const { values } of [was, now]) {
    for (const { value, probability } of values) shares.set(value, (shares.get(value) ?? 0) + probability / 2);
  }
  return [...shares.values()].reduce(
    (sum, share) => sum + Math.sqrt((share * (1 - share) * spread * 2) / Math.PI) / 2,
    0,
  );
}

/** @returns undefined where nothing was measured of both */
export function scoreOwnCalibration(
  { source, variant, distributions }: DistributionsInput,
  { rows }: CalibrationScores,
  settings: ResamplingSettings,
): OwnCalibration | undefined {
  const row = rows.find((one) => one.predictor === variant && one.target === variant && one.property === undefined);
  if (!row) return undefined;
  const of = (state: string) => matchDistributions(distributions, { predictor: state, target: state });
  const { metrics, skill, comparisons, sampled } = row;
  const { brier, brierBounds, madPoints, totalVariation: distance } = metrics;
  return {
    row: {
      brier,
      ...(brierBounds ? { brierBounds } : {}),
      madPoints,
      totalVariation: distance,
      skill,
      comparisons,
      sampled,
    },
    change: pairedCalibration(of(variant), of(source), sharedDraws(distributions, settings), settings.confidence),
  };
}
