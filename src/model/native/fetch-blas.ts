/** Brings an OpenBLAS into the user's cache: one library out of a Python wheel, nothing installed, nothing of it run. */
import { renameSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { InwardError } from "../../errors.js";
import { sha256OfFile } from "../checksum.js";
import { isOffline } from "../is-offline.js";
import { makeFolder } from "../model-folder.js";
import type { OnModelProgress } from "../model-progress.js";
import { recordChecksum } from "../recorded-checksums.js";
import { withWheel } from "../sources/python-wheel.js";
import { extractZipMember, listZipMembers } from "../sources/zip-member.js";
import { BLAS_PACKAGE, type CachedBlas, blasFolder, cachedBlas } from "./blas-cache.js";
import type { BlasMissing } from "./find-blas.js";

export interface FetchBlasOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly platform?: NodeJS.Platform;
  readonly offline?: boolean;
  readonly onProgress?: OnModelProgress;
  readonly signal?: AbortSignal;
}

const ORIGIN = `${BLAS_PACKAGE.name}==${BLAS_PACKAGE.version}`;

/**
 * What is in the cache already is kept. A machine without network or pip is a reason, no error.
 * @throws InwardError INTERRUPTED, MODEL_FOLDER when the cache cannot be written
 */
export async function fetchBlas(options: FetchBlasOptions = {}): Promise<CachedBlas | BlasMissing> {
  const { env = process.env, platform = process.platform, onProgress, signal } = options;
  const offline = options.offline === true || isOffline(env);
  const present = cachedBlas(env);
  if (present) return present;
  // Its wheel for macOS leans on further libraries, and there is no need of it.
  if (platform === "darwin") return { reason: "macOS has its own, Accelerate, which is used as it is" };
  const folder = makeFolder(blasFolder(env));
  try {
    await withWheel(ORIGIN, { folder, env, offline, onProgress, signal }, (wheelPath) =>
      unpack(wheelPath, folder, options),
    );
  } catch (error) {
    if (signal?.aborted) throw new InwardError("INTERRUPTED", `stopped while fetching ${ORIGIN}`);
    if (error instanceof InwardError) throw error;
    return { reason: error instanceof Error ? error.message : String(error) };
  }
  return cachedBlas(env) ?? { reason: `${folder} changed while it was written` };
}

/** The checksum is recorded before the library gets its name: without the one the other is not taken. */
async function unpack(wheelPath: string, folder: string, options: FetchBlasOptions): Promise<void> {
  const members = await listZipMembers(wheelPath);
  const library = members.find((name) => /\/lib\/lib[^/]*openblas[^/]*\.(so|dll)$/.test(name));
  const licence = members.find((name) => /\/LICENSE(\.txt)?$/.test(name));
  if (library === undefined || licence === undefined) {
    throw new Error(`the wheel of ${ORIGIN} holds no ${library === undefined ? "library" : "licence"}`);
  }
  const partial = join(folder, `${basename(library)}.partial-${process.pid}`);
  try {
    await extractZipMember(wheelPath, licence, join(folder, "LICENSE.txt"));
    await extractZipMember(wheelPath, library, partial, {
      signal: options.signal,
      onBytes: (doneBytes, totalBytes) =>
        options.onProgress?.({ stage: "unpack", what: basename(library), doneBytes, totalBytes }),
    });
    const sha256 = await sha256OfFile(partial);
    const bytes = statSync(partial).size;
    recordChecksum(folder, basename(library), { sha256, bytes, origin: `${ORIGIN} ${library}` });
    renameSync(partial, join(folder, basename(library)));
  } finally {
    rmSync(partial, { force: true });
  }
}
