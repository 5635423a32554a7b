/** Hypothetical questions: what a predictor is asked about the same prompts, every held-out string whatever its own answer was. */
import type { ChatMessage } from "../records/answer.js";
import type { Plan, PlannedTask } from "../records/plan.js";
import type { TaskItem } from "../records/task.js";
import { hypotheticalTurn } from "./hypothetical-turn.js";
import type { Question } from "./question.js";
import type { ShownPairs } from "./shown-pairs.js";

/**
 * Questions about one string stand together, property after property, so that they share the string's evaluation. A state with a
 * wording of its own is asked in that, under the name of the plan's: trials are joined by it.
 * @param shown the turns before the questions of states that are shown some; without it those lack them, which is enough to count
 * @returns questions in the plan's order: states outside, wordings, tasks, strings, properties; where pairs are shown, properties
 * outside strings, because they share what is shown
 */
export function hypotheticalQuestions(plan: Plan, shown: ShownPairs = () => []): Question[] {
  const predictors = [...new Set(plan.predictions.map((prediction) => prediction.predictor))];
  return predictors.flatMap((state) => {
    const { wording, shown: isShown } = plan.states?.[state] ?? {};
    return plan.hypothetical.variants.flatMap((variant) =>
      plan.tasks.flatMap((task) => {
        const ask = (item: TaskItem, property: string): Question => ({
          key: `${task.definition.name}/${item.id}/${property}/${variant}`,
          state,
          task: task.definition.name,
          item: item.id,
          split: item.split,
          property,
          variant,
          sample: 0,
          messages: hypotheticalMessages(
            plan,
            task,
            item,
            property,
            wording ?? variant,
            shown(state, property, wording ?? variant),
          ),
          maxTokens: plan.hypothetical.maxTokens,
          temperature: 0,
        });
        return isShown
          ? task.properties.flatMap((property) => task.heldOut.map((item) => ask(item, property)))
          : task.heldOut.flatMap((item) => task.properties.map((property) => ask(item, property)));
      }),
    );
  });
}

/**
 * The prompt of one hypothetical question.
 * @param before turns that come first
 */
export function hypotheticalMessages(
  plan: Plan,
  task: PlannedTask,
  item: TaskItem,
  property: string,
  variant: string,
  before: readonly ChatMessage[] = [],
): ChatMessage[] {
  return [
    { role: "system", content: plan.system },
    ...before,
    { role: "user", content: hypotheticalTurn(plan, task, item, property, variant) },
  ];
}
