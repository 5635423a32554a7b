/** Asking rates of a plan's models: measured where the file is here, scaled from one that was measured where it is not. */

import type { TrainingSettings } from "../../study/study.js";
import { readdir } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { join } from "node:path";
import {
  askedHere,
  hypotheticalQuestions,
  objectLevelQuestions,
  type Question,
  type StoredTokens,
  toAnswer,
  toRequest,
} from "../../ask/questions.js";
import { labelQuestions } from "../../ask/judge-questions.js";
import { scoreOptions } from "../../ask/option-scores.js";
import { readJson, readJsonLines } from "../../base/files.js";
import { InwardError } from "../../errors.js";
import { resolveDevice } from "../../model/device.js";
import { startEngine } from "../../model/engines/start-engine.js";
import type { LanguageModel } from "../../model/language-model.js";
import { layerParameters, type ModelShape } from "../../model/model-shape.js";
import type { Plan } from "../../study/plan.js";
import { type AdapterCard, cardSchema } from "../../finetune/adapter/card.js";
import { ADAPTER_FILES, RUN_FILES } from "../folder.js";
import type { AskedSize, AskingRate, Rated, TimeEstimate } from "./estimate.js";
import { chatOf } from "../planned-chats.js";
import { askedSize, scoredSize, scoringShares, sharesPrompts, type TokenCounter, tokenCounter } from "./sizes.js";

// How fast a model answers here: some of the plan's own questions, asked once and timed. What they say is thrown away.

/** Questions that are answered, at most; fewer where reading their prompts alone would take longer than this. */
const MOST_QUESTIONS = 16;
const SAMPLE_SECONDS = 3;
/** As many are read to tell how fast reading is, and answered at least: beside each other they take little longer than one. */
const FEWEST_QUESTIONS = 4;

interface ProbeOptions {
  readonly counter: TokenCounter;
  /** Whether the engine evaluates a shared beginning once. */
  readonly shares: boolean;
  readonly stored: StoredTokens;
  /** Whose rate it is, in words. */
  readonly of: string;
  readonly signal?: AbortSignal;
}

/** @param questions at least one, all for one kind of stage */
async function measureAsking(
  model: LanguageModel,
  questions: readonly Question[],
  { counter, shares, stored, of, signal }: ProbeOptions,
): Promise<AskingRate> {
  const ask = async (group: readonly Question[]) => {
    const begun = performance.now();
    const replies = await model.ask(
      group.map((question) => toRequest(question, stored)),
      signal ? { signal } : {},
    );
    return { replies, seconds: (performance.now() - begun) / 1000 };
  };
  const read = (group: readonly Question[]) => ask(group.map((question) => ({ ...question, maxTokens: 1 })));
  const few = spread(questions, FEWEST_QUESTIONS);
  // Makes the context, which is not to be timed.
  await read(few.slice(0, 1));
  const reading = await read(few);
  const toRead = await askedSize([few], counter, shares);
  const affordable = Math.floor((SAMPLE_SECONDS * few.length) / Math.max(reading.seconds, 1e-3));
  const sample = spread(questions, Math.min(MOST_QUESTIONS, Math.max(FEWEST_QUESTIONS, affordable)));
  const { replies, seconds } = await ask(sample);
  const { distinctTokens, generatedTokensAtMost } = await askedSize([sample], counter, shares);
  const generated = replies.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0);
  const bytes = replies.reduce((sum, reply, index) => {
    return sum + Buffer.byteLength(JSON.stringify(toAnswer(sample[index] as Question, reply))) + 1;
  }, 0);
  const listed = replies.reduce((sum, { positions }) => sum + Buffer.byteLength(JSON.stringify(positions ?? "")), 0);
  return {
    basis: "measured",
    readTokensPerSecond: toRead.distinctTokens / Math.max(reading.seconds, 1e-6),
    tokensPerSecond: (distinctTokens + generated) / Math.max(seconds, 1e-6),
    generatedShare: generated / generatedTokensAtMost,
    bytesPerAnswer: bytes / sample.length,
    ...(stored.alternatives === undefined ? {} : { alternativeBytesPerAnswer: listed / sample.length }),
    of: `${sample.length} ${sample.length === 1 ? "question" : "questions"} to ${of} in ${seconds.toFixed(1)} s`,
  };
}

