/** Wilson's score interval for a share of independent rows, and the normal quantile it needs. */
import type { Share } from "../records/scores.js";

/**
 * Only for rows that do not share a string; rows that do belong to the cluster bootstrap.
 * Source: E. B. Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.
 * @param of at least 1
 * @param confidence in (0, 1)
 */
export function wilsonInterval({ count, of }: Share, confidence: number): { low: number; high: number } {
  const z = upperNormalQuantile((1 + confidence) / 2);
  const share = count / of;
  const shrink = 1 + z ** 2 / of;
  const middle = (share + z ** 2 / (2 * of)) / shrink;
  const half = (z / shrink) * Math.sqrt((share * (1 - share)) / of + z ** 2 / (4 * of ** 2));
  return { low: count === 0 ? 0 : middle - half, high: count === of ? 1 : middle + half };
}

/** @returns z with Φ(z) = probability, for probability in [0.5, 1 − 1e-12] */
function upperNormalQuantile(probability: number): number {
  // Φ is increasing: halving [0, 8] sixty times ends below the spacing of doubles.
  let low = 0;
  let high = 8;
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (tailedNormalCumulative(middle) < probability) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Φ(z) for z in [0, 8] by its power series (Abramowitz & Stegun 26.2.11), whose terms are all positive. */
function tailedNormalCumulative(z: number): number {
  let term = z;
  let sum = z;
  for (let odd = 3; term > sum * 1e-17; odd += 2) {
    term *= z ** 2 / odd;
    sum += term;
  }
  return 0.5 + (sum * Math.exp(-(z ** 2) / 2)) / Math.sqrt(2 * Math.PI);
}
