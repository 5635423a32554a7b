// Builds ggml's BLAS backend out of node-llama-cpp's own source bundle, as a plugin for asking on the CPU: native/build/ggml-blas.so.
// node scripts/build-blas-plugin.mjs <path of an OpenBLAS or MKL with 32-bit integers>: exit code 0 when it is built, 2 when there is nothing to build it with, 1 when it fails.
// Off unless a process is started with GGML_BACKEND_PATH=native/build/ggml-blas.so OPENBLAS_THREAD_TIMEOUT=4.
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import {
  BUILD,
  cloneSources,
  dropForeignCache,
  NotBuilt,
  requireSameRelease,
  requireTools,
  ROOT,
  runLogged,
} from "./build-native.mjs";

const SOURCES = join(ROOT, "native", "blas-plugin");
const PLUGIN = "ggml-blas.so";

try {
  if (process.platform !== "linux") throw new NotBuilt("it is known to work on Linux only.", { missing: true });
  mkdirSync(BUILD, { recursive: true });
  const generator = requireTools();
  const libraries = requireSameRelease();
  const blas = namedBlas();
  // Headers of ggml's inside, so apart from those that the addon sees.
  const target = join(BUILD, "llama.cpp-blas");
  cloneSources(target, ["ggml/include", "ggml/src/ggml-blas", "ggml/src/ggml-impl.h", "ggml/src/ggml-backend-impl.h"]);
  const place = join(BUILD, "blas-plugin");
  dropForeignCache(place, SOURCES, generator[1]);
  const symbols = readFileSync(blas);
  const definitions = {
    CMAKE_BUILD_TYPE: "Release",
    INWARD_GGML: join(target, "ggml"),
    INWARD_GGML_BASE: join(libraries, "libggml-base.so"),
    INWARD_BLAS: blas,
    INWARD_BLAS_PREFIX: symbols.includes("\0scipy_cblas_sgemm\0") ? "scipy_" : "",
    INWARD_OPENBLAS: symbols.includes("openblas_set_num_threads\0") ? "ON" : "OFF",
  };
  const flags = Object.entries(definitions).map(([name, value]) => `-D${name}=${value}`);
  runLogged("cmake", ["-S", SOURCES, "-B", place, ...generator, ...flags]);
  runLogged("cmake", ["--build", place]);
  // Renamed into place: a process that has the old one loaded keeps it whole.
  const partial = join(BUILD, `${PLUGIN}.partial-${process.pid}`);
  copyFileSync(join(place, PLUGIN), partial);
  renameSync(partial, join(BUILD, PLUGIN));
  process.stdout.write(`${join(BUILD, PLUGIN)}\n`);
} catch (error) {
  process.stderr.write(`The BLAS plugin is not built: ${error.message}\n`);
  rmSync(join(BUILD, PLUGIN), { force: true });
  process.exitCode = error instanceof NotBuilt && error.missing ? 2 : 1;
}

/** @returns absolute path of the library that was named */
function namedBlas() {
  const [named] = process.argv.slice(2);
  if (named === undefined) throw new NotBuilt("name a BLAS library, e.g. libopenblas.so.0.", { missing: true });
  const path = resolve(named);
  if (!existsSync(path)) throw new NotBuilt(`${path} is not there.`, { missing: true });
  // A name ends with a zero byte, which tells cblas_sgemm from cblas_sgemm64_.
  if (!readFileSync(path).includes("cblas_sgemm\0")) throw new NotBuilt(`${path} exports no cblas_sgemm.`);
  return path;
}
