/**
 * The native engine: the addon evaluates, over the prefix tree of a group; node-llama-cpp has read the vocabulary and nothing else,
 * so that the weights are in memory once. Runs inside the worker process, because an abort in native code must not take a run with it.
 */
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import type { Engine, NativeAnswers, NativeCounts, NativeEngineOptions, NativeWork } from "../../../native/index.js";
import type { Reply } from "../../records/answer.js";
import type { EngineManifest } from "../../records/model-state.js";
import type { SettledEngine } from "../../records/study.js";
import { type DeviceName, resolveDevice } from "../device.js";
import { inspectGguf, requireRunnable } from "../gguf/inspect-gguf.js";
import type { AdapterChoice, LanguageModel } from "../language-model.js";
import type { NextTokens } from "../next-tokens.js";
import { ChatTokens } from "./chat-tokens.js";
import { checkAdapter } from "./check-adapter.js";
import { addonForDevice } from "./native-addon.js";
import { continuationScores, readNextTokens, readReplies, readScores } from "./native-replies.js";
import { askingWork, nextTokensWork, scoringWork } from "./native-work.js";
import { runGroup } from "./run-group.js";
import { setUpFacts } from "./set-up-facts.js";

const BATCH_TOKENS = 512;
/** Half precision would round differently whenever a batch is cut differently. */
const CACHE_TYPE = "f32";

/** What an engine can be opened with beside a study's settings. */
export interface NativeEngineChoices {
  readonly adapter?: AdapterChoice;
  /** Cells of the KV cache; with fewer than a group can use, fewer items are asked at once. Default: as many as it can use. */
  readonly mostCells?: number;
  /** Numbers that keys and values are kept as; default f32. */
  readonly cacheType?: NativeEngineOptions["cacheType"];
}

/** Opens a GGUF, and an adapter on it, and proves that they can be asked. @throws MODEL_*, ADAPTER_*, ENGINE_UNAVAILABLE, ENGINE_MEMORY */
export async function openNativeEngine(
  modelPath: string,
  settings: SettledEngine,
  { adapter, mostCells = 0, cacheType = CACHE_TYPE }: NativeEngineChoices = {},
): Promise<LanguageModel> {
  const summary = await inspectGguf(modelPath);
  requireRunnable(summary);
  if (adapter) await checkAdapter(adapter.path, modelPath);
  const device = await resolveDevice(settings.device);
  // Of the device's own variant even for the vocabulary: a process can hold the libraries of one only.
  const llama = await getLlama({ ...device.llamaOptions, logLevel: LlamaLogLevel.warn });
  const evaluator = new Evaluator(
    await evaluatorOptions(modelPath, device.name, settings, { mostCells, cacheType }),
    adapter,
  );
  const { contextTokens, vocabularySize } = evaluator.open().describe();
  const vocabulary = await llama.loadModel({
    modelPath,
    vocabOnly: true,
    gpuLayers: 0,
    ignoreMemorySafetyChecks: true,
  });
  const facts = { vocabularySize, contextTokens };
  const chat = new ChatTokens(vocabulary, summary.chatTemplate as string, facts);

  const manifest: EngineManifest = {
    ...(await setUpFacts(device, settings, adapter)),
    contextTokens,
    batchTokens: BATCH_TOKENS,
    kvUnified: true,
    cacheType,
    ...chat.manifest(),
    logprobs:
      "natural log of the plain softmax of the raw logits at temperature 1 over the full vocabulary; at every position " +
      "log-sum-exp of single-precision exponentials carried on in double precision, off by less than 1e-6 nats",
  };

  return {
    manifest,
    facts,
    render: async (messages) => chat.render(messages),
    encode: async (conversations) => chat.encode(conversations),
    check: async (requests) => chat.tokenize(requests).map((request) => request.promptIds.length),
    ask: async (requests, { onReply, sequences, signal } = {}) => {
      const tokenized = chat.tokenize(requests);
      const replies: Reply[] = [];
      const take = (answers: NativeAnswers) => {
        for (const { index, reply } of readReplies(answers, tokenized, chat, vocabularySize)) {
          replies[index] = reply;
          onReply?.(index, reply);
        }
      };
      await evaluator.run(askingWork(tokenized), take, { sequences, signal });
      return replies;
    },
    score: async (requests, { signal } = {}) => {
      const tokenized = chat.tokenizeContinuations(requests);
      const logprobs: (readonly number[])[] = [];
      const take = (answers: NativeAnswers) => {
        for (const one of readScores(answers)) logprobs[one.index] = one.logprobs;
      };
      await evaluator.run(scoringWork(tokenized), take, { signal });
      return continuationScores(tokenized, logprobs);
    },
    nextTokens: async (messages, paths, topTokens) => {
      const promptIds = chat.tokenizePaths(messages, paths);
      const steps: NextTokens[] = [];
      const take = (answers: NativeAnswers) => {
        for (const { index, step } of readNextTokens(answers, paths, chat)) steps[index] = step;
      };
      const counts = await evaluator.run(nextTokensWork(promptIds, paths, topTokens), take);
      return { steps, evaluatedTokens: counts?.evaluatedTokens ?? 0 };
    },
    dispose: async () => {
      evaluator.close();
      await vocabulary.dispose();
      await llama.dispose();
    },
  };
}

async function evaluatorOptions(
  modelPath: string,
  device: DeviceName,
  { sequences, strict, threads }: SettledEngine,
  memory: Required<Pick<NativeEngineChoices, "mostCells" | "cacheType">>,
): Promise<EvaluatorOptions> {
  const { Engine, binaries } = await addonForDevice(device);
  const options = { modelPath, ...binaries, device, threads, batchTokens: BATCH_TOKENS, ...memory, strict };
  return { Engine, options, sequences: strict ? 1 : sequences };
}

interface EvaluatorOptions {
  readonly Engine: new (options: NativeEngineOptions) => Engine;
  readonly options: Omit<NativeEngineOptions, "sequences">;
  readonly sequences: number;
}

/** One addon engine at a time, and one group at a time on it. */
class Evaluator {
  private engine?: { readonly sequences: number; readonly native: Engine };
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly set: EvaluatorOptions,
    private readonly adapter: AdapterChoice | undefined,
  ) {}

  /** @param sequences another number than the engine's own loads the weights again */
  open(sequences = this.set.sequences): Engine {
    if (this.engine?.sequences === sequences) return this.engine.native;
    this.close();
    const native = new this.set.Engine({ ...this.set.options, sequences });
    if (this.adapter) native.setAdapters([{ path: this.adapter.path, scale: this.adapter.scale ?? 1 }]);
    this.engine = { sequences, native };
    return native;
  }

  /** @returns what the group cost; undefined for one without items */
  async run(
    work: NativeWork,
    take: (answers: NativeAnswers) => void,
    { sequences, signal }: { readonly sequences?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<NativeCounts | undefined> {
    if (work.maxTokens.length === 0) return undefined;
    const turn = this.last.then(() => {
      const engine = this.open(this.set.options.strict ? 1 : sequences);
      return runGroup(engine, work, take, signal);
    });
    this.last = turn.catch(() => {});
    return turn;
  }

  close(): void {
    const { engine } = this;
    delete this.engine;
    engine?.native.dispose();
  }
}
