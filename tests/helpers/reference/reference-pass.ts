/** One sequence through the whole model, forward and back. */
import type { EncodedExample } from "../../../src/model/language-model.js";
import type { Site } from "../../../src/model/sites.js";
import { type LoraTensors, type ReferenceAdapter, zerosLike } from "./adapter.js";
import { type BlockPass, blockPass } from "./block.js";
import { Matrix, product, productWithTransposed, times } from "./matrix.js";
import type { ReferenceModel } from "./reference-model.js";
import { rmsNorm } from "./rms-norm.js";
import { capped, capSlope } from "./soft-cap.js";

/** A position whose successor is predicted, and the weight of its negative log-likelihood. */
export interface LossRow {
  readonly row: number;
  readonly target: number;
  readonly weight: number;
}

/** The answer's tokens, each with weight 1: token t is predicted at row t − 1. */
export function lossRows({ tokenIds, answerStart }: EncodedExample): LossRow[] {
  return tokenIds.slice(answerStart).map((target, index) => ({ row: answerStart + index - 1, target, weight: 1 }));
}

/** Raw logits at every position, [tokens × vocabulary]. */
export function referenceLogits(
  model: ReferenceModel,
  tokenIds: readonly number[],
  adapter?: ReferenceAdapter,
): Matrix {
  return forward(model, tokenIds, adapter).logits;
}

/** What stands between the layers: the embedding, what each layer leaves, and its norm, which makes the logits. [tokens × width] each. */
export function referenceHiddenStates(model: ReferenceModel, tokenIds: readonly number[]): Matrix[] {
  const { embedded, blocks, normed } = forward(model, tokenIds, undefined);
  return [embedded, ...blocks.map(({ output }) => output), normed];
}

/** Changes states before anything reads them. @param states [tokens × numbers] */
export type EditStates = (site: Site, states: Matrix) => Matrix;

/** As referenceHiddenStates, without the last norm, and the logits; both with what an edit changes, if there is one. */
export function referenceResiduals(
  model: ReferenceModel,
  tokenIds: readonly number[],
  edit?: EditStates,
  adapter?: ReferenceAdapter,
): { readonly embedded: Matrix; readonly afterLayers: readonly Matrix[]; readonly logits: Matrix } {
  const { embedded, blocks, logits } = forward(model, tokenIds, adapter, edit);
  return { embedded, afterLayers: blocks.map(({ output }) => output), logits };
}

/** Σ weight · nll, nats. */
export function referenceLoss(
  model: ReferenceModel,
  tokenIds: readonly number[],
  rows: readonly LossRow[],
  adapter: ReferenceAdapter,
): number {
  return crossEntropy(forward(model, tokenIds, adapter).logits, rows).loss;
}

/** Σ weight · nll, nats, and its gradient by every LoRA tensor. */
export function referenceGradients(
  model: ReferenceModel,
  tokenIds: readonly number[],
  rows: readonly LossRow[],
  adapter: ReferenceAdapter,
): { readonly loss: number; readonly gradients: LoraTensors } {
  const { blocks, logits, backward } = forward(model, tokenIds, adapter);
  const { loss, dLogits } = crossEntropy(logits, rows);
  const gradients = zerosLike(adapter.tensors);
  let dOutput = backward(dLogits);
  for (const block of blocks.toReversed()) dOutput = block.backward(dOutput, gradients);
  return { loss, gradients };
}

interface Forward {
  readonly embedded: Matrix;
  readonly normed: Matrix;
  readonly blocks: readonly BlockPass[];
  readonly logits: Matrix;
  /** ∂loss/∂logits to ∂loss/∂(the last block's output). */
  backward(dLogits: Matrix): Matrix;
}

function forward(
  model: ReferenceModel,
  tokenIds: readonly number[],
  adapter: ReferenceAdapter | undefined,
  edit?: EditStates,
): Forward {
  const unknown = tokenIds.find((id) => !(id >= 0 && id < model.embeddings.rows));
  if (unknown !== undefined) throw new Error(`token ${unknown} of a vocabulary of ${model.embeddings.rows}`);
  const embedded = new Matrix(tokenIds.length, model.embeddings.columns).map((_, row, column) => {
    return model.embeddingScale * model.embeddings.at(tokenIds[row] as number, column);
  });
  let input = embedded;
  const blocks: BlockPass[] = [];
  for (const [layer, block] of model.blocks.entries()) {
    const pass = blockPass(input, block, model, adapter, (part, states) => {
      return edit?.({ part, layer }, states) ?? states;
    });
    input = pass.output;
    blocks.push(pass);
  }
  const norm = rmsNorm(input, model.outputNorm, model.normEpsilon);
  const { logitScale, logitCap, outputBias } = model;
  const scaled = productWithTransposed(norm.output, model.output).map((value, _, id) => {
    return logitScale * (value + (outputBias?.at(0, id) ?? 0));
  });
  return {
    embedded,
    normed: norm.output,
    blocks,
    logits: scaled.map((logit) => capped(logit, logitCap)),
    backward(dLogits) {
      const dScaled = dLogits.map((d, row, id) => d * capSlope(scaled.at(row, id), logitCap));
      return norm.backward(product(times(logitScale, dScaled), model.output));
    },
  };
}

/** ∂nll/∂logits = softmax − the target's indicator. */
function crossEntropy(logits: Matrix, rows: readonly LossRow[]): { readonly loss: number; readonly dLogits: Matrix } {
  const dLogits = new Matrix(logits.rows, logits.columns);
  let loss = 0;
  for (const { row, target, weight } of rows) {
    let most = Number.NEGATIVE_INFINITY;
    for (let id = 0; id < logits.columns; id++) most = Math.max(most, logits.at(row, id));
    let total = 0;
    for (let id = 0; id < logits.columns; id++) total += Math.exp(logits.at(row, id) - most);
    const logTotal = most + Math.log(total);
    loss += weight * (logTotal - logits.at(row, target));
    for (let id = 0; id < logits.columns; id++) dLogits.add(row, id, weight * Math.exp(logits.at(row, id) - logTotal));
    dLogits.add(row, target, -weight);
  }
  return { loss, dLogits };
}
