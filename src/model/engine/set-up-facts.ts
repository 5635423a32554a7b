/** What a manifest says of any engine: the releases, the machine, the settings, the adapter. */
import { cpus } from "node:os";
import type { EngineManifest } from "../../records/model-state.js";
import type { SettledEngine } from "../../records/study.js";
import { sha256OfFile } from "../checksum.js";
import type { ResolvedDevice } from "../device.js";
import type { AdapterChoice } from "../language-model.js";
import { cpuFlags } from "./cpu-flags.js";
import { engineReleases } from "./releases.js";

export type SetUpFacts = Pick<
  EngineManifest,
  | "engine"
  | "nodeLlamaCpp"
  | "llamaCpp"
  | "device"
  | "deviceNames"
  | "cpu"
  | "cpuFlags"
  | "threads"
  | "sequences"
  | "strict"
  | "adapter"
>;

export async function setUpFacts(
  device: ResolvedDevice,
  settings: SettledEngine,
  adapter: AdapterChoice | undefined,
): Promise<SetUpFacts> {
  return {
    engine: settings.engine,
    ...(await engineReleases()),
    device: device.name,
    deviceNames: device.deviceNames,
    cpu: cpus()[0]?.model ?? "unknown",
    cpuFlags: await cpuFlags(),
    threads: settings.threads,
    sequences: settings.strict ? 1 : settings.sequences,
    strict: settings.strict,
    ...(adapter ? { adapter: { sha256: await sha256OfFile(adapter.path), scale: adapter.scale ?? 1 } } : {}),
  };
}
