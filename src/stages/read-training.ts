/** What a finished run trained: the cards of its adapters and what their finetune sets are made of. */
import type { FinetuneSetReport } from "../records/finetune-set.js";
import type { TrainedAdapter } from "../records/trained-adapter.js";
import type { AdapterCard } from "../records/training.js";
import { readJson } from "../store/read-records.js";
import type { RunFolder } from "../store/run-folder.js";

/** @returns in the plan's order; empty when nothing is trained. @throws STORE_INCOMPLETE, STORE_CORRUPT */
export function readTraining(run: RunFolder): Promise<TrainedAdapter[]> {
  return Promise.all(
    Object.keys(run.plan.adapters ?? {}).map(async (name) => ({
      name,
      card: await readJson<AdapterCard>(run.file(`adapterCard/${name}`)),
      set: await readJson<FinetuneSetReport>(run.file(`finetuneSetReport/${name}`)),
    })),
  );
}

/** What a report says about training depends on these. Nothing for a plan that trains nothing. */
export function trainingHashes(run: RunFolder): { training?: string[] } {
  const names = Object.keys(run.plan.adapters ?? {});
  if (names.length === 0) return {};
  return {
    training: names.flatMap((name) => [
      run.outputHash(`adapterCard/${name}`),
      run.outputHash(`finetuneSetReport/${name}`),
    ]),
  };
}
