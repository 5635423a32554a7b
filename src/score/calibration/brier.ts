/** The Brier score of a whole distribution, and what of it is the predictor's. */
import type { Comparison } from "./comparison.js";

/**
 * E over v ~ p_obj of Σ_u (1[u = v] − p_hyp(u))², u over all values, = 1 − 2 Σ p_obj p_hyp + Σ p_hyp²; 0 to 2. Replies without
 * a value add nothing to p_hyp, so a predictor that never gives one scores 1.
 */
export function brier(comparison: Comparison): number {
  return excessBrier(comparison) + giniImpurity(comparison);
}

/** Σ_u (p_obj(u) − p_hyp(u))²: what is left when the predictor that knows p_obj has had its share; 0 to 2. */
export function excessBrier({ object, hypothetical }: Comparison): number {
  let sum = 0;
  for (const [value, probability] of object) sum += (probability - (hypothetical.get(value) ?? 0)) ** 2;
  for (const [value, probability] of hypothetical) if (!object.has(value)) sum += probability ** 2;
  return sum;
}

/** 1 − Σ p_obj²: the Brier score of p_obj about itself, the entropy part of the score. */
function giniImpurity({ object }: Comparison): number {
  let sum = 0;
  for (const probability of object.values()) sum += probability * (1 - probability);
  return sum;
}
