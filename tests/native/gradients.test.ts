/**
 * Proof 2. The reference's gradients equal central finite differences in float64 to 1e-7 (tests/model/reference.test.ts), so
 * agreement with it is agreement with finite differences, without the noise of differencing a single-precision loss.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { NativeTrainerOptions } from "../../native/index.js";
import { packExamples } from "../../src/finetune/batches.js";
import type { EncodedExample } from "../../src/model/language-model.js";
import { LORA_TARGETS } from "../../src/study/schema.js";
import {
  ALPHA,
  adapterFor,
  type Comparison,
  compareGradients,
  RANK,
  setAdapter,
} from "../helpers/compare-gradients.js";
import { openTrainer, sideBySide } from "../helpers/native-trainer.js";
import { fromFlat, toFlat } from "../helpers/reference/adapter.js";
import { readReferenceModel } from "../helpers/reference/reference-model.js";
import { TINY_ARCHITECTURES } from "../helpers/tiny-architectures.js";
import { type TinyEncoding, type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

/** Single precision over a few hundred summands: 2e-6 was seen. */
const TOLERANCE_F32 = 2e-5;

const folder = mkdtempSync(join(tmpdir(), "inward-gradients-"));
let files = 0;
const written = new Map<string, string>();
async function tiny(options: TinyModelOptions = {}): Promise<string> {
  const key = JSON.stringify(options);
  const path = written.get(key) ?? join(folder, `${files++}.gguf`);
  if (!written.has(key)) await writeTinyModel(path, { normSpread: 0.2, ...options });
  written.set(key, path);
  return path;
}

/** Prompts that share beginnings of 3, 8 and 8 tokens, one answer within another's length, and one that shares nothing. */
const COMMON = [5, 17, 33, 8, 60, 21, 9, 77];
const EXAMPLES: EncodedExample[] = [
  { tokenIds: [...COMMON, 40, 41, 2], answerStart: 9 },
  { tokenIds: [...COMMON, 40, 18, 64, 2], answerStart: 10 },
  { tokenIds: [...COMMON, 12, 2], answerStart: 9 },
  { tokenIds: [5, 17, 33, 50, 51, 52, 2], answerStart: 5 },
  { tokenIds: [70, 3, 12, 55, 31, 18, 27, 44, 90], answerStart: 6 },
];

/** Their answers stand beyond every window of a tiny model, and what they see begins in another segment of the tree. */
const BEYOND_WINDOWS: EncodedExample[] = [
  { tokenIds: [...COMMON, 14, 25, 36, 47, 40, 41, 2], answerStart: 13 },
  { tokenIds: [...COMMON, 14, 25, 36, 47, 40, 18, 64, 2], answerStart: 14 },
  { tokenIds: [...COMMON, 14, 25, 36, 47, 12, 2], answerStart: 13 },
  { tokenIds: [5, 17, 33, 50, 51, 52, 2], answerStart: 5 },
  { tokenIds: [70, 3, 12, 55, 31, 18, 27, 44, 90, 28, 8, 70, 3], answerStart: 6 },
];

function expectClose({ gradient, loss }: Comparison, tolerance = TOLERANCE_F32): void {
  expect(loss).toBeLessThan(tolerance);
  expect(gradient).toBeLessThan(tolerance);
}

const KERNELS: [string, Partial<NativeTrainerOptions>][] = [
  ["ggml's operations", { ggmlOperations: true }],
  ["own kernels", {}],
  ["own kernels on two threads", { threads: 2 }],
];

