// The environment in which a process asks with ggml's BLAS plugin.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const PLUGIN = fileURLToPath(new URL("../../native/build/ggml-blas.so", import.meta.url));

/** Undefined until `node scripts/build-blas-plugin.mjs` has built it. OpenBLAS' own threads would otherwise spin against ggml's. */
export const BLAS_PLUGIN_ENV = existsSync(PLUGIN)
  ? { GGML_BACKEND_PATH: PLUGIN, OPENBLAS_THREAD_TIMEOUT: "4" }
  : undefined;
