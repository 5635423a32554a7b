/** The two numbers that Song et al. (2025, arXiv 2503.07513) compare: what a model finds more likely, and what it says when asked. */

import type { LogprobDifferenceRow, MeasuredLogprobDifference } from "../../ask/logprob-differences.js";
import { InwardError } from "../../errors.js";
import { CORRELATION, pearson } from "../correlation.js";
import { type Estimate, estimate } from "../interval.js";
import { drawResamples, type Resamples, type ResamplingSettings } from "../resampling.js";
import { type ClusterOf, stringKey } from "../trial.js";

import type { CellMean, MatrixCell } from "./cells.js";
import { type Covariate, fitMatrix, type MatrixFit } from "./fit.js";
import type { SongScores } from "./matrix.js";
import { statesOf, type Relation, type PlanOfStates } from "../../study/states.js";

/** One item's two sentences, each the sum of its tokens' natural logprobs, begin- and end-of-text tokens left out. */
interface DirectLogprobs {
  readonly first: number;
  readonly second: number;
}

/** Natural logprobs of the answers "1" and "2" to a question that lists both sentences. */
interface OptionLogprobs {
  readonly one: number;
  readonly two: number;
}

/** @returns ΔDirect, nats: above 0 where the model finds the first sentence more likely */
export function directDifference({ first, second }: DirectLogprobs): number {
  return first - second;
}

/**
 * @param inOrder the question that lists the first sentence as 1
 * @param swapped the question that lists it as 2
 * @returns ΔMeta, nats, for the first sentence; a liking for "1" or "2" as such falls out
 */
export function metaDifference(inOrder: OptionLogprobs, swapped: OptionLogprobs): number {
  return (inOrder.one - inOrder.two + (swapped.two - swapped.one)) / 2;
}

/** What each replicate draws, and the place of each item in it. */
interface ItemDraws {
  readonly resamples: Resamples;
  readonly placeOf: Int32Array;
}

/** Clusters are drawn in the order in which items first name them, so that items on their own are drawn in their own order. */
function drawItems(items: number, { clusters, replicates, seed }: SongSettings): ItemDraws {
  const places = new Map<string | number, number>();
  const placeOf = Int32Array.from({ length: items }, (_, item) => {
    const cluster = clusters?.[item] ?? item;
    const place = places.get(cluster) ?? places.size;
    places.set(cluster, place);
    return place;
  });
  return { placeOf, resamples: drawResamples("items", places.size, replicates, seed) };
}

// A mean of correlations over prompts, with its value in every bootstrap replicate of items.

type Correlation =
  | {
      readonly ok: true;
      readonly value: number;
      /** Undefined where a draw left a column without variation. */
      readonly replicates: readonly (number | undefined)[];
    }
  | { readonly ok: false; readonly reason: string };

/** @param columns pairs to correlate, one per prompt, each of finite numbers that vary */
function correlate(
  columns: readonly (readonly [Float64Array, Float64Array])[],
  { placeOf, resamples: { strings, replicates, draws } }: ItemDraws,
): Correlation {
  const mean = (weigh?: (row: number) => number) => {
    const all = columns.map(([first, second]) => pearson(first, second, weigh));
    const known = all.filter((one) => one !== undefined);
    return known.length < all.length ? undefined : known.reduce((sum, one) => sum + one, 0) / known.length;
  };
  const value = mean();
  if (value === undefined) return { ok: false, reason: "a column does not vary" };
  return {
    ok: true,
    value,
    replicates: Array.from({ length: replicates }, (_, replicate) =>
      mean((row) => draws[replicate * strings + (placeOf[row] as number)] as number),
    ),
  };
}

function toCellMean(correlation: Correlation): CellMean {
  if (!correlation.ok) return correlation;
  const { value, replicates } = correlation;
  return { ok: true, value, inReplicate: (replicate) => replicates[replicate] };
}

/** Likeness with itself is 1 by definition, in every draw too: a value that no draw moves stays as it is. */
function toEstimate(
  correlation: Correlation,
  { items, clusters }: { readonly items: number; readonly clusters: number },
  confidence: number,
): Estimate {
  if (!correlation.ok) return correlation;
  const { value, replicates } = correlation;
  const neverBecause = `no draw of ${items} items varies`;
  return estimate({ value, n: items, clusters, tasks: 1, range: CORRELATION, neverBecause }, replicates, {
    confidence,
    unmoved: "as_drawn",
  });
}

