/** Vectors of numbers. Sums are in double precision. */

import { normalNumbers, seededRandom } from "./random.js";

export function vectorDifference(one: ArrayLike<number>, other: ArrayLike<number>): Float32Array {
  return Float32Array.from({ length: one.length }, (_, at) => (one[at] as number) - (other[at] as number));
}

/** @param rows at least one, of one length */
export function meanOfRows(rows: readonly ArrayLike<number>[]): Float64Array {
  const [first] = rows;
  return Float64Array.from({ length: first?.length ?? 0 }, (_, at) => {
    return rows.reduce((sum, row) => sum + (row[at] as number), 0) / rows.length;
  });
}

/** Euclidean. Numbers are divided by their greatest first: squares of the greatest and smallest doubles leave their range. */
export function lengthOfVector(vector: ArrayLike<number>): number {
  let most = 0;
  for (let at = 0; at < vector.length; at++) most = Math.max(most, Math.abs(vector[at] as number));
  if (most === 0) return 0;
  let squares = 0;
  for (let at = 0; at < vector.length; at++) squares += ((vector[at] as number) / most) ** 2;
  return most * Math.sqrt(squares);
}

/** As long as another; a vector without a length stays as it is. */
export function scaledToLength(vector: ArrayLike<number>, length: number): Float32Array {
  const own = lengthOfVector(vector);
  return Float32Array.from({ length: vector.length }, (_, at) =>
    own === 0 ? 0 : ((vector[at] as number) * length) / own,
  );
}

/** A direction by chance, every one as likely, of this length. @param name what the draw is a function of */
export function randomVector(width: number, length: number, name: string): Float32Array {
  return scaledToLength(Array.from({ length: width }, normalNumbers(seededRandom(name))), length);
}
