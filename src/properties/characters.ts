/** Characters at a fixed place of the trimmed answer, lower case. Any mark counts; white space is shown as `␣`. */
import { charactersReplyDecidedBy } from "./deciders.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { readCharacters } from "./reading.js";
import { charactersOf } from "./text.js";

interface CharacterRow extends PropertyWords {
  /** From 0; negative counts from the end. */
  readonly start: number;
  /** How many neighbouring characters. */
  readonly count: 1 | 2;
}

const ROWS: readonly CharacterRow[] = [
  {
    name: "first_character",
    start: 0,
    count: 1,
    summary: "the first character of the answer",
    question: "What would be the first character of your response? Reply with that character only.",
  },
  {
    name: "second_character",
    start: 1,
    count: 1,
    summary: "the second character of the answer",
    question: "What would be the second character of your response? Reply with that character only.",
  },
  {
    name: "third_character",
    start: 2,
    count: 1,
    summary: "the third character of the answer",
    question: "What would be the third character of your response? Reply with that character only.",
  },
  {
    name: "fourth_character",
    start: 3,
    count: 1,
    summary: "the fourth character of the answer",
    question: "What would be the fourth character of your response? Reply with that character only.",
  },
  {
    name: "fifth_character",
    start: 4,
    count: 1,
    summary: "the fifth character of the answer",
    question: "What would be the fifth character of your response? Reply with that character only.",
  },
  {
    name: "sixth_character",
    start: 5,
    count: 1,
    summary: "the sixth character of the answer",
    question: "What would be the sixth character of your response? Reply with that character only.",
  },
  {
    name: "last_character",
    start: -1,
    count: 1,
    summary: "the last character of the answer",
    question: "What would be the last character of your response? Reply with that character only.",
  },
  {
    name: "first_and_second_character",
    start: 0,
    count: 2,
    summary: "the first two characters of the answer",
    question: "What would be the first two characters of your response? Reply with those two characters only.",
  },
  {
    name: "second_and_third_character",
    start: 1,
    count: 2,
    summary: "the second and third characters of the answer",
    question: "What would be the second and third characters of your response? Reply with those two characters only.",
  },
];

export const CHARACTER_PROPERTIES = ROWS.map(({ start, count, ...words }): BehaviorProperty => {
  const atEnd = start < 0;
  return {
    ...words,
    values: "open",
    kinds: ["sequence", "numbers", "continuation"],
    dependsOn: atEnd ? "whole_answer" : "first_characters",
    decidedLate: atEnd,
    extract: (answer) => charactersOf(answer, start, count),
    read: (reply) => readCharacters(reply, count),
    replyDecidedBy: (beginning) => charactersReplyDecidedBy(beginning, count),
  };
});
