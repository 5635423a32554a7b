import { normalize } from "./normalize.js";
import { words } from "./words.js";

/**
 * Degenerate repetition: a model stuck in a loop. Short repeats are answers (`tiger tiger shark`), so a word has to stand
 * six times in a row, a phrase of two to eight words four times, and characters inside a word sixteen times.
 */

const LONGEST_PHRASE = 8;

function timesInARow(said: readonly string[], phraseWords: number): number {
  let longest = 0;
  let same = 0;
  for (let index = phraseWords; index < said.length; index++) {
    same = said[index] === said[index - phraseWords] ? same + 1 : 0;
    longest = Math.max(longest, same);
  }
  return Math.floor(longest / phraseWords) + 1;
}

export function isDegenerate(text: string): boolean {
  if (/(\S{1,4}?)\1{15,}/u.test(text)) return true;
  const said = words(text).map(normalize);
  if (timesInARow(said, 1) >= 6) return true;
  for (let phraseWords = 2; phraseWords <= LONGEST_PHRASE; phraseWords++) {
    if (timesInARow(said, phraseWords) >= 4) return true;
  }
  return false;
}
