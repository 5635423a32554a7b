/**
 * Does a state predict itself better than its skill, the target's predictability and its likeness to the target explain?
 * accuracy(i, j) = skill_i + predictability_j + δ · similarity(i, j) + γ · [i = j], by least squares over the cells.
 */
import { InwardError } from "../../errors.js";
import { type BootstrapSettings, type CoefficientInterval, coefficientIntervals } from "./bootstrap-coefficients.js";
import { leastSquares, unscaledVariances } from "./least-squares.js";
import type { MatrixCell } from "./matrix-cell.js";
import { orthonormalColumns } from "./orthonormal-columns.js";
import { effectsOf, NO_STATE_EFFECTS, type StateEffect, type TwoWayDesign, twoWayDesign } from "./two-way-design.js";

/** Something known of a pair, such as "same family" as 0 or 1. */
export interface Covariate {
  readonly name: string;
  readonly of: (predictor: string, target: string) => number;
}

export interface MatrixSettings {
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

export type Quantity = { readonly ok: true; readonly value: number } | { readonly ok: false; readonly reason: string };

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

export type Effects =
  | {
      readonly ok: true;
      /** Accuracy about a middling target, covariates at 0. */
      readonly skill: readonly StateEffect[];
      /** Difference from a middling target. */
      readonly predictability: readonly StateEffect[];
    }
  | { readonly ok: false; readonly reason: string };

export interface MissingCell {
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
  if (design.parts === 1) return { ok: true, ...effectsOf(design, coefficients) };
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
