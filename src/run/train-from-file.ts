/** A LoRA adapter from chat JSONL in one call: the base found, the examples encoded, trained on, and the adapter's files written. */

import { dirname } from "node:path";
import type { z } from "zod";
import { makeFolder, writeWhole } from "../base/files.js";
import { InwardError } from "../errors.js";
import { adapterFiles } from "../finetune/adapter/adapter.js";
import { type AdapterCard, adapterSettings, readAdapterCard } from "../finetune/adapter/card.js";
import { exportPeft, requirePeftPlaces } from "../finetune/adapter/peft.js";
import { readAdapter } from "../finetune/adapter/saved-adapter.js";
import { parseChatJsonl, readChatJsonl, type TrainingExample } from "../finetune/chat-jsonl.js";
import { type InitialAdapter, readInitialAdapter } from "../finetune/initial-adapter.js";
import type { StepReport } from "../finetune/loop.js";
import { trainAdapter } from "../finetune/train-adapter.js";
import { requireTrainable } from "../finetune/trainer.js";
import { inspectGguf } from "../gguf/inspect-gguf.js";
import { readGguf } from "../gguf/read-gguf.js";
import type { EncodedExample } from "../model/language-model.js";
import { gpuOf } from "../model/engines/settings.js";
import { startEngine } from "../model/engines/start-engine.js";
import { requirePlannedFile, requireStillPlanned } from "../model/model-file.js";
import { findAddon } from "../model/native/addon.js";
import { loadRegistry } from "../model/registry.js";
import { resolveModel } from "../model/resolve-model.js";
import { lossFigure } from "../report/figures/training-figure.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import type { ModelFile } from "../study/plan.js";
import { loraSchema } from "../study/schema.js";
import {
  gpuSettings,
  type LoraSettings,
  type StudyEngine,
  type StudyModel,
  toTrainingSettings,
  type TrainingSettings,
} from "../study/study.js";
import { modelProgress, type WorkOptions, type WorkProgress } from "./open-model.js";
import { type AuthoredChat, settleFile } from "./planned-chats.js";

/** The `lora` section of a study, without what only a study has. */
export type AuthoredTraining = Omit<z.input<typeof loraSchema>, "examplesPerProperty">;

export interface TrainOptions extends WorkOptions, AuthoredChat {
  /** The adapter to write; ends in .gguf. Card, README and a figure of the loss come beside it. */
  readonly out: string;
  /** Registry name, `hf:` URI, or path of a GGUF; the registry's default model when absent. */
  readonly model?: string;
  readonly encoding?: StudyModel["encoding"];
  /** Default `auto`. */
  readonly device?: StudyEngine["device"];
  /** Layers whose weights stay on the GPUs; those of the others are sent there one after the other. Default `auto`: as many as fit. */
  readonly gpuLayers?: StudyEngine["gpuLayers"];
  /** Over several devices: layer after layer, or none, only the first of them. Default `layer`. */
  readonly split?: StudyEngine["split"];
  /** Threads that compute. Default: a study's. */
  readonly threads?: number;
  /** Products of floats stay in single precision on a GPU too. Default false. */
  readonly exact?: boolean;
  /** Rank, learning rate, epochs and so on; a study's defaults for all others, or those of `initAdapter`. */
  readonly settings?: AuthoredTraining;
  /** Examples to watch the loss on, instead of on a share of the others. */
  readonly validation?: string | readonly TrainingExample[];
  /** A GGUF or a PEFT folder to go on from; its rank, alpha and targets hold. */
  readonly initAdapter?: string;
  /** Take an initial adapter that was trained on another base; the card will say so. Default false. */
  readonly forceBase?: boolean;
  /** An adapter whose card names the kernels to compute with, to repeat its training bit for bit. */
  readonly kernelsOf?: string;
  /** Folder to write the adapter to as PEFT has it, too. */
  readonly peft?: string;
  readonly onStep?: (step: StepReport) => void;
  /** What happens, for a log: training_opened, _resumed, _step, _validation, _checkpoint, examples_unlike_template, chat_settled, adapter_without_card, adapter_on_some_layers. */
  readonly onEvent?: (kind: string, data: object) => void;
}

/** Paths as they were given. */
export interface TrainedFiles {
  readonly adapter: string;
  readonly card: string;
  readonly readme: string;
  readonly lossFigure: string;
  readonly peft?: string;
}

export interface Trained {
  readonly files: TrainedFiles;
  /** Base, data, settings, kernels and every step's loss, in nats per answer token. */
  readonly card: AdapterCard;
}

/** Conversations sent to the engine at once. */
const ENCODED_AT_ONCE = 512;

