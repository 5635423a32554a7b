// Where inward keeps model files: one folder per user, never inside a run or the repository.
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { InwardError } from "../errors.js";

/**
 * `$INWARD_MODELS`, else `$XDG_CACHE_HOME/inward/models`, else `~/.cache/inward/models`. Absolute; may not exist yet.
 */
export function modelFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env.INWARD_MODELS) return resolve(env.INWARD_MODELS);
  return join(env.XDG_CACHE_HOME ? resolve(env.XDG_CACHE_HOME) : join(homedir(), ".cache"), "inward", "models");
}

/** Creates the folder when it is missing. @throws InwardError MODEL_FOLDER */
export function makeFolder(folder: string): string {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw modelFolderError(error, `cannot create the folder ${folder}`);
  }
  return folder;
}

/** A failed write as a coded error: full disk and missing rights are told apart by the system's own words. */
export function modelFolderError(error: unknown, what: string): InwardError {
  if (error instanceof InwardError) return error;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const why = code === "ENOSPC" ? "the disk is full" : error instanceof Error ? error.message : String(error);
  return new InwardError("MODEL_FOLDER", `${what}: ${why}`, { cause: error });
}
