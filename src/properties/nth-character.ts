import { charactersOf } from "./characters.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { readCharacters } from "./strict-readers.js";
import { charactersReplyDecidedBy } from "./strict-replies-begun.js";

/**
 * One character at a fixed place of the trimmed answer, lower case; any mark counts, white space is shown as `␣`.
 * @param index from 0; negative counts from the end
 */
export function nthCharacter(words: PropertyWords, index: number): BehaviorProperty {
  return {
    ...words,
    values: "open",
    kinds: ["sequence", "numbers", "continuation"],
    dependsOn: index < 0 ? "whole_answer" : "first_characters",
    ...(index < 0 ? { decidedLate: true } : {}),
    extract: (answer) => charactersOf(answer, index),
    read: (reply) => readCharacters(reply),
    replyDecidedBy: (beginning) => charactersReplyDecidedBy(beginning),
  };
}
