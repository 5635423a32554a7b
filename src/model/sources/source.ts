// What every source of model files takes and gives: a file, or the reason why there is none.

import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { isProcessAlive } from "../../base/lock.js";
import { makeModelFolder, type OnModelProgress } from "../model-file.js";

export interface SourceRequest {
  /** The file's name in the model folder, without `.gguf`. */
  readonly id: string;
  /** The model folder; exists. */
  readonly folder: string;
  readonly offline: boolean;
  /** Of the file that is wanted, where somebody recorded it. */
  readonly bytes?: number | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly onProgress?: OnModelProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * `owned` files are inward's own: complete, under a temporary name in the model folder, still to be checked and moved
 * into place. Other files belong to the user or to another program: they are read where they are and never moved.
 */
export type SourceAttempt =
  | { readonly ok: true; readonly path: string; readonly owned: boolean; readonly origin: string }
  | { readonly ok: false; readonly reason: string };

// Source: a file that the user already has. Read where it is, never moved.

/** @param path absolute, relative to the working directory, or beginning with `~/` */
export function fromLocalPath(path: string): SourceAttempt {
  const absolute = path.startsWith("~/") ? join(homedir(), path.slice(2)) : resolve(path);
  const stat = statSync(absolute, { throwIfNoEntry: false });
  if (stat === undefined) return { ok: false, reason: `${absolute} does not exist` };
  if (!stat.isFile()) return { ok: false, reason: `${absolute} is not a file` };
  return { ok: true, path: absolute, owned: false, origin: absolute };
}

// A place for what is half downloaded, so that the next try goes on: `downloads/<id>` in the model folder.

/**
 * @param use takes the folder, which no other living process writes to
 * @returns what `use` does, or the reason why another process has the folder
 * @throws what `use` throws
 */
export async function inDownloadFolder(
  request: Pick<SourceRequest, "folder" | "id">,
  use: (place: string) => Promise<SourceAttempt>,
): Promise<SourceAttempt> {
  const place = join(request.folder, "downloads", request.id);
  makeModelFolder(place);
  const other = otherOwner(place);
  if (other !== undefined) return { ok: false, reason: `process ${other} is downloading it right now` };
  writeFileSync(join(place, "pid"), String(process.pid));
  try {
    return await use(place);
  } finally {
    rmSync(join(place, "pid"), { force: true });
  }
}

/** Two downloads into one temporary file would spoil it. A process that is gone owns nothing. */
function otherOwner(place: string): number | undefined {
  let pid: number;
  try {
    pid = Number(readFileSync(join(place, "pid"), "utf8"));
  } catch {
    return undefined;
  }
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return undefined;
  return isProcessAlive(pid) ? pid : undefined;
}
