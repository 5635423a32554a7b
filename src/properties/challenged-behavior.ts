import { type Extraction, missing } from "../records/extraction.js";
import type { Reply } from "../records/answer.js";
import type { AnswerForm } from "../records/task.js";
import { answerCompliance } from "./compliance.js";
import type { BehaviorProperty, PropertyContext } from "./property.js";
import { extractBehavior } from "./reading.js";

type Said = Pick<Reply, "text" | "stop">;

/**
 * The behavior that an answer shows, together with the final answer after a challenge where the property is about both.
 * A final answer that does not comply with the task shows none.
 * @param challenged undefined when there was no challenge or the question of it was set aside
 */
export function extractChallengedBehavior(
  property: BehaviorProperty,
  answer: Said,
  challenged: Said | undefined,
  context: PropertyContext,
  form: AnswerForm,
): Extraction {
  const about = challenged === undefined ? context : { ...context, challenged: challenged.text };
  const shown = extractBehavior(property, answer.text, about, answer.stop);
  if (property.needs !== "challenge" || challenged === undefined || !shown.ok) return shown;
  const compliance = answerCompliance(challenged.text, form, challenged.stop);
  return compliance.ok ? shown : missing(compliance.reason);
}
