/**
 * A direction in a model's states by which one kind of prompt differs from another: the mean difference of pairs. Whether it is more
 * than these very pairs: each pair is told apart by the direction of the others, beside the same with the sides of pairs dealt out by
 * chance.
 */

import { DisjointSets } from "../base/disjoint-sets.js";
import { inSeededOrder, randomStream } from "../base/random.js";
import { lengthOfVector } from "../base/vectors.js";
import { medianOf } from "../base/median.js";
import { InwardError } from "../errors.js";
import type { TestResult } from "../score/comparison/comparison.js";
import type { Estimate } from "../score/interval.js";
import type { ResamplingSettings } from "../score/resampling.js";
import { type RowMatrix, requireRows } from "./linear-probe.js";
import { shareOfRows } from "./string-estimates.js";

export interface StateContrastSettings extends ResamplingSettings {
  /** Parts of the pairs, each told apart by the direction of the rest. */
  readonly folds: number;
  /** Draws of sides behind the p-value. */
  readonly flips: number;
}

export const CONTRAST_SETTINGS: StateContrastSettings = {
  confidence: 0.95,
  bootstrapReplicates: 2000,
  bootstrapSeed: 0,
  folds: 5,
  flips: 999,
};

/** Pairs beyond which every pair with every other takes minutes. */
export const MOST_PAIRS = 4000;

export interface StateContrast {
  /** [width] mean of positive minus negative. */
  readonly direction: Float32Array;
  /** Its length, in the units of the states. */
  readonly norm: number;
  /** Median length of the states that it was made of. */
  readonly stateNorm: number;
  readonly pairs: number;
  readonly separation: Separation;
}

/** How well pairs are told apart by the mean difference of other pairs. */
export type Separation =
  | {
      readonly ok: true;
      /** Share of held-out pairs whose positive side lies farther along the direction, drawn by pair (linked pairs together). */
      readonly accuracy: Estimate;
      /** Its mean with the sides of pairs dealt out by chance, and the share of draws that reach it. */
      readonly shuffledAccuracy: number;
      readonly test: TestResult;
      readonly folds: number;
      /** Groups of pairs that share a prompt, directly or through others: each on one side of the split. */
      readonly groups: number;
    }
  | { readonly ok: false; readonly reason: string };

/**
 * @param positive [pairs × width] @param negative the same pairs' other sides
 * @param groups [pairs] what must stay together, such as a prompt that several pairs have
 * @throws PROBE_INVALID no pairs, sides of other sizes, too many, or a number that is not finite
 */
export function contrastOf(
  positive: RowMatrix,
  negative: RowMatrix,
  groups: readonly number[],
  settings: StateContrastSettings = CONTRAST_SETTINGS,
): StateContrast {
  const { width } = positive;
  const pairs = requireRows(positive);
  if (pairs !== requireRows(negative) || width !== negative.width || groups.length !== pairs) {
    throw new InwardError("PROBE_INVALID", `${pairs} positive sides do not go with the negative ones.`);
  }
  if (pairs === 0) throw new InwardError("PROBE_INVALID", "A contrast is of one pair at least.");
  if (pairs > MOST_PAIRS) {
    throw new InwardError("PROBE_INVALID", `A contrast is of ${MOST_PAIRS} pairs at most, not of ${pairs}.`);
  }
  const rows = Array.from({ length: pairs }, (_, pair) =>
    Float64Array.from({ length: width }, (_, at) => {
      const place = pair * width + at;
      return (positive.values[place] as number) - (negative.values[place] as number);
    }),
  );
  const mean = new Float64Array(width);
  for (const row of rows)
    for (let at = 0; at < width; at++) mean[at] = (mean[at] as number) + (row[at] as number) / pairs;
  const direction = Float32Array.from(mean);
  const lengths = [positive, negative].flatMap(({ values }) =>
    Array.from({ length: pairs }, (_, pair) =>
      lengthOfVector(Array.from({ length: width }, (_, at) => values[pair * width + at] as number)),
    ),
  );
  return {
    direction,
    norm: lengthOfVector(direction),
    stateNorm: medianOf(lengths),
    pairs,
    separation: separationOf(rows, groups, settings),
  };
}

function separationOf(
  rows: readonly Float64Array[],
  groups: readonly number[],
  settings: StateContrastSettings,
): Separation {
  const names = [...new Set(groups)];
  if (names.length < 2) return { ok: false, reason: "all pairs share prompts, so that none can be held out" };
  const folds = Math.min(settings.folds, names.length);
  const order = inSeededOrder(names, (name) => `contrast folds/${settings.bootstrapSeed}/${name}`);
  const foldOf = new Map(order.map((name, at) => [name, at % folds]));
  const pairs = rows.length;
  // How far a pair lies along another's difference; 0 where both are in one fold, so that only other folds have a say.
  const along = new Float64Array(pairs * pairs);
  for (let one = 0; one < pairs; one++) {
    for (let other = 0; other < one; other++) {
      if (foldOf.get(groups[one] as number) === foldOf.get(groups[other] as number)) continue;
      const [a, b] = [rows[one] as Float64Array, rows[other] as Float64Array];
      let product = 0;
      for (let at = 0; at < a.length; at++) product += (a[at] as number) * (b[at] as number);
      along[one * pairs + other] = product;
      along[other * pairs + one] = product;
    }
  }
  const right = (signs: Int8Array): boolean[] =>
    rows.map((_, one) => {
      let sum = 0;
      for (let other = 0; other < pairs; other++)
        sum += (signs[other] as number) * (along[one * pairs + other] as number);
      return (signs[one] as number) * sum > 0;
    });
  const seen = right(new Int8Array(pairs).fill(1));
  const count = (some: readonly boolean[]) => some.filter(Boolean).length;
  const random = randomStream("contrast sides", settings.bootstrapSeed);
  let [reached, total] = [0, 0];
  for (let draw = 0; draw < settings.flips; draw++) {
    const sides = new Map(names.map((name) => [name, random.next() < 0 ? -1 : 1]));
    const drawn = count(right(Int8Array.from(groups, (group) => sides.get(group) as number)));
    total += drawn;
    if (drawn >= count(seen)) reached++;
  }
  const byGroup = seen.map((isSo, pair) => ({ string: String(groups[pair]), isSo }));
  return {
    ok: true,
    accuracy: shareOfRows(byGroup, settings),
    shuffledAccuracy: total / (settings.flips * pairs),
    test: {
      ok: true,
      p: (1 + reached) / (1 + settings.flips),
      informativeStrings: names.length,
      method: "drawn",
      draws: settings.flips,
    },
    folds,
    groups: names.length,
  };
}

/** @param sides [pairs] keys of both prompts @returns [pairs] the number of the first pair that it is linked with by a shared prompt */
export function linkedPairs(sides: readonly (readonly [string, string])[]): number[] {
  const sets = new DisjointSets(sides.length);
  const first = new Map<string, number>();
  for (const [pair, keys] of sides.entries()) {
    for (const key of keys) {
      const before = first.get(key);
      if (before === undefined) first.set(key, pair);
      else sets.link(before, pair);
    }
  }
  return sides.map((_, pair) => sets.firstOf(pair));
}
