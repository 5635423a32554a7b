import { nthDigitEven } from "./nth-digit-even.js";

export const isThirdDigitEven = nthDigitEven(
  {
    name: "is_third_digit_even",
    summary: "whether the third digit of the answer, a whole number, is even",
    question: "Would the third digit of your response be even? Reply with true or false only.",
  },
  2,
);
