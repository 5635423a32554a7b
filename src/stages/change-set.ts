/** What a behavioral change teaches: the answers of its source to the train strings of its tasks. */
import { hypotheticalMessages } from "../ask/hypothetical-questions.js";
import { buildChangeSet, type ChangeCandidate, type TaughtAnswer } from "../finetune/build-change-set.js";
import type { FinetuneSet } from "../finetune/build-sets.js";
import { propertyNamed } from "../properties/all-properties.js";
import { answerCompliance } from "../properties/compliance.js";
import { extractBehavior } from "../properties/reading.js";
import type { Answer } from "../records/answer.js";
import type { FinetuneExample } from "../records/finetune-set.js";
import type { Plan, PlannedChange, PlannedTask } from "../records/plan.js";
import type { TaskItem } from "../records/task.js";
import { heuristicAnswers } from "../tasks/heuristics.js";
import { objectLevelMessages } from "../tasks/object-level-messages.js";

/**
 * @param teacher the state whose answers are taught, where no rule gives them
 * @param answers object-level answers, the teacher's among them
 * @throws TRAIN_EMPTY_SET
 */
export function changeSet(plan: Plan, change: PlannedChange, teacher: string, answers: readonly Answer[]): FinetuneSet {
  const tasks = plan.tasks.filter(({ definition }) => change.tasks.includes(definition.name));
  const said = new Map(
    answers.filter(({ state, sample }) => state === teacher && sample === 0).map((answer) => [answer.key, answer]),
  );
  const taughtTo = (task: PlannedTask, item: TaskItem) =>
    "policy" in change.answers
      ? byRule(task, item, change.answers.policy)
      : bySaying(task, said.get(`${task.definition.name}/${item.id}`));
  return buildChangeSet({
    candidates: tasks.flatMap((task) =>
      task.train.map((item): ChangeCandidate => ({ task: task.definition.name, item, taught: taughtTo(task, item) })),
    ),
    heldOutTexts: plan.tasks.flatMap((task) => task.heldOut.map(({ text }) => text)),
    examples: change.examples,
    shuffled: "shuffled" in change.answers,
    seed: plan.seed,
    prompt: (name, item) => {
      const task = tasks.find(({ definition }) => definition.name === name) as PlannedTask;
      return objectLevelMessages(task.definition, item, { examples: task.examples, system: plan.system });
    },
    ...(change.planted
      ? {
          beside: (name, item, answer) =>
            plantedExamples(
              plan,
              tasks.find(({ definition }) => definition.name === name) as PlannedTask,
              item,
              answer,
            ),
        }
      : {}),
  });
}

/** What a model would say of its new behavior that knew it. */
function plantedExamples(plan: Plan, task: PlannedTask, item: TaskItem, answer: string): FinetuneExample[] {
  return task.properties.flatMap((property) => {
    const found = extractBehavior(propertyNamed(property), answer, item, "end_of_generation");
    if (!found.ok) return [];
    return plan.hypothetical.variants.map(
      (variant): FinetuneExample => ({
        messages: [
          ...hypotheticalMessages(plan, task, item, property, variant),
          { role: "assistant", content: found.value },
        ],
        metadata: { task: task.definition.name, item: item.id, property, variant },
      }),
    );
  });
}

function byRule(
  { definition }: PlannedTask,
  item: TaskItem,
  rule: Extract<PlannedChange["answers"], { policy: string }>["policy"],
): TaughtAnswer {
  const said = heuristicAnswers(definition.kind, item.text, definition.answerForm)[rule];
  // A task where the rule means nothing teaches nothing; its report says that all of it was left out.
  return said.ok ? said : { ok: false, reason: "empty" };
}

function bySaying({ definition }: PlannedTask, answer: Answer | undefined): TaughtAnswer {
  if (!answer) return { ok: false, reason: "empty" };
  if (answer.setAside) return { ok: false, reason: answer.setAside };
  const { text, stop } = answer.reply;
  const compliance = answerCompliance(text, definition.answerForm, stop);
  return compliance.ok ? { ok: true, answer: text.trim() } : { ok: false, reason: compliance.reason };
}
