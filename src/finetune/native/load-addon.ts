/** Loads the trainer's native code. For the worker process only: what goes wrong in there may end the process. */
import { join } from "node:path";
import { InwardError } from "../../errors.js";
import { findAddon } from "./find-addon.js";

export type NativeAddon = typeof import("../../../native/index.js");

/**
 * @param binariesFolder of the device that will be trained on: a process can hold the libraries of one variant only
 * @param buildFolder native/build unless given
 * @throws InwardError TRAIN_ADDON with the loader's own words
 */
export async function loadAddon(binariesFolder: string, buildFolder?: string): Promise<NativeAddon> {
  const { path } = await findAddon(buildFolder);
  // The addon names libggml-base without a place, so that it fits every variant; node-llama-cpp's addon brings it into the process.
  const complaint = open(join(binariesFolder, "llama-addon.node"), { exports: {} });
  const module: { exports: unknown } = { exports: {} };
  const failure = open(path, module);
  if (failure === undefined) return module.exports as NativeAddon;
  const before = complaint === undefined ? "" : `; before that: ${complaint}`;
  throw new InwardError("TRAIN_ADDON", `${path} cannot be loaded: ${failure}${before}`);
}

/** @returns why it failed, or undefined */
function open(path: string, module: { exports: unknown }): string | undefined {
  try {
    process.dlopen(module as NodeJS.Module, path);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
