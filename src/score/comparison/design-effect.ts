import type { DesignEffect } from "../../records/comparison.js";

/**
 * How much more the mean of clustered rows varies than that of as many independent ones: the cluster-robust variance of the mean
 * (with m ÷ (m − 1) for m strings) over the plain s² ÷ n. Kish 1965, Survey Sampling; the correlation is (effect − 1) ÷ (rows per string − 1).
 * @param strings the values of each string's rows, no string without any
 */
export function designEffect(strings: readonly (readonly number[])[]): DesignEffect {
  const n = strings.reduce((sum, rows) => sum + rows.length, 0);
  if (strings.length < 2) return { ok: false, reason: `only ${strings.length} string is counted` };
  const mean = strings.reduce((sum, rows) => sum + total(rows), 0) / n;
  const squares = strings.flat().reduce((sum, value) => sum + (value - mean) ** 2, 0);
  if (squares === 0) return { ok: false, reason: `all ${n} trials have the same difference` };
  const between = strings.reduce((sum, rows) => sum + (total(rows) - mean * rows.length) ** 2, 0);
  const clustered = ((strings.length / (strings.length - 1)) * between) / n ** 2;
  const value = clustered / (squares / (n - 1) / n);
  const rowsPerString = strings.reduce((sum, rows) => sum + rows.length ** 2, 0) / n;
  return { ok: true, value, rowsPerString, correlation: rowsPerString === 1 ? 0 : (value - 1) / (rowsPerString - 1) };
}

function total(rows: readonly number[]): number {
  return rows.reduce((sum, value) => sum + value, 0);
}
