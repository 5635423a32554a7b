/** Finds a BLAS for training on the CPU. None is needed: without one ggml's own kernels do all the work, more slowly. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { BLAS_PACKAGE, cachedBlas } from "./blas-cache.js";

export interface BlasFound {
  /** A shared library that exports cblas_sgemm or scipy_cblas_sgemm, with 32-bit integers. */
  readonly path: string;
  /** For a reader and for the adapter's card, e.g. `scipy-openblas32 0.3.34.481.3`. */
  readonly what: string;
}

export interface BlasMissing {
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

/** `$INWARD_BLAS` (a path, or `none`), else what `inward blas pull` brought, else the system's. Loads nothing. */
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
    return { reason: "no library from inward blas pull, and on Windows no other place is known" };
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
