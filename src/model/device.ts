// The one place that picks the device a model runs on, and tells what devices there are.

import { spawn } from "node:child_process";
import { InwardError } from "../errors.js";
import { builtScript, childEnvironment } from "./worker-process.js";

export type DeviceName = "cuda" | "vulkan" | "metal" | "cpu";

interface DeviceFound {
  readonly name: DeviceName;
  readonly available: true;
  readonly deviceNames: readonly string[];
  /** Of all its devices together; for the CPU the machine's memory. */
  readonly memory: { readonly totalBytes: number; readonly freeBytes: number };
  readonly llamaCpp: string;
  /** llama.cpp's own line about the kernels it was built with. */
  readonly systemInfo: string;
}

interface DeviceMissing {
  readonly name: DeviceName;
  readonly available: false;
  readonly reason: string;
}

export type DeviceReport = DeviceFound | DeviceMissing;

/** What to hand to node-llama-cpp's getLlama: prebuilt binaries only, nothing compiled or downloaded behind one's back. */
interface LlamaDeviceOptions {
  readonly gpu: "cuda" | "vulkan" | "metal" | false;
  readonly build: "never";
  readonly skipDownload: true;
  readonly progressLogs: false;
}

export interface ResolvedDevice {
  readonly name: DeviceName;
  /** Empty for the CPU. */
  readonly deviceNames: readonly string[];
  readonly llamaOptions: LlamaDeviceOptions;
  /** `auto` only: devices that were tried before and why they were passed over. */
  readonly passedOver: readonly DeviceMissing[];
}

interface ProbeOptions {
  /** The script that is run apart, with a device's name as its argument. */
  readonly probeScript?: string;
  readonly timeoutMilliseconds?: number;
}

const BY_PREFERENCE: readonly DeviceName[] = ["metal", "cuda", "vulkan", "cpu"];

/**
 * A device that is named must be there: nothing falls back silently. `auto` takes the first of Metal, CUDA, Vulkan, CPU.
 * @throws InwardError ENGINE_UNAVAILABLE
 */
export async function resolveDevice(wanted: DeviceName | "auto", options: ProbeOptions = {}): Promise<ResolvedDevice> {
  if (wanted === "cpu") return resolved("cpu", []);
  if (wanted !== "auto") {
    const report = await probeDevice(wanted, options);
    if (!report.available)
      throw new InwardError("ENGINE_UNAVAILABLE", `the device ${wanted} cannot be used: ${report.reason}`);
    return resolved(wanted, report.deviceNames);
  }
  const passedOver: DeviceMissing[] = [];
  // Half a second to load, so only when it is needed: every command imports this file.
  const { getLlamaGpuTypes } = await import("node-llama-cpp");
  // Asking for libraries is cheap; only devices that have theirs are worth a probe.
  for (const name of await getLlamaGpuTypes("supported")) {
    if (name === false) continue;
    const report = await probeDevice(name, options);
    if (report.available) return resolved(name, report.deviceNames, passedOver);
    passedOver.push(report);
  }
  return resolved("cpu", [], passedOver);
}

/** Every device that llama.cpp knows, best first. Never throws: a crash in native code is a reason. */
export async function listDevices(options: ProbeOptions = {}): Promise<DeviceReport[]> {
  const reports: DeviceReport[] = [];
  for (const name of BY_PREFERENCE) reports.push(await probeDevice(name, options));
  return reports;
}

/** Loads the device's native code in a process of its own, because what is wrong there may abort or hang the process. */
export async function probeDevice(name: DeviceName, options: ProbeOptions = {}): Promise<DeviceReport> {
  if (name === "metal" && process.platform !== "darwin") return missingDevice(name, "Metal is for macOS");
  if (name === "cuda" && process.platform === "darwin") return missingDevice(name, "CUDA is not for macOS");
  const timeout = options.timeoutMilliseconds ?? 60_000;
  const child = spawn(
    process.execPath,
    [options.probeScript ?? builtScript("./probe-devices.js", import.meta.url), name],
    {
      stdio: ["ignore", "pipe", "pipe"],
      timeout,
      killSignal: "SIGKILL",
      env: childEnvironment(),
    },
  );
  let output = "";
  let complaints = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaints = (complaints + text).slice(-8000);
  });
  const started = Date.now();
  return new Promise((resolve) => {
    child.on("error", (error) => resolve(missingDevice(name, `the probe did not start: ${error.message}`)));
    child.on("close", (code, signal) => {
      const report = readReport(output);
      if (report?.name === name) return resolve(report);
      if (signal === "SIGKILL" && Date.now() - started >= timeout) {
        return resolve(missingDevice(name, `loading it took longer than ${timeout / 1000} s`));
      }
      const last = lastWords(complaints);
      resolve(missingDevice(name, `loading it ended with ${signal ?? `exit code ${code}`}${last ? `: ${last}` : ""}`));
    });
  });
}

/** The last line that is not a stack trace. */
function lastWords(complaints: string): string | undefined {
  const lines = complaints.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "" && !/^(at |\d+: |Node\.js v|-----)/.test(line)).at(-1);
}

function resolved(name: DeviceName, deviceNames: readonly string[], passedOver: DeviceMissing[] = []): ResolvedDevice {
  const gpu = name === "cpu" ? false : name;
  return {
    name,
    deviceNames,
    llamaOptions: { gpu, build: "never", skipDownload: true, progressLogs: false },
    passedOver,
  };
}

function missingDevice(name: DeviceName, reason: string): DeviceMissing {
  return { name, available: false, reason };
}

/** Native code may print to stdout too, so the report is the last line that is one. */
function readReport(output: string): DeviceReport | undefined {
  for (const line of output.trim().split("\n").reverse()) {
    try {
      const data: unknown = JSON.parse(line);
      if (typeof data === "object" && data !== null && "available" in data) return data as DeviceReport;
    } catch {
      // A line of somebody else's.
    }
  }
  return undefined;
}
