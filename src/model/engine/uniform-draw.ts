/** Counter-based randomness: a draw is a function of its seed and position alone, whatever else is in the batch. */
import { createHash } from "node:crypto";

/** @returns a number in [0, 1) with 53 random bits: the first bits of sha256(seed/position) */
export function uniformDraw(seed: string, position: number): number {
  const digest = createHash("sha256").update(`${seed}/${position}`).digest();
  return Number(digest.readBigUInt64BE(0) >> 11n) / 2 ** 53;
}
