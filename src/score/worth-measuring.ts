/** When a behavior says something, in numbers: the thresholds behind every warning and verdict, in one place. */
import type { ValueCount } from "../records/scores.js";
import { entropyBits } from "./entropy.js";

/** Fewer source strings than this make intervals rough. */
export const FEW_STRINGS = 20;
/** A behavior with less entropy is as good as constant: predicting it measures nothing beyond the mode. */
export const LOW_ENTROPY_BITS = 0.5;
/** The same for the share of the most common value. */
export const HIGH_MODE_SHARE = 0.9;
/** Below this share of compliant texts, what is scored is first of all compliance. */
export const LOW_COMPLIANCE = 0.5;

export interface Variation {
  readonly entropyBits: number;
  readonly modeShare: number;
}

/** @param values a histogram, most common first; none gives 0 for both */
export function variationOf(values: readonly ValueCount[]): Variation {
  const total = values.reduce((sum, { count }) => sum + count, 0);
  return {
    entropyBits: entropyBits(values.map(({ count }) => count)),
    modeShare: total === 0 ? 0 : (values[0]?.count ?? 0) / total,
  };
}

/** @returns the warning that a behavior hardly varies, or nothing when it does (or when there is none) */
export function lowVariationWarning(values: readonly ValueCount[]): string | undefined {
  const most = values[0];
  const { entropyBits: bits, modeShare } = variationOf(values);
  if (!most || (bits >= LOW_ENTROPY_BITS && modeShare <= HIGH_MODE_SHARE)) return undefined;
  const share = `${(100 * modeShare).toFixed(0)} %`;
  return `Measures nothing beyond the mode: ${JSON.stringify(most.value)} is ${share} of behaviors (entropy ${bits.toFixed(2)} bits).`;
}
