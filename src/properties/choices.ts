/** Properties with a closed set of values: what their rows have in common. */
import { choiceReplyDecidedBy } from "./deciders.js";
import type { BehaviorProperty, Extraction, PropertyContext } from "./property.js";
import { readChoice } from "./reading.js";

export const TRUE_FALSE = ["true", "false"] as const;
export const YES_NO = ["yes", "no"] as const;

/** A property whose reply must be one of its values. */
export function choice(described: Omit<BehaviorProperty, "values" | "read" | "replyDecidedBy"> & ClosedValues) {
  const { values } = described;
  return {
    ...described,
    read: (reply: string) => readChoice(reply, values),
    replyDecidedBy: (beginning: string) => choiceReplyDecidedBy(beginning, values),
  } satisfies BehaviorProperty;
}

interface ClosedValues {
  readonly values: readonly string[];
}

interface TwoWay extends Omit<BehaviorProperty, "values" | "extract" | "read" | "replyDecidedBy"> {
  /** The value when it is so, and when it is not. */
  readonly values: readonly [string, string];
  /** What the question is about, or why the answer has no such thing. */
  readonly part: (answer: string, context: PropertyContext) => Extraction;
  readonly holds: (part: string, context: PropertyContext) => boolean;
}

/** A part of the answer either is so or is not. */
export function twoWay({ part, holds, ...described }: TwoWay): BehaviorProperty {
  const [so, notSo] = described.values;
  return choice({
    ...described,
    extract(answer, context) {
      const found = part(answer, context);
      return found.ok ? { ok: true, value: holds(found.value, context) ? so : notSo } : found;
    },
  });
}
