/** Finds a BLAS for training on the CPU. None is needed: without one ggml's own kernels do all the work, more slowly. */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync, renameSync, rmSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { InwardError } from "../../errors.js";
import type { SettledEngine } from "../../study/study.js";
import {
  isOffline,
  makeModelFolder,
  type OnModelProgress,
  recordChecksum,
  type RecordedChecksum,
  recordedChecksums,
  sha256OfFile,
} from "../model-file.js";
import { withWheel } from "../sources/python.js";
import { extractZipMember, listZipMembers } from "../sources/zip-member.js";
import { BUILD_FOLDER } from "./addon.js";

// The OpenBLAS that `npx inward blas pull` brings: which one, where it lies, and whether it lies there whole.

/** A wheel from SciPy's builders, pinned; BSD-3, all notices are in the LICENSE.txt that is kept beside the library. */
const BLAS_PACKAGE = { name: "scipy-openblas32", version: "0.3.34.481.3" } as const;

interface CachedBlas {
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
 * Only its size is compared with the record here; `npx inward blas status` reads it whole.
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

export interface BlasFound {
  /** A shared library that exports cblas_sgemm or scipy_cblas_sgemm, with 32-bit integers. */
  readonly path: string;
  /** For a reader and for the adapter's card, e.g. `scipy-openblas32 0.3.34.481.3`. */
  readonly what: string;
}

interface BlasMissing {
  readonly reason: string;
}

export interface FindBlasOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly platform?: NodeJS.Platform;
  /** Where system libraries are looked for, best first; the loader's own list and the usual places unless given. */
  readonly systemFolders?: readonly string[];
}

const ACCELERATE = "/System/Library/Frameworks/Accelerate.framework";
/** Best first. Names with 64 in them take 64-bit integers and must not be taken. */
const SYSTEM_NAMES = [
  "libopenblas.so.0",
  "libopenblas.so",
  "libmkl_rt.so.2",
  "libmkl_rt.so",
  "libblas.so.3",
  "libblas.so",
] as const;
const USUAL_FOLDERS = [
  "/usr/local/lib",
  "/usr/lib64",
  "/usr/lib",
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/opt/OpenBLAS/lib",
  "/opt/intel/oneapi/mkl/latest/lib",
] as const;

/** `$INWARD_BLAS` (a path, or `none`), else what `npx inward blas pull` brought, else the system's. Loads nothing. */
export function findBlas(options: FindBlasOptions = {}): BlasFound | BlasMissing {
  const { env = process.env, platform = process.platform } = options;
  if (env.INWARD_BLAS) return namedBlas(env.INWARD_BLAS, platform);
  const cached = cachedBlas(env);
  if (cached) return { path: cached.path, what: `${BLAS_PACKAGE.name} ${BLAS_PACKAGE.version}` };
  if (platform === "darwin") {
    if (existsSync(ACCELERATE)) return { path: `${ACCELERATE}/Accelerate`, what: "Accelerate" };
    return { reason: `${ACCELERATE} is not there` };
  }
  if (platform === "win32")
    return { reason: "no library from npx inward blas pull, and on Windows no other place is known" };
  return systemBlas(options.systemFolders ?? systemFolders(env));
}

/** What is named is used or refused: nothing else is taken in its place. */
function namedBlas(named: string, platform: NodeJS.Platform): BlasFound | BlasMissing {
  if (named === "none") return { reason: "INWARD_BLAS is none" };
  // Apple's frameworks are in the loader's cache and on no disk.
  const onDisk = !(platform === "darwin" && named.startsWith("/System/"));
  if (onDisk && !existsSync(named)) return { reason: `INWARD_BLAS names ${named}, which is not there` };
  if (onDisk && !exportsSgemm(named)) return { reason: `INWARD_BLAS names ${named}, which exports no cblas_sgemm` };
  return { path: named, what: `${named} (INWARD_BLAS)` };
}

