/** A mean of correlations over prompts, with its value in every bootstrap replicate of items. */
import type { Estimate } from "../../records/scores.js";
import type { Resamples } from "../cluster-bootstrap.js";
import type { CellMean } from "../matrix/matrix-cell.js";
import { percentileInterval } from "../percentile-interval.js";
import { pearson } from "../pearson.js";

export type Correlation =
  | {
      readonly ok: true;
      readonly value: number;
      /** Undefined where a draw left a column without variation. */
      readonly replicates: readonly (number | undefined)[];
    }
  | { readonly ok: false; readonly reason: string };

/** @param columns pairs to correlate, one per prompt, each of finite numbers that vary */
export function correlate(
  columns: readonly (readonly [Float64Array, Float64Array])[],
  { strings, replicates, draws }: Resamples,
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
      mean((row) => draws[replicate * strings + row] as number),
    ),
  };
}

export function toCellMean(correlation: Correlation): CellMean {
  if (!correlation.ok) return correlation;
  const { value, replicates } = correlation;
  return { ok: true, value, inReplicate: (replicate) => replicates[replicate] };
}

/** The percentile interval, widened to hold the value where percentiles would not. */
export function toEstimate(correlation: Correlation, items: number, confidence: number): Estimate {
  if (!correlation.ok) return correlation;
  const drawn = correlation.replicates.filter((one) => one !== undefined);
  if (drawn.length === 0) {
    return { ok: false, reason: `no draw of ${items} items varies (value ${correlation.value.toFixed(3)})` };
  }
  const { value } = correlation;
  const { low, high } = percentileInterval(Float64Array.from(drawn), confidence, { clusters: items, tasks: 1 });
  return { ok: true, value, low: Math.min(low, value), high: Math.max(high, value), n: items, clusters: items };
}
