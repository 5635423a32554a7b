/** How fast an earlier run trained: the last step's rate in the events of a run of the same base on the same machine. */
import { readdir } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import type { AdapterCard } from "../records/training.js";
import { readJson, readJsonLines } from "../store/read-records.js";
import { ADAPTER_FILES, RUN_FILES } from "../store/run-folder.js";

export interface EarlierTraining {
  readonly evaluatedTokensPerSecond: number;
  /** Folder of the run. */
  readonly run: string;
}

interface StepEvent {
  readonly event: string;
  readonly adapter?: string;
  readonly evaluatedTokensPerSecond?: number;
}

/**
 * @param runs folder of run folders
 * @param base sha256 of the weights
 * @returns the newest by folder name that fits; a run that cannot be read is no reason to stop
 */
export async function earlierTraining(
  runs: string,
  base: string,
  threads: number,
): Promise<EarlierTraining | undefined> {
  const names = await readdir(runs).catch(() => [] as string[]);
  for (const name of names.sort().reverse()) {
    const run = join(runs, name);
    const found = await trainingIn(run, base, threads).catch(() => undefined);
    if (found) return { evaluatedTokensPerSecond: found, run };
  }
  return undefined;
}

async function trainingIn(run: string, base: string, threads: number): Promise<number | undefined> {
  const [folder, ending] = ADAPTER_FILES.adapterCard;
  const cards = (await readdir(join(run, folder))).filter((name) => name.endsWith(ending));
  for (const file of cards) {
    const card = await readJson<AdapterCard>(join(run, folder, file));
    const { machine } = card;
    if (card.base.sha256 !== base || machine.threads !== threads || machine.cpu !== cpus()[0]?.model) continue;
    const { rows } = await readJsonLines<StepEvent>(join(run, RUN_FILES.events));
    const adapter = file.slice(0, -ending.length);
    const steps = rows.filter((row) => row.event === "training_step" && row.adapter === adapter);
    const rate = steps.at(-1)?.evaluatedTokensPerSecond;
    if (typeof rate === "number" && rate > 0) return rate;
  }
  return undefined;
}
