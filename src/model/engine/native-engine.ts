/**
 * The native engine: the addon evaluates, over the prefix tree of a group; node-llama-cpp has read the vocabulary and nothing else,
 * so that the weights are in memory once. Runs inside the worker process, because an abort in native code must not take a run with it.
 */
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import type { Engine, NativeAnswers, NativeCounts, NativeEngineOptions } from "../../../native/index.js";
import { InwardError } from "../../errors.js";
import type { Reply } from "../../records/answer.js";
import type { EngineManifest } from "../../records/model-state.js";
import type { SettledEngine } from "../../records/study.js";
import { sha256OfFile } from "../checksum.js";
import { type DeviceName, resolveDevice } from "../device.js";
import { inspectGguf, requireRunnable } from "../gguf/inspect-gguf.js";
import type { AdapterChoice, AskCost, LanguageModel } from "../language-model.js";
import type { NextTokens } from "../next-tokens.js";
import { ChatTokens } from "./chat-tokens.js";
import { checkAdapter } from "./check-adapter.js";
import { requireBlasPlugin, usesBlasPlugin } from "./blas-plugin.js";
import { Evaluator } from "./evaluator.js";
import { addonForDevice } from "./native-addon.js";
import { continuationScores, readNextTokens, readReplies, readScores } from "./native-replies.js";
import { askingWork, nextTokensWork, scoringWork } from "./native-work.js";
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
  const usesBlas = usesBlasPlugin(settings);
  if (usesBlas && device.name !== "cpu") {
    throw new InwardError("ENGINE_UNAVAILABLE", `engine.blas is for the CPU; this runs on ${device.name}`);
  }
  const { forward = "llama.cpp" } = settings;
  if (forward === "own" && device.name !== "cpu") {
    throw new InwardError("ENGINE_UNAVAILABLE", `engine.forward own is for the CPU; this runs on ${device.name}`);
  }
  // Of the device's own variant even for the vocabulary: a process can hold the libraries of one only.
  const llama = await getLlama({ ...device.llamaOptions, logLevel: LlamaLogLevel.warn });
  const flashAttention = settings.flashAttention === true && !settings.strict;
  const evaluator = new Evaluator(
    await openAddon(modelPath, device.name, settings, { mostCells, cacheType, flashAttention, forward }),
  );
  await evaluator.setAdapter(adapter);
  const { contextTokens, vocabularySize, kernels } = evaluator.describe();
  const vocabulary = await llama.loadModel({
    modelPath,
    vocabOnly: true,
    gpuLayers: 0,
    ignoreMemorySafetyChecks: true,
  });
  const size = { vocabularySize, contextTokens };
  const chat = new ChatTokens(vocabulary, summary.chatTemplate as string, size);
  const facts = { ...size, cleansSpaces: chat.cleansSpaces() };

  const blasPlugin = usesBlas ? { blasPlugin: { sha256: await sha256OfFile(requireBlasPlugin()) } } : {};
  const manifestOf = async (chosen: AdapterChoice | undefined): Promise<EngineManifest> => ({
    ...(await setUpFacts(device, settings, chosen)),
    contextTokens,
    batchTokens: BATCH_TOKENS,
    flashAttention,
    kvUnified: true,
    cacheType,
    forward,
    ...(kernels ? { kernels } : {}),
    ...blasPlugin,
    ...chat.manifest(),
    logprobs:
      "natural log of the plain softmax of the raw logits at temperature 1 over the full vocabulary; log-sum-exp in double " +
      "precision at every position",
  });

  const model: Omit<LanguageModel, "manifest"> = {
    facts,
    render: async (messages) => chat.render(messages),
    encode: async (conversations) => chat.encode(conversations),
    check: async (requests) => chat.tokenize(requests).map((request) => request.promptIds.length),
    ask: async (requests, { onReply, onCost, sequences, signal } = {}) => {
      const tokenized = chat.tokenize(requests);
      const replies: Reply[] = [];
      const take = (answers: NativeAnswers) => {
        for (const { index, reply } of readReplies(answers, tokenized, chat, vocabularySize)) {
          replies[index] = reply;
          onReply?.(index, reply);
        }
      };
      const counts = await evaluator.run({ ...askingWork(tokenized), sequences: sequences ?? 0 }, take, signal);
      if (counts) onCost?.(costOf(counts));
      return replies;
    },
    score: async (requests, { signal } = {}) => {
      const tokenized = chat.tokenizeContinuations(requests);
      const logprobs: (readonly number[])[] = [];
      const take = (answers: NativeAnswers) => {
        for (const one of readScores(answers)) logprobs[one.index] = one.logprobs;
      };
      await evaluator.run(scoringWork(tokenized), take, signal);
      return continuationScores(tokenized, logprobs);
    },
    nextTokens: async (messages, paths, topTokens) => {
      const promptIds = chat.tokenizePaths(messages, paths);
      const listed = typeof topTokens === "number" ? paths.map(() => topTokens) : topTokens;
      const steps: NextTokens[] = [];
      const take = (answers: NativeAnswers) => {
        for (const { index, step } of readNextTokens(answers, paths, listed, chat)) steps[index] = step;
      };
      const counts = await evaluator.run(nextTokensWork(promptIds, paths, Math.max(0, ...listed)), take);
      return { steps, evaluatedTokens: counts?.evaluatedTokens ?? 0 };
    },
    withAdapter: async (chosen) => {
      if (chosen) await checkAdapter(chosen.path, modelPath);
      await evaluator.setAdapter(chosen);
      return { ...model, manifest: await manifestOf(chosen) };
    },
    dispose: async () => {
      evaluator.close();
      await vocabulary.dispose();
      await llama.dispose();
    },
  };
  return { ...model, manifest: await manifestOf(adapter) };
}

async function openAddon(
  modelPath: string,
  device: DeviceName,
  { sequences, strict, threads }: SettledEngine,
  choices: Required<Pick<NativeEngineOptions, "mostCells" | "cacheType" | "flashAttention" | "forward">>,
): Promise<Engine> {
  const { Engine, binaries } = await addonForDevice(device);
  return new Engine({
    modelPath,
    ...binaries,
    device,
    threads,
    sequences: strict ? 1 : sequences,
    batchTokens: BATCH_TOKENS,
    ...choices,
    strict,
  });
}

function costOf(counts: NativeCounts): AskCost {
  const { evaluatedTokens, distinctTokens, mostSequences, cells, wantedCells, waited } = counts;
  const { decodeSeconds, readSeconds } = counts;
  return { evaluatedTokens, distinctTokens, mostSequences, cells, wantedCells, waited, decodeSeconds, readSeconds };
}
