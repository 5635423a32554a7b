/**
 * The node-llama-cpp engine: bare sequences, several at once, never a chat session. Runs inside the worker process, because
 * an abort in native code must not take a run with it. It runs where the addon is not built, and is what the native engine is
 * compared with.
 */

import {
  type ControlledEvaluateIndexOutput,
  type ControlledEvaluateInputItem,
  getLlama,
  InsufficientMemoryError,
  type LlamaContextOptions,
  type LlamaContextSequence,
  LlamaLogLevel,
  type LlamaModel,
  type LlamaModelOptions,
  type Token,
} from "node-llama-cpp";
import { type ErrorCode, InwardError } from "../../errors.js";
import { inspectGguf, requireRunnable } from "../../gguf/inspect-gguf.js";
import type { EngineManifest } from "../../study/plan.js";
import type { SettledEngine } from "../../study/study.js";
import type { Reply } from "../../tasks/answer.js";
import type { AnswerPosition, TopTokens } from "../../tasks/answer-tokens.js";
import { ChatTokens } from "../chat/encode.js";
import type { ChatFormat } from "../chat/format.js";
import { formatFor } from "../chat/settled-chat.js";
import { resolveDevice } from "../device.js";
import { refuseInterventions } from "../interventions.js";
import type { AdapterChoice, AskOptions, LanguageModel } from "../language-model.js";
import { checkAdapter } from "./check-adapter.js";
import { hashTokens, type TokenizedRequest, uniformDraw } from "./engine.js";
import { LoadLog } from "./load-log.js";
import { requireFlashAttention, setUpFacts, settlePlacement, withSequencesOf } from "./settings.js";

// Turns raw logits into what an answer records: exact log-sum-exp, top tokens, the greedy choice and its margin.

/** Raw logits of the whole vocabulary at one position, indexed by token id. */
type Logits = Float32Array;

/** log Σ exp(logit), nats: maximum subtracted, summed in double precision. */
export function logSumExp(logits: Logits): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) max = Math.max(max, logits[id] as number);
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += Math.exp((logits[id] as number) - max);
  const result = max + Math.log(sum);
  if (!Number.isFinite(result)) {
    throw new InwardError("ENGINE_NOT_FINITE", `The logits of a position sum to ${result}.`);
  }
  return result;
}

/** Ids of the `count` largest logits, the largest first; equal logits stand in order of id. */
export function topIds(logits: Logits, count: number): number[] {
  const kept: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number;
    const last = kept[kept.length - 1];
    if (kept.length === count && last !== undefined && logit <= (logits[last] as number)) continue;
    let at = kept.length;
    while (at > 0 && (logits[kept[at - 1] as number] as number) < logit) at--;
    kept.splice(at, 0, id);
    if (kept.length > count) kept.pop();
  }
  return kept;
}

/**
 * Draws a token from softmax(logits / temperature) by inverting the cumulative distribution in order of id.
 * @param uniform in [0, 1)
 * @param temperature above 0
 */
export function sampleId(logits: Logits, logTotal: number, uniform: number, temperature = 1): number {
  if (temperature !== 1) return sampleScaled(logits, uniform, temperature);
  let cumulative = 0;
  let lastPossible = 0;
  for (let id = 0; id < logits.length; id++) {
    const probability = Math.exp((logits[id] as number) - logTotal);
    if (probability > 0) lastPossible = id;
    cumulative += probability;
    if (uniform < cumulative) return id;
  }
  // Rounding can leave the total a hair below 1.
  return lastPossible;
}

/** The best logit is taken off before the rest is scaled: nothing overflows at any temperature, however near 0. */
function sampleScaled(logits: Logits, uniform: number, temperature: number): number {
  let best = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) best = Math.max(best, logits[id] as number);
  const weight = (id: number) => Math.exp(((logits[id] as number) - best) / temperature);
  let total = 0;
  for (let id = 0; id < logits.length; id++) total += weight(id);
  let cumulative = 0;
  let lastPossible = 0;
  for (let id = 0; id < logits.length; id++) {
    const own = weight(id);
    if (own > 0) lastPossible = id;
    cumulative += own;
    if (uniform * total < cumulative) return id;
  }
  // Of a draw just below 1 the product may be the total.
  return lastPossible;
}

// Answers one group of prompts on node-llama-cpp: all sequences step together, so that the composition of every batch is a
// function of the group alone. That is what makes a group asked again give the same bytes.

interface LockstepOptions {
  /** Keep what a sequence has already evaluated when the next prompt begins the same way. Off in strict mode. */
  readonly reusePrefix: boolean;
  readonly vocabularySize: number;
  readonly onReply: (index: number, reply: Reply) => void;
  readonly signal?: AbortSignal;
}

