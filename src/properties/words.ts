/** Words at a fixed place: what stands between white space, normalized. */
import { wordReplyDecidedBy } from "./deciders.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { readWord } from "./reading.js";
import { normalize, reverseGraphemes, wordOf } from "./text.js";

interface WordRow extends PropertyWords {
  /** From 0; negative counts from the end. */
  readonly index: number;
  readonly reversed?: true;
}

const ROWS: readonly WordRow[] = [
  {
    name: "first_word",
    index: 0,
    summary: "the first word of the answer",
    question: "What would be the first word of your response? Reply with that word only.",
  },
  {
    name: "second_word",
    index: 1,
    summary: "the second word of the answer",
    question: "What would be the second word of your response? Reply with that word only.",
  },
  {
    name: "third_word",
    index: 2,
    summary: "the third word of the answer",
    question: "What would be the third word of your response? Reply with that word only.",
  },
  {
    name: "last_word",
    index: -1,
    summary: "the last word of the answer",
    question: "What would be the last word of your response? Reply with that word only.",
  },
  {
    name: "first_word_reversed",
    index: 0,
    reversed: true,
    summary: "the first word of the answer, spelled backwards",
    question: "What would be the first word of your response, spelled backwards? Reply with the reversed word only.",
  },
];

export const WORD_PROPERTIES = ROWS.map(
  ({ index, reversed, ...words }): BehaviorProperty => ({
    ...words,
    values: "open",
    kinds: ["sequence", "continuation"],
    dependsOn: index < 0 ? "whole_answer" : "first_words",
    decidedLate: index < 0 || index > 1,
    extract(answer) {
      const word = wordOf(answer, index);
      // Normalized again because a mark at the word's beginning now stands at its end.
      return word.ok && reversed ? { ok: true, value: normalize(reverseGraphemes(word.value)) } : word;
    },
    read: readWord,
    replyDecidedBy: wordReplyDecidedBy,
  }),
);
