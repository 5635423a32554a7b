/** Asking rates of a plan's models: measured where the file is here, scaled from one that was measured where it is not. */
import { availableParallelism } from "node:os";
import { hypotheticalQuestions } from "../ask/hypothetical-questions.js";
import { objectLevelQuestions } from "../ask/object-level-questions.js";
import type { Question } from "../ask/question.js";
import { InwardError } from "../errors.js";
import { openModel } from "../model/engine/open-model.js";
import { layerParameters, type ModelShape } from "../model/model-shape.js";
import type { Plan } from "../records/plan.js";
import { measureAsking } from "./measure-asking.js";
import type { Rated } from "./plan-estimate.js";
import { scaledRate } from "./time-of.js";
import { type TokenCounter, tokenCounter } from "./token-counter.js";

export interface RatedModel {
  readonly objectLevel: Rated;
  readonly hypothetical: Rated;
}

/** A model whose file is here. */
export interface MeasurableModel {
  readonly name: string;
  readonly path: string;
  readonly shape?: ModelShape;
}

export interface RateOptions {
  readonly plan: Plan;
  /** By the plan's name of it. */
  readonly models: Readonly<
    Record<string, { readonly path?: string; readonly shape?: ModelShape; readonly missing?: string }>
  >;
  /** Of a plan's model that is here: its own tokenizer. */
  readonly counterOf: (model: string) => TokenCounter;
  /** Measured when no model of the plan can be; absent when it is not here either. */
  readonly standIn?: MeasurableModel;
  readonly onProgress?: (model: string) => void;
  readonly signal?: AbortSignal;
}

export async function rateModels(options: RateOptions): Promise<Record<string, RatedModel>> {
  const { models, standIn, onProgress } = options;
  const rates: Record<string, RatedModel> = {};
  let reference: (RatedModel & { readonly shape?: ModelShape }) | undefined;
  const here = Object.entries(models).flatMap(([name, { path, shape }]) =>
    path === undefined ? [] : [{ name, path, ...(shape ? { shape } : {}) }],
  );
  for (const model of here) {
    onProgress?.(model.name);
    const rated = await unlessRefused(options.signal, (signal) =>
      measure(model, options.counterOf(model.name), { ...options, signal }),
    );
    rates[model.name] = rated;
    if (rated.objectLevel.ok && rated.hypothetical.ok)
      reference ??= { ...rated, ...(model.shape ? { shape: model.shape } : {}) };
  }
  if (here.length < Object.keys(models).length && !reference && standIn) {
    onProgress?.(standIn.name);
    reference = {
      ...(await unlessRefused(options.signal, (signal) => measureStandIn(standIn, { ...options, signal }))),
      ...(standIn.shape ? { shape: standIn.shape } : {}),
    };
  }
  for (const [name, { shape, missing = "" }] of Object.entries(models)) {
    rates[name] ??= {
      objectLevel: scaled(reference?.objectLevel, reference?.shape, shape, missing),
      hypothetical: scaled(reference?.hypothetical, reference?.shape, shape, missing),
    };
  }
  return rates;
}

/** A probe that takes longer tells enough: that a run would take very long, here and now. */
const MOST_SECONDS = 60;

/** A machine that cannot run a model can still be told how large its plan is. */
async function unlessRefused(
  signal: AbortSignal | undefined,
  measured: (limit: AbortSignal) => Promise<RatedModel>,
): Promise<RatedModel> {
  const deadline = AbortSignal.timeout(MOST_SECONDS * 1000);
  try {
    return await measured(signal ? AbortSignal.any([signal, deadline]) : deadline);
  } catch (error) {
    if (signal?.aborted || !(error instanceof InwardError)) throw error;
    const late = error.code === "INTERRUPTED" && deadline.aborted;
    if (!late && !error.code.startsWith("ENGINE_")) throw error;
    const reason = late ? `a few questions took longer than ${MOST_SECONDS} s on this machine` : error.message;
    return { objectLevel: { ok: false, reason }, hypothetical: { ok: false, reason } };
  }
}

async function measureStandIn(standIn: MeasurableModel, options: RateOptions): Promise<RatedModel> {
  const counter = await tokenCounter(standIn.path);
  try {
    // The plan's threads are for the machine that it is made for.
    const { plan } = options;
    const threads = Math.min(plan.engine.threads, availableParallelism());
    return await measure(standIn, counter, { ...options, plan: { ...plan, engine: { ...plan.engine, threads } } });
  } finally {
    await counter.dispose();
  }
}

async function measure(
  model: MeasurableModel,
  counter: TokenCounter,
  { plan, signal }: RateOptions,
): Promise<RatedModel> {
  const { engine } = plan;
  const opened = await openModel(model.path, engine);
  try {
    const shares = engine.engine === "native" && !engine.strict;
    const rate = async (questions: readonly Question[]): Promise<Rated> => {
      if (questions.length === 0) return { ok: false, reason: "the plan asks no such question" };
      const state = (questions[0] as Question).state;
      const own = questions.filter((question) => question.state === state);
      const options = { counter, shares, topTokens: engine.topTokens, of: model.name, ...(signal ? { signal } : {}) };
      return { ok: true, rate: await measureAsking(opened, own, options) };
    };
    return {
      objectLevel: await rate(objectLevelQuestions(plan)),
      hypothetical: await rate(hypotheticalQuestions(plan)),
    };
  } finally {
    await opened.dispose();
  }
}

function scaled(
  rated: Rated | undefined,
  measured: ModelShape | undefined,
  shape: ModelShape | undefined,
  missing: string,
): Rated {
  if (!rated) return { ok: false, reason: `${missing}, and no other model that could be measured is` };
  if (!rated.ok) return rated;
  if (!measured || !shape) return { ok: false, reason: `${missing}, and how large it is is not known` };
  return { ok: true, rate: scaledRate(rated.rate, layerParameters(measured), layerParameters(shape)) };
}
