import { digitSumProperty } from "./digit-sum-property.js";
import { digitsOf } from "./number-in.js";

export const sumOfFirstTwoDigits = digitSumProperty(
  {
    name: "sum_of_first_two_digits",
    summary: "the sum of the first two digits of the answer, a whole number",
    question: "What would be the sum of the first two digits of your response? Reply with that number in digits only.",
  },
  (answer) => digitsOf(answer, 0, 2),
);
