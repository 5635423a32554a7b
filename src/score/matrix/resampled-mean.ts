/** The mean of a matrix cell with its value in every bootstrap replicate. */
import type { Tally } from "../tally.js";
import type { CellMean } from "./matrix-cell.js";

/**
 * The mean over units of Σ points / Σ trials: as `estimateMean`, so a cell's value is the accuracy that other tables show.
 * A unit that a replicate did not draw is left out of its mean; a replicate that drew no unit has no mean.
 * @param units at least one, each of at least one tally with a counted trial
 */
export function resampledMean(units: readonly (readonly Tally[])[]): Extract<CellMean, { ok: true }> {
  const replicates = units[0]?.[0]?.resampledTrials.length ?? 0;
  const sums = new Float64Array(replicates);
  const drawn = new Int32Array(replicates);
  let value = 0;
  let n = 0;
  for (const unit of units) {
    const trials = unit.reduce((sum, tally) => sum + total(tally.trials), 0);
    value += unit.reduce((sum, tally) => sum + total(tally.points), 0) / trials / units.length;
    n += trials;
    for (let replicate = 0; replicate < replicates; replicate++) {
      let points = 0;
      let counted = 0;
      for (const tally of unit) {
        points += tally.resampledPoints[replicate] as number;
        counted += tally.resampledTrials[replicate] as number;
      }
      if (counted === 0) continue;
      sums[replicate] = (sums[replicate] as number) + points / counted;
      drawn[replicate] = (drawn[replicate] as number) + 1;
    }
  }
  return {
    ok: true,
    value,
    n,
    inReplicate: (replicate) =>
      drawn[replicate] === 0 ? undefined : (sums[replicate] as number) / (drawn[replicate] as number),
  };
}

function total(perString: Int32Array): number {
  return perString.reduce((sum, amount) => sum + amount, 0);
}
