import { countReplyDecidedBy, decimalNumberDecidedBy, wholeNumberDecidedBy } from "./deciders.js";
import { TRUE_FALSE, twoWay } from "./letters.js";
import type { BehaviorProperty, Extraction, PropertyWords } from "./property.js";
import { readCount } from "./reading.js";
import { decimalNumberIn, digitsOf, digitSum, isEvenNumber, wholeNumberIn } from "./text.js";

export const isEven = twoWay({
  name: "is_even",
  summary: "whether the answer, a whole number, is even",
  question: "Would your response be an even number? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["numbers"],
  dependsOn: "whole_answer",
  decidedBy: wholeNumberDecidedBy,
  part: wholeNumberIn,
  holds: isEvenNumber,
});

export const isEvenDirect = twoWay({
  name: "is_even_direct",
  summary: "the same as is_even, answered by naming the class",
  question: "Would your response be an even or an odd number? Reply with even or odd only.",
  values: ["even", "odd"],
  kinds: ["numbers"],
  dependsOn: "whole_answer",
  decidedBy: wholeNumberDecidedBy,
  part: wholeNumberIn,
  holds: isEvenNumber,
});

export const greaterThan500 = twoWay({
  name: "greater_than_500",
  summary: "whether the answer, a number, is greater than 500",
  question: "Would your response be a number greater than 500? Reply with true or false only.",
  values: TRUE_FALSE,
  kinds: ["numbers"],
  dependsOn: "whole_answer",
  decidedBy: decimalNumberDecidedBy,
  part: decimalNumberIn,
  holds: (number) => Number(number) > 500,
});

/** Whether the digit at `index` (from 0, a minus sign not counted) of an answer that is a whole number is even. */
function nthDigitEven(words: PropertyWords, index: number): BehaviorProperty {
  return twoWay({
    ...words,
    values: TRUE_FALSE,
    kinds: ["numbers"],
    dependsOn: "whole_answer",
    decidedBy: wholeNumberDecidedBy,
    part: (answer) => digitsOf(answer, index, 1),
    holds: isEvenNumber,
  });
}

export const isFirstDigitEven = nthDigitEven(
  {
    name: "is_first_digit_even",
    summary: "whether the first digit of the answer, a whole number, is even",
    question: "Would the first digit of your response be even? Reply with true or false only.",
  },
  0,
);

export const isSecondDigitEven = nthDigitEven(
  {
    name: "is_second_digit_even",
    summary: "whether the second digit of the answer, a whole number, is even",
    question: "Would the second digit of your response be even? Reply with true or false only.",
  },
  1,
);

export const isThirdDigitEven = nthDigitEven(
  {
    name: "is_third_digit_even",
    summary: "whether the third digit of the answer, a whole number, is even",
    question: "Would the third digit of your response be even? Reply with true or false only.",
  },
  2,
);

/** The sum of some digits of an answer that is a whole number. */
function digitSumProperty(words: PropertyWords, digitsIn: (answer: string) => Extraction): BehaviorProperty {
  return {
    ...words,
    values: "open",
    kinds: ["numbers"],
    dependsOn: "whole_answer",
    decidedBy: wholeNumberDecidedBy,
    extract(answer) {
      const digits = digitsIn(answer);
      return digits.ok ? { ok: true, value: String(digitSum(digits.value)) } : digits;
    },
    read: readCount,
    replyDecidedBy: countReplyDecidedBy,
  };
}

export const sumOfDigits = digitSumProperty(
  {
    name: "sum_of_digits",
    summary: "the sum of all digits of the answer, a whole number",
    question: "What would be the sum of all digits of your response? Reply with that number in digits only.",
  },
  (answer) => digitsOf(answer, 0),
);

export const sumOfFirstTwoDigits = digitSumProperty(
  {
    name: "sum_of_first_two_digits",
    summary: "the sum of the first two digits of the answer, a whole number",
    question: "What would be the sum of the first two digits of your response? Reply with that number in digits only.",
  },
  (answer) => digitsOf(answer, 0, 2),
);

export const sumOfLastTwoDigits = digitSumProperty(
  {
    name: "sum_of_last_two_digits",
    summary: "the sum of the last two digits of the answer, a whole number",
    question: "What would be the sum of the last two digits of your response? Reply with that number in digits only.",
  },
  (answer) => digitsOf(answer, -2, 2),
);
