/**
 * Cells on the scale on which skill and guessing add up. A predictor that knows a share q of the answers and otherwise guesses right
 * with chance g misses (1 − q)(1 − g): its accuracies are no sum of what it and its target bring, −log(1 − accuracy) is one.
 * Where targets are unequally easy to guess and predictors unequally skilled, the fit of plain accuracies shows a self effect that is
 * none; a self effect that is one stands on both scales.
 */
import type { CellMean, MatrixCell } from "./matrix-cell.js";

/** @returns the cells with −log(1 − accuracy) for their accuracies; one without a miss has no such value */
export function onMissScale(cells: readonly MatrixCell[]): MatrixCell[] {
  return cells.map((cell) => ({ ...cell, accuracy: transformed(cell.accuracy) }));
}

function transformed(mean: CellMean): CellMean {
  if (!mean.ok) return mean;
  const { inReplicate } = mean;
  if (mean.value >= 1) return { ok: false, reason: "it has no miss: how rare its misses are is not known" };
  return {
    ...mean,
    value: -Math.log1p(-mean.value),
    ...(inReplicate
      ? {
          inReplicate: (replicate: number) => {
            const value = inReplicate(replicate);
            return value === undefined || value >= 1 ? undefined : -Math.log1p(-value);
          },
        }
      : {}),
  };
}
