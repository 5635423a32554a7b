/** The steps of a training: gradients, updates, looks at the validation examples, checkpoints. It reads and writes no files. */
import { createHash } from "node:crypto";
import type { NativeState } from "../../native/index.js";
import { InwardError } from "../errors.js";
import type { LossPoint, TrainingSettings, ValidationPoint } from "../records/training.js";
import { evaluateExamples, type PackedExamples } from "./evaluate-examples.js";
import type { NativeTrainer } from "./native-trainer.js";
import type { PackedMicrobatch } from "./pack-examples.js";
import { TrainingRate } from "./training-rate.js";

/** One optimizer step's work. */
export interface TrainingBatch {
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

export interface LoopHooks {
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
