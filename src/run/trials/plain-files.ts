/** Files of a run that anybody may have made: read without following a link, and within bounds. */

import { lstatSync, realpathSync, type Stats } from "node:fs";
import { join, sep } from "node:path";
import { readPlainFile } from "../../base/untrusted.js";
import { InwardError } from "../../errors.js";

/** A run that is looked at, and not trusted. */
export interface LookedAt {
  /** Absolute, without links. */
  readonly folder: string;
}

/** JSON longer than this is no file that a page could show, and no string that Node could hold. */
export const MOST_JSON_BYTES = 256 * 1024 * 1024;

/**
 * A file of a run, never through a link, neither in its own place nor in a folder above it inside the run.
 * @param name within the run, made by us and never by whoever asks
 * @throws STORE_INCOMPLETE when it is not there, STORE_CORRUPT when it is no plain file of the run, or too large
 */
export function readServedFile(run: LookedAt, name: string, mostBytes = MOST_JSON_BYTES): Buffer {
  return readPlainFile(plainPath(run, name), mostBytes, refusal(name), "refused");
}

/** @throws as readServedFile */
export function statRunFile(run: LookedAt, name: string): Stats {
  const path = plainPath(run, name);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw refusal(name)("ENOENT");
  if (!found.isFile()) throw refusal(name)(found.isSymbolicLink() ? "a symbolic link, not a file" : "not a file");
  return found;
}

/** @throws as readServedFile @returns its path, when everything above it inside the run is a folder of its own */
export function plainPath(run: LookedAt, name: string): string {
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
