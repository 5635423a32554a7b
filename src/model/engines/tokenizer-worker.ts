/** Entry of the tokenizer's worker process: a model's vocabulary without its weights; ends with its parent. */

import { InwardError } from "../../errors.js";
import { type GgufSummary, inspectGguf, requireRunnable } from "../../gguf/inspect-gguf.js";
import { readGguf } from "../../gguf/read-gguf.js";
import { ChatTokens } from "../chat/encode.js";
import type { ChatFormat } from "../chat/format.js";
import { formatFor } from "../chat/settled-chat.js";
import type { LlamaVocabulary } from "../chat/vocabulary.js";
import { resolveDevice } from "../device.js";
import { findAddon, findBinaries, loadAddon, type NativeAddon, nativeCode } from "../native/addon.js";
import { engineVocabulary } from "../native/engine-vocabulary.js";
import { serveParent } from "../worker-process.js";
import { scoredAnswers } from "./engine.js";
import { LoadLog, loadFailure, loadWarnings } from "./load-log.js";
import type { TokenizerMethods } from "./start-engine.js";

let chat: ChatTokens | undefined;

serveParent<TokenizerMethods>(
  () => ({
    async open(modelPath, format) {
      chat = await openVocabulary(modelPath, format);
    },
    tokenize: (prompts, thinking = []) =>
      prompts.map((messages, at) => [...opened().render(messages, { thinking: thinking[at] }).tokenIds]),
    locate: (prompts, thinking = []) =>
      prompts.map((messages, at) => opened().locate(messages, { thinking: thinking[at] })),
    scored: (requests) =>
      opened()
        .tokenizeContinuations(requests)
        .map((request) => ({ promptIds: request.promptIds, answers: scoredAnswers(request) })),
    plainIds: (texts) => texts.map((text) => opened().plainIds(text)),
    endIds: () => opened().endOfGenerationIds(),
    answerEndIds: () => [...opened().endOfGenerationIds(), ...opened().endIds()],
    answers: (tokenIds) => tokenIds.map((ids) => opened().answer(ids)),
    tokenTexts: (ids) => ({
      texts: opened().tokenTexts(ids),
      whole: opened().writtenText(ids),
      control: ids.map((id) => opened().isControl(id)),
    }),
    async verify(modelPath, tokenizer) {
      const summary = await inspectGguf(modelPath);
      requireRunnable(summary);
      const { model, warnings } = await loadVocabulary(modelPath);
      const { checkModel, readTokenizer } = await import("../verify-model.js");
      return checkModel(
        summary,
        model,
        [...warnings, ...chatWarnings(summary, model)],
        tokenizer === undefined ? undefined : readTokenizer(tokenizer),
      );
    },
    async loadWarnings(modelPath) {
      const summary = await inspectGguf(modelPath);
      requireRunnable(summary);
      const { model, warnings } = await loadVocabulary(modelPath);
      return [...summary.warnings, ...warnings, ...chatWarnings(summary, model)];
    },
  }),
  () => "ENGINE_CRASHED",
);

function opened(): ChatTokens {
  if (!chat) throw new InwardError("INTERNAL", "The worker was asked to tokenize before it opened a vocabulary.");
  return chat;
}

/** Of the file's own template, where it has one that can be settled. */
function chatWarnings(summary: GgufSummary, model: LlamaVocabulary): string[] {
  try {
    return chatTokens(summary, model, undefined).warnings();
  } catch (error) {
    if (error instanceof InwardError) return [];
    throw error;
  }
}

async function openVocabulary(modelPath: string, format: ChatFormat | undefined): Promise<ChatTokens> {
  const summary = await inspectGguf(modelPath);
  requireRunnable(summary);
  const { model } = await loadVocabulary(modelPath);
  return chatTokens(summary, model, format);
}

function chatTokens(summary: GgufSummary, model: LlamaVocabulary, format: ChatFormat | undefined): ChatTokens {
  return new ChatTokens(model, formatFor(summary, format), {
    vocabularySize: summary.vocabularySize as number,
    contextTokens: summary.contextLength ?? Number.POSITIVE_INFINITY,
  });
}

interface LoadedVocabulary {
  readonly model: LlamaVocabulary;
  /** Of llama.cpp. */
  readonly warnings: string[];
}

/** By the addon where it is built; what node-llama-cpp says is the same and takes it five times as long, with a trial of its library in one more process. */
async function loadVocabulary(modelPath: string): Promise<LoadedVocabulary> {
  const own = await vocabularyOfAddon();
  if (own === undefined) return loadByNodeLlamaCpp(modelPath);
  try {
    const read = new own.Vocabulary({ modelPath, binariesFolder: own.binariesFolder });
    return { model: engineVocabulary(read, await readGguf(modelPath)), warnings: loadWarnings(read.loadLog()) };
  } catch (error) {
    if (nativeCode(error) !== "MODEL_LOAD") throw error;
    throw loadFailure(modelPath, (error as Error).message, error);
  }
}

/** @returns undefined where the addon is not built, or was before it read vocabularies alone */
async function vocabularyOfAddon(): Promise<
  (Pick<NativeAddon, "Vocabulary"> & { binariesFolder: string }) | undefined
> {
  const isThere = await findAddon().catch(() => undefined);
  if (isThere === undefined) return undefined;
  const { folder } = findBinaries("cpu");
  const { Vocabulary } = await loadAddon(folder);
  return Vocabulary && { Vocabulary, binariesFolder: folder };
}

async function loadByNodeLlamaCpp(modelPath: string): Promise<LoadedVocabulary> {
  const { getLlama, LlamaLogLevel } = await import("node-llama-cpp");
  const { llamaOptions } = await resolveDevice({ device: "cpu" });
  const log = new LoadLog();
  const llama = await getLlama({ ...llamaOptions, logLevel: LlamaLogLevel.warn, logger: log.logger });
  const options = { modelPath, vocabOnly: true, gpuLayers: 0, ignoreMemorySafetyChecks: true };
  return await log.load(modelPath, () => llama.loadModel(options));
}
