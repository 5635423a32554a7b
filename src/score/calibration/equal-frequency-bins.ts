/** Bins with as many points each, cut at quantiles of p_obj, for points that count a whole number of times. */
import type { Points } from "./behavior-points.js";
import type { StringWeights } from "./string-draws.js";

export const BINS = 10;

export interface PointBin {
  /** Weighted. */
  readonly points: number;
  readonly objectSum: number;
  readonly hypotheticalSum: number;
}

/** @returns places of the points, lowest p_obj first: the same for all weights */
export function orderPoints({ object }: Points): Int32Array {
  return Int32Array.from(object.keys()).sort((a, b) => (object[a] as number) - (object[b] as number) || a - b);
}

/**
 * Edges are the deciles (Hyndman & Fan type 7) of p_obj with every point repeated by its string's weight; equal edges are
 * merged, and a bin holds its upper edge, the first one its lower edge too. Bins without points are left out.
 */
export function equalFrequencyBins(points: Points, order: Int32Array, weights: StringWeights): PointBin[] {
  const edges = quantileEdges(points, order, weights);
  const bins: PointBin[] = [];
  let edge = 0;
  let counted = 0;
  let objectSum = 0;
  let hypotheticalSum = 0;
  const close = () => {
    if (counted > 0) bins.push({ points: counted, objectSum, hypotheticalSum });
    counted = objectSum = hypotheticalSum = 0;
  };
  for (const at of order) {
    const weight = weights[points.strings[at] as number] as number;
    if (weight === 0) continue;
    const object = points.object[at] as number;
    while (edge < edges.length - 1 && object > (edges[edge] as number)) {
      edge++;
      close();
    }
    counted += weight;
    objectSum += weight * object;
    hypotheticalSum += weight * (points.hypothetical[at] as number);
  }
  close();
  return bins;
}

/** Upper edges of the bins, rising; none where nothing counts. */
function quantileEdges({ object, strings }: Points, order: Int32Array, weights: StringWeights): number[] {
  const sorted = new Float64Array(strings.reduce((sum, string) => sum + (weights[string] as number), 0));
  let filled = 0;
  for (const at of order) {
    const end = filled + (weights[strings[at] as number] as number);
    sorted.fill(object[at] as number, filled, end);
    filled = end;
  }
  if (filled === 0) return [];
  const quantiles = Array.from({ length: BINS + 1 }, (_, bin) => {
    // The product is exact, so a place that should be whole is.
    const place = (bin * (filled - 1)) / BINS;
    const below = sorted[Math.floor(place)] as number;
    return below + ((sorted[Math.ceil(place)] as number) - below) * (place - Math.floor(place));
  });
  const rising = quantiles.filter((edge, index) => index === 0 || edge > (quantiles[index - 1] as number));
  return rising.length === 1 ? rising : rising.slice(1);
}