function systemBlas(folders: readonly string[]): BlasFound | BlasMissing {
  const passedOver: string[] = [];
  for (const name of SYSTEM_NAMES) {
    for (const path of folders.map((folder) => join(folder, name)).filter((path) => existsSync(path))) {
      if (isReference(path)) passedOver.push(`${path} is the reference BLAS, slower than ggml's kernels`);
      else if (exportsSgemm(path)) return { path, what: `${name} of the system` };
      else passedOver.push(`${path} exports no cblas_sgemm`);
    }
  }
  const [first] = passedOver;
  return { reason: `no OpenBLAS or MKL among the system's libraries${first ? ` (${first})` : ""}` };
}

/** libblas is an interface that any BLAS can stand behind; what it leads to has the maker's name in its path. */
function isReference(path: string): boolean {
  return path.includes("/libblas.so") && !/openblas|mkl|blis|atlas/i.test(realpathSync(path));
}

/** Symbol names end with a zero byte in every format, which tells cblas_sgemm from cblas_sgemm64_. */
function exportsSgemm(path: string): boolean {
  try {
    return readFileSync(path).includes("cblas_sgemm\0");
  } catch {
    return false;
  }
}

/** In the order in which the loader would look. */
function systemFolders(env: NodeJS.ProcessEnv): string[] {
  const own = (env.LD_LIBRARY_PATH ?? "").split(":").filter((folder) => folder !== "");
  return [...new Set([...own, ...loaderFolders(env), ...USUAL_FOLDERS])];
}

/** Folders in which the loader's cache knows libraries for this processor. */
function loaderFolders(env: NodeJS.ProcessEnv): string[] {
  const marks: Readonly<Record<string, string>> = { x64: "x86-64", arm64: "AArch64" };
  const mark = marks[process.arch];
  if (mark === undefined) return [];
  const answers = ["ldconfig", "/sbin/ldconfig"].map(
    (command) => spawnSync(command, ["-p"], { env, encoding: "utf8", timeout: 10_000 }).stdout ?? "",
  );
  const lines = (answers.find((text) => text.includes("=>")) ?? "").split("\n");
  const paths = lines.filter((line) => line.includes(mark)).map((line) => line.split("=>")[1]?.trim() ?? "");
  return [...new Set(paths.filter((path) => path.startsWith("/")).map((path) => dirname(path)))];
}

// Brings an OpenBLAS into the user's cache: one library out of a Python wheel, nothing installed, nothing of it run.

interface FetchBlasOptions {
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
  const folder = makeModelFolder(blasFolder(env));
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
  const members = (await listZipMembers(wheelPath)).map(({ name }) => name);
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

// Finds ggml's BLAS backend as a plugin for asking on the CPU, which scripts/build-blas-plugin.mjs puts into native/build.

/** Loads nothing. @returns its absolute path, or undefined when it is not built */
export function findBlasPlugin(buildFolder: string = BUILD_FOLDER): string | undefined {
  const path = join(buildFolder, "ggml-blas.so");
  return existsSync(path) ? path : undefined;
}

// Asking with ggml's BLAS plugin: what a worker needs from its start.

/** Whether an engine with these settings asks with it. */
export function usesBlasPlugin({ engine, blas, strict }: SettledEngine): boolean {
  return engine === "native" && blas === true && !strict;
}

/** @throws ENGINE_UNAVAILABLE where it is not built */
export function requireBlasPlugin(buildFolder?: string): string {
  const path = findBlasPlugin(buildFolder);
  if (path !== undefined) return path;
  throw new InwardError(
    "ENGINE_UNAVAILABLE",
    "engine.blas is on, and the plugin is not built; build it (node scripts/build-blas-plugin.mjs) or set engine.blas to false",
  );
}

/** llama.cpp finds the plugin by the first when it registers its backends; OpenBLAS's own threads would otherwise spin against ggml's. */
export function blasPluginEnv(path: string): Readonly<Record<string, string>> {
  return { GGML_BACKEND_PATH: path, OPENBLAS_THREAD_TIMEOUT: "4" };
}
