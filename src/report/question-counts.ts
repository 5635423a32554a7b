/** How much a plan asks, for sentences that say so. */
import type { Plan, PlannedTask } from "../records/plan.js";
import { formatCount } from "./format-number.js";

export function hypotheticalQuestions({ tasks, hypothetical }: Plan): number {
  return tasks.reduce(
    (sum, task) => sum + task.heldOut.length * task.properties.length * hypothetical.variants.length,
    0,
  );
}

export function stringsEach(tasks: readonly PlannedTask[]): string {
  const counts = tasks.map((task) => task.heldOut.length);
  const [least, most] = [Math.min(...counts), Math.max(...counts)].map(formatCount);
  return least === most ? `${least} each` : `${least} to ${most} each`;
}
