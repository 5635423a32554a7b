/** Object-level questions: the prompts that make a target behave. */
import type { Plan, PlannedTask } from "../records/plan.js";
import type { TaskItem } from "../records/task.js";
import { objectLevelMessages } from "../tasks/object-level-messages.js";
import { hasMatrix, matrixTargets } from "./matrix-states.js";
import type { Question } from "./question.js";

/**
 * What the models are asked as they came, about train and held-out strings alike.
 * @returns questions in the plan's order: states outside, tasks, then strings
 */
export function objectLevelQuestions(plan: Plan): Question[] {
  return [
    ...questionsFor(plan, targetsOf(plan, false), (task) => [...task.train, ...task.heldOut]),
    // Nobody learns from a state that only the matrix compares.
    ...questionsFor(plan, onlyInMatrix(plan, false), (task) => task.heldOut),
  ];
}

/**
 * What the targets that carry an adapter are asked again, because training moves behavior: held-out strings only, since nobody
 * learns from what they do. Empty when nothing is trained, or no model predicts itself and there is no matrix.
 */
export function adaptedObjectLevelQuestions(plan: Plan): Question[] {
  return questionsFor(plan, [...targetsOf(plan, true), ...onlyInMatrix(plan, true)], (task) => task.heldOut);
}

function targetsOf(plan: Plan, adapted: boolean): string[] {
  const targets = new Set(plan.predictions.map((prediction) => prediction.target));
  return [...targets].filter((target) => isAdapted(plan, target) === adapted);
}

/** States that no prediction is about, and that the matrix has a column of all the same. */
function onlyInMatrix(plan: Plan, adapted: boolean): string[] {
  if (!hasMatrix(plan)) return [];
  const targets = new Set(plan.predictions.map((prediction) => prediction.target));
  return matrixTargets(plan).filter((state) => !targets.has(state) && isAdapted(plan, state) === adapted);
}

function isAdapted(plan: Plan, state: string): boolean {
  return plan.states?.[state]?.adapter !== undefined;
}

function questionsFor(
  plan: Plan,
  targets: readonly string[],
  itemsOf: (task: PlannedTask) => readonly TaskItem[],
): Question[] {
  return targets.flatMap((state) =>
    plan.tasks.flatMap((task) => itemsOf(task).map((item) => questionFor(plan, state, task, item))),
  );
}

function questionFor(plan: Plan, state: string, task: PlannedTask, item: TaskItem): Question {
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
}
