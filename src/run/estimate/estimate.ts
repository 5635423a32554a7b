/** What a plan comes to before it is run: the content of `npx inward run --dry-run --json`. */

import { judgesOf } from "../../ask/judge-questions.js";
import { readGguf } from "../../gguf/read-gguf.js";
import { type FoundGpu, resolveDevice } from "../../model/device.js";
import { placementOn } from "../../model/engines/settings.js";
import type { LocatedModel } from "../../model/locate-model.js";
import {
  estimatedParts,
  type Placement,
  placeForTraining,
  type TrainingPlaces,
  type WeightParts,
  weightParts,
} from "../../model/placement.js";
import { layerParameters, loraParameters, parameterCount } from "../../model/model-shape.js";
import type { Plan } from "../../study/plan.js";
import { engineOf } from "../open-models.js";
import { chatOf } from "../planned-chats.js";
import { diskNeed } from "./disk.js";
import {
  askingTime,
  earlierTraining,
  type MeasurableModel,
  type RatedModel,
  rateModels,
  trainingTime,
} from "./rates.js";
import {
  ANSWER_TOKENS,
  askingMemory,
  LETTERS_PER_TOKEN,
  pieceCounter,
  type SizedStage,
  sizeStages,
  TEMPLATE_TOKENS_PER_MESSAGE,
  type TokenCounter,
  tokenCounter,
  trainingMemory,
  trainingSize,
  uncountedStages,
} from "./sizes.js";
import { statesOf } from "../../study/states.js";

/**
 * `exact` by the model's own tokenizer. `estimate` from characters, because the model's file is not here. Numbers of generated
 * tokens are upper bounds either way, and what training reads of an answer is assumed.
 */
export type TokenBasis = "exact" | "estimate";

/**
 * `measured` on this machine, with this model. `scaled` from a measurement of another model or other work, by operations.
 * Both are forecasts; a second process on the same cores spoils either.
 */
export type TimeEstimate =
  | { readonly ok: true; readonly seconds: number; readonly basis: "measured" | "scaled"; readonly atMost?: true }
  | { readonly ok: false; readonly reason: string };

export interface AskedSize {
  readonly questions: number;
  /** Distinct strings that they are about. */
  readonly items: number;
  readonly promptTokens: number;
  /** Of the prompts, each shared beginning of a group once: what the native engine evaluates. */
  readonly distinctTokens: number;
  readonly generatedTokensAtMost: number;
  /** Of one question, prompt and answer. */
  readonly longestTokens: number;
}

/** Options that are scored after an answer. `promptTokens` counts the prompt with each of them; nothing is generated. */
export interface ScoredSize extends AskedSize {
  /** Letters and texts, in every order. */
  readonly continuations: number;
}

const STAGES = [
  "judge",
  "options_judge",
  "object_level",
  "options",
  "object_level_adapted",
  "options_adapted",
  "hypothetical",
  "noise_floor",
  "options_noise_floor",
  "distributions",
] as const;

export interface StageEstimate extends AskedSize, Partial<Pick<ScoredSize, "continuations">> {
  readonly stage: (typeof STAGES)[number];
  readonly state: string;
  readonly tokens: TokenBasis;
  readonly time: TimeEstimate;
}

export interface TrainingSize {
  /** When every train string that may be learnt from has a behavior. */
  readonly examplesAtMost: number;
  readonly steps: number;
  /** Each example counted whole, over all epochs. */
  readonly exampleTokens: number;
  /** With shared beginnings once per microbatch. */
  readonly evaluatedTokens: number;
  readonly microbatchTokens: number;
  readonly microbatchRows: number;
}

export interface TrainingEstimate extends TrainingSize {
  readonly adapter: string;
  readonly base: string;
  readonly tokens: TokenBasis;
  /** Absent where the network's shape is not known. */
  readonly parameters?: number;
  readonly memory?: TrainingMemory;
  /** On GPUs: which layers are computed where, and how many have their weights sent there; rough. */
  readonly placement?: TrainingPlaces;
  readonly time: TimeEstimate;
}

/** Bytes. Rough where it says so: ggml lays out what a graph needs only when it has one. */
export interface AskingMemory {
  readonly weights: number;
  /** Keys and values of all cells of the cache. */
  readonly cache: number;
  /** Logits and activations of one batch; rough. */
  readonly compute: number;
  readonly total: number;
}

export interface TrainingMemory {
  readonly weights: number;
  readonly parameters: number;
  readonly gradients: number;
  readonly moments: number;
  /** Of the largest microbatch; rough. */
  readonly activations: number;
  readonly total: number;
}

