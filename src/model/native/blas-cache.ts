/** The OpenBLAS that `inward blas pull` brings: which one, where it lies, and whether it lies there whole. */
import { statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { type RecordedChecksum, recordedChecksums } from "../recorded-checksums.js";

/** A wheel from SciPy's builders, pinned; BSD-3, all notices are in the LICENSE.txt that is kept beside the library. */
export const BLAS_PACKAGE = { name: "scipy-openblas32", version: "0.3.34.481.3" } as const;

export interface CachedBlas {
  /** Absolute. */
  readonly path: string;
  readonly record: RecordedChecksum;
}

/** `$XDG_CACHE_HOME/inward/blas/<package>-<version>`, else under `~/.cache`. Absolute; may not exist yet. */
export function blasFolder(env: NodeJS.ProcessEnv = process.env): string {
  const cache = env.XDG_CACHE_HOME ? resolve(env.XDG_CACHE_HOME) : join(homedir(), ".cache");
  return join(cache, "inward", "blas", `${BLAS_PACKAGE.name}-${BLAS_PACKAGE.version}`);
}

/**
 * Only its size is compared with the record here; `inward blas status` reads it whole.
 * @returns undefined when it is absent or cut off
 * @throws InwardError MODEL_FOLDER when the record is there and unreadable
 */
export function cachedBlas(env: NodeJS.ProcessEnv = process.env): CachedBlas | undefined {
  const folder = blasFolder(env);
  const [entry] = Object.entries(recordedChecksums(folder));
  if (entry === undefined) return undefined;
  const [name, record] = entry;
  const path = join(folder, name);
  return statSync(path, { throwIfNoEntry: false })?.size === record.bytes ? { path, record } : undefined;
}
