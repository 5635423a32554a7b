/** Points of the reliability figure: the likeliest behaviors of each string, how likely they are and were held to be. */
import type { Comparison } from "./comparison.js";
import type { StringDraws } from "./string-draws.js";

export const RANKS = 3;

/** Columns of points, one entry each. */
export interface Points {
  readonly object: readonly number[];
  readonly hypothetical: readonly number[];
  /** Place of the point's string among all strings. */
  readonly strings: readonly number[];
}

/**
 * Up to three values of each comparison by p_obj, the likeliest first, equal ones by value. Only values that p_obj lists, so a
 * property with two values gives at most two points and a certain behavior one. p_hyp is 0 where it lists no such value.
 * @param rank 0 for the likeliest value alone, and so on; absent: all ranks
 */
export function pointsOf(comparisons: readonly Comparison[], { placeOf }: StringDraws, rank?: number): Points {
  const points = comparisons.flatMap((comparison) => {
    const top = [...comparison.object].slice(rank ?? 0, rank === undefined ? RANKS : rank + 1);
    const string = placeOf(comparison);
    return top.map(([value, object]) => ({ string, object, hypothetical: comparison.hypothetical.get(value) ?? 0 }));
  });
  return {
    object: points.map((point) => point.object),
    hypothetical: points.map((point) => point.hypothetical),
    strings: points.map((point) => point.string),
  };
}
