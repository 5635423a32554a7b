import { type Extraction, missing, value } from "../records/extraction.js";
import { normalize } from "./normalize.js";

/**
 * Answers that are a number and nothing else, in ASCII digits, without thousands separators.
 * Parity and digits belong to whole numbers: 3.5 has neither (the paper's is_even calls it not even).
 */

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

/**
 * Digits of a whole number, a minus sign left out.
 * @param start index from 0; negative counts from the end
 * @param count all that there are when absent
 */
export function digitsOf(answer: string, start: number, count?: number): Extraction {
  const number = wholeNumberIn(answer);
  if (!number.ok) return number;
  const digits = number.value.replace("-", "");
  const from = start < 0 ? digits.length + start : start;
  const to = count === undefined ? digits.length : from + count;
  return from < 0 || to > digits.length ? missing("too_short") : value(digits.slice(from, to));
}

/** Of a whole number as text, of any length. */
export function isEvenNumber(digits: string): boolean {
  return /[02468]$/.test(digits);
}

export function digitSum(digits: string): number {
  return [...digits].reduce((sum, digit) => sum + Number(digit), 0);
}
