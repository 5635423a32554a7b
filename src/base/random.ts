import { createHash } from "node:crypto";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus, xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";

/** @returns a generator of its own for every seed and name (FNV-1a over both) */
export function randomStream(name: string, seed: number): RandomGenerator {
  const text = `${seed}/${name}`;
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  const random = xoroshiro128plus(hash | 0);
  // The generator's first outputs of neighbouring seeds resemble each other.
  for (let skipped = 0; skipped < 64; skipped++) random.next();
  return random;
}

// Random numbers that depend on a name alone.

/** Its whole 128 bits of state come from the name: streams of different names have nothing to do with each other. */
export function seededRandom(name: string): RandomGenerator {
  const digest = createHash("sha256").update(name).digest();
  return xoroshiro128plusFromState([0, 4, 8, 12].map((at) => digest.readInt32LE(at)));
}

/** Standard normal numbers, by Box and Muller from two draws each. */
export function normalNumbers(random: RandomGenerator): () => number {
  const uniform = () => (random.next() + 2 ** 31 + 0.5) / 2 ** 32;
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/**
 * The order of a seeded choice: by the sha256 of each value's name. What is chosen first does not depend on the values' own order,
 * and asking for more keeps what was chosen before.
 * @param nameOf with the seed and what the choice is for in it
 * @returns a new array
 */
export function inSeededOrder<T>(values: readonly T[], nameOf: (value: T) => string): T[] {
  return values
    .map((value) => ({ value, rank: createHash("sha256").update(nameOf(value)).digest("hex") }))
    .sort((a, b) => (a.rank < b.rank ? -1 : a.rank > b.rank ? 1 : 0))
    .map(({ value }) => value);
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