/** One answer in the making. */
interface Growing {
  readonly index: number;
  readonly request: TokenizedRequest;
  readonly tokenIds: number[];
  readonly logprobs: number[];
  readonly margins: number[];
  readonly positions: AnswerPosition[];
  first?: TopTokens;
  pending: readonly number[];
}

type Next = ControlledEvaluateIndexOutput["next"];

async function answerInLockstep(
  chat: ChatTokens,
  sequences: readonly LlamaContextSequence[],
  requests: readonly TokenizedRequest[],
  options: LockstepOptions,
): Promise<void> {
  const units = unitsOf(requests);
  const queues: number[][] = sequences.map(() => []);
  const growing: (Growing | undefined)[] = sequences.map(() => undefined);
  for (;;) {
    if (options.signal?.aborted) throw new InwardError("INTERRUPTED", "Asking was interrupted.");
    // All slots are filled before any evaluates: an await between two evaluations would let a batch go off without the second.
    for (let slot = 0; slot < sequences.length; slot++) {
      if (growing[slot]) continue;
      const queue = queues[slot] as number[];
      if (queue.length === 0) queue.push(...(units.shift() ?? []));
      const index = queue.shift();
      if (index === undefined) continue;
      const sequence = sequences[slot] as LlamaContextSequence;
      growing[slot] = await begin(sequence, index, requests[index] as TokenizedRequest, options.reusePrefix);
    }
    const steps = growing.flatMap((answer, slot) =>
      answer === undefined
        ? []
        : evaluate(sequences[slot] as LlamaContextSequence, answer, options.vocabularySize).then((next) => {
            if (!take(chat, answer, next, options.vocabularySize)) return;
            options.onReply(answer.index, finish(chat, answer));
            growing[slot] = undefined;
          }),
    );
    if (steps.length === 0) return;
    await Promise.all(steps);
  }
}

/** Runs of neighbours that share a beginning; a whole run goes to one sequence. */
function unitsOf(requests: readonly TokenizedRequest[]): number[][] {
  const units: number[][] = [];
  for (let index = 0; index < requests.length; index++) {
    const key = requests[index]?.shares;
    if (index > 0 && key !== undefined && requests[index - 1]?.shares === key) units[units.length - 1]?.push(index);
    else units.push([index]);
  }
  return units;
}

async function begin(
  sequence: LlamaContextSequence,
  index: number,
  request: TokenizedRequest,
  reusePrefix: boolean,
): Promise<Growing> {
  const evaluated = sequence.contextTokens;
  let shared = 0;
  // The last prompt token is always evaluated afresh: its logits are what is wanted.
  if (reusePrefix) {
    const most = Math.min(evaluated.length, request.promptIds.length - 1);
    while (shared < most && evaluated[shared] === request.promptIds[shared]) shared++;
  }
  if (shared === 0) await sequence.clearHistory();
  else if (shared < sequence.nextTokenIndex) {
    await sequence.eraseContextTokenRanges([{ start: shared, end: sequence.nextTokenIndex }]);
  }
  return {
    index,
    request,
    tokenIds: [],
    logprobs: [],
    margins: [],
    positions: [],
    pending: request.promptIds.slice(shared),
  };
}

async function evaluate(sequence: LlamaContextSequence, answer: Growing, vocabularySize: number): Promise<Next> {
  // Elsewhere the two best and node-llama-cpp's own total.
  const whole = readsWhole(answer);
  const input: ControlledEvaluateInputItem[] = answer.pending.map((id) => id as Token);
  input[input.length - 1] = [
    answer.pending[answer.pending.length - 1] as Token,
    {
      generateNext: {
        token: true,
        logits: whole ? true : { filter: { tokens: [], includeTop: Math.min(2, vocabularySize) } },
        totalLogitWeight: !whole,
        // Temperature 0 keeps the sampler chain to greedy choice: nothing is cut off or scaled before the logits are read.
        options: { temperature: 0 },
      },
    },
  ];
  const output = await sequence.controlledEvaluate(input);
  const next = output[output.length - 1]?.next;
  if (!next) throw new InwardError("INTERNAL", "The engine returned no output for the last token of a prompt.");
  return next;
}

