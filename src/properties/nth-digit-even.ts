import { wholeNumberDecidedBy } from "./form-begun.js";
import { digitsOf, isEvenNumber } from "./number-in.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { TRUE_FALSE, twoWay } from "./two-way.js";

/** Whether the digit at `index` (from 0, a minus sign not counted) of an answer that is a whole number is even. */
export function nthDigitEven(words: PropertyWords, index: number): BehaviorProperty {
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