export interface AskingRate {
  readonly basis: "measured" | "scaled";
  /** Distinct prompt tokens and generated tokens together. */
  readonly tokensPerSecond: number;
  /** Distinct prompt tokens alone, of a few questions without an answer. */
  readonly readTokensPerSecond: number;
  /** Generated tokens, as a share of the most that could be. */
  readonly generatedShare: number;
  /** A line of the answers' file. */
  readonly bytesPerAnswer: number;
  /** Of it, likely tokens of every position; absent where the study stores none. */
  readonly alternativeBytesPerAnswer?: number;
  /** What was measured, in words. */
  readonly of: string;
}

export type Rated = { readonly ok: true; readonly rate: AskingRate } | { readonly ok: false; readonly reason: string };

export interface ModelEstimate {
  readonly model: string;
  readonly source: string;
  /** Why the file that would run is not here; absent when it is. */
  readonly missing?: string;
  readonly parameters?: number;
  /** Those that every token is multiplied with: without embeddings and output. */
  readonly layerParameters?: number;
  readonly weights?: { readonly bytes: number; readonly exact: boolean };
  readonly tokens: TokenBasis;
  readonly memory?: AskingMemory;
  /** On GPUs: which layers lie where when it is asked. */
  readonly placement?: Placement;
  /** `options`: scoring them; absent where nothing is answered, or judged, by logprob. */
  readonly rates: { readonly objectLevel: Rated; readonly hypothetical: Rated; readonly options?: Rated };
}

/** Bytes. */
export interface DiskEstimate {
  readonly answers: number;
  /** Of them, likely tokens of every position; absent where the study stores none. */
  readonly alternatives?: number;
  readonly adapters: number;
  /** Beside an adapter in training; gone when it is there. */
  readonly checkpoint: number;
  readonly modelsToDownload: number;
  readonly modelsToWrite: number;
  /** Captured states, of a study that looks inside. */
  readonly states?: number;
  /** A model's file with random weights, while it is looked into. */
  readonly randomWeights?: number;
  /** What lenses read of whole prompts, and the states of these while they are read. */
  readonly lensTokens?: number;
  readonly lensStates?: number;
  /** Sizes that are not known, with the reason. */
  readonly unknown: readonly string[];
}

export interface PlanEstimate {
  readonly models: readonly ModelEstimate[];
  readonly stages: readonly StageEstimate[];
  readonly training: readonly TrainingEstimate[];
  readonly disk: DiskEstimate;
  /** What the numbers rest on. */
  readonly assumptions: readonly string[];
}

// What an estimate's numbers rest on, in words.

/** The engine waits for a beginning that is as long, and evaluates a shorter one again. */
const MOST_AGAIN = 16;

function assumptionsOf(plan: Plan, models: readonly ModelEstimate[], training: readonly TrainingEstimate[]): string[] {
  const { engine, calibration } = plan;
  const shown = statesOf(plan).all.flatMap((state) => (state.shown ? [state.name] : []));
  const guessed = models.filter(({ tokens }) => tokens === "estimate").map(({ model }) => model);
  const scaled = models.some(({ rates }) => rates.hypothetical.ok && rates.hypothetical.rate.basis === "scaled");
  const measured = models.some(({ rates }) => rates.hypothetical.ok);
  const scored = plan.tasks.filter(({ definition }) => definition.answerBy === "logprob");
  const uncounted = uncountedStages(plan);
  const trainingScaled = training.some(({ time }) => time.ok && time.basis === "scaled");
  // Where everybody was asked elsewhere nothing is counted.
  if (models.length === 0) return [];
  return [
    guessed.length > 0
      ? `Tokens of ${guessed.join(", ")} are estimates from the text: a token for every word, and for every ${LETTERS_PER_TOKEN} letters of a long one, three digits or run of marks, and ${TEMPLATE_TOKENS_PER_MESSAGE} a message for the chat template, whose own header (a date, in Llama 3.1) is not counted. On built-in tasks that was within a sixth of what SmolLM2's own tokenizer gives.`
      : "Prompt tokens are exact, by each model's own tokenizer.",
    engine.engine === "native" && !engine.strict
      ? "Distinct tokens count a shared beginning once per group, as the native engine evaluates it."
      : "Nothing is taken to be shared between prompts: an upper bound for this engine.",
    ...(judgesOf(plan).length > 0
      ? [
          "Judges are counted as if every object-level answer were another text, as long as the longest of their labelled answers, that has no beginning in common with another; a text that comes twice is judged once, and a judge that is not fit is asked no further.",
        ]
      : []),
    ...(shown.length > 0
      ? [
          `Prompts of ${shown.join(", ")} are counted without the pairs that they show, which nobody knows before the target has answered: they are longer, and must fit in the model's context with them.`,
        ]
      : []),
    ...(scored.length > 0
      ? [
          `Beside each answer to ${scored.map(({ definition }) => definition.name).join(", ")} (answerBy: logprob) the prompt is read again, in every order that the options are shown in, with the letter and the text of every option. Where a batch ends between two options of one prompt, its last token and what both begin with, or up to ${MOST_AGAIN} tokens of a quantized model, are evaluated once more.`,
        ]
      : []),
    ...(uncounted.length > 0
      ? [
          `Not counted, neither in tokens nor in time, because its questions follow from answers or models: ${uncounted.join(", ")}.`,
        ]
      : []),
    ...(measured
      ? ["Times are for this machine as busy as it was when it was measured; an adapter makes asking a little slower."]
      : []),
    ...(scaled
      ? [
          "Scaled rates assume time in proportion to the weights of the layers, on this machine: encodings, caches and memory that does not suffice are left out.",
        ]
      : []),
    ...(training.length > 0
      ? [
          `Examples are an upper bound: every train string has a behavior. An answer is taken to have ${ANSWER_TOKENS - 1} tokens and its end.`,
          "Activations of training are rough; the trainer plans them exactly before it begins.",
        ]
      : []),
    ...(trainingScaled
      ? [
          "Training is scaled from reading prompts: 4 operations a weight and token (6 with activation checkpointing) instead of 2.",
        ]
      : []),
    ...(calibration
      ? ["Distributions are an upper bound: each spends its whole token budget and all its samples."]
      : []),
  ];
}

