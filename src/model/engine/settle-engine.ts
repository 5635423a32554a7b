/** Takes what a study leaves to the machine and decides it, so that it can stand in the plan. */
import { InwardError } from "../../errors.js";
import type { SettledEngine, StudyEngine } from "../../records/study.js";
import { findAddon } from "../native/find-addon.js";

/** Of a study that names no number. */
const SEQUENCES = { native: 16, "node-llama-cpp": 8 } as const;

/** @param buildFolder where the addon would be; native/build unless given */
export async function settleEngine(settings: StudyEngine, buildFolder?: string): Promise<SettledEngine> {
  const engine = settings.engine === "auto" ? await bestEngine(buildFolder) : settings.engine;
  return { ...settings, engine, sequences: settings.sequences ?? SEQUENCES[engine] };
}

async function bestEngine(buildFolder: string | undefined): Promise<SettledEngine["engine"]> {
  try {
    await findAddon(buildFolder);
    return "native";
  } catch (error) {
    if (error instanceof InwardError && error.code === "TRAIN_ADDON") return "node-llama-cpp";
    throw error;
  }
}
