/** What several tables are made of: columns by side, and how much is behind an estimate. */

import type { Estimate, Share } from "../records/scores.js";
import type { Column, TableCell } from "./document.js";
import {
  formatCount,
  formatInterval,
  formatMissing,
  formatPercent,
  formatPoints,
  formatShare,
} from "./format-number.js";

export function left(title: string): Column {
  return { title, align: "left" };
}

export function right(title: string): Column {
  return { title, align: "right" };
}

/** Trials, and the strings that they are of below. */
export function countCell(estimate: Estimate): TableCell {
  return estimate.ok
    ? { text: formatCount(estimate.n), small: `${formatCount(estimate.clusters)} strings` }
    : { text: formatMissing("no estimate"), missing: true };
}

/** Trials / strings in one line. */
export function pairCell(estimate: Estimate | undefined, missing = "no estimate"): TableCell {
  return estimate?.ok
    ? { text: `${formatCount(estimate.n)} / ${formatCount(estimate.clusters)}` }
    : { text: formatMissing(missing), missing: true };
}

/** A value with its interval in smaller type, or "— (reason)". */
export function estimateCell(estimate: Estimate | undefined, isDifference = false): TableCell {
  if (!estimate) return { text: formatMissing("not computed"), missing: true };
  if (!estimate.ok) return { text: formatMissing(estimate.reason), missing: true };
  const text = isDifference ? (formatPoints(estimate).split("\u00a0")[0] as string) : formatPercent(estimate.value);
  return { text, small: formatInterval(estimate) };
}

/** A share with its counts in smaller type. */
export function shareCell(share: Share): TableCell {
  if (share.of === 0) return { text: formatShare(share), missing: true };
  return {
    text: formatPercent(share.count / share.of),
    small: `(${formatCount(share.count)} of ${formatCount(share.of)})`,
  };
}
