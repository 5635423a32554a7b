export type Column = ArrayLike<number>;

/** The weight of rows that all count once. */
export function once(): number {
  return 1;
}

/**
 * Pearson's correlation of two columns.
 * @param weigh how often a row counts, a whole number
 * @returns in [−1, 1]; undefined where one side is the same in all rows that count
 */
export function pearson(x: Column, y: Column, weigh: (row: number) => number = once): number | undefined {
  const { mean: meanX, constant: constantX } = center(x, weigh);
  const { mean: meanY, constant: constantY } = center(y, weigh);
  if (constantX || constantY) return undefined;
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let row = 0; row < x.length; row++) {
    const weight = weigh(row);
    const dx = (x[row] as number) - meanX;
    const dy = (y[row] as number) - meanY;
    xx += weight * dx * dx;
    yy += weight * dy * dy;
    xy += weight * dx * dy;
  }
  // Differences that are too small to be squared leave nothing to divide by.
  const spread = Math.sqrt(xx) * Math.sqrt(yy);
  return spread > 0 ? Math.max(-1, Math.min(1, xy / spread)) : undefined;
}

function center(column: Column, weigh: (row: number) => number): { mean: number; constant: boolean } {
  let sum = 0;
  let counted = 0;
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let row = 0; row < column.length; row++) {
    const weight = weigh(row);
    if (weight === 0) continue;
    const value = column[row] as number;
    sum += weight * value;
    counted += weight;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return { mean: sum / counted, constant: !(least < most) };
}