/**
 * Learns the last assistant message of every example and writes a LoRA adapter that llama.cpp loads. The same call after an
 * interruption or a kill goes on from the last checkpoint and ends with the same adapter.
 * @param chat path of OpenAI chat JSONL, or its lines as objects
 * @throws InwardError TRAIN_EXAMPLE, TRAIN_EMPTY_SET, TRAIN_SETTINGS, TRAIN_ADDON (not built here), TRAIN_MODEL, TRAIN_MEMORY ·
 *   MODEL_* · ADAPTER_* · STORE_* · INTERRUPTED after a checkpoint
 */
export async function train(chat: string | readonly TrainingExample[], options: TrainOptions): Promise<Trained> {
  const { out, threads = DEFAULT_ENGINE.threads, device = "auto", signal, onProgress, onStep, onEvent } = options;
  if (!out.endsWith(".gguf")) {
    throw new InwardError("TRAIN_SETTINGS", `out wants the path of an adapter that ends in .gguf, not "${out}".`);
  }
  // What needs no model is checked before one is fetched; the defaults stand in for an initial adapter's settings.
  trainingSettings(options.settings, undefined);
  const examples = await readExamples(chat);
  const validation = options.validation === undefined ? undefined : await readExamples(options.validation);
  const kernels = options.kernelsOf === undefined ? undefined : await kernelsOf(options.kernelsOf);
  await findAddon();
  const file = await resolveModel(options.model ?? loadRegistry().default, {
    encoding: options.encoding ?? "as_shipped",
    offline: options.offline,
    onProgress: modelProgress(onProgress),
    signal,
  });
  const { architecture } = await inspectGguf(file.path);
  const initial = await readInitial(options, file);
  if (initial?.base === "no_card") onEvent?.("adapter_without_card", { adapter: options.initAdapter });
  const layers = initial && (await layersOf(initial, file));
  if (layers) onEvent?.("adapter_on_some_layers", layers);
  const watched = validation && options.settings?.validationShare === undefined ? { validationShare: 0 } : {};
  const said = { ...options.settings, ...watched };
  const settings = {
    ...trainingSettings(said, initial && adapterSettings(initial.adapter)),
    ...((await gpuOf(device)) ? gpuSettings({ ...(initial && adapterSettings(initial.adapter)), ...said }) : {}),
  };
  await requireTrainable(file.path, settings.lora.targets);
  if (options.peft !== undefined) requirePeftPlaces(await readGguf(file.path), settings.lora.targets);
  const [encoded, encodedValidation] = await encode(file, threads, [examples, validation ?? []], options);
  for (const folder of [dirname(out), ...(options.peft === undefined ? [] : [options.peft])]) {
    makeFolder(folder);
  }
  const card = await trainAdapter({
    modelPath: file.path,
    base: { source: file.source, sha256: file.sha256, encoding: file.encoding, architecture },
    examples: encoded as EncodedExample[],
    validationExamples: validation && encodedValidation,
    settings,
    device,
    gpuLayers: options.gpuLayers,
    split: options.split,
    threads,
    exact: options.exact === true,
    outPath: out,
    initAdapter: options.initAdapter,
    forceBase: options.forceBase,
    kernels,
    onProgress: (step) => {
      onStep?.(step);
      onProgress?.(trainingProgress(step));
    },
    onEvent,
    signal,
  });
  await requireStillPlanned(() => requirePlannedFile(file.source, file), Object.values(adapterFiles(out)));
  return { files: await writeBeside(card, file, options), card };
}

/** A step of training as progress of the whole. */
export function trainingProgress(report: StepReport): WorkProgress {
  const { step, totalSteps, lossNatsPerToken, exampleTokensPerSecond, evaluatedTokensPerSecond, secondsLeft } = report;
  const rate = (perSecond: number) => perSecond.toFixed(perSecond < 10 ? 1 : 0);
  const detail = `loss ${lossNatsPerToken.toFixed(4)} · ${rate(exampleTokensPerSecond)} example tokens/s (${rate(evaluatedTokensPerSecond)} evaluated)`;
  return { stage: "training", done: step, total: totalSteps, unit: "steps", detail, secondsLeft };
}

/**
 * @param given keys of a study's `lora` section
 * @param initial the settings of the adapter to go on from, which then are the defaults
 * @param shown what the caller calls a key, and what it was given
 * @throws TRAIN_SETTINGS, which names the key
 */
