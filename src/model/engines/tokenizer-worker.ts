/** Entry of the tokenizer's worker process: a model's vocabulary without its weights; ends with its parent. */

import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { InwardError } from "../../errors.js";
import { inspectGguf, requireRunnable } from "../../gguf/inspect-gguf.js";
import { ChatTokens } from "../chat/encode.js";
import type { ChatFormat } from "../chat/format.js";
import { formatFor } from "../chat/settled-chat.js";
import { resolveDevice } from "../device.js";
import { checkModel, readTokenizer } from "../verify-model.js";
import { serveParent } from "../worker-process.js";
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
    async verify(modelPath, tokenizer) {
      const summary = await inspectGguf(modelPath);
      requireRunnable(summary);
      const { model, warnings } = await loadVocabulary(modelPath);
      return checkModel(summary, model, warnings, tokenizer === undefined ? undefined : readTokenizer(tokenizer));
    },
    async loadWarnings(modelPath) {
      const summary = await inspectGguf(modelPath);
      requireRunnable(summary);
      return [...summary.warnings, ...(await loadVocabulary(modelPath)).warnings];
    },
  }),
  () => "ENGINE_CRASHED",
);

function opened(): ChatTokens {
  if (!chat) throw new InwardError("INTERNAL", "The worker was asked to tokenize before it opened a vocabulary.");
  return chat;
}

async function openVocabulary(modelPath: string, format: ChatFormat | undefined): Promise<ChatTokens> {
  const summary = await inspectGguf(modelPath);
  requireRunnable(summary);
  const { model } = await loadVocabulary(modelPath);
  return new ChatTokens(model, formatFor(summary, format), {
    vocabularySize: summary.vocabularySize as number,
    contextTokens: summary.contextLength ?? Number.POSITIVE_INFINITY,
  });
}

async function loadVocabulary(modelPath: string): ReturnType<LoadLog["load"]> {
  const { llamaOptions } = await resolveDevice("cpu");
  const log = new LoadLog();
  const llama = await getLlama({ ...llamaOptions, logLevel: LlamaLogLevel.warn, logger: log.logger });
  const options = { modelPath, vocabOnly: true, gpuLayers: 0, ignoreMemorySafetyChecks: true };
  return await log.load(modelPath, () => llama.loadModel(options));
}
