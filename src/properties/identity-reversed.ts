import { reverseGraphemes } from "./graphemes.js";
import { normalize } from "./normalize.js";
import type { BehaviorProperty } from "./property.js";
import { readText } from "./strict-readers.js";

export const identityReversed: BehaviorProperty = {
  name: "identity_reversed",
  summary: "the whole answer, spelled backwards",
  question: "What would your whole response be, spelled backwards? Reply with the reversed response only.",
  values: "open",
  kinds: ["sequence", "numbers", "continuation"],
  dependsOn: "whole_answer",
  decidedLate: true,
  // Normalized again because a mark at the answer's beginning now stands at its end.
  extract(answer) {
    const text = readText(answer);
    return text.ok ? { ok: true, value: normalize(reverseGraphemes(text.value)) } : text;
  },
  read: readText,
};
