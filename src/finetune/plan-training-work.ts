/** What each step of a training learns, and how large the largest microbatch is. A function of examples and settings. */
import type { TrainingSettings } from "../records/training.js";
import type { ValidationSplit } from "./hold-back-prompts.js";
import { learningRateAt, totalSteps } from "./learning-rate.js";
import { orderExamples } from "./order-examples.js";
import { type PackedMicrobatch, packExamples } from "./pack-examples.js";
import type { TrainingWork } from "./training-loop.js";

export interface PlannedWork extends TrainingWork {
  /** Over all microbatches of all steps, validation's too: what memory is planned for. */
  readonly maxMicrobatchTokens: number;
  readonly maxLossRows: number;
}

/** Every batch is packed once to know its size and again when its turn comes: ids are small, packed batches of a long training are not. */
export function planTrainingWork(split: ValidationSplit, settings: TrainingSettings): PlannedWork {
  const { training, validation, trainingSubjects } = split;
  const steps = totalSteps(settings, training.length);
  const perEpoch = Math.ceil(training.length / settings.batchExamples);
  let ordered = { epoch: 0, batches: [] as number[][] };
  const batch = (step: number) => {
    const epoch = Math.ceil(step / perEpoch);
    // Steps come in order, so that one epoch's order is all there is to keep.
    if (ordered.epoch !== epoch) {
      ordered = { epoch, batches: orderExamples(training, { ...settings, epoch }, trainingSubjects) };
    }
    const indices = ordered.batches[(step - 1) % perEpoch] as number[];
    return {
      epoch,
      microbatches: packExamples(
        indices.map((index) => training[index] as (typeof training)[0]),
        settings,
      ),
    };
  };
  const watched = { microbatches: packExamples(validation, settings), answers: validation.length };
  let maxMicrobatchTokens = 0;
  let maxLossRows = 0;
  const measure = (microbatches: readonly PackedMicrobatch[]) => {
    for (const { microbatch } of microbatches) {
      maxMicrobatchTokens = Math.max(maxMicrobatchTokens, microbatch.tokenIds.length);
      maxLossRows = Math.max(maxLossRows, microbatch.lossRows.length);
    }
  };
  measure(watched.microbatches);
  for (let step = 1; step <= steps; step++) measure(batch(step).microbatches);
  return {
    settings,
    totalSteps: steps,
    batch,
    learningRate: (step) => learningRateAt(settings, step, steps),
    validation: watched,
    maxMicrobatchTokens,
    maxLossRows,
  };
}
