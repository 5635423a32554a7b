/** Finds the compiled addon (trainer and engine), which scripts/build-native.mjs puts into native/build. */

import { existsSync, readFileSync, realpathSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { type ErrorCode, ERRORS, InwardError } from "../../errors.js";
import type { DeviceName } from "../device.js";

// Which releases of node-llama-cpp and llama.cpp are installed.

export interface EngineReleases {
  readonly nodeLlamaCpp: string;
  readonly llamaCpp: string;
}

export async function engineReleases(): Promise<EngineReleases> {
  const root = join(dirname(fileURLToPath(import.meta.resolve("node-llama-cpp"))), "..");
  const read = async (file: string) => JSON.parse(await readFile(join(root, file), "utf8"));
  return {
    nodeLlamaCpp: (await read("package.json")).version,
    llamaCpp: (await read("llama/binariesGithubRelease.json")).release,
  };
}

export interface AddonFound {
  /** Absolute. */
  readonly path: string;
  /** The releases it was built with; llama.cpp's equals the installed one. */
  readonly llamaCpp: string;
  readonly nodeLlamaCpp: string;
}

/** native/build; the same depth from src and from dist. */
export const BUILD_FOLDER = fileURLToPath(new URL("../../../native/build", import.meta.url));
const LOG_LINES = 4;

const stampSchema = z.object({ llamaCpp: z.string(), nodeLlamaCpp: z.string(), platform: z.string() });

/** @throws InwardError TRAIN_ADDON, with what the last build's log says when there is one */
export async function findAddon(buildFolder: string = BUILD_FOLDER): Promise<AddonFound> {
  const path = join(buildFolder, "inward-native.node");
  if (!existsSync(path)) throw new InwardError("TRAIN_ADDON", `the native addon is not built${lastBuild(buildFolder)}`);
  const { llamaCpp, nodeLlamaCpp, platform } = readStamp(join(buildFolder, "stamp.json"));
  const here = `${process.platform}-${process.arch}`;
  if (platform !== here) throw new InwardError("TRAIN_ADDON", `${path} was built for ${platform}, this is ${here}`);
  const installed = (await engineReleases()).llamaCpp;
  if (llamaCpp !== installed) {
    throw new InwardError(
      "TRAIN_ADDON",
      `${path} was built for llama.cpp ${llamaCpp}, but node-llama-cpp brings ${installed}`,
    );
  }
  return { path, llamaCpp, nodeLlamaCpp };
}

function readStamp(path: string): z.infer<typeof stampSchema> {
  try {
    return stampSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw new InwardError("TRAIN_ADDON", `${path}, which tells what the addon was built for, cannot be read`, {
      cause: error,
    });
  }
}

function lastBuild(buildFolder: string): string {
  const log = join(buildFolder, "build.log");
  if (!existsSync(log)) return "";
  const lines = readFileSync(log, "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "");
  // Compilers go on after the first error, and several run at once: the end alone may tell nothing.
  const errors = lines.filter((line) => /\berror\b/i.test(line)).slice(0, LOG_LINES);
  const telling = [...new Set([...errors, ...lines.slice(errors.length > 0 ? -1 : -LOG_LINES)])];
  return telling.length === 0 ? "" : `; its last build failed:\n  ${telling.join("\n  ")}`;
}

// Where an installed npm package lies.

/**
 * By its folder and not by `require.resolve`: the packages with llama.cpp's libraries export no path that it could take.
 * @param from a file (path or file URL) that could import it
 * @returns its real folder, so that what it depends on can be looked up from there in turn; undefined when it is not installed
 */
export function packageFolder(name: string, from: string): string | undefined {
  const places = createRequire(from).resolve.paths(name) ?? [];
  const folder = places.map((place) => join(place, name)).find((path) => existsSync(join(path, "package.json")));
  return folder === undefined ? undefined : realpathSync(folder);
}

// Where node-llama-cpp keeps the llama.cpp libraries of each device; the addon computes with the very same ones.

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
  if (engine === undefined) throw missingAddon(device, "node-llama-cpp is not installed (npm install)");
  const name = packageName(device, platform, arch);
  const beside = join(engine, "package.json");
  const binaries = packageFolder(`@node-llama-cpp/${name}`, beside);
  if (binaries === undefined) throw missingAddon(device, `the package @node-llama-cpp/${name} is not installed`);
  const folder = join(binaries, "bins", name);
  if (!existsSync(join(folder, "llama-addon.node"))) throw missingAddon(device, `${folder} holds no llama-addon.node`);
  const extension = packageFolder(`@node-llama-cpp/${name}-ext`, beside);
  const fallbackFolder = extension && join(extension, "bins", name, "fallback");
  return fallbackFolder && existsSync(fallbackFolder) ? { folder, fallbackFolder } : { folder };
}

/** @throws InwardError TRAIN_DEVICE where llama.cpp has no such device at all */
function packageName(device: DeviceName, platform: NodeJS.Platform, arch: string): string {
  const system = PLATFORMS[platform];
  if (system === undefined) throw missingAddon(device, `node-llama-cpp ships no libraries for ${platform}`);
  const base = `${system}-${arch === "arm" ? "armv7l" : arch}`;
  // On Apple silicon one package holds the kernels of both.
  if (base === "mac-arm64" && (device === "metal" || device === "cpu")) return "mac-arm64-metal";
  if (device === "metal") throw missingAddon(device, "node-llama-cpp ships Metal for macOS on Apple silicon only");
  if (device === "cpu") return base;
  if (system === "mac") throw missingAddon(device, `node-llama-cpp ships no ${device} for macOS`);
  return `${base}-${device}`;
}

function missingAddon(device: DeviceName, why: string): InwardError {
  return new InwardError("TRAIN_DEVICE", `no llama.cpp libraries for the device ${device}: ${why}`);
}

// Loads the addon. For worker processes only: what goes wrong in there may end the process.

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

/** Errors of the addon carry one of inward's codes. @returns undefined for what was not foreseen there */
export function nativeCode(error: unknown): ErrorCode | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : undefined;
}
