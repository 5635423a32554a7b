import type { MeasuredDistribution } from "../../records/calibration.js";
import type { DistributionCost } from "../../records/calibration-scores.js";

/** What measuring these distributions took. */
export function distributionCost(measured: readonly MeasuredDistribution[]): DistributionCost {
  const cost = { expansions: 0, evaluatedTokens: 0, sampledDistributions: 0, samples: 0 };
  for (const { distribution } of measured) {
    // Of a sampled one, those of the expansion that was given up for it.
    cost.evaluatedTokens += distribution.evaluatedTokens ?? 0;
    if (distribution.method === "expansion") {
      cost.expansions++;
    } else {
      cost.sampledDistributions++;
      cost.samples += distribution.samples;
    }
  }
  return cost;
}
