/** What the beginning of a hypothetical reply decides for each strict reader: mostly that too much was said. A value needs the end. */
import { missing } from "../records/extraction.js";
import { graphemes } from "./graphemes.js";
import { foldCase } from "./normalize.js";
import type { Decision } from "./text-decider.js";
import { words } from "./words.js";

const QUOTES = "\"'`\\u2018-\\u201b\\u201c-\\u201f\\u00ab\\u00bb\\u2039\\u203a";
const BEFORE = new RegExp(`^[\\s${QUOTES}]+`, "u");
const AFTER = new RegExp(`^[\\s${QUOTES}.,;:!?\\u2026\\u3001\\u3002\\uff01\\uff0c\\uff1a\\uff1b\\uff1f]*$`, "u");
const COUNT = new RegExp(`^[\\s${QUOTES}]*(?:\\d+${AFTER.source.slice(1, -1)})?$`, "u");
const OPENING = /^["'`\u201c\u2018]/u;

export function wordReplyDecidedBy(beginning: string): Decision {
  return words(beginning).length > 1 ? missing("not_one_word") : "open";
}

export function choiceReplyDecidedBy(beginning: string, values: readonly string[]): Decision {
  return values.some((value) => couldBecome(value, beginning)) ? "open" : missing("not_in_values");
}

export function countReplyDecidedBy(beginning: string): Decision {
  return COUNT.test(foldCase(beginning)) ? "open" : missing("not_a_number");
}

export function charactersReplyDecidedBy(beginning: string, count = 1): Decision {
  const said = beginning.trim();
  const length = graphemes(said).length;
  const quotes = OPENING.test(said) ? 2 : 0;
  if (length <= count + quotes || (count === 1 && couldBecome("space", beginning))) return "open";
  return missing("not_one_character");
}

/** Whether some continuation has this normal form. */
function couldBecome(form: string, beginning: string): boolean {
  const said = foldCase(beginning).replace(BEFORE, "").replace(/\s+/gu, " ");
  return form.startsWith(said) || (said.startsWith(form) && AFTER.test(said.slice(form.length)));
}
