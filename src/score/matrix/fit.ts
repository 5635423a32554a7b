/**
 * Does a state predict itself better than its skill, the target's predictability and its likeness to the target explain?
 * accuracy(i, j) = skill_i + predictability_j + δ · similarity(i, j) + γ · [i = j], by least squares over the cells.
 */

import { InwardError } from "../../errors.js";
import { estimate } from "../interval.js";
import type { PointRange } from "../tally.js";
import type { CellMean, MatrixCell } from "./cells.js";

// A matrix's columns as orthonormal ones times an upper triangle: the QR factors that least squares solves with.

interface Orthonormal {
  /** Of length one and orthogonal to each other, one for each kept column. */
  readonly basis: readonly Float64Array[];
  /** Kept column k is the sum of `upper[k][i] * basis[i]` over i up to k. */
  readonly upper: readonly Float64Array[];
  /** Places of the kept columns, counted from the first column of what was extended. */
  readonly kept: readonly number[];
  /** Places of the columns that are combinations of kept ones before them, to `DEPENDENT` of their length. */
  readonly dependent: readonly number[];
}

/** What is left of a column once the others are taken out of it must be longer than this share of it. */
const DEPENDENT = 1e-9;

const NONE: Orthonormal = { basis: [], upper: [], kept: [], dependent: [] };

/**
 * Gram and Schmidt's way, every projection taken out twice: once leaves what rounding left, the second time makes the columns
 * orthogonal to working precision (W. Kahan's "twice is enough"; Giraud et al. 2005, Numer. Math. 101).
 * @param columns all of one length, finite
 * @param onto factors of columns that stand before these
 */
export function orthonormalColumns(columns: readonly Float64Array[], onto: Orthonormal = NONE): Orthonormal {
  const basis = [...onto.basis];
  const upper = [...onto.upper];
  const kept = [...onto.kept];
  const dependent = [...onto.dependent];
  let place = kept.length + dependent.length;
  for (const column of columns) {
    const { coordinates, rest } = projectOut(column, basis);
    const length = norm(rest);
    if (length > DEPENDENT * norm(column)) {
      upper.push(Float64Array.of(...coordinates, length));
      basis.push(rest.map((value) => value / length));
      kept.push(place);
    } else dependent.push(place);
    place++;
  }
  return { basis, upper, kept, dependent };
}

/** @returns a column's coordinates along the basis, and what is orthogonal to all of it */
function projectOut(
  column: Float64Array,
  basis: readonly Float64Array[],
): { coordinates: Float64Array; rest: Float64Array } {
  const rest = Float64Array.from(column);
  const coordinates = new Float64Array(basis.length);
  for (let pass = 0; pass < 2; pass++) {
    basis.forEach((direction, index) => {
      let along = 0;
      for (let row = 0; row < rest.length; row++) along += (direction[row] as number) * (rest[row] as number);
      for (let row = 0; row < rest.length; row++) {
        rest[row] = (rest[row] as number) - along * (direction[row] as number);
      }
      coordinates[index] = (coordinates[index] as number) + along;
    });
  }
  return { coordinates, rest };
}

function norm(column: Float64Array): number {
  return Math.hypot(...column);
}

// Least squares on factored columns: coefficients, what is left over, and what standard errors need.

interface LeastSquares {
  /** Of each kept column, in their order. A dependent column has none: it counts as left out. */
  readonly coefficients: Float64Array;
  readonly residualSumOfSquares: number;
  /** Rows minus kept columns. */
  readonly degreesOfFreedom: number;
}

/** @param response one number per row, finite */
export function leastSquares(factors: Orthonormal, response: Float64Array): LeastSquares {
  const { coordinates, rest } = projectOut(response, factors.basis);
  return {
    coefficients: solveUpper(factors, coordinates),
    residualSumOfSquares: rest.reduce((sum, value) => sum + value ** 2, 0),
    degreesOfFreedom: response.length - factors.kept.length,
  };
}

/** The diagonal of (X'X)⁻¹ for the kept columns: times the variance of an error, the variance of each coefficient. */
function unscaledVariances(factors: Orthonormal): Float64Array {
  const size = factors.kept.length;
  const variances = new Float64Array(size);
  for (let unit = 0; unit < size; unit++) {
    const direction = new Float64Array(size);
    direction[unit] = 1;
    solveUpper(factors, direction).forEach((value, index) => {
      variances[index] = (variances[index] as number) + value ** 2;
    });
  }
  return variances;
}

