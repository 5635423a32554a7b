/** Wilson's score interval: what a share's interval would be if no two rows shared a string, to compare the cluster bootstrap with. */
import { normalQuantile } from "../../src/score/probability.js";
import type { Share } from "../../src/score/scores.js";

/**
 * Only for rows that do not share a string; rows that do belong to the cluster bootstrap.
 * Source: E. B. Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.
 * @param of at least 1
 * @param confidence in (0, 1)
 */
export function wilsonInterval({ count, of }: Share, confidence: number): { low: number; high: number } {
  const z = normalQuantile((1 + confidence) / 2);
  const share = count / of;
  const shrink = 1 + z ** 2 / of;
  const middle = (share + z ** 2 / (2 * of)) / shrink;
  const half = (z / shrink) * Math.sqrt((share * (1 - share)) / of + z ** 2 / (4 * of ** 2));
  return { low: count === 0 ? 0 : middle - half, high: count === of ? 1 : middle + half };
}