export function trainingSettings(
  given: Readonly<Record<string, unknown>> = {},
  initial: Omit<LoraSettings, "dropout"> | undefined,
  shown: (key: string) => readonly [name: string, value: string] = (key) => [key, JSON.stringify(given[key])],
): TrainingSettings {
  const parsed = loraSchema.safeParse({ ...initial, ...given });
  if (parsed.success) return toTrainingSettings(parsed.data, 0);
  const [issue] = parsed.error.issues;
  throw new InwardError(
    "TRAIN_SETTINGS",
    `${shown(String(issue?.path[0] ?? "settings")).join(" ")}: ${issue?.message}`,
  );
}

function readExamples(chat: string | readonly TrainingExample[]): Promise<TrainingExample[]> {
  if (typeof chat === "string") return readChatJsonl(chat);
  const lines = chat.map((example) => JSON.stringify(example)).join("\n");
  return Promise.resolve(parseChatJsonl(new TextEncoder().encode(lines), "the examples"));
}

async function kernelsOf(path: string): Promise<AdapterCard["machine"]["kernels"]> {
  const card = await readAdapterCard(path);
  if (!card) throw new InwardError("ADAPTER_NOT_FOUND", `${path} has no card, which would name its kernels.`);
  return card.machine.kernels;
}

async function readInitial(
  { initAdapter, forceBase }: TrainOptions,
  file: ModelFile,
): Promise<InitialAdapter | undefined> {
  if (initAdapter === undefined) return undefined;
  const base = { modelPath: file.path, sha256: file.sha256 };
  return readInitialAdapter(initAdapter, base, { force: forceBase === true });
}

/** Undefined for an adapter with a pair wherever the trainer has one. */
async function layersOf(
  { adapter }: InitialAdapter,
  file: ModelFile,
): Promise<{ pairs: number; of: number } | undefined> {
  const { blockCount = 0 } = await inspectGguf(file.path);
  const matrices = new Set([...adapter.tensors.keys()].map((name) => name.replace(/^blk\.\d+\.|\.lora_[ab]$/g, "")));
  const [pairs, of] = [adapter.tensors.size / 2, blockCount * matrices.size];
  return pairs < of ? { pairs, of } : undefined;
}

/** The sets as the base reads them. The model is closed again: training needs the memory. */
async function encode(
  file: ModelFile,
  threads: number,
  sets: readonly (readonly TrainingExample[])[],
  { signal, onEvent, ...authored }: TrainOptions,
): Promise<EncodedExample[][]> {
  // Nothing is computed on it, so it stays off the device, and its weights on disk.
  const unused = { device: "cpu", forward: "llama.cpp", sequences: 1 } as const;
  const chat = await settleFile(file.path, authored);
  onEvent?.("chat_settled", { system: chat.words.system, thinking: chat.words.thinking });
  const model = await startEngine(file.path, { ...DEFAULT_ENGINE, ...unused, threads }, { chat });
  try {
    const encoded: EncodedExample[][] = [];
    let unlike = 0;
    for (const set of sets) {
      const ids: EncodedExample[] = [];
      for (let start = 0; start < set.length; start += ENCODED_AT_ONCE) {
        if (signal?.aborted) throw new InwardError("INTERRUPTED", "Encoding the examples was interrupted.");
        const some = await model.encode(
          set.slice(start, start + ENCODED_AT_ONCE).map(({ messages }) => messages),
          { answers: "written" },
        );
        unlike += some.filter(({ unlikeTemplate }) => unlikeTemplate !== undefined).length;
        ids.push(...some.map(({ tokenIds, answerStart }) => ({ tokenIds, answerStart })));
      }
      encoded.push(ids);
    }
    if (unlike > 0) onEvent?.("examples_unlike_template", { examples: unlike });
    return encoded;
  } finally {
    await model.dispose();
  }
}

async function writeBeside(card: AdapterCard, file: ModelFile, { out, peft }: TrainOptions): Promise<TrainedFiles> {
  const lossPath = out.replace(/\.gguf$/, ".loss.svg");
  await writeWhole(lossPath, await lossFigure(`Loss of ${card.base.source}'s adapter over training`, card));
  if (peft !== undefined) {
    const { architecture, headCount, headCountKv = headCount, blockCount } = await inspectGguf(file.path);
    if (headCount === undefined || headCountKv === undefined || blockCount === undefined) {
      throw new InwardError("TRAIN_MODEL", `${file.path} does not say how many heads and layers it has.`);
    }
    await exportPeft(
      peft,
      await readAdapter(out),
      { architecture, heads: headCount, keyValueHeads: headCountKv, layers: blockCount },
      { dropout: card.settings.lora.dropout },
    );
  }
  return { ...adapterFiles(out), lossFigure: lossPath, ...(peft === undefined ? {} : { peft }) };
}