/** Takes the next token into the answer. @returns whether that ended it */
function take(chat: ChatTokens, answer: Growing, next: Next, vocabularySize: number): boolean {
  const { request } = answer;
  let tokenId: number;
  if (readsWhole(answer)) {
    const logits = dense(next, vocabularySize);
    const total = logSumExp(logits);
    const top = topIds(logits, Math.max(request.topTokens, request.positions ?? 0, 2));
    tokenId =
      request.temperature > 0
        ? sampleId(logits, total, uniformDraw(request.seed ?? "", answer.tokenIds.length), request.temperature)
        : (top[0] as number);
    answer.logprobs.push((logits[tokenId] as number) - total);
    if (request.temperature === 0) answer.margins.push(margin(logits[top[0] as number], logits[top[1] as number]));
    if (request.positions !== undefined) {
      const listed = top.slice(0, request.positions);
      const logprobs = listed.map((id) => (logits[id] as number) - total);
      answer.positions.push(chat.position(tokenId, total, listed, logprobs));
    }
    if (answer.tokenIds.length === 0) {
      const kept = top.slice(0, request.topTokens);
      const logprobs = kept.map((id) => (logits[id] as number) - total);
      answer.first = chat.first(kept, logprobs, total, request.positions !== undefined);
    }
  } else {
    const best = [...(next.logits ?? [])].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    const weight = next.totalLogitWeight;
    if (next.token == null || best[0] === undefined || weight === undefined || !Number.isFinite(best[0][1] + weight)) {
      throw new InwardError("ENGINE_NOT_FINITE", `No finite logits at generated token ${answer.tokenIds.length + 1}.`);
    }
    tokenId = next.token;
    answer.logprobs.push(-Math.log(weight));
    answer.margins.push(margin(best[0][1], best[1]?.[1]));
  }
  answer.tokenIds.push(tokenId);
  if (chat.endsAnswer(tokenId) || answer.tokenIds.length >= request.maxTokens) return true;
  answer.pending = [tokenId];
  return false;
}

/** Whether exactness is recorded or drawn from. */
function readsWhole({ tokenIds, request }: Growing): boolean {
  return tokenIds.length === 0 || request.temperature > 0 || request.positions !== undefined;
}

function dense(next: Next, vocabularySize: number): Logits {
  const logits: Logits = new Float32Array(vocabularySize).fill(Number.NEGATIVE_INFINITY);
  for (const [id, logit] of next.logits ?? []) {
    if (Number.isNaN(logit)) throw new InwardError("ENGINE_NOT_FINITE", `The logit of token ${id} is NaN.`);
    logits[id] = logit;
  }
  return logits;
}

/** A vocabulary of one token has no second best: its margin is as large as a number can be. */
function margin(best: number | undefined, second: number | undefined): number {
  return second === undefined ? Number.MAX_VALUE : (best as number) - second;
}

function finish(chat: ChatTokens, answer: Growing): Reply {
  return {
    ...chat.answer(answer.tokenIds),
    tokenIds: answer.tokenIds,
    logprobs: answer.logprobs,
    margins: answer.margins,
    first: answer.first as TopTokens,
    ...(answer.request.positions === undefined ? {} : { positions: answer.positions }),
    promptTokens: answer.request.promptIds.length,
    promptSha256: hashTokens(answer.request.promptIds),
    ...(answer.request.opened === undefined ? {} : { opened: answer.request.opened }),
  };
}

// Puts an adapter into llama.cpp once, so that one which it refuses is refused before any question.

/**
 * node-llama-cpp reads an adapter when the first context wants it, keeps it with the model until that is disposed, and hands the
 * same one to every later context; its scale belongs to each context. A first, tiny context makes it read now.
 * @param adapter one that checkAdapter has passed
 * @returns what every context that is asked must be created with
 * @throws ADAPTER_INVALID
 */
async function loadAdapter(
  model: LlamaModel,
  adapter: AdapterChoice,
  threads: number,
): Promise<Required<Pick<LlamaContextOptions, "lora">>> {
  const options = { lora: { adapters: [{ filePath: adapter.path, scale: adapter.scale ?? 1 }] } };
  try {
    const context = await model.createContext({
      contextSize: 64,
      batchSize: 64,
      flashAttention: false,
      threads,
      ...options,
    });
    await context.dispose();
  } catch (error) {
    if (error instanceof InsufficientMemoryError) throw error;
    throw new InwardError(
      "ADAPTER_INVALID",
      `${adapter.path}: llama.cpp does not load it (${(error as Error).message})`,
    );
  }
  return options;
}

/** The code of node-llama-cpp's own errors. */
export function nodeLlamaCode(error: unknown): ErrorCode | undefined {
  return error instanceof InsufficientMemoryError ? "ENGINE_MEMORY" : undefined;
}

const BATCH_TOKENS = 512;
const CONTEXT_STEP = 64;

