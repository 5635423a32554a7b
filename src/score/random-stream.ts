import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
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
