import type { Extraction } from "../records/extraction.js";
import { wholeNumberDecidedBy } from "./form-begun.js";
import { digitSum } from "./number-in.js";
import type { BehaviorProperty, PropertyWords } from "./property.js";
import { readCount } from "./strict-readers.js";
import { countReplyDecidedBy } from "./strict-replies-begun.js";

/** The sum of some digits of an answer that is a whole number. */
export function digitSumProperty(words: PropertyWords, digitsIn: (answer: string) => Extraction): BehaviorProperty {
  return {
    ...words,
    values: "open",
    kinds: ["numbers"],
    dependsOn: "whole_answer",
    decidedBy: wholeNumberDecidedBy,
    extract(answer) {
      const digits = digitsIn(answer);
      return digits.ok ? { ok: true, value: String(digitSum(digits.value)) } : digits;
    },
    read: readCount,
    replyDecidedBy: countReplyDecidedBy,
  };
}
