/**
 * Does what a model says about sentences follow its own probabilities more than a like model's? Song, Hu and Mahowald's form:
 * r(A, B) = correlation of A's ΔDirect with B's ΔMeta, explained by d(A, B) = correlation of their ΔDirects and by the match type.
 */
import { InwardError } from "../../errors.js";
import type { Estimate } from "../../records/scores.js";
import { drawResamples, type Resamples } from "../cluster-bootstrap.js";
import { type Covariate, fitMatrix, type MatrixFit } from "../matrix/fit-matrix.js";
import type { MatrixCell } from "../matrix/matrix-cell.js";
import { type Correlation, correlate, toCellMean, toEstimate } from "./resampled-correlation.js";

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
}

export interface SongPair {
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
  const resamples = drawResamples("items", items, settings.replicates, settings.seed);
  const typeOf = (judged: string, judge: string) => (judged === judge ? "self" : settings.matchType(judged, judge));
  const pairs = models.flatMap((judged) =>
    models.map((judge) => ({
      judged: judged.name,
      judge: judge.name,
      matchType: typeOf(judged.name, judge.name),
      agreement: agreementOf(judged, judge, resamples),
      similarity: correlationOf([[judged.direct, judge.direct]], [judged.name, judge.name], resamples),
    })),
  );
  const types = [...new Set(pairs.map(({ matchType }) => matchType))].sort();
  const covariates = types
    .filter((type) => type !== "self" && type !== settings.baseline)
    .map((type): Covariate => ({ name: type, of: (judge, judged) => Number(typeOf(judged, judge) === type) }));
  const cells = pairs.map(({ judged, judge, agreement, similarity }): MatrixCell => {
    return { predictor: judge, target: judged, accuracy: toCellMean(agreement), similarity: toCellMean(similarity) };
  });
  const bootstrap = { replicates: settings.replicates, clusters: items, confidence: settings.confidence };
  return {
    items,
    prompts,
    pairs: pairs.map(({ agreement, similarity, ...pair }) => ({
      ...pair,
      agreement: toEstimate(agreement, items, settings.confidence),
      similarity: toEstimate(similarity, items, settings.confidence),
    })),
    regression: fitMatrix(cells, { covariates, bootstrap, stateEffects: false }),
    withModelEffects: fitMatrix(cells, { covariates, bootstrap }),
  };
}

function agreementOf(judged: SongModel, judge: SongModel, resamples: Resamples): Correlation {
  return correlationOf(
    judge.meta.map((meta) => [judged.direct, meta]),
    [judged.name, judge.name],
    resamples,
  );
}

function correlationOf(
  columns: readonly (readonly [readonly number[], readonly number[]])[],
  names: readonly [string, string],
  resamples: Resamples,
): Correlation {
  if (resamples.strings < FEWEST_ITEMS)
    return { ok: false, reason: `${resamples.strings} items: too few to correlate` };
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
    resamples,
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
