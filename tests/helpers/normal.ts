/** Standard normal numbers from a seed (Box and Muller), for worlds with a planted truth. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

export function normal(seed: number): () => number {
  const random = xoroshiro128plus(seed);
  for (let skipped = 0; skipped < 64; skipped++) random.next();
  return () => Math.sqrt(-2 * Math.log(1 - uniformFloat64(random))) * Math.cos(2 * Math.PI * uniformFloat64(random));
}
