/** Tail probabilities of the binomial distribution, summed from the term nearest the mean outwards, so that small tails keep their digits. */

/** P(X = count) for X of `of` trials with this probability, in (0, 1). */
export function binomialMass(count: number, of: number, probability: number): number {
  return Math.exp(logChoose(count, of) + count * Math.log(probability) + (of - count) * Math.log1p(-probability));
}

/**
 * P(X ≤ count).
 * @param count a whole number
 * @param probability in (0, 1)
 */
export function binomialUpTo(count: number, of: number, probability: number): number {
  if (count < 0) return 0;
  if (count >= of) return 1;
  return count < of * probability
    ? sumDown(count, of, probability)
    : Math.max(0, 1 - sumDown(of - count - 1, of, 1 - probability));
}

/** P(X ≥ count). */
export function binomialFrom(count: number, of: number, probability: number): number {
  return count <= 0 ? 1 : binomialUpTo(of - count, of, 1 - probability);
}

/** Mass of count, count − 1, … 0; each term is at most the one before where `count` is below the mean. */
function sumDown(count: number, of: number, probability: number): number {
  const odds = (1 - probability) / probability;
  let term = binomialMass(count, of, probability);
  let sum = term;
  for (let successes = count; successes > 0 && term > sum * 1e-18; successes--) {
    term *= (successes / (of - successes + 1)) * odds;
    sum += term;
  }
  return sum;
}

function logChoose(count: number, of: number): number {
  const few = Math.min(count, of - count);
  let sum = 0;
  for (let factor = 1; factor <= few; factor++) sum += Math.log((of - few + factor) / factor);
  return sum;
}
