import type { NativeEngineOptions } from "../../../native/index.js";
import { InwardError } from "../../errors.js";
import type { DeviceName } from "../device.js";
import { findBinaries } from "../native/find-binaries.js";
import { loadAddon, type NativeAddon } from "../native/load-addon.js";

export interface AddonForDevice {
  readonly Engine: NativeAddon["Engine"];
  readonly binaries: Pick<NativeEngineOptions, "binariesFolder" | "fallbackFolder">;
}

/** @throws ENGINE_UNAVAILABLE with what is missing, and what asks without it */
export async function addonForDevice(device: DeviceName): Promise<AddonForDevice> {
  try {
    const { folder, fallbackFolder } = findBinaries(device);
    const { Engine } = await loadAddon(folder);
    return { Engine, binaries: { binariesFolder: folder, ...(fallbackFolder ? { fallbackFolder } : {}) } };
  } catch (error) {
    if (!(error instanceof InwardError)) throw error;
    throw new InwardError(
      "ENGINE_UNAVAILABLE",
      `the native engine cannot be used: ${error.message}; build it (node scripts/build-native.mjs), or set engine.engine to ` +
        "node-llama-cpp, which does all but exact distributions",
      { cause: error },
    );
  }
}
