/** Random numbers that depend on a name alone. Pure. */
import { createHash } from "node:crypto";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";

/** Its whole 128 bits of state come from the name: streams of different names have nothing to do with each other. */
export function seededRandom(name: string): RandomGenerator {
  const digest = createHash("sha256").update(name).digest();
  return xoroshiro128plusFromState([0, 4, 8, 12].map((at) => digest.readInt32LE(at)));
}

/** Fisher and Yates's shuffle. @returns a new array */
export function shuffled<T>(values: readonly T[], random: RandomGenerator): T[] {
  const result = [...values];
  for (let last = result.length - 1; last > 0; last--) {
    const drawn = uniformInt(random, 0, last);
    [result[last], result[drawn]] = [result[drawn] as T, result[last] as T];
  }
  return result;
}
