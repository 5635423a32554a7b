/**
 * The native engine: the addon evaluates, over the prefix tree of a group, and tokenizes; node-llama-cpp is not loaded beside it. Runs inside the worker process, because an abort in native code must not take a run with it.
 */

import type {
  Engine,
  NativeAnswers,
  NativeCapture,
  NativeCounts,
  NativeEngineOptions,
  NativeWork,
} from "../../../native/index.js";
import { WorkQueue } from "../../base/work-queue.js";
import { InwardError } from "../../errors.js";
import { inspectGguf, requireRunnable } from "../../gguf/inspect-gguf.js";
import { readGguf } from "../../gguf/read-gguf.js";
import type { EngineManifest } from "../../study/plan.js";
import type { SettledEngine } from "../../study/study.js";
import type { Reply } from "../../tasks/answer.js";
import type { AnswerPosition } from "../../tasks/answer-tokens.js";
import { ChatTokens } from "../chat/encode.js";
import type { ChatFormat } from "../chat/format.js";
import { formatFor } from "../chat/settled-chat.js";
import { askingArithmetic, exactRows, requireExactAsking } from "../arithmetic.js";
import { type DeviceName, type ResolvedDevice, resolveDevice } from "../device.js";
import { type IntervenedItem, withInterventions } from "../interventions.js";
import type { AdapterChoice, AskCost, ContinuationScore, LanguageModel, NextTokens } from "../language-model.js";
import { sha256OfFile } from "../model-file.js";
import { findBinaries, loadAddon, type NativeAddon, nativeCode } from "../native/addon.js";
import { requireBlasPlugin, usesBlasPlugin } from "../native/blas-plugin.js";
import { engineVocabulary } from "../native/engine-vocabulary.js";
import { stateShapeOf } from "../sites.js";
import { checkAdapter } from "./check-adapter.js";
import {
  hashTokens,
  isOneLonger,
  runGroup,
  scoredAnswers,
  type TokenizedRequest,
  type TokenizedScoreRequest,
  uniformDraw,
} from "./engine.js";
import { loadFailure, loadWarnings } from "./load-log.js";
import { requireFlashAttention, setUpFacts, settlePlacement, withSequencesOf } from "./settings.js";

/** One group at a time on one addon engine. */
export class Evaluator {
  private readonly queue = new WorkQueue();

  constructor(private readonly engine: Engine) {}

  describe(): ReturnType<Engine["describe"]> {
    return this.engine.describe();
  }

  /** Replaces the adapter, or takes it away, once the groups before are through. @throws ADAPTER_INVALID */
  async setAdapter(adapter: AdapterChoice | undefined): Promise<void> {
    const chosen = adapter ? [{ path: adapter.path, scale: adapter.scale ?? 1 }] : [];
    return this.queue.run(async () => this.engine.setAdapters(chosen));
  }

  /** What is captured of the groups from here on. @throws PROBE_SITE */
  async setCapture(capture: NativeCapture): Promise<void> {
    return this.queue.run(async () => this.engine.setCapture(capture));
  }

  /** @returns what the group cost; undefined for one without items */
  async run(
    work: NativeWork,
    take: (answers: NativeAnswers) => void,
    signal?: AbortSignal,
    roomForStates?: () => Uint8Array,
  ): Promise<NativeCounts | undefined> {
    if (work.maxTokens.length === 0) return undefined;
    if ((work.temperatures || work.positionTokens !== undefined) && this.engine.describe().anyTemperature !== true) {
      throw new InwardError(
        "ENGINE_UNAVAILABLE",
        "the native addon was built before it knew temperatures other than 0 and 1, and positions; build it again: node scripts/build-native.mjs",
      );
    }
    // Such an addon would pass over them.
    if (work.interventions && this.engine.describe().intervenes !== true) {
      throw new InwardError(
        "ENGINE_UNAVAILABLE",
        "the native addon was built before it could intervene; build it again: node scripts/build-native.mjs",
      );
    }
    return this.queue.run(() => runGroup(this.engine, work, take, signal, roomForStates));
  }

  close(): void {
    this.engine.dispose();
  }
}

export interface AddonForDevice {
  readonly Engine: NativeAddon["Engine"];
  readonly binaries: Pick<NativeEngineOptions, "binariesFolder" | "fallbackFolder">;
}