// Does what a model says about sentences follow its own probabilities more than a like model's? Song, Hu and Mahowald's form:
// r(A, B) = correlation of A's ΔDirect with B's ΔMeta, explained by d(A, B) = correlation of their ΔDirects and by the match type.

export interface SongModel {
  readonly name: string;
  /** ΔDirect of each item, nats. */
  readonly direct: readonly number[];
  /** ΔMeta of each item, nats, for each prompt. */
  readonly meta: readonly (readonly number[])[];
}

export interface SongSettings {
  /** What a pair of different models is, such as `seed_variant`, `same_family`, `other`. A model with itself is `self`. */
  readonly matchType: (judged: string, judge: string) => string;
  /** The match type that the others are compared with. */
  readonly baseline: string;
  readonly replicates: number;
  /** Any safe integer. */
  readonly seed: number;
  /** In (0, 1). */
  readonly confidence: number;
  /** Of each item what is drawn, where some items are drawn together; absent: every item is on its own. */
  readonly clusters?: readonly string[];
}

interface SongPair {
  /** Whose probabilities. */
  readonly judged: string;
  /** Who was asked. */
  readonly judge: string;
  readonly matchType: string;
  /** r, the mean over prompts. */
  readonly agreement: Estimate;
  /** d; of a model with itself 1, by definition. */
  readonly similarity: Estimate;
}

export interface SongRegression {
  readonly items: number;
  readonly prompts: number;
  /** All ordered pairs. */
  readonly pairs: readonly SongPair[];
  /** r ~ intercept + similarity + match type; `self` is what a model knows of itself beyond the baseline type and its similarity. */
  readonly regression: MatrixFit;
  /** The same with an effect of each judge and each judged model in the intercept's place: some judge better, some are easier. */
  readonly withModelEffects: MatrixFit;
}

/** With fewer, every correlation is 1 or −1. */
const FEWEST_ITEMS = 3;

/**
 * Intervals resample items: one draw for all models, prompts and both correlations.
 * @throws InwardError STORE_INCOMPLETE when models have different numbers of items or prompts, or none
 */
export function songRegression(models: readonly SongModel[], settings: SongSettings): SongRegression {
  const { items, prompts } = requireSameItems(models);
  const draws = drawItems(items, settings);
  const counted = { items, clusters: draws.resamples.strings };
  const typeOf = (judged: string, judge: string) => (judged === judge ? "self" : settings.matchType(judged, judge));
  const pairs = models.flatMap((judged) =>
    models.map((judge) => ({
      judged: judged.name,
      judge: judge.name,
      matchType: typeOf(judged.name, judge.name),
      agreement: agreementOf(judged, judge, draws),
      similarity: correlationOf([[judged.direct, judge.direct]], [judged.name, judge.name], draws),
    })),
  );
  const types = [...new Set(pairs.map(({ matchType }) => matchType))].sort();
  const covariates = types
    .filter((type) => type !== "self" && type !== settings.baseline)
    .map((type): Covariate => ({ name: type, of: (judge, judged) => Number(typeOf(judged, judge) === type) }));
  const cells = pairs.map(({ judged, judge, agreement, similarity }): MatrixCell => {
    return { predictor: judge, target: judged, accuracy: toCellMean(agreement), similarity: toCellMean(similarity) };
  });
  const bootstrap = { replicates: settings.replicates, clusters: counted.clusters, confidence: settings.confidence };
  return {
    items,
    prompts,
    pairs: pairs.map(({ agreement, similarity, ...pair }) => ({
      ...pair,
      agreement: toEstimate(agreement, counted, settings.confidence),
      similarity: toEstimate(similarity, counted, settings.confidence),
    })),
    regression: fitMatrix(cells, { covariates, bootstrap, stateEffects: false }),
    withModelEffects: fitMatrix(cells, { covariates, bootstrap }),
  };
}

function agreementOf(judged: SongModel, judge: SongModel, draws: ItemDraws): Correlation {
  return correlationOf(
    judge.meta.map((meta) => [judged.direct, meta]),
    [judged.name, judge.name],
    draws,
  );
}

