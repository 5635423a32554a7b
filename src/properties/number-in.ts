import { type Extraction, missing, value } from "../records/extraction.js";
import { normalize } from "./normalize.js";

/** Answers that are a number and nothing else, in ASCII digits, without thousands separators. */

function numberMatching(pattern: RegExp, answer: string): Extraction {
  const text = normalize(answer);
  if (text === "") return missing("empty");
  return pattern.test(text) ? value(text) : missing("not_a_number");
}

/** Its digits as written, leading zeros and a minus sign kept: parity and digit sums need no precision limit. */
export function wholeNumberIn(answer: string): Extraction {
  return numberMatching(/^-?\d+$/, answer);
}

export function decimalNumberIn(answer: string): Extraction {
  return numberMatching(/^-?\d+(?:\.\d+)?$/, answer);
}

/** The digits of a whole number from `start` (negative: from the end), a minus sign left out. */
export function digitsOf(answer: string, start: number, count: number): Extraction {
  const number = wholeNumberIn(answer);
  if (!number.ok) return number;
  const digits = number.value.replace("-", "");
  const from = start < 0 ? digits.length + start : start;
  return from < 0 || from + count > digits.length ? missing("too_short") : value(digits.slice(from, from + count));
}

/** Of a whole number as text, of any length. */
export function isEvenNumber(digits: string): boolean {
  return /[02468]$/.test(digits);
}

export function digitSum(digits: string): number {
  return [...digits].reduce((sum, digit) => sum + Number(digit), 0);
}
