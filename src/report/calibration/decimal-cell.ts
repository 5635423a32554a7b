import type { Estimate } from "../../records/scores.js";
import type { TableCell } from "../document.js";
import { formatMissing } from "../format-number.js";

/** A number that is no percentage, with its interval in smaller type: 0.31 [0.28, 0.35]; "— (reason)" where there is none. */
export function decimalCell(estimate: Estimate | undefined, digits: number, isDifference = false): TableCell {
  if (!estimate) return { text: formatMissing("not computed"), missing: true };
  if (!estimate.ok) return { text: formatMissing(estimate.reason), missing: true };
  const text = decimals(estimate.value, digits);
  const sign = isDifference && !text.startsWith("−") && Number(text) !== 0 ? "+" : "";
  return { text: `${sign}${text}`, small: decimalInterval(estimate, digits) };
}

/** 0.31 [0.28, 0.35] in running text. */
export function decimalText(estimate: Extract<Estimate, { ok: true }>, digits: number): string {
  return `${decimals(estimate.value, digits)} ${decimalInterval(estimate, digits)}`;
}

export function decimalInterval(
  { low, high }: { readonly low: number; readonly high: number },
  digits: number,
): string {
  return `[${decimals(low, digits)},\u00a0${decimals(high, digits)}]`;
}

/** A rounded zero has no sign. */
export function decimals(value: number, digits: number): string {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}
