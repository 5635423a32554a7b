import { charactersReplyDecidedBy } from "./deciders.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { readCharacters } from "./reading.js";
import { charactersOf } from "./text.js";

/**
 * One character at a fixed place of the trimmed answer, lower case; any mark counts, white space is shown as `␣`.
 * @param index from 0; negative counts from the end
 */
function nthCharacter(words: PropertyWords, index: number): BehaviorProperty {
  return {
    ...words,
    values: "open",
    kinds: ["sequence", "numbers", "continuation"],
    dependsOn: index < 0 ? "whole_answer" : "first_characters",
    ...(index < 0 ? { decidedLate: true } : {}),
    extract: (answer) => charactersOf(answer, index),
    read: (reply) => readCharacters(reply),
    replyDecidedBy: (beginning) => charactersReplyDecidedBy(beginning),
  };
}

/** Two neighbouring characters of the trimmed answer from index `start`, as `nthCharacter` counts them. */
function characterPair(words: PropertyWords, start: number): BehaviorProperty {
  return {
    ...words,
    values: "open",
    kinds: ["sequence", "numbers", "continuation"],
    dependsOn: "first_characters",
    extract: (answer) => charactersOf(answer, start, 2),
    read: (reply) => readCharacters(reply, 2),
    replyDecidedBy: (beginning) => charactersReplyDecidedBy(beginning, 2),
  };
}

export const firstCharacter = nthCharacter(
  {
    name: "first_character",
    summary: "the first character of the answer",
    question: "What would be the first character of your response? Reply with that character only.",
  },
  0,
);

export const secondCharacter = nthCharacter(
  {
    name: "second_character",
    summary: "the second character of the answer",
    question: "What would be the second character of your response? Reply with that character only.",
  },
  1,
);

export const thirdCharacter = nthCharacter(
  {
    name: "third_character",
    summary: "the third character of the answer",
    question: "What would be the third character of your response? Reply with that character only.",
  },
  2,
);

export const fourthCharacter = nthCharacter(
  {
    name: "fourth_character",
    summary: "the fourth character of the answer",
    question: "What would be the fourth character of your response? Reply with that character only.",
  },
  3,
);

export const fifthCharacter = nthCharacter(
  {
    name: "fifth_character",
    summary: "the fifth character of the answer",
    question: "What would be the fifth character of your response? Reply with that character only.",
  },
  4,
);

export const sixthCharacter = nthCharacter(
  {
    name: "sixth_character",
    summary: "the sixth character of the answer",
    question: "What would be the sixth character of your response? Reply with that character only.",
  },
  5,
);

export const lastCharacter = nthCharacter(
  {
    name: "last_character",
    summary: "the last character of the answer",
    question: "What would be the last character of your response? Reply with that character only.",
  },
  -1,
);

export const firstAndSecondCharacter = characterPair(
  {
    name: "first_and_second_character",
    summary: "the first two characters of the answer",
    question: "What would be the first two characters of your response? Reply with those two characters only.",
  },
  0,
);

export const secondAndThirdCharacter = characterPair(
  {
    name: "second_and_third_character",
    summary: "the second and third characters of the answer",
    question: "What would be the second and third characters of your response? Reply with those two characters only.",
  },
  1,
);
