import { nthDigitEven } from "./nth-digit-even.js";

export const isSecondDigitEven = nthDigitEven(
  {
    name: "is_second_digit_even",
    summary: "whether the second digit of the answer, a whole number, is even",
    question: "Would the second digit of your response be even? Reply with true or false only.",
  },
  1,
);
