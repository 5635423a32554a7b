/** Which trials are judged together: those that differ alike from what was learnt. Trials of two scopes are never judged pooled. */

import { learntProperties, type PlannedTask } from "../study/plan.js";
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

type ScopedTask = Pick<PlannedTask, "definition" | "properties" | "heldOutProperties" | "trained">;

interface PlanOfScopes extends PlanOfStates {
  readonly tasks: readonly ScopedTask[];
}

/** A property that no trained task teaches is held out, whatever the study calls it. */
export function planScopes(plan: PlanOfScopes): Scopes {
  const { tasks } = plan;
  if (statesOf(plan).trained.length === 0) return { all: ["all"], main: "all", of: () => "all" };
  const trained = tasks.filter((task) => task.trained !== false);
  const learnt = new Map(trained.map((task) => [task.definition.name, learntProperties(task)]));
  const taught = new Set([...learnt.values()].flat());
  const of = ({ task, property }: Place): Scope => {
    const own = learnt.get(task);
    if (!own) return taught.has(property) ? "held_out_tasks" : "held_out_tasks_and_properties";
    return own.includes(property) ? "held_out_strings" : "held_out_properties";
  };
  const there = new Set(
    tasks.flatMap(({ definition: { name: task }, properties }) => properties.map((property) => of({ task, property }))),
  );
  const [main, ...others] = TRAINED_SCOPES.filter((scope) => there.has(scope));
  // A plan without any property asks nothing.
  return main === undefined ? { all: ["all"], main: "all", of } : { all: [main, ...others], main, of };
}

/** The trials of one scope; all of them where it is `all`. */
export function trialsIn<Trial extends Place>(
  trials: readonly Trial[],
  scopes: Scopes,
  scope: Scope,
): readonly Trial[] {
  return scope === "all" ? trials : trials.filter((trial) => scopes.of(trial) === scope);
}
