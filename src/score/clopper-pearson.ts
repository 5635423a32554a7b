/** The exact interval for a share of independent rows: at least its confidence is kept, whatever the share. */
import type { Share } from "../records/scores.js";
import { binomialFrom, binomialUpTo } from "./binomial.js";

/**
 * Only for rows that do not share a string; rows that do belong to the cluster bootstrap.
 * Source: C. J. Clopper and E. S. Pearson 1934, Biometrika 26, 404-413.
 * @param of at least 1
 * @param confidence in (0, 1)
 */
export function clopperPearsonInterval({ count, of }: Share, confidence: number): { low: number; high: number } {
  const tail = (1 - confidence) / 2;
  return {
    low: count === 0 ? 0 : crossing((share) => binomialFrom(count, of, share) > tail),
    high: count === of ? 1 : crossing((share) => binomialUpTo(count, of, share) < tail),
  };
}

/** The share at which a condition that holds above it and not below begins to hold; halved down to neighbouring doubles. */
function crossing(holds: (share: number) => boolean): number {
  let low = 0;
  let high = 1;
  for (let middle = 0.5; low < middle && middle < high; middle = (low + high) / 2) {
    if (holds(middle)) high = middle;
    else low = middle;
  }
  return high;
}
