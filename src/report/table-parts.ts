/** What several tables are made of: columns by side, and how much is behind an estimate. */
import type { Estimate } from "../records/scores.js";
import type { Column, TableCell } from "./document.js";
import { formatCount, formatMissing } from "./format-number.js";

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
