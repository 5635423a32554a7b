import type { StopReason } from "../records/answer.js";
import { type Extraction, type MissingReason, missing } from "../records/extraction.js";
import type { BehaviorProperty, PropertyContext } from "./property.js";
import { isRefusal } from "./refusal.js";

/** What more text could not mend. */
const SAYS_TOO_MUCH: ReadonlySet<MissingReason> = new Set(["not_one_word", "not_one_character"]);

/** What more text could have brought. */
const MAY_YET_COME: ReadonlySet<MissingReason> = new Set(["too_short", "empty", "not_in_values"]);

/** The two doors to a property: what an answer shows (a behavior) and what a hypothetical reply says (a prediction). */

function cutOffBehavior(property: BehaviorProperty, answer: string, context: PropertyContext): Extraction {
  if (property.dependsOn === "whole_answer") {
    const shown = property.extract(answer, context);
    return shown.ok && property.settledValues?.includes(shown.value) ? shown : missing("truncated");
  }
  // The last word may be unfinished unless white space follows it.
  const certain = property.dependsOn === "first_words" ? answer.replace(/\S+$/u, "") : answer;
  const shown = property.extract(certain, context);
  return !shown.ok && MAY_YET_COME.has(shown.reason) ? missing("truncated") : shown;
}

/**
 * The behavior that an object-level answer shows.
 * An empty answer or a refusal shows none. Of an answer that the token limit cut off, only what more text could not change counts;
 * anything else is `truncated`.
 */
export function extractBehavior(
  property: BehaviorProperty,
  answer: string,
  context: PropertyContext,
  stop: StopReason,
): Extraction {
  if (answer.trim() === "") return missing("empty");
  if (isRefusal(answer)) return missing("refusal");
  return stop === "max_tokens" ? cutOffBehavior(property, answer, context) : property.extract(answer, context);
}

/**
 * The prediction that a hypothetical reply makes, read strictly.
 * A reply that the token limit cut off is never read, even when it could be: who knows what would have followed. When it has
 * said too much already, that is its reason; otherwise `truncated`.
 */
export function readReply(property: BehaviorProperty, reply: string, stop: StopReason): Extraction {
  if (stop === "max_tokens") {
    const shown = property.read(reply);
    return !shown.ok && SAYS_TOO_MUCH.has(shown.reason) ? shown : missing("truncated");
  }
  if (reply.trim() === "") return missing("empty");
  if (isRefusal(reply)) return missing("refusal");
  return property.read(reply);
}
