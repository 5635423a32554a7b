/**
 * Intervals of a matrix fit's coefficients: every replicate draws strings, which moves all cells and their similarities
 * together, and the fit is made again.
 */
import { percentileInterval } from "../percentile-interval.js";
import { leastSquares } from "./least-squares.js";
import type { CellMean, MatrixCell } from "./matrix-cell.js";
import { type Orthonormal, orthonormalColumns } from "./orthonormal-columns.js";
import { NO_STATE_EFFECTS, type TwoWayDesign, twoWayDesign } from "./two-way-design.js";

export interface BootstrapSettings {
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

export interface FittedMatrix {
  readonly design: TwoWayDesign;
  /** Of the covariates, `similarity` first where it is taken. */
  readonly columns: readonly Float64Array[];
  readonly withSimilarity: boolean;
  /** Of the covariates, from all strings. */
  readonly values: readonly number[];
}

/** @returns one per covariate; percentile intervals, widened to hold the value where percentiles would not */
export function coefficientIntervals(
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
    const { low, high } = percentileInterval(values.slice(0, made), confidence, { clusters, tasks });
    if (low === high) return { ok: false, reason: `no draw of ${clusters} strings changes it: no interval` };
    const value = fitted.values[index] as number;
    return {
      ok: true,
      low: Math.min(low, value),
      high: Math.max(high, value),
      clusters,
      replicates: made,
      leftOut: replicates - made,
    };
  });
}

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
