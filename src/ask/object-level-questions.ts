/** Object-level questions: the prompts that make a target behave, for train and held-out strings alike. */
import type { Plan } from "../records/plan.js";
import { objectLevelMessages } from "../tasks/object-level-messages.js";
import type { Question } from "./question.js";

/** @returns questions in the plan's order: states outside, tasks, then strings */
export function objectLevelQuestions(plan: Plan): Question[] {
  const targets = [...new Set(plan.predictions.map((prediction) => prediction.target))];
  return targets.flatMap((state) =>
    plan.tasks.flatMap((task) =>
      [...task.train, ...task.heldOut].map((item): Question => {
        const key = `${task.definition.name}/${item.id}`;
        const { temperature } = plan.objectLevel;
        return {
          key,
          state,
          task: task.definition.name,
          item: item.id,
          split: item.split,
          sample: 0,
          messages: objectLevelMessages(task.definition, item, { examples: task.examples, system: plan.system }),
          maxTokens: task.definition.maxTokens,
          temperature,
          ...(temperature === 1 ? { seed: `${plan.seed}/${state}/${key}/0` } : {}),
        };
      }),
    ),
  );
}
