/** The steps of a training: gradients, updates, looks at the validation examples, checkpoints. It reads and writes no files. */

import type { TrainingSettings } from "../study/study.js";
import { createHash } from "node:crypto";
import type { NativeState } from "../../native/index.js";
import { InwardError } from "../errors.js";
import type { LossPoint, ValidationPoint } from "./adapter/card.js";
import type { PackedMicrobatch } from "./batches.js";
import type { NativeTrainer } from "./trainer.js";

// Loss and right answers of examples that are not learnt.

interface PackedExamples {
  readonly microbatches: readonly PackedMicrobatch[];
  /** Examples. */
  readonly answers: number;
}

/**
 * @param beforeEach called before each microbatch; what it throws ends the work
 * @returns mean loss over all answer tokens, and answers whose every token is the most likely one
 * @throws TRAIN_NOT_FINITE · what the trainer throws
 */
async function evaluateExamples(
  trainer: Pick<NativeTrainer, "evaluate">,
  { microbatches, answers }: PackedExamples,
  beforeEach: () => void = () => {},
): Promise<Omit<ValidationPoint, "step">> {
  const wrong = new Set<number>();
  let nats = 0;
  let tokens = 0;
  for (const { microbatch, rowExamples } of microbatches) {
    beforeEach();
    const { logprobs, isBest } = await trainer.evaluate(microbatch);
    for (let row = 0; row < logprobs.length; row++) {
      nats -= logprobs[row] as number;
      if (!isBest[row]) wrong.add(rowExamples[row] as number);
    }
    tokens += logprobs.length;
  }
  if (!Number.isFinite(nats)) {
    throw new InwardError("TRAIN_NOT_FINITE", `The loss of the validation examples is ${nats / tokens}.`);
  }
  return { lossNatsPerToken: nats / tokens, answersRight: answers - wrong.size, answers };
}

// How fast training goes: over the last steps, so that a slow start or another process does not spoil it for long.

/** One optimizer step. */
interface StepTiming {
  readonly seconds: number;
  /** Tokens of the batch's examples, each counted whole. */
  readonly exampleTokens: number;
  /** Tokens that were evaluated for them: fewer, where beginnings are shared. */
  readonly evaluatedTokens: number;
}

interface Rate {
  readonly exampleTokensPerSecond: number;
  readonly evaluatedTokensPerSecond: number;
  readonly secondsPerStep: number;
}

const STEPS = 20;

export class TrainingRate {
  private readonly last: StepTiming[] = [];

  /** @returns the rate with this step */
  add(step: StepTiming): Rate {
    this.last.push(step);
    if (this.last.length > STEPS) this.last.shift();
    const sum = (key: keyof StepTiming) => this.last.reduce((total, timing) => total + timing[key], 0);
    const seconds = sum("seconds");
    return {
      exampleTokensPerSecond: sum("exampleTokens") / seconds,
      evaluatedTokensPerSecond: sum("evaluatedTokens") / seconds,
      secondsPerStep: seconds / this.last.length,
    };
  }
}

/** One optimizer step's work. */
interface TrainingBatch {
  /** From 1. */
  readonly epoch: number;
  readonly microbatches: readonly PackedMicrobatch[];
}

/** What training is made of; everything in it is a function of settings and examples. */
export interface TrainingWork {
  readonly settings: TrainingSettings;
  readonly totalSteps: number;
  /** @param step from 1 */
  readonly batch: (step: number) => TrainingBatch;
  /** @param step from 1 */
  readonly learningRate: (step: number) => number;
  readonly validation: PackedExamples;
}

/** Where a training stands after `step` updates. */
export interface TrainingProgress {
  readonly step: number;
  readonly losses: readonly LossPoint[];
  readonly validation: readonly ValidationPoint[];
}

export interface StepReport {
  readonly step: number;
  readonly totalSteps: number;
  readonly lossNatsPerToken: number;
  readonly exampleTokensPerSecond: number;
  /** Lower than the former where beginnings are shared. */
  readonly evaluatedTokensPerSecond: number;
  readonly secondsLeft: number;
}

interface LoopHooks {
  /** Called every checkpointEverySteps steps and on interruption, never twice for one step. */
  readonly save: (progress: TrainingProgress, state: NativeState) => Promise<void>;
  readonly onProgress?: (report: StepReport) => void;
  readonly onEvent?: (kind: string, data: object) => void;
  readonly signal?: AbortSignal;
}

/**
 * @param trainer holds the state that belongs to `begin`
 * @param begin where an earlier process stopped, or step 0
 * @throws TRAIN_NOT_FINITE, and the checkpoint then stays the one before · INTERRUPTED after a checkpoint · what the trainer throws
 */
