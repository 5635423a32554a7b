/** One model from its name to its answers: found or fetched, checked, under its adapter if it is to wear one, and opened. */

import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { InwardError } from "../errors.js";
import { adapterSettings, writeAdapterCard } from "../finetune/adapter/card.js";
import { findAdapter, type FoundAdapter } from "../finetune/adapter/found-adapter.js";
import { type BaseCheck, checkAdapterBase, readAdapter } from "../finetune/adapter/saved-adapter.js";
import { checkAdapter } from "../model/engines/check-adapter.js";
import { startEngine } from "../model/engines/start-engine.js";
import type { Intervened } from "../model/interventions.js";
import type { AdapterChoice, LanguageModel } from "../model/language-model.js";
import type { SettledChat } from "../model/chat/settled-chat.js";
import { type ModelProgress, type OnModelProgress, requirePlannedFile } from "../model/model-file.js";
import { loadRegistry } from "../model/registry.js";
import { resolveModel } from "../model/resolve-model.js";
import { DEFAULT_ENGINE } from "../study/load-study.js";
import type { ModelFile } from "../study/plan.js";
import type { StudyEngine, StudyModel } from "../study/study.js";
import type { ChatMessage, Reply } from "../tasks/answer.js";
import { type AuthoredChat, settleFile } from "./planned-chats.js";

/** Where long work is. */
export interface WorkProgress {
  /** What is being done, such as `hypothetical`, `training` or `checking tiny.gguf`. */
  readonly stage: string;
  readonly done: number;
  /** Absent while nobody knows it: a download without a length. */
  readonly total?: number;
  readonly unit: "questions" | "steps" | "bytes";
  /** What else is worth seeing at this moment, such as the loss. */
  readonly detail?: string;
  /** Where the work itself can tell. */
  readonly secondsLeft?: number;
}

export type OnWorkProgress = (progress: WorkProgress) => void;

/** What every call that may take long accepts. */
export interface WorkOptions {
  /** Never use the network: models must be on this machine. `HF_HUB_OFFLINE=1` says the same. Default false. */
  readonly offline?: boolean;
  /** Aborting it ends the work cleanly, with INTERRUPTED. */
  readonly signal?: AbortSignal;
  readonly onProgress?: OnWorkProgress;
}

const FILE_WORK = {
  download: "downloading",
  unpack: "unpacking",
  verify: "checking",
  "re-encode": "re-encoding",
} as const satisfies Record<ModelProgress["stage"], string>;

/** Work on a model's file as progress of the whole. @param name of the model in its study, if it has one */
export function modelProgress(onProgress: OnWorkProgress | undefined, name?: string): OnModelProgress {
  return ({ stage, what, doneBytes, totalBytes }) =>
    onProgress?.({ stage: `${FILE_WORK[stage]} ${name ?? what}`, done: doneBytes, total: totalBytes, unit: "bytes" });
}

export interface FindModelOptions extends WorkOptions, AuthoredChat {
  /** Weights as they are in the file, or re-encoded once into the model folder. Default `as_shipped`. */
  readonly encoding?: StudyModel["encoding"];
  /** Path of a LoRA adapter to wear: a GGUF, a PEFT folder, or the .safetensors in one. */
  readonly adapter?: string;
  /** Multiplies the adapter's alpha / rank; 0 leaves the base alone. Default 1. */
  readonly adapterScale?: number;
  /** Take an adapter whose card names another base; the card then says so. Default false. */
  readonly forceAdapter?: boolean;
}

export interface OpenModelOptions extends FindModelOptions {
  /** Where to run; shorthand for `engine.device`. Default `auto`. */
  readonly device?: StudyEngine["device"];
  /** Engine settings as in a study, such as `{ threads: 4 }`; the defaults of a study for all others. */
  readonly engine?: Partial<StudyEngine>;
}

/** An adapter that a model wears, and what is known of whether it was trained on it. */
export interface WornAdapter extends AdapterChoice, Pick<FoundAdapter, "sha256" | "convertedFrom"> {
  /** Path as it was given; `path` is the GGUF that the engine loads. */
  readonly given: string;
  readonly scale: number;
  /** `no_card`: only its shapes say that it is this model's. `forced`: its card names another base, `trainedOn`. */
  readonly base: BaseCheck["base"];
  /** Source of the base that the card names. */
  readonly trainedOn?: string;
}

export interface FoundModel {
  /** The file that runs. */
  readonly file: ModelFile;
  /** How it is spoken to. */
  readonly chat: SettledChat;
  readonly adapter?: WornAdapter;
}

export interface AnswerOptions extends Intervened {
  /** Default: what the model was opened with. Not with messages, which say it themselves. */
  readonly system?: string;
  /** Longest answer in tokens. Default 64. */
  readonly maxTokens?: number;
  /** 0: the most likely token. Above: drawn from softmax(logits / temperature), a function of the logits and `seed`. Default 0. */
  readonly temperature?: number;
  /** Default "0". */
  readonly seed?: string;
  /** Most likely tokens reported at the first position of the answer. Default 10. */
  readonly topTokens?: number;
  readonly signal?: AbortSignal;
}

