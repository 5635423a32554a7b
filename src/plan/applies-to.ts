import type { BehaviorProperty } from "../properties/property.js";
import type { TaskDefinition } from "../records/task.js";

/** Whether answers to this task have this property. */
export function appliesTo(
  { kinds, disposition, needs }: Pick<BehaviorProperty, "kinds" | "disposition" | "needs">,
  task: Pick<TaskDefinition, "kind" | "disposition" | "features" | "challenge">,
): boolean {
  if (needs === "challenge" && task.challenge === undefined) return false;
  if (needs !== undefined && needs !== "challenge" && task.features?.includes(needs) !== true) return false;
  return kinds.includes(task.kind) && (disposition === undefined || disposition === task.disposition);
}
