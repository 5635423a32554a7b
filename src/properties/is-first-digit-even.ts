import { nthDigitEven } from "./nth-digit-even.js";

export const isFirstDigitEven = nthDigitEven(
  {
    name: "is_first_digit_even",
    summary: "whether the first digit of the answer, a whole number, is even",
    question: "Would the first digit of your response be even? Reply with true or false only.",
  },
  0,
);
