/** What training does for GPUs, where the CPU can show that it is right: exact products, turned products, a scaled loss, filled-up microbatches. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { NativeTrainerOptions } from "../../native/index.js";
import type { EncodedExample } from "../../src/model/language-model.js";
import { compareGradients } from "../helpers/compare-gradients.js";
import { openTrainer, sideBySide } from "../helpers/native-trainer.js";
import { type TinyEncoding, writeTinyModel } from "../helpers/tiny-model.js";

/** Of single precision, over a network of a few layers. */
const TOLERANCE = 2e-5;
const folder = mkdtempSync(join(tmpdir(), "inward-gpu-training-"));
const EXAMPLES: EncodedExample[] = [
  { tokenIds: [5, 17, 33, 8, 60, 21, 9], answerStart: 4 },
  { tokenIds: [70, 3, 12, 55, 31, 18, 27, 44, 90], answerStart: 6 },
];
const batch = sideBySide(EXAMPLES);

async function quantized(encoding: TinyEncoding): Promise<string> {
  const path = join(folder, `${encoding}.gguf`);
  await writeTinyModel(path, { encoding, width: 256, feedForward: 256, blocks: 1 });
  return path;
}

test.each<TinyEncoding>(["F16", "BF16", "Q8_0", "Q4_K"])(
  "%s, ggml's operations: exact, because weights become floats in the forward pass too",
  async (encoding) => {
    const { gradient, loss } = await compareGradients(await quantized(encoding), EXAMPLES, [batch], {
      ggmlOperations: true,
      exact: true,
    });
    expect(gradient).toBeLessThan(TOLERANCE);
    expect(loss).toBeLessThan(TOLERANCE);
  },
);

describe("products with a turned operand, as CUDA takes them", () => {
  test.each(["llama", "gemma3"] as const)("%s", async (architecture) => {
    const path = join(folder, `${architecture}.gguf`);
    await writeTinyModel(path, { architecture });
    const options = { ggmlOperations: true, kernels: { forward: "ggml", backward: "out-prod" } };
    const { gradient, loss } = await compareGradients(path, EXAMPLES, [batch], options);
    expect(gradient).toBeLessThan(TOLERANCE);
    expect(loss).toBeLessThan(TOLERANCE);
  });

  test("a quantized base", async () => {
    const options = { ggmlOperations: true, kernels: { forward: "ggml-f32", backward: "out-prod" } };
    const { gradient } = await compareGradients(await quantized("Q4_K"), EXAMPLES, [batch], options);
    expect(gradient).toBeLessThan(TOLERANCE);
  });
});

/** What one step leaves. */
async function step(options: Partial<NativeTrainerOptions>) {
  const path = join(folder, "plain.gguf");
  await writeTinyModel(path, {});
  const trainer = await openTrainer(path, {
    ...options,
    ggmlOperations: true,
    kernels: { forward: "ggml", backward: "ggml-f32" },
  });
  try {
    const { parameters } = trainer.describe();
    const start = Float32Array.from({ length: parameters }, (_, at) => Math.sin(at) / 20);
    const zero = new Float32Array(parameters);
    trainer.setState({ parameters: start, firstMoments: zero, secondMoments: zero });
    const loss = trainer.accumulate(batch, 7);
    const gradients = trainer.gradients();
    const logits = trainer.logits(batch);
    const { logprobs, isBest } = trainer.evaluate(batch);
    const adamw = { learningRate: 1e-3, weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    const norm = trainer.update({ ...adamw, step: 1, gradientScale: 0.2, maxGradientNorm: 1 });
    return { loss, gradients, logits, logprobs, isBest, norm, state: trainer.state() };
  } finally {
    trainer.dispose();
  }
}

test("a scaled loss, and gradients scaled back: the same bits, with dropout too", async () => {
  for (const dropout of [0, 0.3]) {
    expect(await step({ lossScale: 1024, dropout })).toEqual(await step({ dropout }));
  }
});

test("microbatches that are filled up: as many rows come back, and their numbers are the same", async () => {
  const [one, other] = [await step({}), await step({ leastColumns: 17 })];
  expect(other.logits.length).toBe(one.logits.length);
  expect(other.logprobs.length).toBe(one.logprobs.length);
  expect(other.isBest).toEqual(one.isBest);
  expect(other.loss).toBeCloseTo(one.loss, 4);
  const length = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  const apart = one.gradients.map((value, at) => value - (other.gradients[at] as number));
  expect(length(apart) / length(one.gradients)).toBeLessThan(TOLERANCE);
  expect(Math.max(...one.logits.map((value, at) => Math.abs(value - (other.logits[at] as number))))).toBeLessThan(1e-4);
});