/** @throws ENGINE_UNAVAILABLE with what is missing, and what asks without it */
export async function addonForDevice(device: DeviceName): Promise<AddonForDevice> {
  try {
    const { folder, fallbackFolder } = findBinaries(device);
    const { Engine } = await loadAddon(folder);
    return { Engine, binaries: { binariesFolder: folder, ...(fallbackFolder ? { fallbackFolder } : {}) } };
  } catch (error) {
    if (!(error instanceof InwardError)) throw error;
    throw new InwardError(
      "ENGINE_UNAVAILABLE",
      `the native engine cannot be used: ${error.message}; build it (node scripts/build-native.mjs), or set engine.engine to ` +
        "node-llama-cpp, which does all but exact distributions",
      { cause: error },
    );
  }
}

// From the addon's flat arrays to the records that every engine gives.

/** @param requests the whole group; the answers are of those items that have finished since the last call */
export function readReplies(
  answers: NativeAnswers,
  requests: readonly TokenizedRequest[],
  chat: ChatTokens,
): { readonly index: number; readonly reply: Reply }[] {
  const { items, counts } = answers;
  const columns = items.length === 0 ? 0 : answers.topIds.length / items.length;
  let begin = 0;
  return Array.from(items, (index, row) => {
    const request = requests[index] as TokenizedRequest;
    const end = begin + (counts[row] as number);
    const tokenIds = Array.from(answers.tokenIds.subarray(begin, end));
    const listed = row * columns + Math.min(request.topTokens, columns);
    const top = Array.from(answers.topIds.subarray(row * columns, listed));
    const reply: Reply = {
      ...chat.answer(tokenIds),
      tokenIds,
      logprobs: Array.from(answers.logprobs.subarray(begin, end)),
      margins: request.temperature === 0 ? Array.from(answers.margins.subarray(begin, end)) : [],
      first: chat.first(
        top,
        Array.from(answers.topLogprobs.subarray(row * columns, listed)),
        answers.logSumExps[row] as number,
        request.positions !== undefined,
      ),
      ...(request.positions === undefined
        ? {}
        : { positions: readPositions(answers, tokenIds, begin, request.positions, chat) }),
      promptTokens: request.promptIds.length,
      promptSha256: hashTokens(request.promptIds),
      ...(request.opened === undefined ? {} : { opened: request.opened }),
    };
    begin = end;
    return { index, reply };
  });
}

/** @param begin of the answer's tokens among those of all answers */
function readPositions(
  { positionLogSumExps, positionIds, positionLogprobs }: NativeAnswers,
  tokenIds: readonly number[],
  begin: number,
  listed: number,
  chat: ChatTokens,
): AnswerPosition[] {
  const columns = positionLogSumExps.length === 0 ? 0 : positionIds.length / positionLogSumExps.length;
  return tokenIds.map((id, at) => {
    const from = (begin + at) * columns;
    const to = from + Math.min(listed, columns);
    const ids = Array.from(positionIds.subarray(from, to));
    const logprobs = Array.from(positionLogprobs.subarray(from, to));
    return chat.position(id, positionLogSumExps[begin + at] as number, ids, logprobs);
  });
}

/** A path after a prompt, and how many next tokens are listed of it. */
interface AskedPath extends IntervenedItem {
  readonly path: readonly number[];
  readonly listed: number;
}

/** @param asked the whole group */
export function readNextTokens(
  answers: NativeAnswers,
  asked: readonly Pick<AskedPath, "path" | "listed">[],
  chat: ChatTokens,
): { readonly index: number; readonly step: NextTokens }[] {
  const columns = answers.items.length === 0 ? 0 : answers.topIds.length / answers.items.length;
  return Array.from(answers.items, (index, row) => {
    const { path, listed } = asked[index] as AskedPath;
    const begin = row * columns;
    const end = begin + Math.min(listed, columns);
    const ids = answers.topIds.slice(begin, end);
    const ends = Uint8Array.from(ids, (id) => (chat.endsAnswer(id) ? 1 : 0));
    const step = {
      ids,
      logprobs: answers.topLogprobs.slice(begin, end),
      ends,
      texts: Array.from(ids, (id) => chat.answer([...path, id]).text),
    };
    return { index, step };
  });
}

/** @returns the scored tokens of each item that has finished: its continuation's, and the end of turn's last */
export function readScores(answers: NativeAnswers): { readonly index: number; readonly logprobs: number[] }[] {
  let begin = 0;
  return Array.from(answers.items, (index, row) => {
    const end = begin + (answers.scoreCounts[row] as number);
    const logprobs = Array.from(answers.scores.subarray(begin, end));
    begin = end;
    return { index, logprobs };
  });
}

