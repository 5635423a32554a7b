import type { BehaviorProperty } from "../properties/property.js";
import type { TaskDefinition } from "../records/task.js";

/** Whether answers to this task have this property. */
export function appliesTo(
  { kinds, disposition }: Pick<BehaviorProperty, "kinds" | "disposition">,
  task: Pick<TaskDefinition, "kind" | "disposition">,
): boolean {
  return kinds.includes(task.kind) && (disposition === undefined || disposition === task.disposition);
}
