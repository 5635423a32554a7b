import { digitSumProperty } from "./digit-sum-property.js";
import { digitsOf } from "./number-in.js";

export const sumOfDigits = digitSumProperty(
  {
    name: "sum_of_digits",
    summary: "the sum of all digits of the answer, a whole number",
    question: "What would be the sum of all digits of your response? Reply with that number in digits only.",
  },
  (answer) => digitsOf(answer, 0),
);
