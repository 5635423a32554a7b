// A process of its own: loads llama.cpp for one device, named by the first argument, and prints a DeviceReport as one line.

import { getLlama, getLlamaGpuTypes } from "node-llama-cpp";
import { freemem, totalmem } from "node:os";
import { type DeviceName, type DeviceReport, type FoundGpu, tooOld } from "./device.js";
import { findBinaries, loadAddon } from "./native/addon.js";
import { endWithParent } from "./worker-process.js";

const LIBRARIES = {
  cuda: "NVIDIA's driver and the CUDA runtime with cuBLAS were not found; the driver alone is not enough",
  vulkan: "the Vulkan loader library was not found",
  metal: "Metal was not found",
  cpu: "no prebuilt llama.cpp is installed for this platform",
} as const satisfies Record<DeviceName, string>;

async function probe(name: DeviceName): Promise<DeviceReport> {
  const gpu = name === "cpu" ? false : name;
  try {
    let log = "";
    const logger = (_level: string, message: string) => {
      log += message;
      process.stderr.write(message);
    };
    const llama = await getLlama({ gpu, build: "never", skipDownload: true, progressLogs: false, logger });
    // Where a device cannot be, node-llama-cpp quietly takes another one.
    if (llama.gpu !== gpu) return { name, available: false, reason: LIBRARIES[name] };
    const deviceNames = await llama.getGpuDeviceNames();
    if (gpu !== false && deviceNames.length === 0) {
      return { name, available: false, reason: "its libraries load, but they find no device" };
    }
    const old = name === "cuda" ? tooOld(log) : undefined;
    if (old !== undefined) return { name, available: false, reason: old };
    const video = await llama.getVramState();
    const memory =
      gpu === false
        ? { totalBytes: totalmem(), freeBytes: freemem() }
        : { totalBytes: video.total, freeBytes: video.free };
    const { release } = llama.llamaCppRelease;
    const gpus = gpu === false ? undefined : await eachGpu(name);
    return {
      name,
      available: true,
      deviceNames,
      ...(gpus ? { gpus } : {}),
      memory,
      llamaCpp: release,
      systemInfo: llama.systemInfo,
    };
  } catch (error) {
    const supported = (await getLlamaGpuTypes("supported")).includes(gpu);
    if (!supported || name === "cpu")
      return { name, available: false, reason: `${LIBRARIES[name]} (${messageOf(error)})` };
    return {
      name,
      available: false,
      reason: `its libraries are there, but the prebuilt llama.cpp does not load (${messageOf(error)})`,
    };
  }
}

/** @returns undefined where the native addon is not built: node-llama-cpp does not tell devices apart */
async function eachGpu(name: DeviceName): Promise<FoundGpu[] | undefined> {
  try {
    const { folder, fallbackFolder } = findBinaries(name);
    const { listDevices } = await loadAddon(folder);
    return listDevices({ binariesFolder: folder, ...(fallbackFolder ? { fallbackFolder } : {}), kind: name });
  } catch {
    return undefined;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

endWithParent();
process.stdout.write(`\n${JSON.stringify(await probe(process.argv[2] as DeviceName))}\n`);
process.exit(0);