/** From the last row upwards. */
function solveUpper({ upper }: Orthonormal, coordinates: Float64Array): Float64Array {
  const solution = Float64Array.from(coordinates);
  for (let column = upper.length - 1; column >= 0; column--) {
    const entries = upper[column] as Float64Array;
    const value = (solution[column] as number) / (entries[column] as number);
    solution[column] = value;
    for (let row = 0; row < column; row++) solution[row] = (solution[row] as number) - (entries[row] as number) * value;
  }
  return solution;
}

// The columns of a two-way fit: who predicts, who is predicted, and what else is known of a cell.

interface Place {
  readonly predictor: string;
  readonly target: string;
}

interface TwoWayDesign {
  readonly predictors: readonly string[];
  readonly targets: readonly string[];
  /** Factors of one column per predictor, then one per target. */
  readonly effects: Orthonormal;
  /** Groups of states that no cell links: skills can be compared inside a group only. */
  readonly parts: number;
}

/** No effects of states: for a fit that has an intercept among its covariates instead. */
const NO_STATE_EFFECTS: TwoWayDesign = {
  predictors: [],
  targets: [],
  effects: orthonormalColumns([]),
  parts: 0,
};

/** @param places at least one */
function twoWayDesign(places: readonly Place[]): TwoWayDesign {
  const predictors = [...new Set(places.map(({ predictor }) => predictor))].sort();
  const targets = [...new Set(places.map(({ target }) => target))].sort();
  const column = (side: keyof Place, name: string) =>
    Float64Array.from(places, (place) => Number(place[side] === name));
  const effects = orthonormalColumns([
    ...predictors.map((name) => column("predictor", name)),
    ...targets.map((name) => column("target", name)),
  ]);
  // In each group the columns of its predictors and those of its targets have the same sum: one column too many.
  return { predictors, targets, effects, parts: effects.dependent.length };
}

interface StateEffect {
  readonly state: string;
  readonly value: number;
}

/**
 * Skill of each predictor and predictability of each target, at covariates of 0. Only their sums are fixed by the data:
 * the predictabilities are made to have the mean 0, so that a skill is the accuracy about a middling target.
 * @param coefficients of the design's columns, as `leastSquares` gives them (covariates after them are not looked at)
 */
function fitEffects(
  { predictors, targets, effects }: TwoWayDesign,
  coefficients: Float64Array,
): { readonly skill: StateEffect[]; readonly predictability: StateEffect[] } {
  const all = new Float64Array(predictors.length + targets.length);
  effects.kept.forEach((place, index) => {
    all[place] = coefficients[index] as number;
  });
  const middle = all.slice(predictors.length).reduce((sum, value) => sum + value, 0) / targets.length;
  return {
    skill: predictors.map((state, index) => ({ state, value: (all[index] as number) + middle })),
    predictability: targets.map((state, index) => ({
      state,
      value: (all[predictors.length + index] as number) - middle,
    })),
  };
}

// Intervals of a matrix fit's coefficients: every replicate draws strings, which moves all cells and their similarities
// together, and the fit is made again.

interface BootstrapSettings {
  /** As many as the cells' resamples have. */
  readonly replicates: number;
  /** Strings that are drawn from. */
  readonly clusters: number;
  /** That the strings are of; 1 unless told. */
  readonly tasks?: number;
  /** In (0, 1). */
  readonly confidence: number;
}

export type CoefficientInterval =
  | {
      readonly ok: true;
      readonly low: number;
      readonly high: number;
      readonly clusters: number;
      /** Replicates that gave a fit. */
      readonly replicates: number;
      /** Replicates whose draw left too few cells for one. */
      readonly leftOut: number;
    }
  | { readonly ok: false; readonly reason: string };

interface FittedMatrix {
  readonly design: TwoWayDesign;
  /** Of the covariates, `similarity` first where it is taken. */
  readonly columns: readonly Float64Array[];
  readonly withSimilarity: boolean;
  /** Of the covariates, from all strings. */
  readonly values: readonly number[];
}

