/** The questions whose distributions at temperature 1 a plan compares: what targets do, and what predictors say of it. */
import { propertyNamed } from "../properties/all-properties.js";
import { behaviorDecider, needsSamples, predictionDecider } from "../properties/property-decider.js";
import type { TextDecider } from "../properties/text-decider.js";
import type { ChatMessage } from "../records/answer.js";
import type { MeasuredDistribution } from "../records/calibration.js";
import type { Plan, PlannedTask } from "../records/plan.js";
import type { TaskItem } from "../records/task.js";
import { objectLevelMessages } from "../tasks/object-level-messages.js";
import { hypotheticalMessages } from "./hypothetical-questions.js";

export interface CalibrationQuestion extends Omit<MeasuredDistribution, "distribution"> {
  readonly messages: readonly ChatMessage[];
  /** Longest answer, as in asking. */
  readonly maxTokens: number;
  readonly decider: TextDecider;
  /** The property is decided so late that only samples tell. */
  readonly decidedLate: boolean;
}

/**
 * The messages are those of asking, the hypothetical ones in the plan's first wording.
 * @returns each question once, in the plan's order: states outside, then sides, tasks, strings, properties; empty when the plan
 *   compares no distributions
 */
export function calibrationQuestions(plan: Plan): CalibrationQuestion[] {
  if (!plan.calibration) return [];
  const targets = new Set(plan.predictions.map(({ target }) => target));
  const predictors = new Set(plan.predictions.map(({ predictor }) => predictor));
  return [...new Set([...targets, ...predictors])].flatMap((state) => [
    ...(targets.has(state) ? ofEvery(plan, (...asked) => behaviorQuestion(plan, state, ...asked)) : []),
    ...(predictors.has(state) ? ofEvery(plan, (...asked) => predictionQuestion(plan, state, ...asked)) : []),
  ]);
}

type Asked = readonly [task: PlannedTask, item: TaskItem, property: string];

function ofEvery(plan: Plan, make: (...asked: Asked) => CalibrationQuestion): CalibrationQuestion[] {
  const { strings = 0, properties = {} } = plan.calibration ?? {};
  return plan.tasks.flatMap((task) =>
    task.heldOut
      .slice(0, strings)
      .flatMap((item) => (properties[task.definition.name] ?? []).map((property) => make(task, item, property))),
  );
}

function behaviorQuestion(plan: Plan, state: string, task: PlannedTask, item: TaskItem, name: string) {
  const { definition, examples } = task;
  const property = propertyNamed(name);
  return {
    key: `object_level/${state}/${definition.name}/${item.id}/${name}`,
    side: "object_level" as const,
    state,
    task: definition.name,
    item: item.id,
    property: name,
    messages: objectLevelMessages(definition, item, { examples, system: plan.system }),
    maxTokens: definition.maxTokens,
    decider: behaviorDecider(property, item),
    decidedLate: needsSamples(property, definition.kind),
  };
}

function predictionQuestion(plan: Plan, state: string, task: PlannedTask, item: TaskItem, name: string) {
  const variant = plan.hypothetical.variants[0] as string;
  return {
    key: `hypothetical/${state}/${task.definition.name}/${item.id}/${name}/${variant}`,
    side: "hypothetical" as const,
    state,
    task: task.definition.name,
    item: item.id,
    property: name,
    variant,
    messages: hypotheticalMessages(plan, task, item, name, variant),
    maxTokens: plan.hypothetical.maxTokens,
    decider: predictionDecider(propertyNamed(name)),
    // Replies to questions about a property are short, whatever the answers are.
    decidedLate: false,
  };
}

/** Cuts the questions into the units that are measured and stored as one: one side of one string of one state. */
export function calibrationGroups(questions: readonly CalibrationQuestion[]): CalibrationQuestion[][] {
  const groups: CalibrationQuestion[][] = [];
  for (const question of questions) {
    const group = groups.at(-1);
    if (group?.[0] && isSameUnit(group[0], question)) group.push(question);
    else groups.push([question]);
  }
  return groups;
}

function isSameUnit(a: CalibrationQuestion, b: CalibrationQuestion): boolean {
  return a.state === b.state && a.side === b.side && a.task === b.task && a.item === b.item;
}
