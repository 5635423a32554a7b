/** That this machine has no GPU, remembered: what could bring one is looked at without loading a driver. `doctor` and a named device always look. */

import { createHash } from "node:crypto";
import { makeFolder } from "../base/files.js";
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { modelFolder } from "./model-file.js";
import { packageFolder } from "./native/addon.js";

/** Kernel drivers appear as these. */
const DEVICE_NODES = /^(nvidia|dri|kfd|dxg|mali|accel)/;
/** Where libraries and drivers are announced: installing one changes a name or a time here. */
const PLACES = [
  "/etc/ld.so.cache",
  "/dev/dri",
  "/etc/vulkan/icd.d",
  "/usr/share/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
  "/usr/local",
  "/usr/lib/wsl/lib",
];
const VARIABLES = /^(CUDA|NVIDIA|GGML|LLAMA|VK|MESA|DRI|HIP|ROCR|LD_LIBRARY_PATH|XDG_DATA|NODE_LLAMA)/;

/**
 * @returns a hash of all that decides whether a GPU is found: this start of the system, device nodes, announced libraries, variables,
 *   llama.cpp's packages; undefined where the system does not tell (other than Linux)
 */
export function gpuState(env: NodeJS.ProcessEnv = process.env): string | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
    const nodes = readdirSync("/dev").filter((name) => DEVICE_NODES.test(name));
    const engine = packageFolder("node-llama-cpp", import.meta.url);
    const packages = engine === undefined ? [] : [engine, ...beside(engine)];
    const places = [...PLACES, join(homedir(), ".local/share/vulkan/icd.d"), process.execPath, ...packages];
    const variables = Object.entries(env).filter(([name]) => VARIABLES.test(name));
    const all = [boot, nodes.sort(), places.map((path) => [path, stateOf(path)]), variables.sort()];
    return createHash("sha256").update(JSON.stringify(all)).digest("hex");
  } catch {
    return undefined;
  }
}

/** The packages with its libraries, one a kind of device. */
function beside(engine: string): string[] {
  const folder = join(dirname(engine), "@node-llama-cpp");
  try {
    return readdirSync(folder).map((name) => join(folder, name));
  } catch {
    return [];
  }
}

function stateOf(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found ? `${found.ino}:${found.size}:${found.mtimeNs}` : "missing";
}

function place(): string {
  return join(modelFolder(), "no-gpu.json");
}

/** @param state of the machine now */
export function isWithoutGpu(state: string): boolean {
  try {
    const known: unknown = JSON.parse(readFileSync(place(), "utf8"));
    return typeof known === "object" && known !== null && "state" in known && known.state === state;
  } catch {
    return false;
  }
}

/** @param state from before it was looked */
export function rememberNoGpu(state: string): void {
  const partial = `${place()}.partial-${process.pid}`;
  try {
    makeFolder(modelFolder());
    writeFileSync(partial, `${JSON.stringify({ state })}\n`);
    renameSync(partial, place());
  } catch {
    // A folder that cannot be written only costs looking again.
  }
}