/** Opens a GGUF, and an adapter on it, and proves that they can be asked. @throws MODEL_*, ADAPTER_*, ENGINE_UNAVAILABLE */
export async function openNodeLlamaEngine(
  modelPath: string,
  settings: SettledEngine,
  { adapter, chat: format }: { readonly adapter?: AdapterChoice; readonly chat?: ChatFormat } = {},
): Promise<LanguageModel> {
  const summary = await inspectGguf(modelPath);
  const architecture = requireRunnable(summary);
  requireFlashAttention(architecture, false);
  if (summary.shortContext !== undefined && summary.ropeScaling === "yarn") {
    // The original context that keeps its second set out would be YaRN's as well.
    throw new InwardError(
      "ENGINE_UNAVAILABLE",
      `${modelPath} has two sets of RoPE factors and YaRN, of which node-llama-cpp can be given one. Leave engine.engine out.`,
    );
  }
  if (adapter) await checkAdapter(adapter.path, modelPath, false);
  // requireRunnable has seen to it.
  const vocabularySize = summary.vocabularySize as number;
  const device = await resolveDevice(settings);
  const placement = await settlePlacement(settings, device, modelPath);
  const gpuLayers =
    device.name === "cpu" ? 0 : placement?.gpuLayers === placement?.layers ? undefined : placement?.gpuLayers;
  const log = new LoadLog();
  const llama = await getLlama({ ...device.llamaOptions, logLevel: LlamaLogLevel.warn, logger: log.logger });
  const { model, warnings } = await log.load(modelPath, () =>
    llama.loadModel({
      modelPath,
      ...(gpuLayers === undefined ? {} : { gpuLayers }),
      ...(summary.shortContext === undefined ? {} : { metadataOverrides: shortFactorsAlways(architecture.name) }),
    }),
  );
  const lora = adapter ? await loadAdapter(model, adapter, settings.threads) : {};
  const size = { vocabularySize, contextTokens: summary.contextLength ?? model.trainContextSize };
  const { keeps } = architecture;
  const chat = new ChatTokens(model, formatFor(summary, format), size);
  const facts = { ...size, warnings: [...summary.warnings, ...warnings, ...chat.warnings()] };
  const one = settings.strict || architecture.oneAtATime;
  const sequences = one ? 1 : settings.sequences;

  const manifest: EngineManifest = {
    ...(await setUpFacts(device, withSequencesOf(architecture, settings), adapter)),
    contextTokens: size.contextTokens,
    batchTokens: BATCH_TOKENS,
    flashAttention: false,
    kvUnified: false,
    ...(keeps === "state" ? { wholePrompts: true } : {}),
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
    render: async (messages, options) => chat.render(messages, options),
    tokenTexts: async (ids) => chat.tokenTexts(ids),
    encode: async (conversations, options) => chat.encode(conversations, options),
    check: async (requests) => {
      refuseInterventions(requests, "node-llama-cpp");
      return chat.tokenize(requests).map((request) => request.promptIds.length);
    },
    ask: async (requests, options: AskOptions = {}) => {
      refuseInterventions(requests, "node-llama-cpp");
      const tokenized = chat.tokenize(requests);
      if (tokenized.length === 0) return [];
      const longest = Math.max(...tokenized.map((request) => request.promptIds.length + request.maxTokens));
      const count = Math.min(one ? 1 : (options.sequences ?? sequences), tokenized.length);
      // A fresh context for every group: nothing of an earlier group can reach a later one's numbers.
      const context = await model.createContext({
        sequences: count,
        contextSize: Math.ceil((longest + 1) / CONTEXT_STEP) * CONTEXT_STEP,
        batchSize: BATCH_TOKENS,
        flashAttention: false,
        // Of what a window has left behind, a prompt that begins like the last one still sees some.
        swaFullCache: true,
        threads: settings.threads,
        ...lora,
      });
      try {
        const replies: Reply[] = [];
        await answerInLockstep(
          chat,
          Array.from({ length: count }, () => context.getSequence()),
          tokenized,
          {
            reusePrefix: !settings.strict && keeps === "cells",
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

/**
 * llama.cpp takes a file's RoPE factors for long texts where the context, not the text, is larger than this: no context is. The model's
 * context is the one within which the others hold.
 */
function shortFactorsAlways(architecture: string): LlamaModelOptions["metadataOverrides"] {
  const scaling = { original_context_length: 2n ** 31n - 1n };
  return { [architecture]: { rope: { scaling } } } as LlamaModelOptions["metadataOverrides"];
}

async function refuse(what: string): Promise<never> {
  throw new InwardError(
    "ENGINE_UNAVAILABLE",
    `${what} need the native engine; this one is node-llama-cpp (engine.engine).`,
  );
}
