/** Memory from a network's shape. Weights, cache and parameters are counted; activations are a formula. Pure. */
import { loraParameters, type ModelShape } from "../model/model-shape.js";
import type { SettledEngine } from "../records/study.js";
import type { TrainingSettings } from "../records/training.js";
import type { AskingMemory, TrainingMemory } from "./plan-estimate.js";

const FLOAT = 4;
const HALF = 2;
/** llama.cpp pads a cache to this many cells. */
const CELL_STEP = 256;
/** Tokens of one evaluation. */
const BATCH_TOKENS = 512;
/** Rows whose logits a training step holds at once. */
const LOGIT_ROWS = 64;

/** @param longestTokens prompt and answer of the longest question: the native engine plans a cache for that many of it at once */
export function askingMemory(
  shape: ModelShape,
  weights: number,
  engine: Pick<SettledEngine, "engine" | "sequences" | "strict">,
  longestTokens: number,
): AskingMemory {
  const sequences = engine.strict ? 1 : engine.sequences;
  const cells = Math.ceil((longestTokens * (sequences + 1)) / CELL_STEP) * CELL_STEP;
  const number = engine.engine === "native" ? FLOAT : HALF;
  const cache = cells * shape.layers * 2 * shape.keyValueHeads * shape.headWidth * number;
  const compute = BATCH_TOKENS * (shape.vocabulary + 4 * shape.embedding + 2 * shape.feedForward) * FLOAT;
  return { weights, cache, compute, total: weights + cache + compute };
}

/**
 * Activations that the backward pass needs of every layer: eight vectors as wide as the embedding, four as wide as the
 * feed-forward, and attention's scores. The CPU's own kernels keep no scores, so there it is less. With checkpointing only a layer's input stays, and one layer's activations at a time.
 */
export function trainingMemory(
  shape: ModelShape,
  weights: number,
  { lora, activationCheckpointing }: Pick<TrainingSettings, "lora" | "activationCheckpointing">,
  microbatchTokens: number,
): TrainingMemory {
  const count = loraParameters(shape, lora.rank, lora.targets);
  const layer =
    microbatchTokens * (8 * shape.embedding + 4 * shape.feedForward + shape.heads * microbatchTokens) * FLOAT;
  const input = microbatchTokens * shape.embedding * FLOAT;
  const kept = activationCheckpointing ? shape.layers * input + layer : shape.layers * layer;
  const activations = kept + LOGIT_ROWS * shape.vocabulary * FLOAT;
  const parameters = count * FLOAT;
  // The optimizer's step works on two copies of the gradient.
  const gradients = 3 * count * FLOAT;
  const moments = 2 * count * FLOAT;
  return {
    weights,
    parameters,
    gradients,
    moments,
    activations,
    total: weights + parameters + gradients + moments + activations,
  };
}
