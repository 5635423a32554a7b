import type { BehaviorProperty } from "./property.js";
import { readChoice } from "./strict-readers.js";
import { choiceReplyDecidedBy } from "./strict-replies-begun.js";
import { valence } from "./valence.js";
import { wholeText } from "./whole-text.js";

const VALUES = ["positive", "negative", "neutral"] as const;

/** `neutral` is a value and not a gap: which answers are left out must not depend on what they say. */
export const sentiment: BehaviorProperty = {
  name: "sentiment",
  summary: "whether the glad words of the answer outweigh the sad ones, by a word list",
  question:
    "Would the mood of your whole response be positive, negative or neutral? Reply with positive, negative or neutral only.",
  values: VALUES,
  kinds: ["continuation"],
  dependsOn: "whole_answer",
  decidedLate: true,
  extract(answer) {
    const text = wholeText(answer);
    if (!text.ok) return text;
    const sum = valence(text.value);
    return { ok: true, value: sum === 0 ? "neutral" : sum > 0 ? "positive" : "negative" };
  },
  read: (reply) => readChoice(reply, VALUES),
  replyDecidedBy: (beginning) => choiceReplyDecidedBy(beginning, VALUES),
};
