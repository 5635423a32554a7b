/** Means over strings with their intervals: held-out strings are drawn with replacement, all rows of one together. */

import { type Estimate, estimate } from "../score/interval.js";
import { drawResamples, type ResamplingSettings } from "../score/resampling.js";
import { type PointRange, PROPORTION } from "../score/tally.js";

/** What the rows of one string add up to, and how many they are. */
export interface StringSum {
  readonly sum: number;
  readonly rows: number;
}

/**
 * Σ sums ÷ Σ rows.
 * @param strings each once @param range of one row's value; undefined where it has none, so that what no draw moves has no interval
 */
export function estimateOverStrings(
  strings: readonly StringSum[],
  range: PointRange | undefined,
  { confidence, bootstrapReplicates, bootstrapSeed }: ResamplingSettings,
): Estimate {
  const n = strings.reduce((all, { rows }) => all + rows, 0);
  const total = strings.reduce((all, { sum }) => all + sum, 0);
  const { draws, replicates } = drawsOf(strings.length, bootstrapReplicates, bootstrapSeed);
  const drawn = Array.from({ length: replicates }, (_, replicate) => {
    let [sum, rows] = [0, 0];
    for (const [place, one] of strings.entries()) {
      const times = draws[replicate * strings.length + place] as number;
      sum += times * one.sum;
      rows += times * one.rows;
    }
    return rows === 0 ? undefined : sum / rows;
  });
  const statistic = { value: n === 0 ? undefined : total / n, n, clusters: strings.length, tasks: 1 };
  const unmoved = range === undefined ? "refuse" : "bound";
  return estimate({ ...statistic, range: range ?? PROPORTION }, drawn, { confidence, unmoved });
}

let known: { readonly key: string; readonly drawn: ReturnType<typeof drawResamples> } | undefined;

/** Estimate after estimate is of as many strings. */
function drawsOf(strings: number, replicates: number, seed: number): ReturnType<typeof drawResamples> {
  const key = `${strings}/${replicates}/${seed}`;
  if (known?.key !== key) known = { key, drawn: drawResamples("probe", strings, replicates, seed) };
  return known.drawn;
}

/** The sums of rows by string, in the order in which strings come first. */
export function sumsByString(rows: readonly { readonly string: string; readonly value: number }[]): StringSum[] {
  const sums = new Map<string, StringSum>();
  for (const { string, value } of rows) {
    const before = sums.get(string) ?? { sum: 0, rows: 0 };
    sums.set(string, { sum: before.sum + value, rows: before.rows + 1 });
  }
  return [...sums.values()];
}

/** The share of rows of which something is true, such as that a lens sees the answer; of a dose of strings an estimate of the dose. */
export function shareOfRows(
  rows: readonly { readonly string: string; readonly isSo: boolean }[],
  settings: ResamplingSettings,
): Estimate {
  const sums = sumsByString(rows.map(({ string, isSo }) => ({ string, value: Number(isSo) })));
  return estimateOverStrings(sums, PROPORTION, settings);
}
