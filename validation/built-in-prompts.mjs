// Prompts of the built-in tasks, for scripts that hold what is inside a model against a peer. Import it after prepare().
import { loadTask } from "../dist/study/load-task.js";
import { ALL_TASKS } from "../dist/tasks/built-in.js";
import { objectLevelMessages } from "../dist/tasks/task.js";

/** @returns of each of so many tasks, the first, one object-level question about a held-out string */
export async function builtInPrompts(most) {
  const prompts = [];
  for (const { name } of ALL_TASKS) {
    const { definition, heldOut } = await loadTask(name);
    if (prompts.length === most) break;
    if (!heldOut[0]) continue;
    prompts.push({ id: name, messages: objectLevelMessages(definition, heldOut[0], { examples: false, system: "" }) });
  }
  return prompts;
}
