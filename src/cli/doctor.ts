/** inward doctor: what this machine has, what it lacks, and what to do about it. */

import { Command } from "commander";
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { InwardError } from "../errors.js";
import { type DeviceName, type DeviceReport, listDevices } from "../model/device.js";
import { type InventoryModel, modelInventory } from "../model/locate-model.js";
import { modelFolder } from "../model/model-file.js";
import { engineReleases, findAddon } from "../model/native/addon.js";
import { findBlasPlugin } from "../model/native/blas-plugin.js";
import { loadRegistry } from "../model/registry.js";
import { findPip } from "../model/sources/python.js";
import { answerCacheText } from "./cache.js";
import { jsonOption, type JsonOption } from "./options.js";
import { print, printJson, readableBytes } from "./output.js";

// What `npx inward doctor` looks at. Each finding says what is there; each problem says what to do.

interface Diagnosis {
  readonly what: string;
  /** `failure`: nothing can run. `warning`: something cannot be done. `note`: only said. */
  readonly status: "ok" | "note" | "warning" | "failure";
  readonly found: string;
  readonly remedy?: string;
}

const OLDEST_NODE = [20, 19] as const;
/** The default model with its F32 re-encoding, and as much again for a download in progress. */
const WANTED_BYTES = 1.5e9;

export function checkNode(version: string = process.versions.node): Diagnosis {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const enough = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  const found = `Node ${version}`;
  if (enough) return { what: "Node", status: "ok", found };
  return { what: "Node", status: "failure", found, remedy: `Install Node ${OLDEST_NODE.join(".")} or newer.` };
}

async function checkReleases(): Promise<Diagnosis> {
  try {
    const { nodeLlamaCpp, llamaCpp } = await engineReleases();
    return { what: "engine", status: "ok", found: `node-llama-cpp ${nodeLlamaCpp}, llama.cpp ${llamaCpp}` };
  } catch (error) {
    const found = `node-llama-cpp cannot be read: ${(error as Error).message}`;
    return { what: "engine", status: "failure", found, remedy: "Install the dependencies: npm install" };
  }
}

/** Absent devices are no problem until one wants them. */
const DEVICE_REMEDIES: Readonly<Record<DeviceName, { readonly remedy?: string }>> = {
  cuda: { remedy: "If there is an NVIDIA GPU: install its driver and the CUDA 13 (or 12) runtime with cuBLAS." },
  vulkan: {
    remedy: "If there is a GPU: install its Vulkan driver. On Debian: apt install libvulkan1 mesa-vulkan-drivers",
  },
  metal: {},
  cpu: {},
};

/** Only a missing CPU engine is a failure: it is the one that must load everywhere. */
export function checkDevices(reports: readonly DeviceReport[]): Diagnosis[] {
  const some = reports.some((report) => report.available);
  return reports.map((report): Diagnosis => {
    const what = `device ${report.name}`;
    if (report.available) {
      const names = report.deviceNames.length > 0 ? `${report.deviceNames.join(", ")}, ` : "";
      const { totalBytes, freeBytes } = report.memory;
      return { what, status: "ok", found: `${names}${readableBytes(freeBytes)} free of ${readableBytes(totalBytes)}` };
    }
    const found = `not available: ${report.reason}`;
    if (some) return { what, status: "note", found, ...DEVICE_REMEDIES[report.name] };
    return {
      what,
      status: "failure",
      found,
      remedy: "Install the dependencies again: npm install (optional packages included)",
    };
  });
}

/** What the compiled addon is for: asking and training. @param buildFolder native/build unless given */
export async function checkAddon(buildFolder?: string): Promise<Diagnosis[]> {
  const [asking, training] = ["native asking", "training"];
  try {
    const { llamaCpp } = await findAddon(buildFolder);
    const found = `available, built for llama.cpp ${llamaCpp}, as installed`;
    return [asking, training].map((what) => ({ what, status: "ok", found }));
  } catch (error) {
    if (!(error instanceof InwardError)) throw error;
    const instead = "not available: node-llama-cpp asks instead, more slowly, and there are no exact distributions";
    return [
      { what: asking, status: "warning", found: `${instead} (${error.message})`, remedy: error.hint },
      { what: training, status: "warning", found: "not available, for the same reason", remedy: error.hint },
    ];
  }
}

/** It is never needed, so its absence is a note. @param buildFolder native/build unless given */
export function checkBlasPlugin(buildFolder?: string, platform: NodeJS.Platform = process.platform): Diagnosis {
  const what = "BLAS plugin for asking";
  const plugin = findBlasPlugin(buildFolder);
  if (plugin !== undefined) {
    const remedy = `It is used where a process is started with GGML_BACKEND_PATH=${plugin} OPENBLAS_THREAD_TIMEOUT=4`;
    return { what, status: "ok", found: `${plugin}, off unless asked for`, remedy };
  }
  if (platform !== "linux") return { what, status: "note", found: "not available: it is known to work on Linux only" };
  const remedy = "Only if you want it: node scripts/build-blas-plugin.mjs <path of an OpenBLAS or MKL>";
  return { what, status: "note", found: "not built: asking uses ggml's own kernels", remedy };
}

