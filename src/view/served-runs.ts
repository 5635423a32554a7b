/** Which runs a viewer serves: those in the folders that a person named, and nothing that links or names in them lead to. */

import { createHash } from "node:crypto";
import { lstatSync, readdirSync, realpathSync, type Stats } from "node:fs";
import { basename, join, sep } from "node:path";
import { readPlainFile } from "../base/untrusted.js";
import { InwardError } from "../errors.js";

/** A run as it is found: a folder with a plan, or one that has files of a run and no plan. */
export interface ServedRun {
  /** In addresses: letters, digits, `_`, `.` and `-`; the same as long as the folder stays where it is. */
  readonly id: string;
  /** Absolute, without links. */
  readonly folder: string;
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

/** JSON longer than this is no file that a page could show, and no string that Node could hold. */
export const MOST_JSON_BYTES = 256 * 1024 * 1024;

/**
 * A file of a run, never through a link, neither in its own place nor in a folder above it inside the run.
 * @param name within the run, made by us and never by whoever asks
 * @throws STORE_INCOMPLETE when it is not there, STORE_CORRUPT when it is no plain file of the run, or too large
 */
export function readServedFile(run: ServedRun, name: string, mostBytes = MOST_JSON_BYTES): Buffer {
  return readPlainFile(plainPath(run, name), mostBytes, refusal(name), "refused");
}

/** @throws as readServedFile */
export function statRunFile(run: ServedRun, name: string): Stats {
  const path = plainPath(run, name);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw refusal(name)("ENOENT");
  if (!found.isFile()) throw refusal(name)(found.isSymbolicLink() ? "a symbolic link, not a file" : "not a file");
  return found;
}

/** @throws as readServedFile @returns its path, when everything above it inside the run is a folder of its own */
export function plainPath(run: ServedRun, name: string): string {
  const path = join(run.folder, name);
  let real: string;
  try {
    real = realpathSync(join(path, ".."));
  } catch (error) {
    throw refusal(name)((error as NodeJS.ErrnoException).code ?? String(error));
  }
  if (real !== join(path, "..") || !(path.startsWith(run.folder + sep) || run.folder === sep)) {
    throw refusal(name)("it lies behind a symbolic link");
  }
  return path;
}

function refusal(name: string): (why: string) => InwardError {
  return (why) =>
    why === "ENOENT"
      ? new InwardError("STORE_INCOMPLETE", `${name} is not there.`)
      : new InwardError("STORE_CORRUPT", `${name} cannot be read (${why}).`);
}
