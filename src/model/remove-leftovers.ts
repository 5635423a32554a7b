// What a killed process leaves in the model folder: unfinished files and pip's downloads, each with its process id in the name.
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { isProcessAlive } from "./process-alive.js";

/** Something written to this recently may belong to a process that cannot be seen from here (another container). */
const QUIET_MILLISECONDS = 60_000;

/** Best effort: what cannot be removed stays. */
export function removeLeftovers(folder: string, now: number = Date.now()): void {
  for (const name of readdirSync(folder)) {
    const owner = /\.partial-(\d+)$/.exec(name) ?? /^\.pip-(\d+)-/.exec(name);
    if (owner === null || isProcessAlive(Number(owner[1]))) continue;
    const path = join(folder, name);
    const changed = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? now;
    if (now - changed < QUIET_MILLISECONDS) continue;
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // The folder may be another user's; it only costs disk.
    }
  }
}