describe.each(KERNELS)("%s", (_, kernels) => {
  test.each<[string, TinyModelOptions]>([
    ["the plain model", {}],
    ["one key-value head for three query heads", { heads: 6, keyValueHeads: 2, width: 48 }],
    ["as many key-value heads as query heads", { heads: 4, keyValueHeads: 4 }],
    ["heads whose width is not the embedding's share", { heads: 4, keyValueHeads: 2, headWidth: 24 }],
    ["rope frequency factors", { ropeFreqs: true }],
    ["linear RoPE scaling", { ropeScale: 4 }],
    ["biases", { biases: true }],
    ["tied output", { tiedOutput: true }],
    ["one block, which is the first and the last", { blocks: 1 }],
    ["three blocks", { blocks: 3 }],
  ])("%s", async (_name, model) => {
    expectClose(await compareGradients(await tiny(model), EXAMPLES, [sideBySide(EXAMPLES)], kernels));
  });

  test.each(TINY_ARCHITECTURES.map((architecture) => [architecture]))(
    "%s: a tree, and the tree cut and its layers computed again",
    async (architecture) => {
      for (const [microbatchTokens, activationCheckpointing] of [
        [128, false],
        [24, true],
      ] as const) {
        const packed = packExamples(BEYOND_WINDOWS, { treePacking: true, microbatchTokens });
        const batches = packed.map(({ microbatch }) => microbatch);
        const options = { ...kernels, activationCheckpointing };
        expectClose(await compareGradients(await tiny({ architecture }), BEYOND_WINDOWS, batches, options));
      }
    },
  );

  test.each(LORA_TARGETS.map((target) => [target]))("only %s is trained", async (target) => {
    const options = { ...kernels, targets: [target] };
    expectClose(await compareGradients(await tiny(), EXAMPLES, [sideBySide(EXAMPLES)], options));
  });

  test.each([
    ["a tree", true, 128],
    ["a tree cut into microbatches", true, 24],
    ["no sharing, cut into microbatches", false, 12],
  ])("%s has the gradient of its separate examples", async (_name, treePacking, microbatchTokens) => {
    const packed = packExamples(EXAMPLES, { treePacking, microbatchTokens });
    const batches = packed.map(({ microbatch }) => microbatch);
    if (treePacking && microbatchTokens === 128) {
      expect(batches).toHaveLength(1);
      expect(batches[0]?.segmentParents.some((parent) => parent >= 0)).toBe(true);
    } else expect(batches.length).toBeGreaterThan(1);
    expectClose(
      await compareGradients(await tiny({ heads: 6, keyValueHeads: 2, width: 48 }), EXAMPLES, batches, kernels),
    );
  });

  test("activation checkpointing changes nothing but memory", async () => {
    const options = { ...kernels, activationCheckpointing: true };
    expectClose(await compareGradients(await tiny({ blocks: 3 }), EXAMPLES, [sideBySide(EXAMPLES)], options));
  });

  test("a sequence of many query blocks", async () => {
    const tokenIds = Array.from({ length: 150 }, (_, at) => (at * 37 + 11) % 90);
    const long = [{ tokenIds, answerStart: 100 }];
    const options = { ...kernels, maxMicrobatchTokens: 150, maxLossRows: 150 };
    // The second has windows, which leave whole blocks of keys behind, and caps.
    for (const model of [{}, { architecture: "gemma2", blocks: 2 }]) {
      expectClose(await compareGradients(await tiny(model), long, [sideBySide(long)], options));
    }
  });

  test("with dropout, the gradient is the finite difference of the loss with the same draws", async () => {
    const path = await tiny();
    const trainer = await openTrainer(path, { rank: RANK, alpha: ALPHA, ...kernels, dropout: 0.3 });
    const adapter = adapterFor(await readReferenceModel(path));
    const batch = sideBySide(EXAMPLES);
    const { tensors, parameters } = trainer.describe();
    setAdapter(trainer, adapter);
    trainer.accumulate(batch, 41);
    const gradient = trainer.gradients();
    const norm = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0));
    const start = new Float32Array(parameters);
    start.set(toFlat(tensors, adapter.tensors));
    const moments = new Float32Array(parameters);
    const lossAt = (step: number, seed: number) => {
      const moved = start.map((value, at) => value + (step * (gradient[at] as number)) / norm);
      trainer.setState({ parameters: moved, firstMoments: moments, secondMoments: moments });
      return trainer.accumulate(batch, seed);
    };
    const difference = (step: number) => (lossAt(step, 41) - lossAt(-step, 41)) / (2 * step);
    // Richardson: the error of the fourth order is below what single precision leaves of the loss.
    const slope = (4 * difference(0.01) - difference(0.02)) / 3;
    expect(Math.abs(slope - norm) / norm).toBeLessThan(1e-3);
    expect(Math.abs(lossAt(0, 41) - lossAt(0, 42))).toBeGreaterThan(1e-3);
    trainer.dispose();
  });
});

describe("quantized bases: the gradient at the dequantized weights", () => {
  test.each<[TinyEncoding]>([
    ["F16"],
    ["BF16"],
    ["Q8_0"],
    ["Q4_0"],
    ["Q4_1"],
    ["Q5_0"],
    ["Q5_1"],
    ["Q4_K"],
    ["Q5_K"],
    ["Q6_K"],
  ])("%s, own kernels: exact, because weights become floats", async (encoding) => {
    const path = await tiny({ encoding, width: 256, feedForward: 256, blocks: 1 });
    for (const threads of [1, 2, 3]) {
      expectClose(await compareGradients(path, EXAMPLES, [sideBySide(EXAMPLES)], { threads }));
    }
  });

  // ggml rounds activations to the weights' type or to 8 bits before it multiplies: a percent or two of a gradient's length.
  test.each<[TinyEncoding]>([["F16"], ["BF16"], ["Q8_0"], ["Q4_1"], ["Q4_K"], ["Q6_K"]])(
    "%s, ggml's operations: within its rounding of activations",
    async (encoding) => {
      const path = await tiny({ encoding, width: 256, feedForward: 256, blocks: 1 });
      for (const backward of ["ggml-f32", "ggml-bf16"]) {
        const options = { ggmlOperations: true, kernels: { forward: "ggml", backward } };
        expectClose(await compareGradients(path, EXAMPLES, [sideBySide(EXAMPLES)], options), 0.05);
      }
    },
  );
});

test("gradients of two layouts agree to the last digits, whatever the examples' order", async () => {
  const path = await tiny();
  const trainer = await openTrainer(path, { rank: RANK, alpha: ALPHA });
  setAdapter(trainer, adapterFor(await readReferenceModel(path)));
  trainer.accumulate(sideBySide(EXAMPLES), 0);
  const one = fromFlat(trainer.describe().tensors, trainer.gradients());
  trainer.zeroGradients();
  trainer.accumulate(sideBySide(EXAMPLES.toReversed()), 0);
  const other = fromFlat(trainer.describe().tensors, trainer.gradients());
  for (const [name, { values }] of one) {
    const most = Math.max(...values.map(Math.abs));
    values.forEach((value, at) => {
      expect(Math.abs(value - (other.get(name)?.values[at] as number))).toBeLessThan(1e-5 * most);
    });
  }
  trainer.dispose();
});
