import type { TrainingSettings } from "../../src/study/study.js";
import { LORA_TARGETS } from "../../src/study/schema.js";

/** The settings of a training that names none, with seed 0: what tests begin from. */
export const DEFAULT_TRAINING_SETTINGS: TrainingSettings = {
  lora: { rank: 16, alpha: 32, dropout: 0, targets: LORA_TARGETS },
  epochs: 1,
  batchExamples: 16,
  microbatchTokens: 512,
  order: "by_prompt",
  treePacking: true,
  learningRate: 5e-4,
  schedule: "linear",
  warmupShare: 0.1,
  weightDecay: 0,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  maxGradientNorm: 1,
  seed: 0,
  validationShare: 0.05,
  validateEverySteps: 10,
  checkpointEverySteps: 10,
  activationCheckpointing: false,
};
