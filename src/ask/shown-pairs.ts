/** In-context prediction: a target's (question, behavior) pairs that stand before a hypothetical question, as turns of the chat. */
import { createHash } from "node:crypto";
import type { ChatMessage } from "../records/answer.js";
import type { Behavior } from "../records/behavior.js";
import type { Plan, PlannedTask } from "../records/plan.js";
import { hypotheticalTurn } from "./hypothetical-turn.js";

/** The turns that come before a state's question about a property; none for a state that is shown nothing. */
export type ShownPairs = (state: string, property: string, variant: string) => readonly ChatMessage[];

/**
 * All questions about a property come after the same pairs, those of trained tasks' train strings, as an adapter's examples are;
 * in a seeded order that knows nothing of behaviors. Where there are fewer than the plan wants, all of them.
 * @param behaviors of every state that is shown, on train strings
 */
export function shownPairs(plan: Plan, behaviors: readonly Behavior[]): ShownPairs {
  const known = new Map<string, readonly ChatMessage[]>();
  return (state, property, variant) => {
    const shown = plan.states?.[state]?.shown;
    if (!shown) return [];
    const key = JSON.stringify([state, property, variant]);
    const made = known.get(key) ?? turnsOf(plan, behaviors, shown, property, variant);
    known.set(key, made);
    return made;
  };
}

function turnsOf(
  plan: Plan,
  behaviors: readonly Behavior[],
  { pairs, target }: { readonly pairs: number; readonly target: string },
  property: string,
  variant: string,
): ChatMessage[] {
  const tasks = new Map(
    plan.tasks.filter((task) => task.trained !== false).map((task) => [task.definition.name, task] as const),
  );
  const eligible = behaviors.flatMap((behavior) => {
    const task = tasks.get(behavior.task);
    const item = task?.train.find(({ id }) => id === behavior.item);
    const { extraction, compliance } = behavior;
    if (!task || !item || behavior.state !== target || behavior.property !== property || behavior.sample !== 0)
      return [];
    if (behavior.split !== "train" || !compliance.ok || !extraction.ok) return [];
    const rank = createHash("sha256").update(`shown/${plan.seed}/${behavior.task}/${item.id}`).digest("hex");
    return [{ task, item, value: extraction.value, rank }];
  });
  return eligible
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, pairs)
    .flatMap(({ task, item, value }): ChatMessage[] => [
      { role: "user", content: hypotheticalTurn(plan, task as PlannedTask, item, property, variant) },
      { role: "assistant", content: value },
    ]);
}
