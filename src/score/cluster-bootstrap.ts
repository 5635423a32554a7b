/**
 * Resampling of source strings. The strings of a task are drawn with replacement once per replicate, and every cell of the
 * task uses the same draw, so that all rows of a string move together and differences stay paired.
 */
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { randomStream } from "./random-stream.js";

/** How often each string was drawn: `draws[replicate * strings + string]`. */
export interface Resamples {
  readonly strings: number;
  readonly replicates: number;
  /** 16 bits hold any count up to 65,535 strings; beyond, a count that high has no chance to occur. */
  readonly draws: Uint16Array;
}

/** @param seed any safe integer; the task's name goes into the stream, so a task's draws do not depend on its neighbours */
export function drawResamples(task: string, strings: number, replicates: number, seed: number): Resamples {
  const random = randomStream(task, seed);
  const draws = new Uint16Array(replicates * strings);
  for (let start = 0; start < draws.length; start += strings) {
    for (let draw = 0; draw < strings; draw++) {
      const drawn = start + uniformInt(random, 0, strings - 1);
      draws[drawn] = (draws[drawn] as number) + 1;
    }
  }
  return { strings, replicates, draws };
}

/** @returns for each replicate the sum of a per-string amount over the strings drawn; exact, since amounts are integers */
export function resampledSums(perString: Int32Array, { strings, replicates, draws }: Resamples): Int32Array {
  const sums = new Int32Array(replicates);
  for (let replicate = 0; replicate < replicates; replicate++) {
    const start = replicate * strings;
    let sum = 0;
    for (let string = 0; string < strings; string++) {
      sum += (draws[start + string] as number) * (perString[string] as number);
    }
    sums[replicate] = sum;
  }
  return sums;
}
