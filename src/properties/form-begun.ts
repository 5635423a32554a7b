/** Whether a text can still become a number or an option letter: what `numberMatching` and `optionLetterIn` would accept at its end. */
import { missing } from "../records/extraction.js";
import { foldCase } from "./normalize.js";
import type { Decision } from "./text-decider.js";

const QUOTES = "\"'`\\u2018-\\u201b\\u201c-\\u201f\\u00ab\\u00bb\\u2039\\u203a";
const MARKS = `[\\s${QUOTES}.,;:!?\\u2026\\u3001\\u3002\\uff01\\uff0c\\uff1a\\uff1b\\uff1f]*`;
const WHOLE_NUMBER = new RegExp(`^[\\s${QUOTES}]*-?(?:\\d+${MARKS})?$`, "u");
const DECIMAL_NUMBER = new RegExp(`^[\\s${QUOTES}]*-?(?:\\d+(?:\\.\\d+)?${MARKS})?$`, "u");
const OPTION = /^\s*(?:\(?|\([a-z]\)?|[a-z][.)]?)\s*$/i;

export function wholeNumberDecidedBy(beginning: string): Decision {
  return WHOLE_NUMBER.test(foldCase(beginning)) ? "open" : missing("not_a_number");
}

export function decimalNumberDecidedBy(beginning: string): Decision {
  return DECIMAL_NUMBER.test(foldCase(beginning)) ? "open" : missing("not_a_number");
}

export function optionDecidedBy(beginning: string): Decision {
  return OPTION.test(beginning) ? "open" : missing("not_an_option");
}
