/** Takes what a study leaves to the machine and decides it, so that it can stand in the plan. */
import { InwardError } from "../../errors.js";
import type { SettledEngine, StudyEngine } from "../../records/study.js";
import { findAddon } from "../native/find-addon.js";
import { settleForward } from "./settle-forward.js";

/** Of a study that names no number. Products of our own forward pass are fast from some 30 rows on, and what it masks costs nothing. */
const SEQUENCES = { own: 32, "llama.cpp": 16, "node-llama-cpp": 8 } as const;

/**
 * @param modelPaths of all models that are to be asked; without them, none is known to suit our own forward pass
 * @param buildFolder where the addon would be; native/build unless given
 * @throws ENGINE_UNAVAILABLE · MODEL_* of a model whose header had to be read
 */
export async function settleEngine(
  settings: StudyEngine,
  modelPaths: readonly string[] = [],
  buildFolder?: string,
): Promise<SettledEngine> {
  const engine = settings.engine === "auto" ? await bestEngine(buildFolder) : settings.engine;
  const forward = await settleForward(settings, engine, modelPaths);
  const sequences = settings.sequences ?? SEQUENCES[engine === "native" ? forward : engine];
  return { ...settings, engine, forward, sequences };
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
