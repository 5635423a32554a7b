/** From counts and a rate to seconds. Pure. */
import type { TrainingSettings } from "../records/training.js";
import type { AskedSize, AskingRate, Rated, TimeEstimate } from "./plan-estimate.js";

/**
 * A token costs 2 operations a weight when it is read and 4 when it is learnt from: forward, and back through frozen weights,
 * whose own gradients nobody needs. Checkpointing goes forward once more.
 */
export function trainingTime(
  evaluatedTokens: number,
  rated: Rated,
  { activationCheckpointing }: Pick<TrainingSettings, "activationCheckpointing">,
): TimeEstimate {
  if (!rated.ok) return rated;
  const timesReading = activationCheckpointing ? 3 : 2;
  return { ok: true, seconds: (evaluatedTokens * timesReading) / rated.rate.readTokensPerSecond, basis: "scaled" };
}

export function askingTime(
  { distinctTokens, generatedTokensAtMost }: Pick<AskedSize, "distinctTokens" | "generatedTokensAtMost">,
  rated: Rated,
): TimeEstimate {
  if (!rated.ok) return rated;
  const { basis, tokensPerSecond, generatedShare } = rated.rate;
  return { ok: true, seconds: (distinctTokens + generatedTokensAtMost * generatedShare) / tokensPerSecond, basis };
}

/** The same work by another network: weights decide, encodings and caches are left out. */
export function scaledRate(rate: AskingRate, weightsMeasured: number, weights: number): AskingRate {
  const factor = weightsMeasured / weights;
  return {
    ...rate,
    basis: "scaled",
    tokensPerSecond: rate.tokensPerSecond * factor,
    readTokensPerSecond: rate.readTokensPerSecond * factor,
    of: `${rate.of}, times ${factor.toPrecision(2)} for its weights`,
  };
}

/** Unknown as soon as a part is; measured only when every part is. */
export function sumOfTimes(times: readonly TimeEstimate[]): TimeEstimate {
  let [seconds, basis, atMost] = [0, "measured" as "measured" | "scaled", false];
  for (const time of times) {
    if (!time.ok) return time;
    seconds += time.seconds;
    if (time.basis === "scaled") basis = "scaled";
    if (time.atMost) atMost = true;
  }
  return { ok: true, seconds, basis, ...(atMost ? { atMost: true } : {}) };
}