export async function runTraining(
  trainer: NativeTrainer,
  work: TrainingWork,
  begin: TrainingProgress,
  hooks: LoopHooks,
): Promise<TrainingProgress> {
  const { settings, totalSteps } = work;
  const losses = [...begin.losses];
  const validation = [...begin.validation];
  const rate = new TrainingRate();
  let step = begin.step;
  let saved = begin.step;
  const save = async () => {
    await hooks.save({ step, losses, validation }, await trainer.state());
    saved = step;
    hooks.onEvent?.("training_checkpoint", { step });
  };
  try {
    for (;;) {
      // Looked at from the outside, a step ends with its validation and its checkpoint: a run that is taken up does what is missing.
      if (validationIsDue(step, work) && validation.at(-1)?.step !== step) {
        const point = { step, ...(await evaluateExamples(trainer, work.validation, () => stopIf(hooks.signal))) };
        validation.push(point);
        hooks.onEvent?.("training_validation", point);
      }
      if (step === totalSteps) return { step, losses, validation };
      if (step % settings.checkpointEverySteps === 0 && step > saved) await save();
      stopIf(hooks.signal);
      const begun = performance.now();
      const batch = work.batch(step + 1);
      const point = await takeStep(trainer, work, batch, step + 1, hooks.signal);
      losses.push(point);
      step++;
      const timing = rate.add({
        seconds: (performance.now() - begun) / 1000,
        exampleTokens: batch.microbatches.reduce((sum, { exampleTokens }) => sum + exampleTokens, 0),
        evaluatedTokens: batch.microbatches.reduce((sum, { evaluatedTokens }) => sum + evaluatedTokens, 0),
      });
      const { secondsPerStep, ...tokenRates } = timing;
      hooks.onEvent?.("training_step", { ...point, ...tokenRates });
      hooks.onProgress?.({
        step,
        totalSteps,
        lossNatsPerToken: point.lossNatsPerToken,
        ...tokenRates,
        secondsLeft: (totalSteps - step) * secondsPerStep,
      });
    }
  } catch (error) {
    // The sum of a step's gradients is lost with it; its batch comes again.
    if (error instanceof InwardError && error.code === "INTERRUPTED" && step > saved) await save();
    throw error;
  }
}

async function takeStep(
  trainer: NativeTrainer,
  { settings, learningRate }: TrainingWork,
  { epoch, microbatches }: TrainingBatch,
  step: number,
  signal: AbortSignal | undefined,
): Promise<LossPoint> {
  let nats = 0;
  let weights = 0;
  let answerTokens = 0;
  for (const [at, { microbatch }] of microbatches.entries()) {
    nats += await trainer.accumulate(microbatch, dropoutSeed(settings.seed, step, at));
    stopIf(signal);
    for (const weight of microbatch.lossWeights) weights += weight;
    answerTokens += microbatch.lossRows.length;
  }
  const lossNatsPerToken = nats / weights;
  if (!Number.isFinite(lossNatsPerToken)) {
    throw new InwardError("TRAIN_NOT_FINITE", `The loss of step ${step} is ${lossNatsPerToken}.`);
  }
  const rate = learningRate(step);
  const { weightDecay, beta1, beta2, epsilon, maxGradientNorm } = settings;
  const gradientNorm = await trainer.update({
    learningRate: rate,
    weightDecay,
    beta1,
    beta2,
    epsilon,
    step,
    gradientScale: 1 / weights,
    maxGradientNorm,
  });
  if (!Number.isFinite(gradientNorm)) {
    throw new InwardError("TRAIN_NOT_FINITE", `The gradient's norm at step ${step} is ${gradientNorm}.`);
  }
  return { step, epoch, lossNatsPerToken, answerTokens, learningRate: rate, gradientNorm };
}

function validationIsDue(step: number, { settings, totalSteps, validation }: TrainingWork): boolean {
  if (validation.answers === 0 || step === 0) return false;
  return step === totalSteps || (settings.validateEverySteps > 0 && step % settings.validateEverySteps === 0);
}

/** A function of its arguments alone, so that a step that is done again drops the same inputs; a whole number below 2^48. */
function dropoutSeed(seed: number, step: number, microbatch: number): number {
  return createHash("sha256").update(`dropout/${seed}/${step}/${microbatch}`).digest().readUIntLE(0, 6);
}

function stopIf(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new InwardError("INTERRUPTED", "Training was interrupted.");
}

// The learning rate of every step.

type Schedule = Pick<TrainingSettings, "learningRate" | "schedule" | "warmupShare">;

/**
 * With S = totalSteps, W = max(1, ⌈warmupShare · S⌉) and step s from 1: s / W of the peak up to s = W, which is the first step
 * at the peak (step 1 without warm-up); after it, with p = (s - W) / (S + 1 - W), the peak (`constant`), 1 - p of it (`linear`)
 * or (1 + cos πp) / 2 of it (`cosine`). The decay reaches 0 at S + 1: no update is wasted on a rate of 0.
 *
 * transformers counts from 0 and gives its first update a rate of 0. Its get_constant_, get_linear_ and
 * get_cosine_schedule_with_warmup give these rates when made with num_warmup_steps = W, num_training_steps = S + 1, and when
 * scheduler.step() is called once before the first update: its lr_lambda(s) is this function's share of the peak.
 * @param step from 1 to totalSteps
 * @throws INTERNAL outside of that
 */
export function learningRateAt(
  { learningRate, schedule, warmupShare }: Schedule,
  step: number,
  totalSteps: number,
): number {
  if (!Number.isInteger(step) || step < 1 || step > totalSteps) {
    throw new InwardError("INTERNAL", `There is no step ${step} in a training of ${totalSteps} steps.`);
  }
  const warmup = warmupSteps(warmupShare, totalSteps);
  if (step <= warmup) return (learningRate * step) / warmup;
  const decayed = (step - warmup) / (totalSteps + 1 - warmup);
  switch (schedule) {
    case "constant":
      return learningRate;
    case "linear":
      return learningRate * (1 - decayed);
    case "cosine":
      return (learningRate * (1 + Math.cos(Math.PI * decayed))) / 2;
  }
}

/** @param examples of the training set, without those held back @returns optimizer steps */
export function totalSteps(
  { epochs, batchExamples, maxSteps }: Pick<TrainingSettings, "epochs" | "batchExamples" | "maxSteps">,
  examples: number,
): number {
  const steps = epochs * Math.ceil(examples / batchExamples);
  return maxSteps === undefined ? steps : Math.min(steps, maxSteps);
}

function warmupSteps(share: number, steps: number): number {
  // 0.07 · 100 is a little above 7 in floating point and would round up to 8.
  return Math.max(1, Math.ceil(share * steps - 1e-9 * steps));
}
