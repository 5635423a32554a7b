import { wordReplyDecidedBy } from "./deciders.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { readWord } from "./reading.js";
import { normalize, reverseGraphemes, wordOf } from "./text.js";

/**
 * One word at a fixed place: what stands between white space, normalized.
 * @param index from 0; negative counts from the end
 */
function nthWord(words: PropertyWords, index: number): BehaviorProperty {
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

export const firstWord = nthWord(
  {
    name: "first_word",
    summary: "the first word of the answer",
    question: "What would be the first word of your response? Reply with that word only.",
  },
  0,
);

export const secondWord = nthWord(
  {
    name: "second_word",
    summary: "the second word of the answer",
    question: "What would be the second word of your response? Reply with that word only.",
  },
  1,
);

export const thirdWord = nthWord(
  {
    name: "third_word",
    summary: "the third word of the answer",
    question: "What would be the third word of your response? Reply with that word only.",
  },
  2,
);

export const lastWord = nthWord(
  {
    name: "last_word",
    summary: "the last word of the answer",
    question: "What would be the last word of your response? Reply with that word only.",
  },
  -1,
);

export const firstWordReversed: BehaviorProperty = {
  name: "first_word_reversed",
  summary: "the first word of the answer, spelled backwards",
  question: "What would be the first word of your response, spelled backwards? Reply with the reversed word only.",
  values: "open",
  kinds: ["sequence", "continuation"],
  dependsOn: "first_words",
  // Normalized again because a mark at the word's beginning now stands at its end.
  extract(answer) {
    const word = wordOf(answer, 0);
    return word.ok ? { ok: true, value: normalize(reverseGraphemes(word.value)) } : word;
  },
  read: readWord,
  replyDecidedBy: wordReplyDecidedBy,
};
