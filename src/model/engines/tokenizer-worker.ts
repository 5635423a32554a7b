/** Entry of the tokenizer's worker process: a model's vocabulary without its weights; ends with its parent. */

import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { InwardError } from "../../errors.js";
import { inspectGguf, requireRunnable } from "../../gguf/inspect-gguf.js";
import { ChatTokens } from "../chat/encode.js";
import { type ChatFormat, settleChat } from "../chat/format.js";
import { resolveDevice } from "../device.js";
import { serveParent } from "../worker-process.js";
import type { TokenizerMethods } from "./start-engine.js";

let chat: ChatTokens | undefined;

serveParent<TokenizerMethods>(
  () => ({
    async open(modelPath, format) {
      chat = await openVocabulary(modelPath, format);
    },
    tokenize: (prompts) => prompts.map((messages) => [...opened().render(messages).tokenIds]),
  }),
  () => "ENGINE_CRASHED",
);

function opened(): ChatTokens {
  if (!chat) throw new InwardError("INTERNAL", "The worker was asked to tokenize before it opened a vocabulary.");
  return chat;
}

async function openVocabulary(modelPath: string, format: ChatFormat | undefined): Promise<ChatTokens> {
  const summary = await inspectGguf(modelPath);
  requireRunnable(summary, { chatTemplate: format === undefined });
  const { llamaOptions } = await resolveDevice("cpu");
  const llama = await getLlama({ ...llamaOptions, logLevel: LlamaLogLevel.error });
  const model = await llama.loadModel({ modelPath, vocabOnly: true, gpuLayers: 0, ignoreMemorySafetyChecks: true });
  return new ChatTokens(model, format ?? settleChat(summary), {
    vocabularySize: summary.vocabularySize as number,
    contextTokens: summary.contextLength ?? Number.POSITIVE_INFINITY,
  });
}
