import type { TestResult } from "../../records/comparison.js";
import type { TableCell } from "../document.js";
import { formatCount, formatMissing } from "../format-number.js";

/** 0.031, 0.0004, < 0.0001 */
export function formatP(p: number): string {
  if (p < 0.0001) return "< 0.0001";
  return p.toFixed(p < 0.001 ? 4 : 3);
}

/** A p-value, and how many strings have a sign that matters. */
export function testCell(test: TestResult): TableCell {
  if (!test.ok) return { text: formatMissing(test.reason), missing: true };
  const how = test.method === "exact" ? "exact" : `${formatCount(test.draws ?? 0)} draws`;
  return { text: formatP(test.p), small: `${how}, ${formatCount(test.informativeStrings)} strings` };
}
