/** Normal, Student's t and binomial distributions, and the exact interval of a share. */

import type { Share } from "./scores.js";

/** P(Z ≤ z), to rounding; in the far tails to ten digits of the tail itself. */
export function normalCumulative(z: number): number {
  if (z > 0) return 1 - normalCumulative(-z);
  const density = Math.exp(-(z ** 2) / 2) / Math.sqrt(2 * Math.PI);
  if (z > -3) return 0.5 - density * betweenZeroAnd(-z);
  // The tail is density ÷ (x + 1 ÷ (x + 2 ÷ (x + …))), from the inside out (DLMF 7.9.1); beyond 3 a hundred steps are plenty.
  let fraction = -z;
  for (let step = 100; step > 0; step--) fraction = -z + step / fraction;
  return density / fraction;
}

/** @param probability in (0, 1) */
export function normalQuantile(probability: number): number {
  if (probability > 0.5) return -normalQuantile(1 - probability);
  let low = -40;
  let high = 0;
  // Halved down to neighbouring doubles.
  for (let middle = (low + high) / 2; low < middle && middle < high; middle = (low + high) / 2) {
    if (normalCumulative(middle) < probability) low = middle;
    else high = middle;
  }
  return high;
}

/** x + x³ ÷ 3 + x⁵ ÷ (3 · 5) + …: what the density is multiplied by (DLMF 7.6.2). */
function betweenZeroAnd(x: number): number {
  let term = x;
  let sum = x;
  for (let odd = 3; term > 1e-17 * sum; odd += 2) {
    term *= x ** 2 / odd;
    sum += term;
  }
  return sum;
}

// Student's t distribution, for means of few strings whose scatter is itself estimated from them.

/**
 * P(T ≤ t), by the incomplete beta function.
 * @param degreesOfFreedom above 0, any real number
 */
export function studentCumulative(t: number, degreesOfFreedom: number): number {
  const square = t ** 2;
  // Near 0 the tail is too close to a half to tell t by; what lies between 0 and t is not.
  if (square < degreesOfFreedom) {
    const between = incompleteBeta(square / (degreesOfFreedom + square), 0.5, degreesOfFreedom / 2) / 2;
    return t > 0 ? 0.5 + between : 0.5 - between;
  }
  const tail = incompleteBeta(degreesOfFreedom / (degreesOfFreedom + square), degreesOfFreedom / 2, 0.5) / 2;
  return t > 0 ? 1 - tail : tail;
}

/**
 * @param probability in (0, 1)
 * @param degreesOfFreedom above 0, any real number
 * @returns t with P(T ≤ t) = probability
 */
export function studentQuantile(probability: number, degreesOfFreedom: number): number {
  if (probability < 0.5) return -studentQuantile(1 - probability, degreesOfFreedom);
  let low = 0;
  let high = 1;
  while (studentCumulative(high, degreesOfFreedom) < probability && high < 1e12) high *= 2;
  // Halved down to neighbouring doubles.
  for (let middle = (low + high) / 2; low < middle && middle < high; middle = (low + high) / 2) {
    if (studentCumulative(middle, degreesOfFreedom) < probability) low = middle;
    else high = middle;
  }
  return high;
}

/** I_x(a, b) by its continued fraction (DLMF 8.17.22), on the side where that converges fast. */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) - logBeta(a, b)) / a;
  return front / continuedFraction(x, a, b);
}

/** 1 + d₁/(1 + d₂/(1 + …)), evaluated forwards (W. J. Lentz's way) until a factor is 1. */
function continuedFraction(x: number, a: number, b: number): number {
  let value = 1;
  let above = 1;
  let below = 0;
  for (let place = 1; place < 10_000; place++) {
    const m = place >> 1;
    const d =
      place % 2 === 0
        ? (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
        : (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    above = notZero(1 + d / above);
    below = 1 / notZero(1 + d * below);
    const factor = above * below;
    value *= factor;
    if (Math.abs(factor - 1) < 1e-15) break;
  }
  return value;
}

function notZero(value: number): number {
  return Math.abs(value) < 1e-300 ? 1e-300 : value;
}

function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}

/** Stirling's series (DLMF 5.11.1) above 12, where its next term is below 1e-13; smaller arguments are moved there. */
function logGamma(x: number): number {
  let moved = x;
  let factors = 0;
  for (; moved < 12; moved++) factors += Math.log(moved);
  const inverse = 1 / moved ** 2;
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / moved;
  return (moved - 0.5) * Math.log(moved) - moved + 0.5 * Math.log(2 * Math.PI) + series - factors;
}

// Tail probabilities of the binomial distribution, summed from the term nearest the mean outwards, so that small tails keep their digits.

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

// The exact interval for a share of independent rows: at least its confidence is kept, whatever the share.

/**
 * Only for rows that do not share a string; rows that do belong to the cluster bootstrap.
 * Source: C. J. Clopper and E. S. Pearson 1934, Biometrika 26, 404-413.
 * @param of at least 1
 * @param confidence in (0, 1)
 */
export function clopperPearsonInterval({ count, of }: Share, confidence: number): { low: number; high: number } {
  const tail = (1 - confidence) / 2;
  return {
    low: count === 0 ? 0 : crossing((share) => binomialFrom(count, of, share) > tail),
    high: count === of ? 1 : crossing((share) => binomialUpTo(count, of, share) < tail),
  };
}

/** The share at which a condition that holds above it and not below begins to hold; halved down to neighbouring doubles. */
function crossing(holds: (share: number) => boolean): number {
  let low = 0;
  let high = 1;
  for (let middle = 0.5; low < middle && middle < high; middle = (low + high) / 2) {
    if (holds(middle)) high = middle;
    else low = middle;
  }
  return high;
}
