/** Finds ggml's BLAS backend as a plugin for asking on the CPU, which scripts/build-blas-plugin.mjs puts into native/build. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BUILD_FOLDER } from "./find-addon.js";

/** Loads nothing. @returns its absolute path, or undefined when it is not built */
export function findBlasPlugin(buildFolder: string = BUILD_FOLDER): string | undefined {
  const path = join(buildFolder, "ggml-blas.so");
  return existsSync(path) ? path : undefined;
}
