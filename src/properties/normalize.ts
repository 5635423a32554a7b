import { isOneGrapheme } from "./graphemes.js";

/**
 * The one normal form that behaviors and predictions are compared in. Both sides go through it, so that `hello,` said and
 * `Hello` predicted are the same word; the paper's code cleaned only one side, and such pairs could never match.
 */

const QUOTES = "\"'`\\u2018\\u2019\\u201a\\u201b\\u201c\\u201d\\u201e\\u201f\\u00ab\\u00bb\\u2039\\u203a";
const OPENING_QUOTE = new RegExp(`^[${QUOTES}](?!\\p{M})`, "u");
const CLOSING_QUOTE = new RegExp(`[${QUOTES}]$`, "u");
const SENTENCE_END = /[.,;:!?\u2026\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f]$/u;

/** Lower case without a locale (a Turkish machine must give the same bytes), composed. */
export function foldCase(text: string): string {
  return text.normalize("NFC").toLowerCase().normalize("NFC");
}

/** Takes off one mark: a quote at either end, else a sentence's punctuation at the end. */
function peel(text: string): string {
  if (isOneGrapheme(text)) return text;
  for (const mark of [OPENING_QUOTE, CLOSING_QUOTE, SENTENCE_END]) {
    if (mark.test(text)) return text.replace(mark, "").trim();
  }
  return text;
}

/**
 * Unicode NFC, lower case, white space collapsed and trimmed, quotes and backticks at the ends taken off, sentence
 * punctuation taken off the end. Marks inside stay (`don't`, `3.5`), and so do brackets, hyphens and signs.
 * The last character is never taken off: where a mark is all there is, it is the value itself.
 * Quotes need not be paired, because the first word of `"Hello there"` is cut out with only one of them.
 * @returns a text that normalizes to itself; empty only for white space
 */
export function normalize(text: string): string {
  let form = foldCase(text).replace(/\s+/gu, " ").trim();
  for (let peeled = peel(form); peeled !== form; peeled = peel(form)) form = peeled;
  return form;
}
