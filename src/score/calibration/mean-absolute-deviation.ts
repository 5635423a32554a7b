/** MAD: how far mean p_hyp is from mean p_obj in a bin, averaged over the bins of equal frequency. */
import type { Points } from "./behavior-points.js";
import { equalFrequencyBins, orderPoints } from "./equal-frequency-bins.js";
import type { Statistic } from "./estimate-statistic.js";

/** Percentage points; every bin counts the same, and the bins are cut again in every replicate. */
export function meanAbsoluteDeviation(points: Points): Statistic {
  const order = orderPoints(points);
  return {
    at: (weights) => {
      const bins = equalFrequencyBins(points, order, weights);
      if (bins.length === 0) return undefined;
      const gaps = bins.map(
        ({ points: counted, objectSum, hypotheticalSum }) => Math.abs(objectSum - hypotheticalSum) / counted,
      );
      return (100 * gaps.reduce((sum, gap) => sum + gap, 0)) / bins.length;
    },
    strings: points.strings,
    range: { least: 0, most: 100 },
    undefinedBecause: "there is no point",
  };
}