/** How fast options are scored: those of a few questions. @param questions at least one, all with options */
async function measureScoring(
  model: LanguageModel,
  questions: readonly Question[],
  {
    counter,
    sharing,
    of,
    signal,
  }: Pick<ProbeOptions, "counter" | "of" | "signal"> & {
    readonly sharing: Parameters<typeof scoredSize>[2];
  },
): Promise<AskingRate> {
  const sample = spread(questions, FEWEST_QUESTIONS);
  const score = (some: readonly Question[]) =>
    scoreOptions(
      model,
      some.flatMap(({ options }) => options ?? []),
      signal ? { signal } : {},
    );
  // Makes the context, which is not to be timed.
  await score(sample.slice(0, 1));
  const begun = performance.now();
  await score(sample);
  const seconds = (performance.now() - begun) / 1000;
  const { distinctTokens = 0 } = (await scoredSize([sample], counter, sharing)) ?? {};
  const tokensPerSecond = distinctTokens / Math.max(seconds, 1e-6);
  return {
    basis: "measured",
    tokensPerSecond,
    readTokensPerSecond: tokensPerSecond,
    generatedShare: 0,
    bytesPerAnswer: 0,
    of: `options of ${sample.length} ${sample.length === 1 ? "question" : "questions"} scored by ${of} in ${seconds.toFixed(1)} s`,
  };
}

/** Runs of neighbours, which share their string, out of the whole list. */
export function spread<Item>(items: readonly Item[], count: number): Item[] {
  const wanted = Math.min(count, items.length);
  const run = Math.max(1, Math.ceil(wanted / 4));
  const runs = Math.ceil(wanted / run);
  const stride = items.length / runs;
  return Array.from({ length: runs }, (_, at) => items.slice(Math.floor(at * stride), Math.floor(at * stride) + run))
    .flat()
    .slice(0, wanted);
}

// From counts and a rate to seconds.

/**
 * A token costs 2 operations a weight when it is read and 4 when it is learnt from: forward, and back through frozen weights,
 * whose own gradients nobody needs. Checkpointing goes forward once more.
 */
export function trainingTime(
  evaluatedTokens: number,
  rated: Rated,
  { activationCheckpointing }: Pick<TrainingSettings, "activationCheckpointing">,
): TimeEstimate {
  if (!rated.ok) return rated;
  const timesReading = activationCheckpointing ? 3 : 2;
  return { ok: true, seconds: (evaluatedTokens * timesReading) / rated.rate.readTokensPerSecond, basis: "scaled" };
}

export function askingTime(
  { distinctTokens, generatedTokensAtMost }: Pick<AskedSize, "distinctTokens" | "generatedTokensAtMost">,
  rated: Rated,
): TimeEstimate {
  if (!rated.ok) return rated;
  const { basis, tokensPerSecond, generatedShare } = rated.rate;
  return { ok: true, seconds: (distinctTokens + generatedTokensAtMost * generatedShare) / tokensPerSecond, basis };
}

/** The same work by another network: weights decide, encodings and caches are left out. */
export function scaledRate(rate: AskingRate, weightsMeasured: number, weights: number): AskingRate {
  const factor = weightsMeasured / weights;
  return {
    ...rate,
    basis: "scaled",
    tokensPerSecond: rate.tokensPerSecond * factor,
    readTokensPerSecond: rate.readTokensPerSecond * factor,
    of: `${rate.of}, times ${factor.toPrecision(2)} for its weights`,
  };
}

/** Unknown as soon as a part is; measured only when every part is. */
export function sumOfTimes(times: readonly TimeEstimate[]): TimeEstimate {
  let [seconds, basis, atMost] = [0, "measured" as "measured" | "scaled", false];
  for (const time of times) {
    if (!time.ok) return time;
    seconds += time.seconds;
    if (time.basis === "scaled") basis = "scaled";
    if (time.atMost) atMost = true;
  }
  return { ok: true, seconds, basis, ...(atMost ? { atMost: true } : {}) };
}

export interface RatedModel {
  readonly objectLevel: Rated;
  readonly hypothetical: Rated;
  /** Scoring options; absent where nothing is answered, or judged, by logprob. */
  readonly options?: Rated;
}

/** A model whose file is here. */
export interface MeasurableModel {
  readonly name: string;
  readonly path: string;
  readonly shape?: ModelShape;
}

interface RateOptions {
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
  const { models, plan, standIn, onProgress } = options;
  const hasScored =
    plan.tasks.some(({ definition }) => definition.answerBy === "logprob") || labelQuestions(plan).length > 0;
  const rates: Record<string, RatedModel> = {};
  let reference: (RatedModel & { readonly shape?: ModelShape }) | undefined;
  const here = Object.entries(models).flatMap(([name, { path, shape }]) =>
    path === undefined ? [] : [{ name, path, ...(shape ? { shape } : {}) }],
  );
  for (const model of here) {
    onProgress?.(model.name);
    const rated = await unlessRefused(model.name, options.signal, (signal) =>
      measure(model, options.counterOf(model.name), { ...options, signal }),
    );
    rates[model.name] = rated;
    if (rated.objectLevel.ok && rated.hypothetical.ok)
      reference ??= { ...rated, ...(model.shape ? { shape: model.shape } : {}) };
  }
  // To one of unknown size nothing can be scaled.
  const isScaled = Object.values(models).some(({ path, shape }) => path === undefined && shape);
  if (isScaled && !reference && standIn) {
    onProgress?.(standIn.name);
    reference = {
      ...(await unlessRefused(standIn.name, options.signal, (signal) =>
        measureStandIn(standIn, { ...options, signal }),
      )),
      ...(standIn.shape ? { shape: standIn.shape } : {}),
    };
  }
  for (const [name, { shape, missing = "" }] of Object.entries(models)) {
    rates[name] ??= {
      objectLevel: scaled(reference?.objectLevel, reference?.shape, shape, missing),
      hypothetical: scaled(reference?.hypothetical, reference?.shape, shape, missing),
      ...(hasScored ? { options: scaled(reference?.options, reference?.shape, shape, missing) } : {}),
    };
  }
  return rates;
}

