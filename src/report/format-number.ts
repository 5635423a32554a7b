/** Every number of the report as text. A missing estimate is "— (reason)", never 0. */
import type { Estimate, Share } from "../records/scores.js";

/** Keeps a number and its unit on one line. */
const GAP = "\u00a0";

/** 1024 -> 1,024; the same on every machine, whatever its locale. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** 0.031 -> 3.1 % */
export function formatPercent(share: number): string {
  return `${tenths(share)}${GAP}%`;
}

/** [2.0, 4.4], in percent or percentage points. */
export function formatInterval({ low, high }: { readonly low: number; readonly high: number }): string {
  return `[${tenths(low)},${GAP}${tenths(high)}]`;
}

/** 3.1 % [2.0, 4.4] */
export function formatEstimate(estimate: Estimate): string {
  return estimate.ok ? `${formatPercent(estimate.value)} ${formatInterval(estimate)}` : formatMissing(estimate.reason);
}

/** A difference of two shares: 0.05 -> +5.0, −5.0, 0.0 */
export function formatDifference(difference: number): string {
  const text = tenths(difference);
  return text.startsWith("−") || text === "0.0" ? text : `+${text}`;
}

/** +5.0 points [2.0, 8.0] */
export function formatPoints(estimate: Estimate): string {
  return estimate.ok
    ? `${formatDifference(estimate.value)}${GAP}points ${formatInterval(estimate)}`
    : formatMissing(estimate.reason);
}

/** 12.0 % (123 of 1,024) */
export function formatShare({ count, of }: Share): string {
  if (of === 0) return formatMissing("nothing was asked");
  return `${formatPercent(count / of)} (${formatCount(count)} of ${formatCount(of)})`;
}

export function formatMissing(reason: string): string {
  return `— (${reason})`;
}

export function formatBits(bits: number): string {
  return bits.toFixed(2);
}

/** Natural-log units over many sizes: 0, 3.1e-7, 0.0421, 1.2500 */
export function formatNats(nats: number): string {
  if (nats === 0) return "0";
  return Math.abs(nats) < 0.001 ? nats.toExponential(1) : nats.toFixed(4);
}

/** In hundredths with one decimal; a rounded zero has no sign. */
function tenths(value: number): string {
  const text = (100 * value).toFixed(1);
  return text === "-0.0" ? "0.0" : text.replace("-", "−");
}