// What a plan comes to before it is run: what is asked and learnt, and what that takes here in time, memory and disk.

interface EstimateOptions {
  /** By the plan's name of it. */
  readonly located: Readonly<Record<string, LocatedModel>>;
  /** False: nothing is asked, and times are unknown. */
  readonly measure: boolean;
  /** Measured when no model of the plan is here. */
  readonly standIn?: MeasurableModel;
  /** Folder of earlier runs. */
  readonly runs: string;
  readonly onProgress?: (what: string) => void;
  readonly signal?: AbortSignal;
}

/** @throws MODEL_*, ENGINE_*, CHAT_*, INTERRUPTED */
export async function estimatePlan(plan: Plan, options: EstimateOptions): Promise<PlanEstimate> {
  const { located, onProgress } = options;
  const { counters, close } = await openCounters(plan, located);
  try {
    onProgress?.("counting");
    const { name: device, gpus, list } = await resolveDevice(plan.engine);
    const sized = await sizeStages(plan, counters, device);
    const rates = await ratesOf(plan, options, counters);
    const stages = sized.map(
      (stage): StageEstimate => ({ ...stage, time: timeOf(stage, rates[statesOf(plan).of(stage.state).model]) }),
    );
    const weights: Record<string, WeightParts | undefined> = {};
    for (const [name, one] of Object.entries(located)) weights[name] = gpus.length > 0 ? await partsOf(one) : undefined;
    const training = await estimateTraining(
      plan,
      options,
      counters,
      rates,
      // What the processor then computes is settled only when training is planned.
      list.startsWith("cpu") ? [] : gpus,
      weights,
    );
    const models = Object.entries(located).map(([name, one]) => ({
      ...modelEstimate(
        plan,
        name,
        one,
        counters.get(name) as TokenCounter,
        rates[name] as RatedModel,
        sized,
        gpus[0]?.name,
      ),
      ...placementEstimate(plan, name, one, gpus, weights[name]),
    }));
    const disk = diskNeed(plan, located, stages, rates, training);
    return { models, stages, training, disk, assumptions: assumptionsOf(plan, models, training) };
  } finally {
    await close();
  }
}

async function partsOf({ file, shape, weights }: LocatedModel): Promise<WeightParts | undefined> {
  if (file) return weightParts(await readGguf(file.path));
  return shape && weights ? estimatedParts(shape, weights.bytes, parameterCount(shape)) : undefined;
}

function placementEstimate(
  plan: Plan,
  model: string,
  { shape }: LocatedModel,
  gpus: readonly FoundGpu[],
  parts: WeightParts | undefined,
): Pick<ModelEstimate, "placement"> {
  if (!shape || !parts || plan.engine.forward === "own") return {};
  return { placement: placementOn(engineOf(plan, model), gpus, shape, parts) };
}

