import { graphemes } from "./graphemes.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { TRUE_FALSE, twoWay } from "./two-way.js";
import { wholeText } from "./whole-text.js";

/** Whether the trimmed answer has more than `limit` characters, spaces and punctuation counted. */
export function moreThanCharacters(words: PropertyWords, limit: number): BehaviorProperty {
  return twoWay({
    ...words,
    values: TRUE_FALSE,
    kinds: ["sequence", "numbers", "continuation"],
    dependsOn: "whole_answer",
    settledValues: ["true"],
    part: wholeText,
    holds: (text) => graphemes(text).length > limit,
  });
}