/** @returns one per covariate */
function coefficientIntervals(
  cells: readonly MatrixCell[],
  fitted: FittedMatrix,
  settings: BootstrapSettings | undefined,
): CoefficientInterval[] {
  const none = (reason: string) => fitted.values.map((): CoefficientInterval => ({ ok: false, reason }));
  if (!settings) return none("no trials were given to resample");
  const { replicates, clusters, tasks = 1, confidence } = settings;
  if (clusters < 2) return none(`only ${clusters} string is counted: no interval`);
  const means = cells.flatMap(({ accuracy, similarity }) =>
    fitted.withSimilarity && similarity ? [accuracy, similarity] : [accuracy],
  );
  if (means.some((mean) => mean.ok && !mean.inReplicate)) return none("a cell cannot be resampled");

  const draws = fitted.values.map(() => new Float64Array(replicates));
  let made = 0;
  const whole = orthonormalColumns(fitted.columns, fitted.design.effects);
  for (let replicate = 0; replicate < replicates; replicate++) {
    const coefficients = refit(cells, fitted, whole, replicate);
    if (!coefficients) continue;
    draws.forEach((values, index) => {
      values[made] = coefficients[index] as number;
    });
    made++;
  }
  if (made === 0) return none(`none of ${replicates} replicates drew enough cells of ${clusters} strings`);
  return draws.map((values, index): CoefficientInterval => {
    const statistic = { value: fitted.values[index], n: cells.length, clusters, tasks, range: UNBOUNDED };
    // A coefficient has no range, so where no draw moves it there is no bound either.
    const interval = estimate(statistic, values.subarray(0, made), { confidence, unmoved: "refuse" });
    if (!interval.ok) return interval;
    const { low, high } = interval;
    return { ok: true, low, high, clusters, replicates: made, leftOut: replicates - made };
  });
}

const UNBOUNDED: PointRange = { least: Number.NEGATIVE_INFINITY, most: Number.POSITIVE_INFINITY };

/** @returns the covariates' coefficients, or undefined where the replicate's cells do not fix them */
function refit(
  cells: readonly MatrixCell[],
  { design, columns, withSimilarity }: FittedMatrix,
  whole: Orthonormal,
  replicate: number,
): Float64Array | undefined {
  const drawn = cells.map(({ accuracy, similarity }) => ({
    accuracy: meanIn(accuracy, replicate),
    similarity: withSimilarity ? meanIn(similarity, replicate) : 0,
  }));
  const there = [...cells.keys()].filter(
    (index) => drawn[index]?.accuracy !== undefined && drawn[index]?.similarity !== undefined,
  );
  if (there.length === 0) return undefined;
  const take = (of: (index: number) => number) => Float64Array.from(there, of);
  const moved = columns.map((column, place) =>
    take((index) => (withSimilarity && place === 0 ? (drawn[index]?.similarity as number) : (column[index] as number))),
  );
  // As long as no cell is lost, who predicts whom is the same in every replicate, and so are those factors.
  const complete = there.length === cells.length;
  const unchanged = complete || design === NO_STATE_EFFECTS;
  const effects = unchanged ? design.effects : twoWayDesign(there.map((index) => cells[index] as MatrixCell)).effects;
  const factors = complete && !withSimilarity ? whole : orthonormalColumns(moved, effects);
  if (factors.dependent.length > effects.dependent.length) return undefined;
  const { coefficients } = leastSquares(
    factors,
    take((index) => drawn[index]?.accuracy as number),
  );
  return coefficients.slice(coefficients.length - columns.length);
}

function meanIn(mean: CellMean | undefined, replicate: number): number | undefined {
  return mean?.ok ? mean.inReplicate?.(replicate) : undefined;
}

/** Something known of a pair, such as "same family" as 0 or 1. */
export interface Covariate {
  readonly name: string;
  readonly of: (predictor: string, target: string) => number;
}

interface MatrixSettings {
  /** Besides similarity, which is taken where cells have it, and `self`, which always is. */
  readonly covariates?: readonly Covariate[];
  /** Default true; false puts one `intercept` in the place of all skills and predictabilities. */
  readonly stateEffects?: boolean;
  /** With cells that know their means in each replicate. */
  readonly bootstrap?: BootstrapSettings;
}

export interface Coefficient {
  readonly name: string;
  readonly value: number;
  /** As if all cells had errors of one size, independent of each other; they share strings, so this only describes the table. */
  readonly standardError: Quantity;
  /** Cluster bootstrap by string. */
  readonly interval: CoefficientInterval;
}

type Quantity = { readonly ok: true; readonly value: number } | { readonly ok: false; readonly reason: string };

export type MatrixFit =
  | {
      readonly ok: true;
      /** Cells that were fitted. */
      readonly cells: number;
      readonly missing: readonly MissingCell[];
      /** `similarity` if cells have it, `intercept` if asked for, the covariates in their order, and `self` (γ) at the end. */
      readonly coefficients: readonly Coefficient[];
      readonly effects: Effects;
      readonly residualStandardDeviation: Quantity;
      readonly degreesOfFreedom: number;
    }
  | { readonly ok: false; readonly reason: string; readonly missing: readonly MissingCell[] };

