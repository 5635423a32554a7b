/** The addon's gradient of a microbatch beside the float64 reference's, both from the same random adapter. */
import type { NativeMicrobatch, NativeTrainerOptions, Trainer } from "../../native/index.js";
import type { EncodedExample } from "../../src/model/language-model.js";
import { LORA_TARGETS, type LoraTarget } from "../../src/study/schema.js";
import { openTrainer } from "./native-trainer.js";
import { combine } from "./reference/adamw.js";
import {
  fromFlat,
  type LoraTensors,
  type ReferenceAdapter,
  randomAdapter,
  toFlat,
  zerosLike,
} from "./reference/adapter.js";
import { type ReferenceModel, readReferenceModel } from "./reference/reference-model.js";
import { lossRows, referenceGradients } from "./reference/reference-pass.js";

export const RANK = 4;
export const ALPHA = 8;

/** B is not zero: with B = 0 half of the gradient's paths carry nothing, and errors in them stay hidden. */
export function adapterFor(model: ReferenceModel, targets: readonly LoraTarget[] = LORA_TARGETS): ReferenceAdapter {
  return randomAdapter(model, { rank: RANK, alpha: ALPHA, targets }, 0.1);
}

/** Puts an adapter into a trainer, moments zero. */
export function setAdapter(trainer: Trainer, adapter: ReferenceAdapter): void {
  const { tensors, parameters } = trainer.describe();
  const flat = new Float32Array(parameters);
  flat.set(toFlat(tensors, adapter.tensors));
  const moments = new Float32Array(parameters);
  trainer.setState({ parameters: flat, firstMoments: moments, secondMoments: moments });
}

/** Σ of the examples' losses and gradients. */
export function referenceSum(
  model: ReferenceModel,
  adapter: ReferenceAdapter,
  examples: readonly EncodedExample[],
): { readonly loss: number; readonly gradients: LoraTensors } {
  let gradients: LoraTensors = zerosLike(adapter.tensors);
  let loss = 0;
  for (const example of examples) {
    const one = referenceGradients(model, example.tokenIds, lossRows(example), adapter);
    gradients = combine(gradients, one.gradients, (a, b) => a + b);
    loss += one.loss;
  }
  return { loss, gradients };
}

/** ‖found − expected‖ / ‖expected‖ of the worst tensor. */
export function worstDifference(expected: LoraTensors, found: LoraTensors): number {
  const norm = (values: ArrayLike<number>) =>
    Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0));
  return Math.max(
    ...[...expected].map(([name, { values }]) => {
      const other = found.get(name)?.values;
      if (other === undefined) throw new Error(`no gradient of ${name}`);
      return norm(values.map((value, at) => value - (other[at] as number))) / norm(values);
    }),
  );
}

export interface Comparison {
  /** Of the worst LoRA tensor, relative. */
  readonly gradient: number;
  /** Of the summed loss, relative. */
  readonly loss: number;
}

/** The reference is slow, so what several settings are compared with is computed once. */
const known = new Map<string, { adapter: ReferenceAdapter; expected: ReturnType<typeof referenceSum> }>();

async function referenceFor(modelPath: string, examples: readonly EncodedExample[], targets?: readonly LoraTarget[]) {
  const key = JSON.stringify([modelPath, examples, targets]);
  const found = known.get(key);
  if (found) return found;
  const model = await readReferenceModel(modelPath);
  const adapter = adapterFor(model, targets);
  const made = { adapter, expected: referenceSum(model, adapter, examples) };
  known.set(key, made);
  return made;
}

/** @param microbatches whose gradients are summed; together they hold `examples` */
export async function compareGradients(
  modelPath: string,
  examples: readonly EncodedExample[],
  microbatches: readonly NativeMicrobatch[],
  options: Partial<NativeTrainerOptions> = {},
): Promise<Comparison> {
  const { adapter, expected } = await referenceFor(
    modelPath,
    examples,
    options.targets as readonly LoraTarget[] | undefined,
  );
  const trainer = await openTrainer(modelPath, { rank: RANK, alpha: ALPHA, ...options });
  try {
    setAdapter(trainer, adapter);
    const loss = microbatches.reduce((sum, microbatch) => sum + trainer.accumulate(microbatch, 0), 0);
    const found = fromFlat(trainer.describe().tensors, trainer.gradients());
    return {
      gradient: worstDifference(expected.gradients, found),
      loss: Math.abs(loss - expected.loss) / expected.loss,
    };
  } finally {
    trainer.dispose();
  }
}
