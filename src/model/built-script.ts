/** Finds the compiled script of a process of its own: beside its caller in dist, or in dist when the sources run (tests do so). */
import { fileURLToPath } from "node:url";

/**
 * @param name relative to the caller, e.g. `./worker-main.js`
 * @param caller the caller's import.meta.url
 */
export function builtScript(name: string, caller: string): string {
  const path = fileURLToPath(new URL(name, caller));
  if (!caller.endsWith(".ts")) return path;
  // The last one: the checkout itself may lie under a folder named src.
  const at = path.lastIndexOf("/src/");
  return `${path.slice(0, at)}/dist/${path.slice(at + "/src/".length)}`;
}
