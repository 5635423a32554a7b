/** Lists of numbers drawn by seed: one digit each, or three digits with leading zeros. */
import type { TaskDefinition } from "../records/task.js";

const ORIGIN = { licence: "MIT", source: "drawn by seed" } as const;

export const numbers: TaskDefinition = {
  name: "numbers",
  kind: "numbers",
  summary: "three to six digits: give the next one",
  question: "Give the next number of this list, one digit only:\n{string}",
  answerForm: "number",
  examples: [
    { text: "2 9 4 9", answer: "7" },
    { text: "6 1 8 0 3", answer: "4" },
  ],
  properties: ["is_even", "is_even_direct", "identity"],
  maxTokens: 6,
  ...ORIGIN,
};

export const numberTriplets: TaskDefinition = {
  name: "number_triplets",
  kind: "numbers",
  summary: "four to six three-digit numbers: give the next one",
  question: "Give the next number of this list, three digits only:\n{string}",
  answerForm: "number",
  examples: [
    { text: "518 043 927 660 381", answer: "274" },
    { text: "209 874 135 796", answer: "651" },
  ],
  properties: [
    "is_even",
    "greater_than_500",
    "is_first_digit_even",
    "first_character",
    "second_character",
    "sum_of_digits",
  ],
  maxTokens: 8,
  ...ORIGIN,
};

export const arithmetic: TaskDefinition = {
  name: "arithmetic",
  kind: "numbers",
  summary: "a sum, difference or product, trivial to hard: give the result",
  question: "Give the result, a number only:\n{string}",
  answerForm: "number",
  examples: [
    { text: "120 + 4 =", answer: "124" },
    { text: "130 * 1 =", answer: "130" },
  ],
  properties: ["is_correct"],
  maxTokens: 8,
  ...ORIGIN,
  features: ["right_answer"],
};
