/**
 * The node-llama-cpp engine: bare sequences, several at once, never a chat session. Runs inside the worker process, because
 * an abort in native code must not take a run with it.
 */
import { createHash } from "node:crypto";
import { cpus } from "node:os";
import { getLlama, type LlamaModel, LlamaLogLevel, type Token } from "node-llama-cpp";
import { InwardError } from "../../errors.js";
import type { ChatMessage, Reply } from "../../records/answer.js";
import type { EngineManifest } from "../../records/model-state.js";
import type { StudyEngine } from "../../records/study.js";
import { type AnswerVocabulary, encodeChats } from "../chat/encode-chat.js";
import { renderChat } from "../chat/render-chat.js";
import { tokenizeChat } from "../chat/tokenize-chat.js";
import { sha256OfFile } from "../checksum.js";
import { resolveDevice } from "../device.js";
import { inspectGguf, requireRunnable } from "../gguf/inspect-gguf.js";
import type { AdapterChoice, AskOptions, AskRequest, LanguageModel, RenderedPrompt } from "../language-model.js";
import { checkAdapter } from "./check-adapter.js";
import { cpuFlags } from "./cpu-flags.js";
import { loadAdapter } from "./load-adapter.js";
import { answerInLockstep, type TokenizedRequest } from "./lockstep.js";
import { engineReleases } from "./releases.js";

const BATCH_TOKENS = 512;
const CONTEXT_STEP = 64;

/** Opens a GGUF, and an adapter on it, and proves that they can be asked. @throws MODEL_*, ADAPTER_*, ENGINE_UNAVAILABLE */
export async function openNodeLlamaEngine(
  modelPath: string,
  settings: StudyEngine,
  adapter?: AdapterChoice,
): Promise<LanguageModel> {
  const summary = await inspectGguf(modelPath);
  requireRunnable(summary);
  if (adapter) await checkAdapter(adapter.path, modelPath);
  // requireRunnable has seen to both.
  const template = summary.chatTemplate as string;
  const vocabularySize = summary.vocabularySize as number;
  const device = await resolveDevice(settings.device);
  const llama = await getLlama({ ...device.llamaOptions, logLevel: LlamaLogLevel.warn });
  const model = await llama.loadModel({ modelPath, ...(device.name === "cpu" ? { gpuLayers: 0 } : {}) });
  const lora = adapter ? await loadAdapter(model, adapter, settings.threads) : {};
  const vocabulary = answerVocabulary(model, vocabularySize);
  const sequences = settings.strict ? 1 : settings.sequences;
  const tokens = { bosToken: model.tokens.bosString ?? "", eosToken: model.tokens.eosString ?? "" };

  const manifest: EngineManifest = {
    engine: "node-llama-cpp",
    ...(await engineReleases()),
    device: device.name,
    deviceNames: device.deviceNames,
    cpu: cpus()[0]?.model ?? "unknown",
    cpuFlags: await cpuFlags(),
    threads: settings.threads,
    sequences,
    contextTokens: model.trainContextSize,
    batchTokens: BATCH_TOKENS,
    flashAttention: false,
    kvUnified: false,
    strict: settings.strict,
    ...(adapter ? { adapter: { sha256: await sha256OfFile(adapter.path), scale: adapter.scale ?? 1 } } : {}),
    chatTemplateSha256: createHash("sha256").update(template).digest("hex"),
    beginOfSequence: vocabulary.addBos
      ? `one BOS token, id ${vocabulary.bosId}`
      : "none added: the model's vocabulary says add_bos_token = false",
    logprobs:
      "natural log of the plain softmax of the raw logits at temperature 1; log-sum-exp in double precision at the first " +
      "answer position and wherever a token was sampled, elsewhere node-llama-cpp's single-precision sum, which is off by " +
      `less than ${(vocabularySize * 2 ** -24).toExponential(1)} nats`,
  };

  const renderIds = (messages: readonly ChatMessage[]): RenderedPrompt => {
    const parts = renderChat(template, messages, tokens);
    return { text: parts.map((part) => part.text).join(""), tokenIds: tokenizeChat(parts, vocabulary) };
  };

  const tokenize = (requests: readonly AskRequest[]): TokenizedRequest[] =>
    requests.map((request, index) => {
      const promptIds = renderIds(request.messages).tokenIds;
      if (promptIds.length === 0) throw new InwardError("ENGINE_EMPTY_PROMPT", `Question ${index + 1} has no tokens.`);
      const needed = promptIds.length + request.maxTokens;
      if (needed > model.trainContextSize) {
        const start = JSON.stringify((request.messages.at(-1)?.content ?? "").slice(0, 80));
        throw new InwardError(
          "ENGINE_CONTEXT",
          `Question ${index + 1} (${start}…) needs ${needed} tokens with its answer; the model's context holds ${model.trainContextSize}.`,
        );
      }
      const { messages: _, ...rest } = request;
      return { ...rest, promptIds };
    });

  return {
    manifest,
    facts: { vocabularySize, contextTokens: model.trainContextSize },
    render: async (messages) => renderIds(messages),
    encode: async (conversations) => encodeChats(template, conversations, tokens, vocabulary),
    check: async (requests) => tokenize(requests).map((request) => request.promptIds.length),
    ask: async (requests, options: AskOptions = {}) => {
      const tokenized = tokenize(requests);
      if (tokenized.length === 0) return [];
      const longest = Math.max(...tokenized.map((request) => request.promptIds.length + request.maxTokens));
      const count = Math.min(settings.strict ? 1 : (options.sequences ?? sequences), tokenized.length);
      // A fresh context for every group: nothing of an earlier group can reach a later one's numbers.
      const context = await model.createContext({
        sequences: count,
        contextSize: Math.ceil((longest + 1) / CONTEXT_STEP) * CONTEXT_STEP,
        batchSize: BATCH_TOKENS,
        flashAttention: false,
        threads: settings.threads,
        ...lora,
      });
      try {
        const replies: Reply[] = [];
        await answerInLockstep(
          model,
          Array.from({ length: count }, () => context.getSequence()),
          tokenized,
          {
            reusePrefix: !settings.strict,
            vocabularySize,
            onReply: (index, reply) => {
              replies[index] = reply;
              options.onReply?.(index, reply);
            },
            ...(options.signal ? { signal: options.signal } : {}),
          },
        );
        return replies;
      } finally {
        await context.dispose();
      }
    },
    dispose: async () => {
      await model.dispose();
      await llama.dispose();
    },
  };
}

function answerVocabulary(model: LlamaModel, vocabularySize: number): AnswerVocabulary {
  const controlTokens = new Map<string, number>();
  for (let id = 0; id < vocabularySize; id++) {
    if (model.getTokenAttributes(id as Token).control) controlTokens.set(model.detokenize([id as Token], true), id);
  }
  return {
    tokenizePlain: (text) => model.tokenize(text, false),
    controlTokens,
    isEndOfGeneration: (id) => model.isEogToken(id as Token),
    addBos: model.tokens.shouldPrependBosToken,
    ...(model.tokens.bos === null ? {} : { bosId: model.tokens.bos }),
  };
}
