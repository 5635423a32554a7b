/** cap · tanh(x / cap): what is small stays, and nothing goes beyond ± cap. */

/** Undefined where nothing is capped. */
export type Cap = number | undefined;

export function capped(x: number, cap: Cap): number {
  return cap === undefined ? x : cap * Math.tanh(x / cap);
}

/** ∂capped/∂x */
export function capSlope(x: number, cap: Cap): number {
  return cap === undefined ? 1 : 1 - Math.tanh(x / cap) ** 2;
}
