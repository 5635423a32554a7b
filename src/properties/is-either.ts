import { optionDecidedBy } from "./form-begun.js";
import { optionLetterIn } from "./option-letter.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { TRUE_FALSE, twoWay } from "./two-way.js";

/**
 * Whether the chosen option is one of two letters.
 * Meant for questions with four options; of a two-option dilemma it only tells the letter.
 */
export function isEither(words: PropertyWords, letters: readonly string[]): BehaviorProperty {
  return twoWay({
    ...words,
    values: TRUE_FALSE,
    kinds: ["options"],
    dependsOn: "whole_answer",
    decidedBy: optionDecidedBy,
    part: optionLetterIn,
    holds: (letter) => letters.includes(letter),
  });
}
