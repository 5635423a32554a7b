import { reverseGraphemes } from "./graphemes.js";
import { normalize } from "./normalize.js";
import type { BehaviorProperty } from "./property.js";
import { readWord } from "./strict-readers.js";
import { wordReplyDecidedBy } from "./strict-replies-begun.js";
import { wordOf } from "./words.js";

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
