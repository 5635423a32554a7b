/** Entry of the tokenizer's worker process: a model's vocabulary without its weights; ends with its parent. */

import { getLlama, type LlamaModel, LlamaLogLevel } from "node-llama-cpp";
import { InwardError } from "../../errors.js";
import { type GgufSummary, inspectGguf, requireRunnable } from "../../gguf/inspect-gguf.js";
import { ChatTokens } from "../chat/encode.js";
import type { ChatFormat } from "../chat/format.js";
import { formatFor } from "../chat/settled-chat.js";
import { resolveDevice } from "../device.js";
import { checkModel, readTokenizer } from "../verify-model.js";
import { serveParent } from "../worker-process.js";
import { scoredAnswers } from "./engine.js";
import { LoadLog } from "./load-log.js";
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
function chatWarnings(summary: GgufSummary, model: LlamaModel): string[] {
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

function chatTokens(summary: GgufSummary, model: LlamaModel, format: ChatFormat | undefined): ChatTokens {
  return new ChatTokens(model, formatFor(summary, format), {
    vocabularySize: summary.vocabularySize as number,
    contextTokens: summary.contextLength ?? Number.POSITIVE_INFINITY,
  });
}

async function loadVocabulary(modelPath: string): ReturnType<LoadLog["load"]> {
  const { llamaOptions } = await resolveDevice({ device: "cpu" });
  const log = new LoadLog();
  const llama = await getLlama({ ...llamaOptions, logLevel: LlamaLogLevel.warn, logger: log.logger });
  const options = { modelPath, vocabOnly: true, gpuLayers: 0, ignoreMemorySafetyChecks: true };
  return await log.load(modelPath, () => llama.loadModel(options));
}
