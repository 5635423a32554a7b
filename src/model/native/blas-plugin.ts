/** ggml's BLAS backend as a plugin for asking on the CPU, which scripts/build-blas-plugin.mjs puts into native/build. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { InwardError } from "../../errors.js";
import type { SettledEngine } from "../../study/study.js";
import { arithmeticEnvironment } from "../arithmetic.js";
import { BUILD_FOLDER } from "./addon.js";

/** Loads nothing. @returns its absolute path, or undefined when it is not built */
export function findBlasPlugin(buildFolder: string = BUILD_FOLDER): string | undefined {
  const path = join(buildFolder, "ggml-blas.so");
  return existsSync(path) ? path : undefined;
}

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
    "engine.blas is on, and the plugin is not built; build it (node scripts/build-blas-plugin.mjs <path of an OpenBLAS or MKL>) or set engine.blas to false",
  );
}

/** Environment of a process that asks with these settings, which llama.cpp's libraries read when they start. @throws ENGINE_UNAVAILABLE */
export function engineEnvironment(settings: SettledEngine): Record<string, string> {
  return {
    ...arithmeticEnvironment(settings.exact === true),
    ...(usesBlasPlugin(settings) ? blasPluginEnv(requireBlasPlugin()) : {}),
  };
}

/** llama.cpp finds the plugin by the first when it registers its backends; OpenBLAS's own threads would otherwise spin against ggml's. */
function blasPluginEnv(path: string): Readonly<Record<string, string>> {
  return { GGML_BACKEND_PATH: path, OPENBLAS_THREAD_TIMEOUT: "4" };
}