/** A model that is open in a process of its own. Dispose of it, or declare it with `await using`. */
export interface OpenModel extends LanguageModel, FoundModel {
  /**
   * One answer to one prompt.
   * @param prompt the user's message, or a whole conversation whose last message is the user's
   * @returns text, token ids and, of each token, its logprob (natural log at temperature 1 over the full vocabulary)
   * @throws InwardError ENGINE_CONTEXT the prompt and the answer do not fit · CHAT_* · ENGINE_* · INTERRUPTED
   */
  answer(prompt: string | readonly ChatMessage[], options?: AnswerOptions): Promise<Reply>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Finds a model, or fetches it, and opens it.
 * @param source registry name, `hf:` URI, or path of a GGUF; the registry's default model when absent
 * @throws InwardError MODEL_* it cannot be had or is damaged · ADAPTER_* · ENGINE_UNAVAILABLE no such device or engine here ·
 *   ENGINE_CRASHED · INTERRUPTED
 */
export async function openModel(
  source: string = loadRegistry().default,
  { device, engine, ...options }: OpenModelOptions = {},
): Promise<OpenModel> {
  const found = await findModel(source, options);
  return openFound(found, { ...DEFAULT_ENGINE, ...(device ? { device } : {}), ...engine });
}

/** A model's file and adapter, checked to belong together, and its chat. @throws InwardError MODEL_*, ADAPTER_*, CHAT_SYSTEM, INTERRUPTED */
export async function findModel(source: string, options: FindModelOptions = {}): Promise<FoundModel> {
  const { encoding = "as_shipped", offline, signal, onProgress } = options;
  const file = await resolveModel(source, { encoding, offline, signal, onProgress: modelProgress(onProgress) });
  const chat = await settleFile(file.path, options);
  if (options.adapter === undefined) return { file, chat };
  return { file, chat, adapter: await wear(options.adapter, file, options) };
}

/** An engine of the file that was found, and of no other that has its path since. @throws as openFound · MODEL_CHECKSUM */
export async function startFound({ file, adapter, chat }: FoundModel, engine: StudyEngine): Promise<LanguageModel> {
  const choice = adapter && { path: adapter.path, scale: adapter.scale };
  const model = await startEngine(file.path, engine, { adapter: choice, chat });
  await requirePlannedFile(file.source, file).catch(async (error) => {
    await model.dispose();
    throw error;
  });
  return model;
}

/** @throws InwardError ENGINE_UNAVAILABLE, ENGINE_CRASHED, MODEL_*, ADAPTER_SHAPE, ADAPTER_INVALID */
export async function openFound(found: FoundModel, engine: StudyEngine): Promise<OpenModel> {
  const { file, adapter, chat } = found;
  const model = await startFound(found, engine);
  return {
    ...model,
    file,
    chat,
    ...(adapter ? { adapter } : {}),
    answer: async (prompt, options = {}) => {
      const {
        system = "",
        maxTokens = 64,
        temperature = 0,
        seed = "0",
        topTokens = 10,
        interventions,
        signal,
      } = options;
      const messages = typeof prompt === "string" ? turns(system, prompt) : prompt;
      const [reply] = await model.ask([{ messages, maxTokens, temperature, seed, topTokens, interventions }], {
        signal,
      });
      if (!reply) throw new InwardError("INTERNAL", "The engine gave no reply.");
      return reply;
    },
    [Symbol.asyncDispose]: () => model.dispose(),
  };
}

/** A conversation of one question. */
export function turns(system: string, content: string): ChatMessage[] {
  return [
    { role: "system", content: system },
    { role: "user", content },
  ];
}

/**
 * A model of a study under the finished adapter that it wears: the adapter's exact file, checked on the base, is part of the plan.
 * @throws InwardError ADAPTER_NOT_FOUND · ADAPTER_INVALID · ADAPTER_SHAPE · ADAPTER_BASE another base than its card's · MODEL_*
 */
export async function wornInStudy(file: ModelFile, source: string): Promise<ModelFile> {
  const { path, sha256, card, convertedFrom } = await findAdapter(source, file.path);
  const { base } = checkAdapterBase(card, file.sha256);
  await checkAdapter(path, file.path);
  const adapter = await readAdapter(path);
  const { rank, alpha, targets } = adapterSettings(adapter);
  const { size: bytes } = await stat(path);
  return {
    ...file,
    adapterPath: resolve(path),
    adapter: {
      source,
      sha256,
      bytes,
      ...(convertedFrom ? { convertedFrom } : {}),
      base: base === "forced" ? "no_card" : base,
      rank,
      alpha,
      targets,
    },
  };
}

/** @throws ADAPTER_NOT_FOUND · ADAPTER_INVALID (its card is not its own) · ADAPTER_BASE · STORE_* where a forced card cannot be written */
async function wear(
  given: string,
  file: ModelFile,
  { adapterScale = 1, forceAdapter }: FindModelOptions,
): Promise<WornAdapter> {
  const { path, sha256, card, convertedFrom } = await findAdapter(given, file.path);
  const check = checkAdapterBase(card, file.sha256, { force: forceAdapter === true });
  const worn = {
    given,
    path,
    sha256,
    scale: adapterScale,
    base: check.base,
    ...(convertedFrom ? { convertedFrom } : {}),
  };
  if (check.base !== "forced") return worn;
  if (check.card.forcedOnto?.length !== card?.forcedOnto?.length) await writeAdapterCard(path, check.card);
  return { ...worn, trainedOn: check.card.base.source };
}
