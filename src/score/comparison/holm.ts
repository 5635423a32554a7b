/**
 * Holm's step-down adjustment: the share of false alarms over the whole family stays below the level, whatever the tests share.
 * Source: S. Holm 1979, Scand. J. Statist. 6, 65-70.
 * @param pValues in [0, 1], in any order
 * @returns adjusted p-values in the same order
 */
export function holmAdjusted(pValues: readonly number[]): number[] {
  const order = [...pValues.keys()].sort((a, b) => (pValues[a] as number) - (pValues[b] as number) || a - b);
  const adjusted = new Array<number>(pValues.length);
  let highest = 0;
  order.forEach((index, rank) => {
    highest = Math.max(highest, Math.min(1, (pValues.length - rank) * (pValues[index] as number)));
    adjusted[index] = highest;
  });
  return adjusted;
}
