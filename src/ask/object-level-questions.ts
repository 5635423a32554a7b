/** Object-level questions: the prompts that make a target behave. */
import type { Plan, PlannedTask } from "../records/plan.js";
import type { TaskItem } from "../records/task.js";
import { objectLevelMessages } from "../tasks/object-level-messages.js";
import { hasMatrix, matrixTargets } from "./matrix-states.js";
import type { Question } from "./question.js";

/**
 * What the models are asked as they came: targets about train and held-out strings alike, others that somebody learns from about
 * train strings.
 * @returns questions in the plan's order: states outside, tasks, then strings
 */
export function objectLevelQuestions(plan: Plan): Question[] {
  const targets = new Set(plan.predictions.map(({ target }) => target));
  const teachers = new Set(teachersOf(plan));
  // Nobody learns from a state that only the matrix compares.
  const matrixOnly = new Set(onlyInMatrix(plan));
  return questionsFor(plan, 0, (state, task) => [
    ...(targets.has(state) || teachers.has(state) ? task.train : []),
    ...(targets.has(state) || matrixOnly.has(state) ? task.heldOut : []),
  ]);
}

/**
 * What the targets that carry an adapter are asked again, because training moves behavior: held-out strings, and train strings
 * where somebody learns from what they do.
 * @param round of the training that made them; every round when absent
 * @returns empty when nothing is trained or no trained state is a target
 */
export function adaptedObjectLevelQuestions(plan: Plan, round?: 1 | 2): Question[] {
  const teachers = new Set(teachersOf(plan));
  const rounds = round === undefined ? ([1, 2] as const) : [round];
  return rounds.flatMap((one) =>
    questionsFor(plan, one, (state, task) => [...(teachers.has(state) ? task.train : []), ...task.heldOut]),
  );
}

/** States that an adapter, or a prompt with examples, takes train behaviors or answers from. */
function teachersOf(plan: Plan): string[] {
  const learnt = Object.values(plan.adapters ?? {}).flatMap(({ target, change }) =>
    change && "policy" in change.answers ? [] : [target],
  );
  const shown = Object.values(plan.states ?? {}).flatMap((state) => (state.shown ? [state.shown.target] : []));
  return [...learnt, ...shown];
}

/** States that no prediction is about, and that the matrix has a column of all the same. */
function onlyInMatrix(plan: Plan): string[] {
  if (!hasMatrix(plan)) return [];
  const targets = new Set(plan.predictions.map((prediction) => prediction.target));
  return matrixTargets(plan).filter((state) => !targets.has(state));
}

/** @param round 0 for models as they came */
function questionsFor(
  plan: Plan,
  round: 0 | 1 | 2,
  itemsOf: (state: string, task: PlannedTask) => readonly TaskItem[],
): Question[] {
  const listened = [
    ...new Set([...plan.predictions.map(({ target }) => target), ...onlyInMatrix(plan), ...teachersOf(plan)]),
  ];
  const states = listened.filter((state) => {
    const adapter = plan.states?.[state]?.adapter;
    return round === (adapter === undefined ? 0 : (plan.adapters?.[adapter]?.round ?? 1));
  });
  return states.flatMap((state) =>
    plan.tasks.flatMap((task) => itemsOf(state, task).map((item) => questionFor(plan, state, task, item))),
  );
}

function questionFor(plan: Plan, state: string, task: PlannedTask, item: TaskItem): Question {
  const key = `${task.definition.name}/${item.id}`;
  const { temperature } = plan.objectLevel;
  const system = plan.states?.[state]?.system ?? plan.system;
  return {
    key,
    state,
    task: task.definition.name,
    item: item.id,
    split: item.split,
    sample: 0,
    messages: objectLevelMessages(task.definition, item, { examples: task.examples, system }),
    maxTokens: task.definition.maxTokens,
    temperature,
    ...(temperature === 1 ? { seed: `${plan.seed}/${state}/${key}/0` } : {}),
  };
}
