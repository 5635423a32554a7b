/** Where node-llama-cpp keeps the llama.cpp libraries of each device; the addon computes with the very same ones. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { InwardError } from "../../errors.js";
import type { DeviceName } from "../device.js";
import { packageFolder } from "./package-folder.js";

export interface LlamaBinaries {
  /** Holds llama-addon.node and libggml-*; absolute. */
  readonly folder: string;
  /** CUDA only: a libggml-cuda for an older CUDA runtime, to load when the one in `folder` does not. */
  readonly fallbackFolder?: string;
}

export interface FindBinariesOptions {
  /** A file that could import node-llama-cpp; this one unless given. */
  readonly from?: string;
  readonly platform?: NodeJS.Platform;
  readonly arch?: string;
}

const PLATFORMS: Partial<Record<NodeJS.Platform, string>> = { linux: "linux", darwin: "mac", win32: "win" };

/** @throws InwardError TRAIN_DEVICE */
export function findBinaries(device: DeviceName, options: FindBinariesOptions = {}): LlamaBinaries {
  const { from = import.meta.url, platform = process.platform, arch = process.arch } = options;
  const engine = packageFolder("node-llama-cpp", from);
  if (engine === undefined) throw missing(device, "node-llama-cpp is not installed (npm install)");
  const name = packageName(device, platform, arch);
  const beside = join(engine, "package.json");
  const binaries = packageFolder(`@node-llama-cpp/${name}`, beside);
  if (binaries === undefined) throw missing(device, `the package @node-llama-cpp/${name} is not installed`);
  const folder = join(binaries, "bins", name);
  if (!existsSync(join(folder, "llama-addon.node"))) throw missing(device, `${folder} holds no llama-addon.node`);
  const extension = packageFolder(`@node-llama-cpp/${name}-ext`, beside);
  const fallbackFolder = extension && join(extension, "bins", name, "fallback");
  return fallbackFolder && existsSync(fallbackFolder) ? { folder, fallbackFolder } : { folder };
}

/** @throws InwardError TRAIN_DEVICE where llama.cpp has no such device at all */
function packageName(device: DeviceName, platform: NodeJS.Platform, arch: string): string {
  const system = PLATFORMS[platform];
  if (system === undefined) throw missing(device, `node-llama-cpp ships no libraries for ${platform}`);
  const base = `${system}-${arch === "arm" ? "armv7l" : arch}`;
  // On Apple silicon one package holds the kernels of both.
  if (base === "mac-arm64" && (device === "metal" || device === "cpu")) return "mac-arm64-metal";
  if (device === "metal") throw missing(device, "node-llama-cpp ships Metal for macOS on Apple silicon only");
  if (device === "cpu") return base;
  if (system === "mac") throw missing(device, `node-llama-cpp ships no ${device} for macOS`);
  return `${base}-${device}`;
}

function missing(device: DeviceName, why: string): InwardError {
  return new InwardError("TRAIN_DEVICE", `no llama.cpp libraries for the device ${device}: ${why}`);
}
