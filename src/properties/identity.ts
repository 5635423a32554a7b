import type { BehaviorProperty } from "./property.js";
import { readText } from "./strict-readers.js";

export const identity: BehaviorProperty = {
  name: "identity",
  summary: "the whole answer",
  question: "What would your response be, word for word? Reply with that response only.",
  values: "open",
  kinds: ["sequence", "numbers", "continuation", "options"],
  dependsOn: "whole_answer",
  decidedLate: true,
  extract: (answer) => readText(answer),
  read: readText,
};
