import { choiceReplyDecidedBy } from "./deciders.js";
import type { BehaviorProperty, Extraction, PropertyContext, PropertyWords } from "./property.js";
import { readChoice } from "./reading.js";
import { baseLetter, charactersOf, isLetterUpTo, isVowel } from "./text.js";

/** Properties with two values: a part of the answer either is so or is not. */

export const TRUE_FALSE = ["true", "false"] as const;
const YES_NO = ["yes", "no"] as const;

interface TwoWay extends Omit<BehaviorProperty, "values" | "extract" | "read" | "replyDecidedBy"> {
  /** The value when it is so, and when it is not. */
  readonly values: readonly [string, string];
  /** What the question is about, or why the answer has no such thing. */
  readonly part: (answer: string, context: PropertyContext) => Extraction;
  readonly holds: (part: string, context: PropertyContext) => boolean;
}

export function twoWay({ part, holds, ...described }: TwoWay): BehaviorProperty {
  const [so, notSo] = described.values;
  return {
    ...described,
    extract(answer, context) {
      const found = part(answer, context);
      return found.ok ? { ok: true, value: holds(found.value, context) ? so : notSo } : found;
    },
    read: (reply) => readChoice(reply, described.values),
    replyDecidedBy: (beginning) => choiceReplyDecidedBy(beginning, described.values),
  };
}

export const startsWithVowel = twoWay({
  name: "starts_with_vowel",
  summary: "whether the answer starts with a, e, i, o or u, accents aside",
  question: "Would your response start with a vowel? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["sequence", "continuation"],
  part: (answer) => charactersOf(answer, 0),
  holds: isVowel,
});

export const startsWithVowelDirect = twoWay({
  name: "starts_with_vowel_direct",
  summary: "the same as starts_with_vowel, answered by naming the class",
  question: 'Would your response start with a vowel? Reply with "vowel" if it would, otherwise with "no" only.',
  values: ["vowel", "no"],
  kinds: ["sequence", "continuation"],
  part: (answer) => charactersOf(answer, 0),
  holds: isVowel,
});

export const endsWithVowel = twoWay({
  name: "ends_with_vowel",
  summary: "whether the last character of the answer, punctuation included, is a, e, i, o or u",
  question: "Would the very last character of your response be a vowel? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["sequence", "continuation"],
  dependsOn: "whole_answer",
  decidedLate: true,
  part: (answer) => charactersOf(answer, -1),
  holds: isVowel,
});

/** Whether the trimmed answer starts with a letter from a up to `last`, accents aside; a digit or a mark does not. */
function firstLetterUpTo(words: PropertyWords, last: string): BehaviorProperty {
  return twoWay({
    ...words,
    values: YES_NO,
    kinds: ["sequence", "continuation"],
    part: (answer) => charactersOf(answer, 0),
    holds: (character) => isLetterUpTo(last, character),
  });
}

export const startsWithAbcde = firstLetterUpTo(
  {
    name: "starts_with_abcde",
    summary: "whether the answer starts with a, b, c, d or e",
    question: "Would your response start with a letter from A to E? Reply with yes or no only.",
  },
  "e",
);

export const startsWithFirstHalfAlphabet = firstLetterUpTo(
  {
    name: "starts_with_first_half_alphabet",
    summary: "whether the answer starts with a letter from a to m",
    question: "Would your response start with a letter from A to M? Reply with yes or no only.",
  },
  "m",
);

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

export const initialCode: BehaviorProperty = {
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
  read: (reply) => readChoice(reply, CODES),
  replyDecidedBy: (beginning) => choiceReplyDecidedBy(beginning, CODES),
};