/** A probe that takes longer tells enough: that a run would take very long, here and now. */
const MOST_SECONDS = 60;

/** A machine that cannot run a model can still be told how large its plan is. */
async function unlessRefused(
  name: string,
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
    const reason = late
      ? `a few questions to ${name} took longer than ${MOST_SECONDS} s on this machine`
      : error.message;
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
  const opened = await startEngine(model.path, engine, { chat: plan.chats?.[model.name] && chatOf(plan, model.name) });
  try {
    const shares = sharesPrompts(plan, model.name);
    const rate = async (questions: readonly Question[]): Promise<Rated> => {
      if (questions.length === 0) return { ok: false, reason: "the plan asks no such question" };
      const state = (questions[0] as Question).state;
      const own = questions.filter((question) => question.state === state);
      const options = { counter, shares, stored: engine, of: model.name, ...(signal ? { signal } : {}) };
      return { ok: true, rate: await measureAsking(opened, own, options) };
    };
    const objectLevel = askedHere(plan, objectLevelQuestions(plan));
    const withOptions = [...objectLevel, ...labelQuestions(plan)].filter(({ options }) => options !== undefined);
    const scored = withOptions.filter(({ state }) => state === withOptions[0]?.state);
    const { name: device } = await resolveDevice(engine);
    const sharing = scoringShares(plan, model.name, device);
    const probe = { counter, sharing, of: model.name, ...(signal ? { signal } : {}) };
    return {
      objectLevel: await rate(objectLevel),
      hypothetical: await rate(askedHere(plan, hypotheticalQuestions(plan))),
      ...(scored.length > 0 ? { options: { ok: true, rate: await measureScoring(opened, scored, probe) } } : {}),
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
  if (!shape) return { ok: false, reason: `${missing}, and how large it is is not known` };
  if (!rated) return { ok: false, reason: `${missing}, and no other model that could be measured is` };
  if (!rated.ok) return rated;
  if (!measured) return { ok: false, reason: `${missing}, and how large what was measured is is not known` };
  return { ok: true, rate: scaledRate(rated.rate, layerParameters(measured), layerParameters(shape)) };
}

// How fast an earlier run trained: the last step's rate in the events of a run of the same base on the same machine.

interface EarlierTraining {
  readonly evaluatedTokensPerSecond: number;
  /** Folder of the run. */
  readonly run: string;
}

interface StepEvent {
  readonly event: string;
  readonly adapter?: string;
  readonly evaluatedTokensPerSecond?: number;
}

/**
 * @param runs folder of run folders
 * @param base sha256 of the weights
 * @returns the newest by folder name that fits; a run that cannot be read is no reason to stop
 */
export async function earlierTraining(
  runs: string,
  base: string,
  threads: number,
): Promise<EarlierTraining | undefined> {
  const names = await readdir(runs).catch(() => [] as string[]);
  for (const name of names.sort().reverse()) {
    const run = join(runs, name);
    const found = await trainingIn(run, base, threads).catch(() => undefined);
    if (found) return { evaluatedTokensPerSecond: found, run };
  }
  return undefined;
}

async function trainingIn(run: string, base: string, threads: number): Promise<number | undefined> {
  const [folder, ending] = ADAPTER_FILES.adapterCard;
  const cards = (await readdir(join(run, folder))).filter((name) => name.endsWith(ending));
  for (const file of cards) {
    const card = await readJson<AdapterCard>(join(run, folder, file), cardSchema);
    const { machine } = card;
    if (card.base.sha256 !== base || machine.threads !== threads || machine.cpu !== cpus()[0]?.model) continue;
    const { rows } = await readJsonLines<StepEvent>(join(run, RUN_FILES.events));
    const adapter = file.slice(0, -ending.length);
    const steps = rows.filter((row) => row.event === "training_step" && row.adapter === adapter);
    const rate = steps.at(-1)?.evaluatedTokensPerSecond;
    if (typeof rate === "number" && rate > 0) return rate;
  }
  return undefined;
}
