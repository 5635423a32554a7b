/** Whole optimizer steps: what the native trainer's loss curve is compared with. Without dropout. */
import type { EncodedExample } from "../../../src/model/language-model.js";
import { type AdamWSettings, adamWStart, adamWStep, clipToNorm, combine, globalNorm, scaleBy } from "./adamw.js";
import { type ReferenceAdapter, zerosLike } from "./adapter.js";
import type { ReferenceModel } from "./reference-model.js";
import { lossRows, referenceGradients } from "./reference-pass.js";

export interface ReferenceTraining extends Omit<AdamWSettings, "learningRate"> {
  /** Of a step, counted from 1. */
  readonly learningRate: (step: number) => number;
  /** Greatest global L2 norm of the mean gradient; 0 for no limit. */
  readonly maxGradientNorm: number;
}

export interface ReferenceStep {
  /** Mean over the batch's answer tokens, before the update. */
  readonly lossNatsPerToken: number;
  /** Of the mean's gradient, before clipping. */
  readonly gradientNorm: number;
}

/** @param batches one per optimizer step, each with at least one answer token */
export function trainReference(
  model: ReferenceModel,
  adapter: ReferenceAdapter,
  batches: readonly (readonly EncodedExample[])[],
  settings: ReferenceTraining,
): { readonly steps: readonly ReferenceStep[]; readonly adapter: ReferenceAdapter } {
  let state = adamWStart(adapter.tensors);
  const steps = batches.map((batch, index) => {
    let loss = 0;
    let answerTokens = 0;
    let gradients = zerosLike(adapter.tensors);
    for (const example of batch) {
      const rows = lossRows(example);
      const one = referenceGradients(model, example.tokenIds, rows, { ...adapter, tensors: state.parameters });
      loss += one.loss;
      answerTokens += rows.length;
      gradients = combine(gradients, one.gradients, (total, part) => total + part);
    }
    const mean = scaleBy(gradients, 1 / answerTokens);
    const learningRate = settings.learningRate(index + 1);
    state = adamWStep(state, clipToNorm(mean, settings.maxGradientNorm), { ...settings, learningRate });
    return { lossNatsPerToken: loss / answerTokens, gradientNorm: globalNorm(mean) };
  });
  return { steps, adapter: { ...adapter, tensors: state.parameters } };
}
