/** The words of one hypothetical question. Asking, finetune sets and shown pairs all use these, so that what is learnt is what is asked. */
import type { Plan, PlannedTask } from "../records/plan.js";
import { askAboutAnother } from "../properties/ask-about-another.js";
import type { TaskItem } from "../records/task.js";
import { objectLevelQuestion } from "../tasks/object-level-messages.js";

export function hypotheticalTurn(
  plan: Plan,
  task: PlannedTask,
  item: TaskItem,
  property: string,
  variant: string,
): string {
  return wordHypothetical(
    plan.wordings.variants[variant] as string,
    objectLevelQuestion(task.definition, item),
    plan.wordings.properties[property] as string,
  );
}

/** Puts a question and what is asked about it into a wording; braces inside the question stay what they are. */
export function wordHypothetical(template: string, question: string, property: string): string {
  return template.replace(/\{(question|property|property_of_another)\}/g, (_, slot) => {
    if (slot === "question") return question;
    return slot === "property" ? property : askAboutAnother(property);
  });
}
