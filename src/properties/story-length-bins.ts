import type { BehaviorProperty } from "./property.js";
import { readChoice } from "./strict-readers.js";
import { choiceReplyDecidedBy } from "./strict-replies-begun.js";
import { wholeText } from "./whole-text.js";
import { words } from "./words.js";

const BINS = ["up to 20", "21 to 40", "more than 40"] as const;

function binOf(count: number): string {
  if (count <= 20) return BINS[0];
  return count <= 40 ? BINS[1] : BINS[2];
}

/** The ranges of how_many_words_bins end where stories begin. */
export const storyLengthBins: BehaviorProperty = {
  name: "story_length_bins",
  summary: "how many words a story of a few sentences has, in three ranges",
  question: 'How many words long would your response be? Reply with "up to 20", "21 to 40" or "more than 40" only.',
  values: BINS,
  kinds: ["continuation"],
  dependsOn: "whole_answer",
  settledValues: ["more than 40"],
  decidedLate: true,
  extract(answer) {
    const text = wholeText(answer);
    return text.ok ? { ok: true, value: binOf(words(text.value).length) } : text;
  },
  read: (reply) => readChoice(reply, BINS),
  replyDecidedBy: (beginning) => choiceReplyDecidedBy(beginning, BINS),
};
