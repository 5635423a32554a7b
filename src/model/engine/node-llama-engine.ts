/**
 * The node-llama-cpp engine: bare sequences, several at once, never a chat session. Runs inside the worker process, because
 * an abort in native code must not take a run with it. It runs where the addon is not built, and is what the native engine is
 * compared with.
 */
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { InwardError } from "../../errors.js";
import type { Reply } from "../../records/answer.js";
import type { EngineManifest } from "../../records/model-state.js";
import type { SettledEngine } from "../../records/study.js";
import { resolveDevice } from "../device.js";
import { inspectGguf, requireRunnable } from "../gguf/inspect-gguf.js";
import type { AdapterChoice, AskOptions, LanguageModel } from "../language-model.js";
import { ChatTokens } from "./chat-tokens.js";
import { checkAdapter } from "./check-adapter.js";
import { loadAdapter } from "./load-adapter.js";
import { answerInLockstep } from "./lockstep.js";
import { setUpFacts } from "./set-up-facts.js";

const BATCH_TOKENS = 512;
const CONTEXT_STEP = 64;

/** Opens a GGUF, and an adapter on it, and proves that they can be asked. @throws MODEL_*, ADAPTER_*, ENGINE_UNAVAILABLE */
export async function openNodeLlamaEngine(
  modelPath: string,
  settings: SettledEngine,
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
  const size = { vocabularySize, contextTokens: model.trainContextSize };
  const chat = new ChatTokens(model, template, size);
  const facts = { ...size, cleansSpaces: chat.cleansSpaces() };
  const sequences = settings.strict ? 1 : settings.sequences;

  const manifest: EngineManifest = {
    ...(await setUpFacts(device, settings, adapter)),
    contextTokens: facts.contextTokens,
    batchTokens: BATCH_TOKENS,
    flashAttention: false,
    kvUnified: false,
    cacheType: "f16",
    ...chat.manifest(),
    logprobs:
      "natural log of the plain softmax of the raw logits at temperature 1; log-sum-exp in double precision at the first " +
      "answer position and wherever a token was sampled, elsewhere node-llama-cpp's single-precision sum, which is off by " +
      `less than ${(vocabularySize * 2 ** -24).toExponential(1)} nats`,
  };

  return {
    manifest,
    facts,
    render: async (messages) => chat.render(messages),
    encode: async (conversations) => chat.encode(conversations),
    check: async (requests) => chat.tokenize(requests).map((request) => request.promptIds.length),
    ask: async (requests, options: AskOptions = {}) => {
      const tokenized = chat.tokenize(requests);
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
    score: () => refuse("The scores of given continuations"),
    nextTokens: () => refuse("Exact distributions"),
    dispose: async () => {
      await model.dispose();
      await llama.dispose();
    },
  };
}

async function refuse(what: string): Promise<never> {
  throw new InwardError(
    "ENGINE_UNAVAILABLE",
    `${what} need the native engine; this one is node-llama-cpp (engine.engine).`,
  );
}
