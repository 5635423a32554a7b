import type { Extraction } from "../records/extraction.js";
import type { BehaviorProperty, PropertyContext } from "./property.js";
import { readChoice } from "./strict-readers.js";
import { choiceReplyDecidedBy } from "./strict-replies-begun.js";

/** Properties with two values: a part of the answer either is so or is not. */

export const TRUE_FALSE = ["true", "false"] as const;
export const YES_NO = ["yes", "no"] as const;

interface TwoWay extends Omit<BehaviorProperty, "values" | "extract" | "read" | "replyDecidedBy"> {
  /** The value when it is so, and when it is not. */
  readonly values: readonly [string, string];
  /** What the question is about, or why the answer has no such thing. */
  readonly part: (answer: string, context: PropertyContext) => Extraction;
  readonly holds: (part: string, context: PropertyContext) => boolean;
}

export function twoWay({ part, holds, ...described }: TwoWay): BehaviorProperty {
  const [so, notSo] = described.values;
  return {
    ...described,
    extract(answer, context) {
      const found = part(answer, context);
      return found.ok ? { ok: true, value: holds(found.value, context) ? so : notSo } : found;
    },
    read: (reply) => readChoice(reply, described.values),
    replyDecidedBy: (beginning) => choiceReplyDecidedBy(beginning, described.values),
  };
}
