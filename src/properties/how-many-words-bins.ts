import type { BehaviorProperty } from "./property.js";
import { readChoice } from "./strict-readers.js";
import { choiceReplyDecidedBy } from "./strict-replies-begun.js";
import { wholeText } from "./whole-text.js";
import { words } from "./words.js";

const BINS = ["1 to 10", "11 to 20", "more than 20"] as const;

function binOf(count: number): string {
  if (count <= 10) return BINS[0];
  return count <= 20 ? BINS[1] : BINS[2];
}

export const howManyWordsBins: BehaviorProperty = {
  name: "how_many_words_bins",
  summary: "how many words the answer has, in three ranges",
  question: 'How many words would your response have? Reply with "1 to 10", "11 to 20" or "more than 20" only.',
  values: BINS,
  kinds: ["sequence", "continuation"],
  dependsOn: "whole_answer",
  settledValues: ["more than 20"],
  decidedLate: true,
  extract(answer) {
    const text = wholeText(answer);
    return text.ok ? { ok: true, value: binOf(words(text.value).length) } : text;
  },
  read: (reply) => readChoice(reply, BINS),
  replyDecidedBy: (beginning) => choiceReplyDecidedBy(beginning, BINS),
};
