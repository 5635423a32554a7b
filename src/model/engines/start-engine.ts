/** Opens a model in a worker process and speaks for it as a LanguageModel: an abort in native code becomes ENGINE_CRASHED. */

import { resolve } from "node:path";
import type { EngineManifest } from "../../study/plan.js";
import type { SettledEngine, StudyEngine } from "../../study/study.js";
import type { ChatMessage, Reply } from "../../tasks/answer.js";
import type {
  AdapterChoice,
  AskCost,
  AskRequest,
  ContinuationScore,
  EncodedConversation,
  LanguageModel,
  ModelFacts,
  NextTokensReply,
  RenderedPrompt,
  ScoreRequest,
} from "../language-model.js";
import { blasPluginEnv, requireBlasPlugin, usesBlasPlugin } from "../native/blas.js";
import { builtScript, WorkerProcess } from "../worker-process.js";
import { settleEngine } from "./settings.js";

export interface StartEngineOptions {
  /** Asks base and adapter together. Whether they belong together by the adapter's card is the caller's to check. */
  readonly adapter?: AdapterChoice;
  /** Native only: numbers that keys and values are kept as; default f32. node-llama-cpp always keeps f16. */
  readonly cacheType?: "f32" | "f16";
}

/**
 * @param modelPath a GGUF that was verified
 * @param settings what they leave open is settled here, as a plan would
 * @throws MODEL_*, ADAPTER_NOT_FOUND, ADAPTER_INVALID, ADAPTER_SHAPE, ENGINE_UNAVAILABLE, ENGINE_CRASHED
 */
export async function startEngine(
  modelPath: string,
  settings: StudyEngine,
  { adapter, cacheType }: StartEngineOptions = {},
): Promise<LanguageModel> {
  const settled = await settleEngine(settings, [modelPath]);
  // A plugin is found by its process's environment, when llama.cpp registers its backends.
  const worker = new WorkerProcess<EngineCall, EngineResults, EngineNote>({
    ...(usesBlasPlugin(settled) ? { env: blasPluginEnv(requireBlasPlugin()) } : {}),
    script: builtScript("./worker-main.js", import.meta.url),
    owner: "engine",
    crashCode: "ENGINE_CRASHED",
  });
  try {
    const opened = await worker.call({
      call: "open",
      modelPath,
      settings: settled,
      ...withFullPath(adapter),
      ...(cacheType ? { cacheType } : {}),
    });
    return modelOf(worker, opened);
  } catch (error) {
    await worker.end();
    throw error;
  }
}

function modelOf(
  worker: WorkerProcess<EngineCall, EngineResults, EngineNote>,
  { manifest, facts, adapts }: OpenedModel,
): LanguageModel {
  return {
    manifest,
    facts,
    render: (messages) => worker.call({ call: "render", messages }),
    encode: (conversations) => worker.call({ call: "encode", conversations }),
    check: (requests) => worker.call({ call: "check", requests }),
    ask: (requests, { sequences, onReply, onCost, signal } = {}) =>
      worker.call(
        { call: "ask", requests, ...(sequences === undefined ? {} : { sequences }) },
        {
          onNote: (note) => ("cost" in note ? onCost?.(note.cost) : onReply?.(note.index, note.reply)),
          ...(signal ? { signal } : {}),
        },
      ),
    score: (requests, { signal } = {}) => worker.call({ call: "score", requests }, signal ? { signal } : {}),
    nextTokens: (messages, paths, topTokens) => worker.call({ call: "nextTokens", messages, paths, topTokens }),
    ...(adapts
      ? {
          withAdapter: async (adapter?: AdapterChoice) =>
            modelOf(worker, await worker.call({ call: "adapt", ...withFullPath(adapter) })),
        }
      : {}),
    dispose: () => worker.end(),
  };
}

/** The worker may stand in another folder. */
function withFullPath(adapter: AdapterChoice | undefined): { readonly adapter?: AdapterChoice } {
  return adapter ? { adapter: { ...adapter, path: resolve(adapter.path) } } : {};
}

// Opens a model's vocabulary in a worker process: tokens are counted without its weights.

export interface Tokenizer {
  /** @returns [prompts] ids exactly as asking has them @throws CHAT_* */
  tokenize(prompts: readonly (readonly ChatMessage[])[]): Promise<number[][]>;
  dispose(): Promise<void>;
}

/** @throws MODEL_*, ENGINE_CRASHED */
export async function openTokenizer(modelPath: string): Promise<Tokenizer> {
  const worker = new WorkerProcess<TokenizerCall, TokenizerResults>({
    script: builtScript("./tokenizer-worker.js", import.meta.url),
    owner: "tokenizer",
    crashCode: "ENGINE_CRASHED",
  });
  try {
    await worker.call({ call: "open", modelPath });
  } catch (error) {
    await worker.end();
    throw error;
  }
  return {
    tokenize: (prompts) => worker.call({ call: "tokenize", prompts }),
    dispose: () => worker.end(),
  };
}

// The calls between a run and the worker process that holds its engine.

export type EngineCall =
  | {
      readonly call: "open";
      readonly modelPath: string;
      readonly settings: SettledEngine;
      readonly adapter?: AdapterChoice;
      /** Native only. */
      readonly cacheType?: "f32" | "f16";
    }
  | { readonly call: "render"; readonly messages: readonly ChatMessage[] }
  | { readonly call: "encode"; readonly conversations: readonly (readonly ChatMessage[])[] }
  | { readonly call: "check"; readonly requests: readonly AskRequest[] }
  | { readonly call: "ask"; readonly requests: readonly AskRequest[]; readonly sequences?: number }
  | { readonly call: "score"; readonly requests: readonly ScoreRequest[] }
  | {
      readonly call: "nextTokens";
      readonly messages: readonly ChatMessage[];
      readonly paths: readonly (readonly number[])[];
      readonly topTokens: number | readonly number[];
    }
  | { readonly call: "adapt"; readonly adapter?: AdapterChoice }
  | { readonly call: "dispose" };

export interface OpenedModel {
  readonly manifest: EngineManifest;
  readonly facts: ModelFacts;
  /** Whether it can change its adapter. */
  readonly adapts: boolean;
}

export interface EngineResults {
  readonly open: OpenedModel;
  readonly adapt: OpenedModel;
  readonly render: RenderedPrompt;
  readonly encode: EncodedConversation[];
  readonly check: number[];
  readonly ask: Reply[];
  readonly score: ContinuationScore[][];
  readonly nextTokens: NextTokensReply;
  readonly dispose: null;
}

/** A reply that is complete while others of its group are not, or what the group took. */
export type EngineNote = { readonly index: number; readonly reply: Reply } | { readonly cost: AskCost };

// The calls between a command that counts tokens and the worker process that holds a vocabulary.

export type TokenizerCall =
  | { readonly call: "open"; readonly modelPath: string }
  | { readonly call: "tokenize"; readonly prompts: readonly (readonly ChatMessage[])[] };

export interface TokenizerResults {
  readonly open: null;
  /** [prompts] ids exactly as asking has them. */
  readonly tokenize: number[][];
}
