/** Which runs a viewer serves: those in the folders that a person named, and nothing that links or names in them lead to. */

import { createHash } from "node:crypto";
import { lstatSync, readdirSync, realpathSync } from "node:fs";
import { basename, join } from "node:path";
import { InwardError } from "../errors.js";
import type { LookedAt } from "../run/trials/plain-files.js";

/** A run as it is found: a folder with a plan, or one that has files of a run and no plan. */
export interface ServedRun extends LookedAt {
  /** In addresses: letters, digits, `_`, `.` and `-`; the same as long as the folder stays where it is. */
  readonly id: string;
}

/** How deep under a named folder runs are looked for: `runs/<run>` and `studies/<study>/<run>`. */
const DEPTH = 2;
const MOST_RUNS = 2000;
const MOST_ENTRIES = 20_000;
/** What makes a folder a run, whole or not. */
const MARKS = ["01-plan.json", "02-object-level.jsonl", "08-trials.jsonl", "stages.json"];

export interface FoundRuns {
  readonly runs: readonly ServedRun[];
  readonly passedOver: readonly string[];
}

/**
 * @param named folders as a person typed them: links in these are theirs, and followed
 * @throws STORE_NOT_A_RUN one that is not there, or no folder
 */
export function namedFolders(named: readonly string[]): string[] {
  return named.map((path) => {
    try {
      const folder = realpathSync(path);
      if (lstatSync(folder).isDirectory()) return folder;
      throw new InwardError("STORE_NOT_A_RUN", `${path} is not a folder.`);
    } catch (error) {
      if (error instanceof InwardError) throw error;
      throw new InwardError("STORE_NOT_A_RUN", `${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
    }
  });
}

/** Looks again each time: runs come and go. Never throws: what cannot be read is passed over, and said. */
export function findRuns(folders: readonly string[]): FoundRuns {
  const found = new Map<string, ServedRun>();
  const passedOver: string[] = [];
  let entries = 0;
  const look = (folder: string, depth: number) => {
    if (found.has(folder)) return;
    let names: string[];
    try {
      names = readdirSync(folder);
    } catch (error) {
      passedOver.push(`${folder} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
      return;
    }
    entries += names.length;
    if (names.some((name) => MARKS.includes(name))) {
      if (found.size < MOST_RUNS) found.set(folder, { id: idOf(folder), folder });
      else if (found.size === MOST_RUNS) passedOver.push(`There are more than ${MOST_RUNS} runs: name fewer folders.`);
      return;
    }
    if (depth === 0) return;
    if (entries > MOST_ENTRIES) {
      passedOver.push(`${folder} was not looked into: there are more than ${MOST_ENTRIES} entries before it.`);
      return;
    }
    for (const name of names.sort()) {
      const path = join(folder, name);
      const kind = lstatSync(path, { throwIfNoEntry: false });
      if (kind?.isSymbolicLink() && depth === DEPTH) passedOver.push(`${path} is a link, and not followed.`);
      if (kind?.isDirectory()) look(path, depth - 1);
    }
  };
  for (const folder of folders) look(folder, DEPTH);
  return { runs: [...found.values()], passedOver };
}

/** Whether a run is still a folder where it was found, and no link has come between. */
export function isInPlace({ folder }: ServedRun): boolean {
  try {
    return realpathSync(folder) === folder && lstatSync(folder).isDirectory();
  } catch {
    return false;
  }
}

/** Readable where the name allows it, and of this folder alone. */
function idOf(folder: string): string {
  const name = basename(folder)
    .replace(/[^A-Za-z0-9_.-]+/g, "-")
    .replace(/^[.-]+/, "")
    .slice(0, 60);
  return `${name || "run"}-${createHash("sha256").update(folder).digest("hex").slice(0, 8)}`;
}
