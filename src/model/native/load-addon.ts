/** Loads the addon. For worker processes only: what goes wrong in there may end the process. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { InwardError } from "../../errors.js";
import { findAddon } from "./find-addon.js";

export type NativeAddon = typeof import("../../../native/index.js");

/**
 * @param binariesFolder of the device that will be computed on: a process can hold the libraries of one variant only
 * @param buildFolder native/build unless given
 * @throws InwardError TRAIN_ADDON with the loader's own words
 */
export async function loadAddon(binariesFolder: string, buildFolder?: string): Promise<NativeAddon> {
  const { path } = await findAddon(buildFolder);
  // The addon names its libraries without a place, so that it fits every variant; node-llama-cpp's own brings them into the process.
  const before = attempt(join(binariesFolder, "llama-addon.node"));
  const loaded = attempt(path);
  if ("exports" in loaded) return loaded.exports as NativeAddon;
  const earlier = "complaint" in before ? `; before that: ${before.complaint}` : "";
  throw new InwardError("TRAIN_ADDON", `${path} cannot be loaded: ${loaded.complaint}${earlier}`);
}

/**
 * By require and not by dlopen: node-llama-cpp requires the same file, and set up a second time its code would free llama.cpp's
 * backend under whoever uses it as soon as the second exports are collected.
 */
const load = createRequire(import.meta.url);

function attempt(path: string): { readonly exports: unknown } | { readonly complaint: string } {
  try {
    return { exports: load(path) };
  } catch (error) {
    return { complaint: String(error instanceof Error ? error.message : error).split("\n")[0] as string };
  }
}