const BUILDS_THE_ADDON = "Only building the addon (native asking, training) needs it. On Debian: apt install";

function checkCompiler(): Diagnosis {
  return checkTool("C++ compiler", ["c++", "g++", "clang++"], `${BUILDS_THE_ADDON} g++`);
}

function checkCmake(): Diagnosis {
  return checkTool("CMake", ["cmake"], `${BUILDS_THE_ADDON} cmake`);
}

function checkGit(): Diagnosis {
  return checkTool("git", ["git"], `${BUILDS_THE_ADDON} git`);
}

function checkPip(env: NodeJS.ProcessEnv = process.env): Diagnosis {
  const pip = findPip(env);
  if (pip) return { what: "Python's pip", status: "ok", found: pip.version };
  const remedy = "The default model can come as a Python package: on Debian, apt install python3-pip";
  return { what: "Python's pip", status: "warning", found: "not installed", remedy };
}

function checkModels(models: readonly InventoryModel[], defaultModel: string): Diagnosis[] {
  const findings = models.flatMap((model) =>
    model.files.map((file): Diagnosis => {
      const what = `model ${file.fileName}`;
      const facts = `${readableBytes(file.bytes)}, sha256 ${file.expectedSha256 ?? "not known yet"}`;
      if (file.checksum === "verified") return { what, status: "ok", found: `${facts}, checked` };
      if (file.checksum === "mismatch") {
        const remedy = `Run: npx inward verify model, then npx inward models pull ${model.name}`;
        return { what, status: "warning", found: `${facts}, but the file has another`, remedy };
      }
      return { what, status: "note", found: `${facts}, not checked yet`, remedy: "Run: npx inward verify model" };
    }),
  );
  if (findings.length > 0) return findings;
  const remedy = `Run: npx inward models pull ${defaultModel}`;
  return [{ what: "models", status: "warning", found: "none on this machine", remedy }];
}

function checkFolder(folder: string): Diagnosis {
  const what = "model folder";
  let existing = folder;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  try {
    accessSync(existing, constants.W_OK);
  } catch {
    const remedy = "Set INWARD_MODELS to a folder you may write to.";
    return { what, status: "warning", found: `${folder}: ${existing} cannot be written`, remedy };
  }
  const disk = statfsSync(existing);
  const freeBytes = disk.bavail * disk.bsize;
  const found = `${folder}, ${readableBytes(freeBytes)} free`;
  if (freeBytes >= WANTED_BYTES) return { what, status: "ok", found };
  const remedy = `Free ${readableBytes(WANTED_BYTES - freeBytes)} there, or set INWARD_MODELS to another disk.`;
  return { what, status: "warning", found, remedy };
}

function checkTool(what: string, commands: readonly string[], remedy: string): Diagnosis {
  for (const command of commands) {
    const answer = spawnSync(command, ["--version"], { encoding: "utf8", timeout: 20_000 });
    const first = answer.stdout?.split("\n")[0]?.trim();
    if (answer.status === 0 && first) return { what, status: "ok", found: first };
  }
  return { what, status: "warning", found: "not installed", remedy };
}

const MARKS = { ok: "ok     ", note: "-      ", warning: "WARNING", failure: "FAILURE" } as const;
/** Nothing can run: no device loads, or Node is too old. */
const NOTHING_RUNS = 3;

export function doctorCommand(): Command {
  const command = new Command("doctor").description(
    "check Node, llama.cpp, devices, native asking, training, compiler, models and disk; exit code 3 when nothing can run",
  );
  return jsonOption(command).action(examine);
}

async function examine(options: JsonOption): Promise<void> {
  const folder = modelFolder();
  const devices = await listDevices();
  const findings: Diagnosis[] = [
    checkNode(),
    await checkReleases(),
    ...checkDevices(devices),
    ...(await checkAddon()),
    checkBlasPlugin(),
    checkCompiler(),
    checkCmake(),
    checkGit(),
    checkPip(),
    ...models(folder),
    checkFolder(folder),
    { what: "answer cache", status: "ok", found: `${answerCacheText()}; npx inward cache clear empties it` },
  ];
  const canRun = findings.every((finding) => finding.status !== "failure");
  if (!canRun) process.exitCode = NOTHING_RUNS;
  if (options.json) {
    printJson({ canRun, findings, devices });
    return;
  }
  for (const { what, status, found, remedy } of findings) {
    print(`${MARKS[status]} ${what}: ${found}`);
    if (remedy) print(`          ${remedy}`);
  }
  print(canRun ? "inward can run." : "inward cannot run here yet.");
}

/** A spoilt registry or record is a finding too: the doctor examines, whatever it meets. */
function models(folder: string): Diagnosis[] {
  try {
    const registry = loadRegistry();
    return checkModels(modelInventory(registry, folder, process.env), registry.default);
  } catch (error) {
    if (!(error instanceof InwardError)) throw error;
    return [{ what: "models", status: "warning", found: `${error.code}: ${error.message}`, remedy: error.hint }];
  }
}
