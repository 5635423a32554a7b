/** A card with plausible values in every field, for an adapter of this sha256. */
import type { AdapterCard } from "../../src/finetune/adapter/card.js";
import { DEFAULT_TRAINING_SETTINGS } from "./training-settings.js";

export function exampleCard(changes: Partial<AdapterCard> = {}): AdapterCard {
  return {
    cardVersion: 1,
    inwardVersion: "0.1.0",
    llamaCpp: "v0.5.0",
    adapter: { sha256: "a".repeat(64), bytes: 1234 },
    base: { source: "tiny.gguf", sha256: "b".repeat(64), encoding: "F32", architecture: "llama" },
    data: { sha256: "d".repeat(64), examples: 90, validationExamples: 10, answerTokens: 400 },
    settings: {
      ...DEFAULT_TRAINING_SETTINGS,
      lora: { rank: 3, alpha: 5, dropout: 0, targets: ["q", "k", "v", "o", "gate", "up", "down"] },
      seed: 7,
      validationShare: 0.1,
      validateEverySteps: 0,
      checkpointEverySteps: 50,
    },
    machine: { device: "cpu", cpu: "A CPU", cpuFlags: ["avx2"], threads: 1, kernels: { base: "ggml" } },
    losses: Array.from({ length: 12 }, (_, at) => ({
      step: at + 1,
      epoch: 0,
      lossNatsPerToken: 3 - at / 4,
      answerTokens: at === 11 ? 30 : 10,
      learningRate: 5e-4,
      gradientNorm: 1,
    })),
    validation: [
      { step: 0, lossNatsPerToken: 3.5, answersRight: 0, answers: 10 },
      { step: 12, lossNatsPerToken: 0.5, answersRight: 8, answers: 10 },
    ],
    ...changes,
  };
}
