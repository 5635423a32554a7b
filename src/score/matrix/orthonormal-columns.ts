/** A matrix's columns as orthonormal ones times an upper triangle: the QR factors that least squares solves with. */

export interface Orthonormal {
  /** Of length one and orthogonal to each other, one for each kept column. */
  readonly basis: readonly Float64Array[];
  /** Kept column k is the sum of `upper[k][i] * basis[i]` over i up to k. */
  readonly upper: readonly Float64Array[];
  /** Places of the kept columns, counted from the first column of what was extended. */
  readonly kept: readonly number[];
  /** Places of the columns that are combinations of kept ones before them, to `DEPENDENT` of their length. */
  readonly dependent: readonly number[];
}

/** What is left of a column once the others are taken out of it must be longer than this share of it. */
export const DEPENDENT = 1e-9;

const NONE: Orthonormal = { basis: [], upper: [], kept: [], dependent: [] };

/**
 * Gram and Schmidt's way, every projection taken out twice: once leaves what rounding left, the second time makes the columns
 * orthogonal to working precision (W. Kahan's "twice is enough"; Giraud et al. 2005, Numer. Math. 101).
 * @param columns all of one length, finite
 * @param onto factors of columns that stand before these
 */
export function orthonormalColumns(columns: readonly Float64Array[], onto: Orthonormal = NONE): Orthonormal {
  const basis = [...onto.basis];
  const upper = [...onto.upper];
  const kept = [...onto.kept];
  const dependent = [...onto.dependent];
  let place = kept.length + dependent.length;
  for (const column of columns) {
    const { coordinates, rest } = projectOut(column, basis);
    const length = norm(rest);
    if (length > DEPENDENT * norm(column)) {
      upper.push(Float64Array.of(...coordinates, length));
      basis.push(rest.map((value) => value / length));
      kept.push(place);
    } else dependent.push(place);
    place++;
  }
  return { basis, upper, kept, dependent };
}

/** @returns a column's coordinates along the basis, and what is orthogonal to all of it */
export function projectOut(
  column: Float64Array,
  basis: readonly Float64Array[],
): { coordinates: Float64Array; rest: Float64Array } {
  const rest = Float64Array.from(column);
  const coordinates = new Float64Array(basis.length);
  for (let pass = 0; pass < 2; pass++) {
    basis.forEach((direction, index) => {
      let along = 0;
      for (let row = 0; row < rest.length; row++) along += (direction[row] as number) * (rest[row] as number);
      for (let row = 0; row < rest.length; row++) {
        rest[row] = (rest[row] as number) - along * (direction[row] as number);
      }
      coordinates[index] = (coordinates[index] as number) + along;
    });
  }
  return { coordinates, rest };
}

function norm(column: Float64Array): number {
  return Math.hypot(...column);
}
