/** Turns raw logits into what an answer records: exact log-sum-exp, top tokens, the greedy choice and its margin. */
import { InwardError } from "../../errors.js";

/** Raw logits of the whole vocabulary at one position, indexed by token id. */
export type Logits = Float32Array;

/** log Σ exp(logit), nats: maximum subtracted, summed in double precision. */
export function logSumExp(logits: Logits): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) max = Math.max(max, logits[id] as number);
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp((logits[id] as number) - max);
  const result = max + Math.log(sum);
  if (!Number.isFinite(result)) {
    throw new InwardError("ENGINE_NOT_FINITE", `The logits of a position sum to ${result}.`);
  }
  return result;
}

/** Ids of the `count` largest logits, the largest first; equal logits stand in order of id. */
export function topIds(logits: Logits, count: number): number[] {
  const kept: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number;
    const last = kept[kept.length - 1];
    if (kept.length === count && last !== undefined && logit <= (logits[last] as number)) continue;
    let at = kept.length;
    while (at > 0 && (logits[kept[at - 1] as number] as number) < logit) at--;
    kept.splice(at, 0, id);
    if (kept.length > count) kept.pop();
  }
  return kept;
}

/**
 * Draws a token from the plain softmax of the logits by inverting the cumulative distribution in order of id.
 * @param uniform in [0, 1)
 */
export function sampleId(logits: Logits, logTotal: number, uniform: number): number {
  let cumulative = 0;
  let lastPossible = 0;
  for (let id = 0; id < logits.length; id++) {
    const probability = Math.exp((logits[id] as number) - logTotal);
    if (probability > 0) lastPossible = id;
    cumulative += probability;
    if (uniform < cumulative) return id;
  }
  // Rounding can leave the total a hair below 1.
  return lastPossible;
}
