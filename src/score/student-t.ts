/** Student's t distribution, for means of few strings whose scatter is itself estimated from them. */

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
