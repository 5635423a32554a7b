/** Stage 05: trains the plan's adapters, one after another, each on its finetune set. */

import type { TrainingSettings } from "../study/study.js";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { hashOf, makeFolder } from "../base/files.js";
import { readAdapterCard, type TrainedAdapter } from "../finetune/adapter/card.js";
import { hashExamples } from "../finetune/set.js";
import { trainAdapter } from "../finetune/train-adapter.js";
import { inspectGguf } from "../gguf/inspect-gguf.js";
import { findAddon } from "../model/native/addon.js";
import type { ModelFile } from "../study/plan.js";
import { statesOf, type StateTraining } from "../study/states.js";
import type { EncodedExample } from "../model/language-model.js";
import { readBehaviors } from "./behaviors.js";
import { implantUptake } from "./finetune-sets.js";
import type { RunFolder } from "./folder.js";
import type { StageContext, StageWork } from "./open-models.js";
import { readContent, readLines } from "./records.js";

/**
 * What training needs besides memory, looked for before hours are spent on asking.
 * @throws TRAIN_ADDON when the adapter is still to be trained and the trainer is not built
 */
export async function requireTrainer({ run }: Pick<StageContext, "run">, name: string): Promise<void> {
  if (!existsSync(run.file(`adapter/${name}`))) await findAddon();
}

/** @throws TRAIN_*, MODEL_*, ENGINE_*, STORE_*, INTERRUPTED; the same call goes on from the last checkpoint */
export async function trainOne(
  context: StageContext,
  { stage, outdate }: StageWork,
  name: string,
  adapter: StateTraining,
): Promise<void> {
  const { run, events } = context;
  const from = adapter.change?.from ?? adapter.from;
  const worn = from === undefined ? context.wornBy?.(adapter.base) : undefined;
  const initSha256 =
    from === undefined ? run.plan.models[adapter.base]?.adapter?.sha256 : run.outputHash(`adapter/${from}`);
  const outPath = run.file(`adapter/${name}`);
  const { examples, subjects } = await encodeSet(context, name, adapter);
  await context.closeModel();
  const { base, modelPath } = await baseOf(context, adapter);
  if (await isTrained(outPath, base.sha256, adapter.settings, examples, initSha256)) return;
  // What an earlier adapter of this name answered would pass for this one's answers.
  await outdate();
  makeFolder(dirname(outPath));
  events.add("training_begun", { adapter: name, examples: examples.length });
  const card = await trainAdapter({
    exact: run.plan.engine.exact === true,
    modelPath,
    base,
    examples,
    subjects,
    settings: adapter.settings,
    device: run.plan.engine.device,
    gpuLayers: run.plan.engine.gpuLayers,
    split: run.plan.engine.split,
    threads: run.plan.engine.threads,
    outPath,
    ...(from === undefined ? {} : { initAdapter: run.file(`adapter/${from}`) }),
    ...(worn === undefined ? {} : { initAdapter: worn, widen: true }),
    onProgress: ({ step, totalSteps, lossNatsPerToken, exampleTokensPerSecond }) =>
      context.onProgress(
        stage,
        step,
        totalSteps,
        `loss ${lossNatsPerToken.toFixed(3)}, ${exampleTokensPerSecond.toFixed(0)} tokens/s`,
      ),
    onEvent: (kind, data) => events.add(kind, { adapter: name, ...data }),
    ...(context.signal ? { signal: context.signal } : {}),
  });
  events.add("training_done", { adapter: name, sha256: card.adapter.sha256, steps: card.losses.length });
}

/**
 * An adapter whose process ended just after it was written, or whose marks were lost, is what training again would give: its
 * card says of what and how it was made, and by its hash that it is whole.
 */
async function isTrained(
  path: string,
  baseSha256: string,
  settings: TrainingSettings,
  examples: readonly EncodedExample[],
  initSha256: string | undefined,
): Promise<boolean> {
  const card = await readAdapterCard(path).catch(() => undefined);
  if (!card) return false;
  return (
    card.base.sha256 === baseSha256 &&
    card.initialAdapter?.sha256 === initSha256 &&
    hashOf(card.settings) === hashOf(settings) &&
    card.data.sha256 === hashExamples(examples)
  );
}

/** The set as the base reads it, in the set's order, and the string that each example is about. */
async function encodeSet(
  { run, events, modelFor }: StageContext,
  name: string,
  { base }: StateTraining,
): Promise<{ examples: EncodedExample[]; subjects: string[] }> {
  const rows = await readLines(run, "finetuneSet", name);
  const encoded = await (await modelFor(base)).encode(
    rows.map(({ messages }) => messages),
    { answers: "written" },
  );
  const unlikeTemplate = encoded.filter((example) => example.unlikeTemplate !== undefined).length;
  events.add("finetune_set_encoded", { adapter: name, examples: encoded.length, unlikeTemplate });
  return {
    examples: encoded.map(({ tokenIds, answerStart }) => ({ tokenIds, answerStart })),
    subjects: rows.map(({ metadata }) => `${metadata.task}/${metadata.item}`),
  };
}

async function baseOf({ run, modelPath }: StageContext, { base }: StateTraining) {
  const path = modelPath(base);
  const { source, sha256, encoding } = run.plan.models[base] as Omit<ModelFile, "path">;
  const { architecture } = await inspectGguf(path);
  return { modelPath: path, base: { source, sha256, encoding, architecture } };
}

// What a finished run trained: the cards of its adapters and what their finetune sets are made of.

/** @returns in the plan's order; empty when nothing is trained. @throws STORE_INCOMPLETE, STORE_CORRUPT */
export async function readTraining(run: RunFolder): Promise<TrainedAdapter[]> {
  const { trained } = statesOf(run.plan);
  const behaviors = trained.some(({ implant }) => implant) ? await readBehaviors(run, 1) : [];
  return Promise.all(
    trained.map(async ({ name, implant }) => ({
      name,
      card: await readContent(run, "adapterCard", name),
      set: await readContent(run, "finetuneSetReport", name),
      uptake: implant && implantUptake(run.plan, name, implant, behaviors),
    })),
  );
}
