/** The normal distribution, for limits that Student's t comes near with many strings. */

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