/** One for each vocabulary, and one for all that have none here. */
async function openCounters(plan: Plan, located: EstimateOptions["located"]) {
  const byPath = new Map<string, TokenCounter>();
  const counters = new Map<string, TokenCounter>();
  const close = async () => {
    for (const counter of byPath.values()) await counter.dispose();
  };
  try {
    for (const [name, { basePath }] of Object.entries(located)) {
      const chat = chatOf(plan, name);
      const key = basePath === undefined ? "" : JSON.stringify([basePath, chat]);
      const counter = byPath.get(key) ?? (basePath === undefined ? pieceCounter() : await tokenCounter(basePath, chat));
      byPath.set(key, counter);
      counters.set(name, counter);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { counters, close };
}

async function ratesOf(
  plan: Plan,
  options: EstimateOptions,
  counters: ReadonlyMap<string, TokenCounter>,
): Promise<Record<string, RatedModel>> {
  const { located, measure, standIn, onProgress, signal } = options;
  if (!measure) {
    const none = { ok: false, reason: "nothing was measured (--no-measure)" } as const;
    return Object.fromEntries(Object.keys(located).map((name) => [name, { objectLevel: none, hypothetical: none }]));
  }
  return rateModels({
    plan,
    models: Object.fromEntries(
      Object.entries(located).map(([name, { file, shape, missing }]) => [
        name,
        {
          ...(file ? { path: file.path } : {}),
          ...(shape ? { shape } : {}),
          ...(missing === undefined ? {} : { missing }),
        },
      ]),
    ),
    counterOf: (model) => counters.get(model) as TokenCounter,
    ...(standIn ? { standIn } : {}),
    onProgress: (model) => onProgress?.(`measuring ${model}`),
    ...(signal ? { signal } : {}),
  });
}

function timeOf(stage: SizedStage, rated: RatedModel | undefined): TimeEstimate {
  const { objectLevel, hypothetical, options } = rated as RatedModel;
  if (stage.continuations !== undefined && options) return askingTime(stage, options);
  if (stage.stage === "object_level" || stage.stage === "object_level_adapted") return askingTime(stage, objectLevel);
  if (stage.stage !== "distributions" || !hypothetical.ok) return askingTime(stage, hypothetical);
  const whole = { ...hypothetical.rate, generatedShare: 1 };
  const time = askingTime(stage, { ok: true, rate: whole });
  return time.ok ? { ...time, atMost: true } : time;
}

async function estimateTraining(
  plan: Plan,
  { located, runs, measure }: EstimateOptions,
  counters: ReadonlyMap<string, TokenCounter>,
  rates: Readonly<Record<string, RatedModel>>,
  gpus: readonly FoundGpu[],
  weights: Readonly<Record<string, WeightParts | undefined>>,
): Promise<TrainingEstimate[]> {
  // The upper bound knows nothing of a target, and a seed only changes an order: one count serves all.
  const sizes = new Map<string, Awaited<ReturnType<typeof trainingSize>>>();
  const estimates: TrainingEstimate[] = [];
  for (const { name, training: adapter } of statesOf(plan).trained) {
    const { base, settings } = adapter;
    const one = located[base] as LocatedModel;
    const counter = counters.get(base) as TokenCounter;
    const { examplesPerProperty, implant } = adapter;
    const key = JSON.stringify([one.basePath ?? "", examplesPerProperty, implant, { ...settings, seed: 0 }]);
    const size = sizes.get(key) ?? (await trainingSize(plan, adapter, counter));
    sizes.set(key, size);
    const { rank, targets } = settings.lora;
    const known = measure && one.file ? await earlierTraining(runs, one.file.sha256, plan.engine.threads) : undefined;
    const memory =
      one.shape && one.weights
        ? trainingMemory(one.shape, one.weights.bytes, settings, size, gpus.length > 0)
        : undefined;
    const parts = weights[base];
    const { gpuLayers = "auto" } = plan.engine;
    const stay = gpuLayers === "all" ? parts?.layers.length : gpuLayers;
    estimates.push({
      adapter: name,
      base,
      tokens: counter.basis,
      ...size,
      ...(one.shape ? { parameters: loraParameters(one.shape, rank, targets) } : {}),
      ...(memory ? { memory } : {}),
      ...(memory && parts && stay !== undefined && gpus.length > 0
        ? { placement: placeForTraining(parts, memory.total - memory.weights, gpus, stay) }
        : {}),
      time: known
        ? { ok: true, seconds: size.evaluatedTokens / known.evaluatedTokensPerSecond, basis: "measured" }
        : trainingTime(size.evaluatedTokens, (rates[base] as RatedModel).hypothetical, settings),
    });
  }
  return estimates;
}

function modelEstimate(
  plan: Plan,
  model: string,
  { source, missing, shape, weights }: LocatedModel,
  counter: TokenCounter,
  rates: RatedModel,
  sized: readonly SizedStage[],
  gpu: string | undefined,
): ModelEstimate {
  const own = sized.filter(({ state }) => statesOf(plan).of(state).model === model);
  const longest = own.reduce((most: number, { longestTokens }: AskedSize) => Math.max(most, longestTokens), 0);
  return {
    model,
    source,
    ...(missing === undefined ? {} : { missing }),
    ...(shape ? { parameters: parameterCount(shape), layerParameters: layerParameters(shape) } : {}),
    ...(weights ? { weights } : {}),
    tokens: counter.basis,
    ...(shape && weights ? { memory: askingMemory(shape, weights.bytes, engineOf(plan, model), longest, gpu) } : {}),
    rates,
  };
}
