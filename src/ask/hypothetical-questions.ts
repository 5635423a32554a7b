/** Hypothetical questions: what a predictor is asked about the same prompts, every held-out string whatever its own answer was. */
import { askAboutAnother } from "../properties/ask-about-another.js";
import type { ChatMessage } from "../records/answer.js";
import type { Plan, PlannedTask } from "../records/plan.js";
import type { TaskItem } from "../records/task.js";
import { objectLevelQuestion } from "../tasks/object-level-messages.js";
import type { Question } from "./question.js";

/**
 * Questions about one string stand together, property after property, so that they share the string's evaluation.
 * @returns questions in the plan's order: states outside, wordings, tasks, strings, properties
 */
export function hypotheticalQuestions(plan: Plan): Question[] {
  const predictors = [...new Set(plan.predictions.map((prediction) => prediction.predictor))];
  return predictors.flatMap((state) =>
    plan.hypothetical.variants.flatMap((variant) =>
      plan.tasks.flatMap((task) =>
        task.heldOut.flatMap((item) =>
          task.properties.map(
            (property): Question => ({
              key: `${task.definition.name}/${item.id}/${property}/${variant}`,
              state,
              task: task.definition.name,
              item: item.id,
              split: item.split,
              property,
              variant,
              sample: 0,
              messages: hypotheticalMessages(plan, task, item, property, variant),
              maxTokens: plan.hypothetical.maxTokens,
              temperature: 0,
            }),
          ),
        ),
      ),
    ),
  );
}

/** The prompt of one hypothetical question. Asking and finetune sets both use this, so that what is learnt is what is asked. */
export function hypotheticalMessages(
  plan: Plan,
  task: PlannedTask,
  item: TaskItem,
  property: string,
  variant: string,
): ChatMessage[] {
  return [
    { role: "system", content: plan.system },
    {
      role: "user",
      content: wordHypothetical(
        plan.wordings.variants[variant] as string,
        objectLevelQuestion(task.definition, item),
        plan.wordings.properties[property] as string,
      ),
    },
  ];
}

/** Puts a question and what is asked about it into a wording; braces inside the question stay what they are. */
export function wordHypothetical(template: string, question: string, property: string): string {
  return template.replace(/\{(question|property|property_of_another)\}/g, (_, slot) => {
    if (slot === "question") return question;
    return slot === "property" ? property : askAboutAnother(property);
  });
}
