/**
 * Pearson's correlation of two columns.
 * @param weights how often each row counts; every row once when absent
 * @returns in [−1, 1]; undefined when a column does not vary over the rows that count
 */
export function pearson(
  first: Float64Array,
  second: Float64Array,
  weights?: { readonly counts: Uint16Array; readonly start: number },
): number | undefined {
  const times = (row: number) => (weights ? (weights.counts[weights.start + row] as number) : 1);
  const one = centre(first, times);
  const two = centre(second, times);
  if (one === undefined || two === undefined) return undefined;
  let both = 0;
  let ofFirst = 0;
  let ofSecond = 0;
  for (let row = 0; row < first.length; row++) {
    const weight = times(row);
    if (weight === 0) continue;
    const a = (first[row] as number) - one;
    const b = (second[row] as number) - two;
    both += weight * a * b;
    ofFirst += weight * a * a;
    ofSecond += weight * b * b;
  }
  return Math.max(-1, Math.min(1, both / Math.sqrt(ofFirst) / Math.sqrt(ofSecond)));
}

/** @returns the mean, or undefined when all that counts is one value; rounding would make a tiny variance of it */
function centre(column: Float64Array, times: (row: number) => number): number | undefined {
  let sum = 0;
  let count = 0;
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let row = 0; row < column.length; row++) {
    const weight = times(row);
    if (weight === 0) continue;
    const value = column[row] as number;
    sum += weight * value;
    count += weight;
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return least < most ? sum / count : undefined;
}
