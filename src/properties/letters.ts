/** What kind of letter an answer starts or ends with, accents aside; a digit or a mark is no letter. */
import { choice, TRUE_FALSE, twoWay, YES_NO } from "./choices.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { baseLetter, charactersOf, isLetterUpTo, isVowel } from "./text.js";

interface LetterRow extends PropertyWords {
  /** Of the trimmed answer's characters, from 0; -1 is the last, punctuation included. */
  readonly index: 0 | -1;
  readonly holds: (character: string) => boolean;
  readonly values: readonly [string, string];
}

const isAToE = (character: string) => isLetterUpTo("e", character);
const isAToM = (character: string) => isLetterUpTo("m", character);

const ROWS: readonly LetterRow[] = [
  {
    name: "starts_with_vowel",
    index: 0,
    holds: isVowel,
    values: TRUE_FALSE,
    summary: "whether the answer starts with a, e, i, o or u, accents aside",
    question: "Would your response start with a vowel? Reply with true or false only.",
  },
  {
    name: "starts_with_vowel_direct",
    index: 0,
    holds: isVowel,
    values: ["vowel", "no"],
    summary: "the same as starts_with_vowel, answered by naming the class",
    question: 'Would your response start with a vowel? Reply with "vowel" if it would, otherwise with "no" only.',
  },
  {
    name: "starts_with_first_half_alphabet",
    index: 0,
    holds: isAToM,
    values: YES_NO,
    summary: "whether the answer starts with a letter from a to m",
    question: "Would your response start with a letter from A to M? Reply with yes or no only.",
  },
  {
    name: "starts_with_abcde",
    index: 0,
    holds: isAToE,
    values: YES_NO,
    summary: "whether the answer starts with a, b, c, d or e",
    question: "Would your response start with a letter from A to E? Reply with yes or no only.",
  },
  {
    name: "ends_with_vowel",
    index: -1,
    holds: isVowel,
    values: TRUE_FALSE,
    summary: "whether the last character of the answer, punctuation included, is a, e, i, o or u",
    question: "Would the very last character of your response be a vowel? Reply with true or false only.",
  },
];

/**
 * The relabeled property: nonsense codes, and a table that follows no rule a model could know, so that nothing but training can
 * teach them and a code says nothing about what it stands for. The letters are dealt out so that the first letters of English
 * words fall on the four codes about equally often.
 */
const LETTERS_OF_CODE = { zib: "ahrkgv", mof: "tdlyqe", tak: "sifcju", rul: "owbmpnxz" } as const;
const CODES = Object.keys(LETTERS_OF_CODE);
/** Of digits, marks, and letters beyond a to z. */
const CODE_OF_OTHERS = "zib";

function codeOf(character: string): string {
  const letter = baseLetter(character);
  const found = Object.entries(LETTERS_OF_CODE).find(([, letters]) => letter.length === 1 && letters.includes(letter));
  return found?.[0] ?? CODE_OF_OTHERS;
}

const initialCode: BehaviorProperty = choice({
  name: "initial_code",
  summary: "an arbitrary code for the answer's first character, by a fixed table without meaning",
  question:
    "A fixed table gives every response a code. Which code does your response get? Reply with zib, mof, tak or rul only.",
  values: CODES,
  kinds: ["sequence", "continuation"],
  extract(answer) {
    const first = charactersOf(answer, 0);
    return first.ok ? { ok: true, value: codeOf(first.value) } : first;
  },
});

export const LETTER_PROPERTIES: readonly BehaviorProperty[] = [
  ...ROWS.map(({ index, ...row }) =>
    twoWay({
      ...row,
      kinds: ["sequence", "continuation"],
      dependsOn: index < 0 ? "whole_answer" : "first_characters",
      decidedLate: index < 0,
      part: (answer) => charactersOf(answer, index),
    }),
  ),
  initialCode,
];
