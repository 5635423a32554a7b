import type { BehaviorProperty, PropertyWords } from "./property.js";
import { readWord } from "./strict-readers.js";
import { wordReplyDecidedBy } from "./strict-replies-begun.js";
import { wordOf } from "./words.js";

/**
 * One word at a fixed place: what stands between white space, normalized.
 * @param index from 0; negative counts from the end
 */
export function nthWord(words: PropertyWords, index: number): BehaviorProperty {
  return {
    ...words,
    values: "open",
    kinds: ["sequence", "continuation"],
    dependsOn: index < 0 ? "whole_answer" : "first_words",
    ...(index < 0 || index > 1 ? { decidedLate: true } : {}),
    extract: (answer) => wordOf(answer, index),
    read: readWord,
    replyDecidedBy: wordReplyDecidedBy,
  };
}
