// What every source of model files takes and gives: a file, or the reason why there is none.

import { statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { OnModelProgress } from "../model-file.js";

export interface SourceRequest {
  /** The file's name in the model folder, without `.gguf`. */
  readonly id: string;
  /** The model folder; exists. */
  readonly folder: string;
  readonly offline: boolean;
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
