// Bad files in the model folder are moved out of the way, never deleted and never used.
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { basename, join } from "node:path";

/**
 * Moves a file of the model folder into its `set-aside` folder.
 * @param name what to call it there, when its own name is a temporary one
 * @returns a clause for the error text: where the file went, or why it could not be moved
 */
export function setAside(folder: string, path: string, name: string = basename(path), now: Date = new Date()): string {
  const stamp = now.toISOString().replace(/[:.]/g, "-");
  const place = join(folder, "set-aside");
  let target = join(place, `${name}-${stamp}`);
  for (let again = 2; existsSync(target); again++) target = join(place, `${name}-${stamp}-${again}`);
  try {
    mkdirSync(place, { recursive: true });
    renameSync(path, target);
  } catch (error) {
    return `it could not be moved away (${(error as Error).message}): remove ${path} yourself`;
  }
  return `moved to ${target}`;
}
