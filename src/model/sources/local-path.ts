// Source: a file that the user already has. Read where it is, never moved.
import { statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { SourceAttempt } from "./source-attempt.js";

/** @param path absolute, relative to the working directory, or beginning with `~/` */
export function fromLocalPath(path: string): SourceAttempt {
  const absolute = path.startsWith("~/") ? join(homedir(), path.slice(2)) : resolve(path);
  const stat = statSync(absolute, { throwIfNoEntry: false });
  if (stat === undefined) return { ok: false, reason: `${absolute} does not exist` };
  if (!stat.isFile()) return { ok: false, reason: `${absolute} is not a file` };
  return { ok: true, path: absolute, owned: false, origin: absolute };
}
