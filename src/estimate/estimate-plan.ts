/** What a plan comes to before it is run: what is asked and learnt, and what that takes here in time, memory and disk. */
import type { LocatedModel } from "../model/locate-model.js";
import { layerParameters, loraParameters, parameterCount } from "../model/model-shape.js";
import type { Plan } from "../records/plan.js";
import { assumptionsOf } from "./assumptions.js";
import { diskNeed } from "./disk-need.js";
import { earlierTraining } from "./earlier-training.js";
import { askingMemory, trainingMemory } from "./memory-need.js";
import type {
  AskedSize,
  ModelEstimate,
  PlanEstimate,
  StageEstimate,
  TimeEstimate,
  TrainingEstimate,
} from "./plan-estimate.js";
import { type MeasurableModel, type RatedModel, rateModels } from "./rate-models.js";
import { modelOf, type SizedStage, sizeStages } from "./size-stages.js";
import { askingTime, trainingTime } from "./time-of.js";
import { pieceCounter, type TokenCounter, tokenCounter } from "./token-counter.js";
import { trainingSize } from "./training-size.js";

export interface EstimateOptions {
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
  const { counters, close } = await openCounters(located);
  try {
    onProgress?.("counting");
    const sized = await sizeStages(plan, counters);
    const rates = await ratesOf(plan, options, counters);
    const stages = sized.map(
      (stage): StageEstimate => ({ ...stage, time: timeOf(stage, rates[modelOf(plan, stage.state)]) }),
    );
    const training = await estimateTraining(plan, options, counters, rates);
    const models = Object.entries(located).map(([name, one]) =>
      modelEstimate(plan, name, one, counters.get(name) as TokenCounter, rates[name] as RatedModel, sized),
    );
    const disk = diskNeed(plan, located, stages, rates, training);
    return { models, stages, training, disk, assumptions: assumptionsOf(plan, models, training) };
  } finally {
    await close();
  }
}

/** One for each vocabulary, and one for all that have none here. */
async function openCounters(located: EstimateOptions["located"]) {
  const byPath = new Map<string, TokenCounter>();
  const counters = new Map<string, TokenCounter>();
  const close = async () => {
    for (const counter of byPath.values()) await counter.dispose();
  };
  try {
    for (const [name, { basePath }] of Object.entries(located)) {
      const key = basePath ?? "";
      const counter = byPath.get(key) ?? (basePath === undefined ? pieceCounter() : await tokenCounter(basePath));
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
  const { objectLevel, hypothetical } = rated as RatedModel;
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
): Promise<TrainingEstimate[]> {
  // The upper bound knows nothing of a target, and a seed only changes an order: one count serves all.
  const sizes = new Map<string, Awaited<ReturnType<typeof trainingSize>>>();
  const estimates: TrainingEstimate[] = [];
  for (const [name, adapter] of Object.entries(plan.adapters ?? {})) {
    const { base, settings } = adapter;
    const one = located[base] as LocatedModel;
    const counter = counters.get(base) as TokenCounter;
    const key = JSON.stringify([one.basePath ?? "", adapter.examplesPerProperty, { ...settings, seed: 0 }]);
    const size = sizes.get(key) ?? (await trainingSize(plan, adapter, counter));
    sizes.set(key, size);
    const { rank, targets } = settings.lora;
    const known = measure && one.file ? await earlierTraining(runs, one.file.sha256, plan.engine.threads) : undefined;
    estimates.push({
      adapter: name,
      base,
      tokens: counter.basis,
      ...size,
      ...(one.shape ? { parameters: loraParameters(one.shape, rank, targets) } : {}),
      ...(one.shape && one.weights
        ? { memory: trainingMemory(one.shape, one.weights.bytes, settings, size.microbatchTokens) }
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
): ModelEstimate {
  const own = sized.filter(({ state }) => modelOf(plan, state) === model);
  const longest = own.reduce((most: number, { longestTokens }: AskedSize) => Math.max(most, longestTokens), 0);
  return {
    model,
    source,
    ...(missing === undefined ? {} : { missing }),
    ...(shape ? { parameters: parameterCount(shape), layerParameters: layerParameters(shape) } : {}),
    ...(weights ? { weights } : {}),
    tokens: counter.basis,
    ...(shape && weights ? { memory: askingMemory(shape, weights.bytes, plan.engine, longest) } : {}),
    rates,
  };
}
