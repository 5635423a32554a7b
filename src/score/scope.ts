/** Which trials are judged together: those that differ alike from what was learnt. Trials of two scopes are never judged pooled. */

import type { Plan } from "../study/plan.js";
import { type PlanOfStates, statesOf } from "../study/states.js";

/**
 * What no finetune set holds of a trial: its string alone (`held_out_strings`), its whole task, its property, or both. `all` where
 * nothing is trained; beside the others it is all of them pooled, which is shown and never judged.
 */
export type Scope = "all" | TrainedScope;

/** The first of these that a plan has is its main one: what a report calls the result. */
export const TRAINED_SCOPES = [
  "held_out_tasks",
  "held_out_strings",
  "held_out_properties",
  "held_out_tasks_and_properties",
] as const;

export type TrainedScope = (typeof TRAINED_SCOPES)[number];

/** A task's property, as a trial has them. */
interface Place {
  readonly task: string;
  readonly property: string;
}

export interface Scopes {
  /** Never empty; the main one first. */
  readonly all: readonly [Scope, ...Scope[]];
  readonly main: Scope;
  readonly of: (place: Place) => Scope;
}

/** Older plans hold no property out. */
type ScopedTask = Pick<Plan["tasks"][number], "definition" | "properties" | "trained"> & {
  readonly heldOutProperties?: readonly string[];
};

interface PlanOfScopes extends PlanOfStates {
  readonly tasks: readonly ScopedTask[];
}

/** A property that no trained task teaches is held out, whatever the study calls it. */
export function planScopes(plan: PlanOfScopes): Scopes {
  const { tasks } = plan;
  if (statesOf(plan).trained.length === 0) return { all: ["all"], main: "all", of: () => "all" };
  const trained = tasks.filter((task) => task.trained !== false);
  const trainedTasks = new Set(trained.map(({ definition }) => definition.name));
  const heldOut = new Map(trained.map((task) => [task.definition.name, heldOutOf(task)]));
  const taught = new Set(trained.flatMap((task) => task.properties.filter((name) => !heldOutOf(task).includes(name))));
  const of = ({ task, property }: Place): Scope => {
    if (!trainedTasks.has(task)) return taught.has(property) ? "held_out_tasks" : "held_out_tasks_and_properties";
    return heldOut.get(task)?.includes(property) ? "held_out_properties" : "held_out_strings";
  };
  const there = new Set(
    tasks.flatMap(({ definition: { name: task }, properties }) => properties.map((property) => of({ task, property }))),
  );
  const [main, ...others] = TRAINED_SCOPES.filter((scope) => there.has(scope));
  // A plan without any property asks nothing.
  return main === undefined ? { all: ["all"], main: "all", of } : { all: [main, ...others], main, of };
}

function heldOutOf({ heldOutProperties = [] }: ScopedTask): readonly string[] {
  return heldOutProperties;
}

/** The trials of one scope; all of them where it is `all`. */
export function trialsIn<Trial extends Place>(
  trials: readonly Trial[],
  scopes: Scopes,
  scope: Scope,
): readonly Trial[] {
  return scope === "all" ? trials : trials.filter((trial) => scopes.of(trial) === scope);
}
