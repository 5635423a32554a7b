import { type Extraction, missing, value } from "../records/extraction.js";
import { graphemes } from "./graphemes.js";
import { foldCase } from "./normalize.js";

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
  const all = graphemes(answer.trim());
  if (all.length === 0) return missing("empty");
  const from = start < 0 ? all.length + start : start;
  const taken = all.slice(Math.max(from, 0), from + count);
  if (from < 0 || taken.length < count) return missing("too_short");
  const text = normalizeCharacters(taken.join(""));
  // A stray combining mark can fuse with its new neighbour; then there are not that many characters to speak of.
  return graphemes(text).length === count ? value(text) : missing("too_short");
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