/**
 * What the end adds to an answer's log-probability is the difference of the two sums where it is one token with the answer's last mark.
 * @param logprobs of every item of scoringWork, in its order
 */
export function continuationScores(
  requests: readonly TokenizedScoreRequest[],
  logprobs: readonly (readonly number[])[],
): ContinuationScore[][] {
  let item = 0;
  return requests.map(({ continuations }) =>
    continuations.map((continuation) => {
      const { ids: tokenIds, ended } = continuation;
      const whole = logprobs[item++] as readonly number[];
      if (isOneLonger(continuation)) {
        return { tokenIds, logprobs: whole.slice(0, -1), endOfTurnLogprob: whole[ended.length - 1] as number };
      }
      const own = logprobs[item++] as readonly number[];
      return { tokenIds, logprobs: own, endOfTurnLogprob: sum(whole) - sum(own) };
    }),
  );
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

// A group as the addon takes it: flat arrays, no object for each token.

const GREEDY = -1;

/** @param endIds tokens that end an answer beside those that end generation */
export function askingWork(requests: readonly TokenizedRequest[], endIds: readonly number[] = []): NativeWork {
  const lengths = requests.map(({ promptIds }) => promptIds.length);
  return {
    ...concatenated(requests.map(({ promptIds }) => promptIds)),
    scoreFrom: Int32Array.from(lengths),
    maxTokens: Int32Array.from(requests, ({ maxTokens }) => maxTokens),
    draws: drawsOf(requests),
    ...temperaturesOf(requests),
    ...positionTokensOf(requests),
    topTokens: requests.reduce((most, { topTokens }) => Math.max(most, topTokens), 0),
    readIds: new Int32Array(0),
    ...(endIds.length === 0 ? {} : { endIds: Int32Array.from(endIds) }),
  };
}

/** Items request after request, all after the prompt is scored. */
export function scoringWork(requests: readonly TokenizedScoreRequest[]): NativeWork {
  const items = requests.flatMap((request) =>
    scoredAnswers(request).map((ids) => ({ ids: [...request.promptIds, ...ids], from: request.promptIds.length })),
  );
  return {
    ...concatenated(items.map(({ ids }) => ids)),
    scoreFrom: Int32Array.from(items, ({ from }) => from),
    maxTokens: new Int32Array(items.length),
    draws: new Float64Array(0),
    topTokens: 0,
    readIds: new Int32Array(0),
  };
}

/**
 * One item for each path: the prompt and what was generated so far, read where it ends. The prompt stays evaluated for the next
 * paths of the same one: which paths those are is decided by the numbers that came before, and so is what they come out as.
 */
export function nextTokensWork(
  promptIds: readonly number[],
  paths: readonly (readonly number[])[],
  topTokens: number,
): NativeWork {
  return { ...pathsWork(paths.map((path) => ({ promptIds, path, listed: topTokens }))), keep: promptIds.length };
}

function pathsWork(asked: readonly AskedPath[]): NativeWork {
  const prompts = asked.map(({ promptIds, path }) => [...promptIds, ...path]);
  return {
    ...concatenated(prompts),
    scoreFrom: Int32Array.from(prompts, ({ length }) => length),
    maxTokens: new Int32Array(prompts.length),
    draws: new Float64Array(0),
    topTokens: asked.reduce((most, { listed }) => Math.max(most, listed), 0),
    readIds: new Int32Array(0),
  };
}

function concatenated(prompts: readonly (readonly number[])[]): Pick<NativeWork, "tokenIds" | "starts"> {
  const starts = new Int32Array(prompts.length + 1);
  prompts.forEach(({ length }, item) => {
    starts[item + 1] = (starts[item] as number) + length;
  });
  const tokenIds = new Int32Array(starts[prompts.length] as number);
  prompts.forEach((ids, item) => {
    tokenIds.set(ids, starts[item]);
  });
  return { tokenIds, starts };
}

/** [items × greatest maxTokens] a draw is a function of the item's seed and the position alone. */
function drawsOf(requests: readonly TokenizedRequest[]): Float64Array {
  if (requests.every(({ temperature }) => temperature === 0)) return new Float64Array(0);
  const columns = requests.reduce((most, { maxTokens }) => Math.max(most, maxTokens), 0);
  const draws = new Float64Array(requests.length * columns).fill(GREEDY);
  requests.forEach(({ temperature, maxTokens, seed = "" }, item) => {
    if (temperature === 0) return;
    for (let at = 0; at < maxTokens; at++) draws[item * columns + at] = uniformDraw(seed, at);
  });
  return draws;
}

/** Nothing where all is greedy or drawn at temperature 1, which every addon knows. */
function temperaturesOf(requests: readonly TokenizedRequest[]): Pick<NativeWork, "temperatures"> {
  if (requests.every(({ temperature }) => temperature === 0 || temperature === 1)) return {};
  return { temperatures: Float64Array.from(requests, ({ temperature }) => (temperature === 0 ? 1 : temperature)) };
}

function positionTokensOf(requests: readonly TokenizedRequest[]): Pick<NativeWork, "positionTokens"> {
  const most = requests.reduce((found, { positions = -1 }) => Math.max(found, positions), -1);
  return most < 0 ? {} : { positionTokens: most };
}

const BATCH_TOKENS = 512;
/** Half precision would round differently whenever a batch is cut differently. */
const CACHE_TYPE = "f32";

/** What an engine can be opened with beside a study's settings. */
export interface NativeEngineChoices {
  readonly adapter?: AdapterChoice;
  /** Cells of the KV cache; with fewer than a group can use, fewer items are asked at once. Default: as many as it can use. */
  readonly mostCells?: number;
  /** Numbers that keys and values are kept as; default f32, with flash attention on a GPU for quantized weights f16. */
  readonly cacheType?: NativeEngineOptions["cacheType"];
  /** How conversations become text; settled from the file's header when absent. */
  readonly chat?: ChatFormat;
  /** Most rows of one evaluation; another number is another batch composition. */
  readonly batchTokens?: number;
}

/** A model that is open in this very process: what evaluates it can be had as well. */
export interface NativeModel extends LanguageModel {
  readonly evaluator: Evaluator;
  /** What its prompts are as token ids, and its tokens as text. */
  readonly tokens: ChatTokens;
  /** A text as llama-perplexity reads it: in one piece, nothing in it a control token, behind the BOS that the file asks for. */
  readonly fileIds: (text: string) => { readonly ids: number[]; readonly bos?: number };
}

/** Opens a GGUF, and an adapter on it, and proves that they can be asked. @throws MODEL_*, ADAPTER_*, ENGINE_UNAVAILABLE, ENGINE_MEMORY */
export async function openNativeEngine(
  modelPath: string,
  settings: SettledEngine,
  { adapter, mostCells = 0, cacheType: keptAs, chat: format, batchTokens: wanted }: NativeEngineChoices = {},
): Promise<NativeModel> {
  const summary = await inspectGguf(modelPath);
  const architecture = requireRunnable(summary);
  const { forward = "llama.cpp", exact = false } = settings;
  if (adapter) await checkAdapter(adapter.path, modelPath, forward === "llama.cpp");
  const device = await resolveDevice(settings);
  const usesBlas = usesBlasPlugin(settings);
  if (usesBlas && device.name !== "cpu") {
    throw new InwardError("ENGINE_UNAVAILABLE", `engine.blas is for the CPU; this runs on ${device.name}`);
  }
  if (exact) requireExactAsking(device.name, forward, summary);
  if (forward === "own" && device.name !== "cpu") {
    throw new InwardError("ENGINE_UNAVAILABLE", `engine.forward own is for the CPU; this runs on ${device.name}`);
  }
  const flashAttention = settings.flashAttention === true && !settings.strict;
  if (forward === "llama.cpp") requireFlashAttention(architecture, flashAttention);
  const invariant = settings.invariant === true && !settings.strict && forward === "llama.cpp";
  // What a GPU rounds keys and values to in that attention they can be kept as.
  const cacheType = keptAs ?? (flashAttention && device.name !== "cpu" && summary.quantized ? "f16" : CACHE_TYPE);
  const { least, most } = exact ? exactRows(device.name) : {};
  const batchTokens = Math.min(wanted ?? BATCH_TOKENS, most ?? BATCH_TOKENS);
  // Rounded activations turn the last bit of a sum into a tenth of a nat: no sum may depend on who else is asked.
  const rounds = summary.quantized && device.name === "cpu" && forward === "llama.cpp";
  const separateSequences =
    architecture.flashAttention === "needed" || (rounds && !settings.strict && !flashAttention && !invariant);
  const placement = await settlePlacement(settings, device, modelPath);
  const engine = await openAddon(modelPath, device, settings, {
    mostCells,
    cacheType,
    flashAttention,
    forward,
    separateSequences,
    invariant,
    leastRows: least ?? 0,
    batchTokens,
    shortContext: summary.shortContext ?? 0,
    oneAtATime: architecture.oneAtATime ?? false,
    architecture: architecture.name,
    deviceLayers: placement?.deviceLayers ?? [],
  });
  const evaluator = new Evaluator(engine);
  await evaluator.setAdapter(adapter);
  const { contextTokens, vocabularySize, kernels, loadLog, wholePrompts, window } = evaluator.describe();
  const header = await readGguf(modelPath);
  const shape = () => stateShapeOf(header, modelPath);
  const vocabulary = engineVocabulary(engine, header);
  const size = { vocabularySize, contextTokens };
  const chat = new ChatTokens(vocabulary, formatFor(summary, format), size);
  const facts = { ...size, warnings: [...summary.warnings, ...loadWarnings(loadLog), ...chat.warnings()] };

  const blasPlugin = usesBlas ? { blasPlugin: { sha256: await sha256OfFile(requireBlasPlugin()) } } : {};
  const manifestOf = async (chosen: AdapterChoice | undefined): Promise<EngineManifest> => ({
    ...(await setUpFacts(device, withSequencesOf(architecture, settings), chosen, placement)),
    contextTokens,
    batchTokens,
    flashAttention,
    kvUnified: !separateSequences && !invariant,
    exact,
    invariant,
    arithmetic: askingArithmetic(device.name, exact, forward, summary),
    ...(window > 0 ? { window } : {}),
    ...(wholePrompts ? { wholePrompts } : {}),
    cacheType,
    forward,
    ...(kernels ? { kernels } : {}),
    ...blasPlugin,
    ...chat.manifest(),
    logprobs:
      "natural log of the plain softmax of the raw logits at temperature 1 over the full vocabulary; log-sum-exp in double " +
      "precision at every position",
  });

  const readPaths = async (asked: readonly AskedPath[], kept: Pick<NativeWork, "keep" | "keeps">) => {
    const steps: NextTokens[] = [];
    const take = (answers: NativeAnswers) => {
      for (const { index, step } of readNextTokens(answers, asked, chat)) steps[index] = step;
    };
    const counts = await evaluator.run(withInterventions({ ...pathsWork(asked), ...kept }, asked, shape), take);
    return { steps, evaluatedTokens: counts?.evaluatedTokens ?? 0 };
  };
  const nextTokensTogether: LanguageModel["nextTokensTogether"] = async (requests) => {
    const asked = requests.flatMap(({ messages, paths, topTokens, thinking, interventions }) => {
      const promptIds = chat.tokenizePaths(messages, paths, { thinking });
      return paths.map((path, at) => ({ path, listed: topTokens[at] as number, promptIds, interventions }));
    });
    const { steps } = await readPaths(asked, { keeps: Int32Array.from(asked, ({ promptIds }) => promptIds.length) });
    let next = 0;
    return requests.map(({ paths }) => paths.map(() => steps[next++] as NextTokens));
  };
  const model: Omit<LanguageModel, "manifest"> = {
    facts,
    render: async (messages, options) => chat.render(messages, options),
    tokenTexts: async (ids) => chat.tokenTexts(ids),
    encode: async (conversations, options) => chat.encode(conversations, options),
    check: async (requests) => {
      const tokenized = chat.tokenize(requests);
      withInterventions(askingWork(tokenized), tokenized, shape);
      return tokenized.map(({ promptIds }) => promptIds.length);
    },
    ask: async (requests, { onReply, onCost, sequences, signal } = {}) => {
      const tokenized = chat.tokenize(requests);
      const replies: Reply[] = [];
      const take = (answers: NativeAnswers) => {
        for (const { index, reply } of readReplies(answers, tokenized, chat)) {
          replies[index] = reply;
          onReply?.(index, reply);
        }
      };
      const work = withInterventions(askingWork(tokenized, chat.endIds()), tokenized, shape);
      const counts = await evaluator.run({ ...work, sequences: sequences ?? 0 }, take, signal);
      if (counts) onCost?.(costOf(counts));
      return replies;
    },
    score: async (requests, { onScored, onCost, signal } = {}) => {
      const tokenized = chat.tokenizeContinuations(requests);
      const logprobs: (readonly number[])[] = [];
      const continuations = tokenized.reduce((count, request) => count + request.continuations.length, 0);
      let done = 0;
      const take = (answers: NativeAnswers) => {
        const scored = readScores(answers);
        for (const one of scored) logprobs[one.index] = one.logprobs;
        done += scored.length;
        // A continuation whose end is one token with its last mark is two items.
        onScored?.(Math.min(done, continuations));
      };
      const items = tokenized.flatMap((request) => scoredAnswers(request).map(() => request));
      const counts = await evaluator.run(withInterventions(scoringWork(tokenized), items, shape), take, signal);
      if (counts) onCost?.(costOf(counts));
      return continuationScores(tokenized, logprobs);
    },
    nextTokens: async (messages, paths, topTokens, options) => {
      const promptIds = chat.tokenizePaths(messages, paths, options);
      const listed = typeof topTokens === "number" ? paths.map(() => topTokens) : topTokens;
      const interventions = options?.interventions;
      const asked = paths.map((path, at) => ({ path, listed: listed[at] as number, promptIds, interventions }));
      return readPaths(asked, { keep: promptIds.length });
    },
    ...(forward === "own" ? { nextTokensTogether } : {}),
    withAdapter: async (chosen) => {
      if (chosen) await checkAdapter(chosen.path, modelPath, forward === "llama.cpp");
      await evaluator.setAdapter(chosen);
      return { ...model, manifest: await manifestOf(chosen) };
    },
    dispose: async () => {
      evaluator.close();
    },
  };
  const fileIds = (text: string) => {
    const ids: number[] = [...vocabulary.tokenize(text, false)];
    const { bos, shouldPrependBosToken, shouldAppendEosToken } = vocabulary.tokens;
    if (shouldAppendEosToken) {
      throw new InwardError(
        "MODEL_TOKENIZER",
        `${modelPath} ends every text with a token; llama-perplexity does not take it`,
      );
    }
    return shouldPrependBosToken && bos !== null ? { ids: [bos, ...ids], bos } : { ids };
  };
  return { ...model, manifest: await manifestOf(adapter), evaluator, tokens: chat, fileIds };
}

type AddonChoices = Required<
  Pick<
    NativeEngineOptions,
    | "mostCells"
    | "cacheType"
    | "flashAttention"
    | "forward"
    | "separateSequences"
    | "invariant"
    | "leastRows"
    | "batchTokens"
    | "deviceLayers"
    | "shortContext"
    | "oneAtATime"
    | "architecture"
  >
>;

/** @throws MODEL_* with llama.cpp's own line where it cannot load the file either, whichever forward pass was to evaluate it */
async function openAddon(
  modelPath: string,
  device: ResolvedDevice,
  settings: SettledEngine,
  choices: AddonChoices,
): Promise<Engine> {
  try {
    return await constructAddon(modelPath, device, settings, choices);
  } catch (error) {
    if (choices.forward !== "own" || nativeCode(error) !== "ENGINE_UNAVAILABLE") throw error;
    // "Set engine.forward to llama.cpp" is advice for a file that llama.cpp takes.
    (await constructAddon(modelPath, device, settings, { ...choices, forward: "llama.cpp" })).dispose();
    throw error;
  }
}

async function constructAddon(
  modelPath: string,
  device: ResolvedDevice,
  { sequences, strict, threads }: SettledEngine,
  choices: AddonChoices,
): Promise<Engine> {
  const { Engine, binaries } = await addonForDevice(device.name);
  try {
    return new Engine({
      modelPath,
      ...binaries,
      device: device.list,
      threads,
      sequences: strict ? 1 : sequences,
      ...choices,
      strict,
    });
  } catch (error) {
    if (nativeCode(error) !== "MODEL_LOAD") throw error;
    throw loadFailure(modelPath, (error as Error).message, error);
  }
}

function costOf(counts: NativeCounts): AskCost {
  const { evaluatedTokens, distinctTokens, mostSequences, cells, wantedCells, waited } = counts;
  const { decodeSeconds, readSeconds } = counts;
  return { evaluatedTokens, distinctTokens, mostSequences, cells, wantedCells, waited, decodeSeconds, readSeconds };
}
