import { type Extraction, missing, value } from "./property.js";

// What a character is here: a grapheme cluster, the thing a reader sees as one (`é` however it is encoded, a family emoji).
// The paper's code counts code points, so that a decomposed accent or an emoji sequence would be several characters.

const SEGMENTER = new Intl.Segmenter("und", { granularity: "grapheme" });

/** Every code unit is a cluster of its own there: CR LF is the only cluster within ASCII. The segmenter takes a hundred times as long. */
const ASCII = /^\p{ASCII}*$/u;

export function graphemes(text: string): string[] {
  if (!text.includes("\r") && ASCII.test(text)) return text.split("");
  return Array.from(SEGMENTER.segment(text), (part) => part.segment);
}

/** The first of them, no more than `count`: what follows is not looked at. */
export function firstGraphemes(text: string, count: number): string[] {
  // With the code unit behind them, which could belong to the last.
  const head = text.slice(0, count + 1);
  if (!head.includes("\r") && ASCII.test(head)) return head.slice(0, count).split("");
  const first: string[] = [];
  for (const { segment } of SEGMENTER.segment(text)) {
    if (first.length === count) break;
    first.push(segment);
  }
  return first;
}

/** Looks no further than the first cluster, so that a long text costs nothing. */
function isOneGrapheme(text: string): boolean {
  for (const part of SEGMENTER.segment(text)) return part.segment.length === text.length;
  return false;
}

/** What a decoder puts in the place of bytes that are no whole character. */
export const HALF_CHARACTER = "\ufffd";

/**
 * Marks without a shape of their own, which no reader sees as characters: byte order marks, zero-width blanks, soft hyphens, turns
 * of the direction, choices between two looks of one character.
 */
const SHAPELESS = /(?!\u200c|\u200d|[\u{E0020}-\u{E007F}])\p{Default_Ignorable_Code_Point}/gu;
/** Joiners shape their neighbours in some scripts and make one emoji of several; beside Latin letters, or at an edge, they do nothing. */
const IDLE_JOINER =
  /(?<=^|[\s\p{ASCII}\p{Script=Latin}])[\u200c\u200d]+|[\u200c\u200d]+(?=[\s\p{ASCII}\p{Script=Latin}]|$)/gu;
/** Tags name a region behind a black flag; elsewhere they hide text. */
const STRAY_TAG = /(?<!\u{1F3F4}[\u{E0020}-\u{E007F}]*)[\u{E0020}-\u{E007F}]/gu;

/** The text as a reader sees it. Rules look at nothing else. */
export function seenText(text: string): string {
  if (ASCII.test(text)) return text;
  return text.replace(SHAPELESS, "").replace(STRAY_TAG, "").replace(IDLE_JOINER, "");
}

export function reverseGraphemes(text: string): string {
  return graphemes(text).reverse().join("");
}

/**
 * The one normal form that behaviors and predictions are compared in. Both sides go through it, so that `hello,` said and
 * `Hello` predicted are the same word; the paper's code cleaned only one side, and such pairs could never match.
 */

const QUOTES = "\"'`\\u2018\\u2019\\u201a\\u201b\\u201c\\u201d\\u201e\\u201f\\u00ab\\u00bb\\u2039\\u203a";
const OPENING_QUOTE = new RegExp(`^[${QUOTES}](?!\\p{M})`, "u");
const CLOSING_QUOTE = new RegExp(`[${QUOTES}]$`, "u");
const SENTENCE_END = /[.,;:!?\u2026\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f]$/u;

/** As a reader sees it, lower case without a locale (a Turkish machine must give the same bytes), composed. */
export function foldCase(text: string): string {
  return seenText(text.normalize("NFC")).toLowerCase().normalize("NFC");
}

/** Takes off one mark: a quote at either end, else a sentence's punctuation at the end. */
function peel(text: string): string {
  if (isOneGrapheme(text)) return text;
  for (const mark of [OPENING_QUOTE, CLOSING_QUOTE, SENTENCE_END]) {
    // What stood beside a mark can stand at the edge now.
    if (mark.test(text)) return seenText(text.replace(mark, "")).trim();
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

/**
 * Single characters of an answer and their normal form. Characters are only lower-cased: the second character of `1. Lion` is
 * the full stop, which the normal form of words would take away.
 */

/** Stands for a white-space character, which could otherwise neither be seen in a table nor survive trimming. */
export const SPACE = "\u2423";

export function normalizeCharacters(text: string): string {
  return foldCase(text).replace(/\s+/gu, SPACE);
}

/**
 * Characters of the trimmed answer: models begin with a blank or a line break as a habit of the tokenizer, which nobody would call a
 * character of the response. (The paper indexes the raw string.)
 * @param start index from 0; negative counts from the end
 */
export function charactersOf(answer: string, start: number, count = 1): Extraction {
  const all = start < 0 ? graphemes(answer.trim()) : firstGraphemes(answer.trim(), start + count);
  if (all.length === 0) return missing("empty");
  const from = start < 0 ? all.length + start : start;
  const taken = all.slice(Math.max(from, 0), from + count);
  if (from < 0 || taken.length < count) return missing("too_short");
  if (taken.some((one) => one.includes(HALF_CHARACTER))) return missing("half_character");
  const text = normalizeCharacters(taken.join(""));
  // A stray combining mark can fuse with its new neighbour; then there are not that many characters to speak of.
  return graphemes(text).length === count ? value(text) : missing("too_short");
}

/** Without the last character where more text is likely to belong to it: an emoji, a letter with accents, a carriage return. */
export function settledCharacters(beginning: string): string {
  if (/[!-~]\s*$/u.test(beginning)) return beginning;
  return beginning.slice(0, SEGMENTER.segment(beginning).containing(beginning.length - 1)?.index ?? 0);
}

/** The letter under any accents, lower case: `É` gives `e`. */
export function baseLetter(character: string): string {
  return foldCase(character).normalize("NFD").replace(/\p{M}/gu, "");
}

/** a, e, i, o, u, with any accents. */
export function isVowel(character: string): boolean {
  return /^[aeiou]$/u.test(baseLetter(character));
}

/** Whether a character is a Latin letter from `a` up to and including `last`, with any accents. */
export function isLetterUpTo(last: string, character: string): boolean {
  const letter = baseLetter(character);
  return /^[a-z]$/u.test(letter) && letter <= last;
}

/** Words of an answer: what stands between white space, punctuation included until it is normalized. */
export function words(text: string): string[] {
  return seenText(text)
    .split(/\s+/u)
    .filter((word) => word !== "");
}

/** @param index from 0; negative counts from the end */
export function wordOf(answer: string, index: number): Extraction {
  const all = words(answer);
  if (all.length === 0) return missing("empty");
  const word = all.at(index);
  if (word === undefined) return missing("too_short");
  return word.includes(HALF_CHARACTER) ? missing("half_character") : value(normalize(word));
}

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

/**
 * The option an answer names: `A`, `A.`, `A)` or `(A)`, either case, and nothing else.
 * @returns the letter in lower case
 */
export function optionLetterIn(answer: string): Extraction {
  const said = answer.trim();
  if (said === "") return missing("empty");
  const letter = /^(?:\(([a-z])\)|([a-z])[.)]?)$/i.exec(said);
  const name = letter?.[1] ?? letter?.[2];
  return name === undefined ? missing("not_an_option") : value(name.toLowerCase());
}
