import type { BehaviorProperty, PropertyWords } from "./property.js";
import { readChoice } from "./strict-readers.js";
import { choiceReplyDecidedBy } from "./strict-replies-begun.js";
import { wholeText } from "./whole-text.js";
import { words } from "./words.js";

/** How long an answer is, in three ranges of words. */
interface WordBins {
  /** Shortest first. */
  readonly names: readonly [string, string, string];
  /** Most words of the first and of the second. */
  readonly most: readonly [number, number];
  readonly kinds: BehaviorProperty["kinds"];
}

export function wordBins(asked: PropertyWords, { names, most, kinds }: WordBins): BehaviorProperty {
  const binOf = (count: number) => names[count <= most[0] ? 0 : count <= most[1] ? 1 : 2];
  return {
    ...asked,
    values: names,
    kinds,
    dependsOn: "whole_answer",
    settledValues: [names[2]],
    decidedLate: true,
    extract(answer) {
      const text = wholeText(answer);
      return text.ok ? { ok: true, value: binOf(words(text.value).length) } : text;
    },
    read: (reply) => readChoice(reply, names),
    replyDecidedBy: (beginning) => choiceReplyDecidedBy(beginning, names),
  };
}
