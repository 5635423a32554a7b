import type { BehaviorProperty, PropertyWords } from "./property.js";
import { readCount } from "./strict-readers.js";
import { countReplyDecidedBy } from "./strict-replies-begun.js";
import { wholeText } from "./whole-text.js";

/** How many of something the trimmed answer has. */
export function countProperty(words: PropertyWords, count: (text: string) => number): BehaviorProperty {
  return {
    ...words,
    values: "open",
    kinds: ["sequence", "continuation"],
    dependsOn: "whole_answer",
    decidedLate: true,
    extract(answer) {
      const text = wholeText(answer);
      return text.ok ? { ok: true, value: String(count(text.value)) } : text;
    },
    read: readCount,
    replyDecidedBy: countReplyDecidedBy,
  };
}
