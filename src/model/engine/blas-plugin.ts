/** Asking with ggml's BLAS plugin: what a worker needs from its start. */
import { InwardError } from "../../errors.js";
import type { SettledEngine } from "../../records/study.js";
import { findBlasPlugin } from "../native/find-blas-plugin.js";

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