type Effects =
  | {
      readonly ok: true;
      /** Accuracy about a middling target, covariates at 0. */
      readonly skill: readonly StateEffect[];
      /** Difference from a middling target. */
      readonly predictability: readonly StateEffect[];
    }
  | { readonly ok: false; readonly reason: string };

interface MissingCell {
  readonly predictor: string;
  readonly target: string;
  readonly reason: string;
}

const INTERCEPT: Covariate = { name: "intercept", of: () => 1 };

/**
 * @param cells each predictor and target at most once; a cell without a value is left out and named with its reason
 * @throws InwardError STORE_CORRUPT when a cell stands twice
 */
export function fitMatrix(cells: readonly MatrixCell[], settings: MatrixSettings = {}): MatrixFit {
  requireOnce(cells);
  const stateEffects = settings.stateEffects ?? true;
  const covariates = [...(stateEffects ? [] : [INTERCEPT]), ...(settings.covariates ?? [])];
  const withSimilarity = cells.some(({ similarity }) => similarity !== undefined);
  const reasons = cells.map((cell) => reasonMissing(cell, withSimilarity, covariates));
  const there = cells.filter((_, index) => reasons[index] === undefined);
  const missing = cells.flatMap(({ predictor, target }, index): MissingCell[] => {
    const reason = reasons[index];
    return reason === undefined ? [] : [{ predictor, target, reason }];
  });
  if (there.length === 0) return { ok: false, reason: `none of ${cells.length} cells has a value`, missing };

  const names = [...(withSimilarity ? ["similarity"] : []), ...covariates.map(({ name }) => name), "self"];
  const columns = [
    ...(withSimilarity ? [Float64Array.from(there, (cell) => valueIn(cell.similarity))] : []),
    ...covariates.map(({ of }) => Float64Array.from(there, ({ predictor, target }) => of(predictor, target))),
    Float64Array.from(there, ({ predictor, target }) => Number(predictor === target)),
  ];
  const design = stateEffects ? twoWayDesign(there) : NO_STATE_EFFECTS;
  const factors = orthonormalColumns(columns, design.effects);
  const tied = factors.dependent.slice(design.effects.dependent.length).map((place) => names[place - states(design)]);
  if (tied.length > 0) {
    const rest = [
      ...(stateEffects ? ["the predictor", "the target"] : []),
      ...(names.length > 1 ? ["the other covariates"] : []),
    ];
    const reason =
      `in these ${there.length} cells ${tied.join(" and ")} follows from ${rest.join(" and ")}: ` +
      "its coefficient cannot be told from theirs";
    return { ok: false, reason, missing };
  }

  const accuracies = Float64Array.from(there, (cell) => valueIn(cell.accuracy));
  const { coefficients, residualSumOfSquares, degreesOfFreedom } = leastSquares(factors, accuracies);
  const spread: Quantity =
    degreesOfFreedom > 0
      ? { ok: true, value: Math.sqrt(residualSumOfSquares / degreesOfFreedom) }
      : { ok: false, reason: `${there.length} cells are fitted by as many coefficients: nothing is left over` };
  const variances = unscaledVariances(factors);
  const first = coefficients.length - names.length;
  const values = [...coefficients.slice(first)];
  const intervals = coefficientIntervals(there, { design, columns, withSimilarity, values }, settings.bootstrap);
  return {
    ok: true,
    cells: there.length,
    missing,
    coefficients: names.map((name, index) => ({
      name,
      value: values[index] as number,
      standardError: spread.ok
        ? { ok: true, value: spread.value * Math.sqrt(variances[first + index] as number) }
        : spread,
      interval: intervals[index] as CoefficientInterval,
    })),
    effects: effects(design, coefficients),
    residualStandardDeviation: spread,
    degreesOfFreedom,
  };
}

function effects(design: TwoWayDesign, coefficients: Float64Array): Effects {
  if (design.parts === 1) return { ok: true, ...fitEffects(design, coefficients) };
  const reason =
    design.parts === 0
      ? "an intercept was fitted in their place"
      : `the cells fall into ${design.parts} groups of states that no cell links`;
  return { ok: false, reason };
}

function states({ predictors, targets }: TwoWayDesign): number {
  return predictors.length + targets.length;
}