function correlationOf(
  columns: readonly (readonly [readonly number[], readonly number[]])[],
  names: readonly [string, string],
  draws: ItemDraws,
): Correlation {
  const items = draws.placeOf.length;
  if (items < FEWEST_ITEMS) return { ok: false, reason: `${items} items: too few to correlate` };
  for (const pair of columns) {
    for (const [side, column] of pair.entries()) {
      const place = column.findIndex((value) => !Number.isFinite(value));
      if (place >= 0)
        return { ok: false, reason: `item ${place} of ${names[side]} has a difference of ${column[place]}` };
      if (column.every((value) => value === column[0])) {
        return { ok: false, reason: `all items of ${names[side]} have the same difference` };
      }
    }
  }
  return correlate(
    columns.map(([first, second]) => [Float64Array.from(first), Float64Array.from(second)]),
    draws,
  );
}

function requireSameItems(models: readonly SongModel[]): { items: number; prompts: number } {
  const [first] = models;
  const items = first?.direct.length ?? 0;
  const prompts = first?.meta.length ?? 0;
  if (items === 0 || prompts === 0)
    throw new InwardError("STORE_INCOMPLETE", "No item or no prompt to compare models on.");
  for (const { name, direct, meta } of models) {
    const lengths = [direct.length, ...meta.map((one) => one.length)];
    if (meta.length !== prompts || lengths.some((length) => length !== items)) {
      throw new InwardError(
        "STORE_INCOMPLETE",
        `${name} has ${lengths[0]} items and ${meta.length} prompts of ${lengths.slice(1).join(", ")} items; ${first?.name} has ${items} items and ${prompts} prompts.`,
      );
    }
  }
  return { items, prompts };
}

// From measured logprobs to Song et al.'s regression: the items of a run as its states' differences, in one order.

/** From the least to the most alike: the first that a study has is what the others are compared with. */
const TYPES: readonly Relation[] = ["other", "derived_weights", "same_weights"];

/**
 * @param rows all items of one state after those of another, in one order; an item that was set aside for one state is left out for all
 * @throws InwardError STORE_INCOMPLETE when states have different items
 */
export function scoreSong(
  plan: PlanOfStates,
  rows: readonly LogprobDifferenceRow[],
  { bootstrapReplicates, bootstrapSeed, confidence }: ResamplingSettings,
  clusterOf: ClusterOf = () => undefined,
): SongScores {
  const states = [...new Set(rows.map(({ state }) => state))];
  if (states.length < 2) {
    const asked = states.length === 0 ? "no state" : `only ${states[0]}`;
    return { ok: false, reason: `${asked} was asked: two states are compared at the least` };
  }
  const setAside = new Set(rows.flatMap((row) => (row.setAside ? [row.key] : [])));
  const measured = rows.flatMap((row) => (row.setAside || setAside.has(row.key) ? [] : [row]));
  if (measured.length === 0 && setAside.size > 0) {
    return {
      ok: false,
      reason: `the engine crashed on each of the ${setAside.size} strings, so that all were set aside`,
    };
  }
  const models = states.map((state) => modelOf(measured, state));
  const types = new Set(states.flatMap((a) => states.map((b) => statesOf(plan).relation(a, b))));
  const baseline = TYPES.find((type) => types.has(type)) as Relation;
  const regression = songRegression(models, {
    matchType: (judged, judge) => statesOf(plan).relation(judged, judge),
    baseline,
    replicates: bootstrapReplicates,
    seed: bootstrapSeed,
    confidence,
    clusters: measured
      .filter(({ state }) => state === states[0])
      .map(({ task, item }) => stringKey({ task, item, cluster: clusterOf(task, item) })),
  });
  return {
    ok: true,
    states,
    wordings: (measured[0]?.meta ?? []).map(({ wording }) => wording),
    baseline,
    ...(setAside.size > 0 && { leftOut: [{ reason: "engine_crashed" as const, count: setAside.size }] }),
    intervalMethod: `percentiles of ${bootstrapReplicates} bootstrap replicates that draw items, one draw for all states, wordings and correlations; seed ${bootstrapSeed}`,
    ...regression,
  };
}

function modelOf(rows: readonly MeasuredLogprobDifference[], state: string): SongModel {
  const own = rows.filter((row) => row.state === state);
  const wordings = (own[0]?.meta ?? []).map((_, index) => index);
  return {
    name: state,
    direct: own.map(({ direct }) => directDifference({ first: direct.first.logprob, second: direct.second.logprob })),
    meta: wordings.map((index) =>
      own.map(({ meta }) => {
        const asked = meta[index];
        return asked ? metaDifference(asked.inOrder, asked.swapped) : Number.NaN;
      }),
    ),
  };
}