/** @returns why a cell cannot be fitted, or undefined when it can */
function reasonMissing(
  { predictor, target, accuracy, similarity }: MatrixCell,
  withSimilarity: boolean,
  covariates: readonly Covariate[],
): string | undefined {
  if (!accuracy.ok) return accuracy.reason;
  if (!Number.isFinite(accuracy.value)) return `its accuracy is ${accuracy.value}`;
  if (withSimilarity) {
    if (similarity === undefined) return "its similarity is not given";
    if (!similarity.ok) return similarity.reason;
    if (!Number.isFinite(similarity.value)) return `its similarity is ${similarity.value}`;
  }
  const odd = covariates.find(({ of }) => !Number.isFinite(of(predictor, target)));
  return odd && `its ${odd.name} is ${odd.of(predictor, target)}`;
}

/** Only of a mean that is there. */
function valueIn(mean: MatrixCell["similarity"]): number {
  if (!mean?.ok) throw new InwardError("INTERNAL", "A cell without a value was about to be fitted.");
  return mean.value;
}

function requireOnce(cells: readonly MatrixCell[]): void {
  const seen = new Set<string>();
  for (const { predictor, target } of cells) {
    const key = JSON.stringify([predictor, target]);
    if (seen.has(key)) {
      throw new InwardError("STORE_CORRUPT", `The cell of predictor ${predictor} and target ${target} stands twice.`);
    }
    seen.add(key);
  }
}

// Cells on the scale on which skill and guessing add up. A predictor that knows a share q of the answers and otherwise guesses right
// with chance g misses (1 − q)(1 − g): its accuracies are no sum of what it and its target bring, −log(1 − accuracy) is one.
// Where targets are unequally easy to guess and predictors unequally skilled, the fit of plain accuracies shows a self effect that is
// none; a self effect that is one stands on both scales.

/**
 * A cell without a miss has no value on this scale. A state's about itself counts as if half a trial were missed, which is less than
 * it may know; another's is left out, since whatever stood there could make a self effect of a ceiling.
 * @returns the cells with −log(1 − accuracy) for their accuracies
 */
export function onMissScale(cells: readonly MatrixCell[]): MatrixCell[] {
  return cells.map((cell) => ({ ...cell, accuracy: transformed(cell.accuracy, cell.predictor === cell.target) }));
}

function transformed(mean: CellMean, isSelf: boolean): CellMean {
  if (!mean.ok) return mean;
  const { n, inReplicate } = mean;
  // Half a trial less than all: a replicate reaches it where it drew no miss.
  const most = n === undefined ? undefined : 1 - 0.5 / n;
  const onScale = (value: number) => {
    const capped = most === undefined ? value : Math.min(value, most);
    return capped >= 1 ? undefined : -Math.log1p(-capped);
  };
  const value = mean.value >= 1 && !isSelf ? undefined : onScale(mean.value);
  if (value === undefined) return { ok: false, reason: "it has no miss: how rare its misses are is not known" };
  return {
    ...mean,
    value,
    inReplicate:
      inReplicate &&
      ((replicate) => {
        const drawn = inReplicate(replicate);
        return drawn === undefined ? undefined : onScale(drawn);
      }),
  };
}

// What a fit leaves of each cell: where the accuracies are no sum of skill, predictability, likeness and self.

export interface CellResidual {
  readonly predictor: string;
  readonly target: string;
  /** In the unit of the cells: what was found, minus what was fitted. */
  readonly value: number;
}

/** @returns none where the fit failed or its effects are not to be told apart */
export function cellResiduals(
  cells: readonly MatrixCell[],
  fit: MatrixFit,
  covariates: readonly Covariate[] = [],
): CellResidual[] {
  if (!fit.ok || !fit.effects.ok) return [];
  const { skill, predictability } = fit.effects;
  const skills = new Map(skill.map(({ state, value }) => [state, value]));
  const predictabilities = new Map(predictability.map(({ state, value }) => [state, value]));
  const left = new Set(fit.missing.map(keyOf));
  const coefficient = (name: string) => fit.coefficients.find((one) => one.name === name)?.value ?? 0;
  return cells.flatMap((cell): CellResidual[] => {
    const { predictor, target, accuracy, similarity } = cell;
    if (left.has(keyOf(cell)) || !accuracy.ok) return [];
    const fitted =
      (skills.get(predictor) as number) +
      (predictabilities.get(target) as number) +
      (similarity?.ok ? coefficient("similarity") * similarity.value : 0) +
      covariates.reduce((sum, { name, of }) => sum + coefficient(name) * of(predictor, target), 0) +
      (predictor === target ? coefficient("self") : 0);
    return [{ predictor, target, value: accuracy.value - fitted }];
  });
}

function keyOf({ predictor, target }: { readonly predictor: string; readonly target: string }): string {
  return JSON.stringify([predictor, target]);
}
