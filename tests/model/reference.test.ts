/**
 * The float64 reference that the native trainer is proven against is itself proven here: its forward pass by llama.cpp, its
 * backward pass by its own finite differences, its optimizer by numbers worked out by hand.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EncodedExample } from "../../src/model/language-model.js";
import { LORA_TARGETS, type LoraTarget } from "../../src/study/schema.js";
import { type LlamaCpp, startLlamaCpp } from "../helpers/llama-cpp-logits.js";
import { fromFlat, randomAdapter, toFlat } from "../helpers/reference/adapter.js";
import { adamWStart, adamWStep, clipToNorm, globalNorm } from "../helpers/reference/adamw.js";
import { Matrix } from "../helpers/reference/matrix.js";
import { type ReferenceBlock, type ReferenceModel, readReferenceModel } from "../helpers/reference/reference-model.js";
import { lossRows, referenceGradients, referenceLogits, referenceLoss } from "../helpers/reference/reference-pass.js";
import { writeReferenceAdapter } from "../helpers/reference/write-adapter.js";
import { trainReference } from "../helpers/reference/train-reference.js";
import { type TinyEncoding, type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
let llama: LlamaCpp;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-reference-"));
  llama = await startLlamaCpp();
});

afterAll(async () => {
  await llama.dispose();
  await rm(folder, { recursive: true, force: true });
});

/** llama.cpp sums in single precision, whose unit at a logit of 16 is 2e-6; 2e-6 to 5e-6 was seen. */
const TOLERANCE_F32 = 2e-5;

/** Of the central differences: their error falls with its square, the loss's rounding (1e-16) is divided by it. */
const STEP = 1e-5;

let models = 0;
async function tiny(options: TinyModelOptions): Promise<{ path: string; model: ReferenceModel }> {
  const { path } = await writeTinyModel(join(folder, `${models++}.gguf`), options);
  return { path, model: await readReferenceModel(path) };
}

const TOKENS = [1, 30, 7, 7, 200, 88, 61, 2, 145, 30, 7, 99, 12, 264, 54, 3, 80, 81, 82, 2];

/** Over all positions and tokens: the largest |difference|, its root mean square relative to theirs, their largest |logit|. */
function compare(ours: Matrix, theirs: readonly Float32Array[]): { worst: number; relative: number; largest: number } {
  expect(theirs.map((logits) => logits.length)).toEqual(Array.from({ length: ours.rows }, () => ours.columns));
  const expected = theirs.flatMap((row) => [...row]);
  const differences = expected.map((logit, index) => logit - (ours.values[index] as number));
  return {
    worst: Math.max(...differences.map(Math.abs)),
    relative: Math.hypot(...differences) / Math.hypot(...expected),
    largest: Math.max(...expected.map(Math.abs)),
  };
}

const UNUSUAL: TinyModelOptions = {
  width: 24,
  heads: 6,
  keyValueHeads: 2,
  headWidth: 8,
  feedForward: 40,
  ropeFreqs: true,
  ropeScale: 2.5,
  biases: true,
  normSpread: 0.3,
};

describe("the forward pass equals llama.cpp's", () => {
  const cases: [string, TinyModelOptions][] = [
    ["the default model", {}],
    ["frequency factors", { ropeFreqs: true }],
    ["linear scaling", { ropeScale: 4 }],
    ["biases", { biases: true }],
    ["uneven norms", { normSpread: 0.3 }],
    ["a tied output", { tiedOutput: true }],
    ["one key-value head for all", { keyValueHeads: 1 }],
    ["a key-value head for each of 8 heads", { heads: 8, keyValueHeads: 8 }],
    ["heads wider than the model", { headWidth: 32 }],
    ["one block", { blocks: 1 }],
    ["three blocks", { blocks: 3 }],
    ["everything at once", UNUSUAL],
  ];

  test.each(cases)("%s", async (_, options) => {
    const { path, model } = await tiny(options);
    const { worst, largest } = compare(referenceLogits(model, TOKENS), await llama.logits(path, TOKENS));
    expect(worst).toBeLessThan(TOLERANCE_F32);
    expect(largest).toBeGreaterThan(3);
  });

  test("each of those options moves the logits by more than a hundred times the tolerance", async () => {
    const usual = referenceLogits((await tiny({})).model, TOKENS);
    for (const options of [{ ropeFreqs: true }, { ropeScale: 4 }, { biases: true }, { normSpread: 0.3 }]) {
      const changed = referenceLogits((await tiny(options)).model, TOKENS);
      const moved = Math.max(
        ...usual.values.map((value, index) => Math.abs(value - (changed.values[index] as number))),
      );
      expect(moved, JSON.stringify(options)).toBeGreaterThan(100 * TOLERANCE_F32);
    }
  });
});

describe("an encoded model", () => {
  const WIDE: TinyModelOptions = { blocks: 1, width: 256, feedForward: 256 };
  /**
   * Worst rounding of a weight, as a share of the greatest weight: half a step, for Q4_0 and Q5_0 a whole one at the far end.
   * Then what separates llama.cpp's logits, which rounds the activations too (to the matrix's type, or to 8 bits): 0.0003 for
   * F16, 0.003 for BF16, 0.007 to 0.012 for the others. A block that was laid out wrongly would make it about 1.
   */
  const cases: [TinyEncoding, number, number][] = [
    ["F16", 2 ** -11, 1e-3],
    ["BF16", 2 ** -8, 1e-2],
    ["Q8_0", 1.1 / 254, 3e-2],
    ["Q4_0", 1.1 / 8, 3e-2],
    ["Q4_1", 1.1 / 15, 3e-2],
    ["Q5_0", 1.1 / 16, 3e-2],
    ["Q5_1", 1.1 / 31, 3e-2],
    ["Q4_K", 1.1 / 15, 3e-2],
    ["Q5_K", 1.1 / 31, 3e-2],
    ["Q6_K", 1.1 / 62, 3e-2],
  ];

  test.each(cases)("%s is close to its weights and gives llama.cpp's logits", async (encoding, rounding, tolerance) => {
    const exact = await tiny(WIDE);
    const { path, model } = await tiny({ ...WIDE, encoding });
    const meant = (exact.model.blocks[0] as ReferenceBlock).down.weight.values;
    const decoded = (model.blocks[0] as ReferenceBlock).down.weight.values;
    const worst = Math.max(...meant.map((value, index) => Math.abs(value - (decoded[index] as number))));
    expect(worst).toBeGreaterThan(0);
    expect(worst).toBeLessThan(rounding * Math.max(...meant.map(Math.abs)));
    expect(compare(referenceLogits(model, TOKENS), await llama.logits(path, TOKENS)).relative).toBeLessThan(tolerance);
  });

  test("a K-quant whose rows are not whole blocks is refused", async () => {
    await expect(tiny({ encoding: "Q4_K" })).rejects.toThrow("token_embd.weight has rows of 64");
  });
});

describe("LoRA pairs", () => {
  test("give the logits that llama.cpp gives with the same tensors in an adapter file", async () => {
    const { path, model } = await tiny(UNUSUAL);
    const adapter = randomAdapter(model, { rank: 3, alpha: 5, targets: LORA_TARGETS }, 0.2);
    const adapterPath = join(folder, "adapter.gguf");
    await writeReferenceAdapter(adapterPath, adapter, 5);
    const ours = referenceLogits(model, TOKENS, adapter);
    expect(compare(ours, await llama.logits(path, TOKENS, adapterPath)).worst).toBeLessThan(TOLERANCE_F32);
    expect(compare(ours, await llama.logits(path, TOKENS)).worst).toBeGreaterThan(0.5);
  });

  test("with B zero leave the base as it is, to the bit", async () => {
    const { model } = await tiny({});
    const adapter = randomAdapter(model, { rank: 4, alpha: 8, targets: LORA_TARGETS }, 0);
    expect(referenceLogits(model, TOKENS, adapter).values).toEqual(referenceLogits(model, TOKENS).values);
  });

  test("go to the native trainer's flat arrays and back", () => {
    const tensors = new Map([
      ["x.lora_a", new Matrix(2, 3, Float64Array.of(1, 2, 3, 4, 5, 6))],
      ["x.lora_b", new Matrix(1, 2, Float64Array.of(7, 8))],
    ]);
    const places = [
      { name: "x.lora_a", dimensions: [3, 2] as const, offset: 2 },
      { name: "x.lora_b", dimensions: [2, 1] as const, offset: 0 },
    ];
    const flat = toFlat(places, tensors);
    expect([...flat]).toEqual([7, 8, 1, 2, 3, 4, 5, 6]);
    expect(fromFlat(places, flat)).toEqual(tensors);
  });
});

describe("gradients equal central finite differences", () => {
  const SMALL = { ...UNUSUAL, width: 12, heads: 4, headWidth: 4, feedForward: 16 };
  const cases: [string, TinyModelOptions, readonly LoraTarget[]][] = [
    ["every target, everything unusual", SMALL, LORA_TARGETS],
    ["every target, tied output", { ...SMALL, tiedOutput: true }, LORA_TARGETS],
    ["keys and down alone", SMALL, ["k", "down"]],
  ];

  test.each(cases)("%s", async (_, options, targets) => {
    const { model } = await tiny(options);
    const adapter = randomAdapter(model, { rank: 2, alpha: 3, targets }, 0.3);
    const tokenIds = TOKENS.slice(0, 9);
    const rows = [
      { row: 3, target: 80, weight: 1 },
      { row: 6, target: 61, weight: 0.25 },
      { row: 7, target: 2, weight: 2 },
    ];
    const { loss, gradients } = referenceGradients(model, tokenIds, rows, adapter);
    expect(loss).toBe(referenceLoss(model, tokenIds, rows, adapter));
    expect(gradients.size).toBe(2 * targets.length * model.blocks.length);
    for (const [name, { values }] of adapter.tensors) {
      const analytic = gradients.get(name)?.values as Float64Array;
      const numeric = values.map((value, index) => {
        const lossAt = (moved: number) => {
          values[index] = moved;
          return referenceLoss(model, tokenIds, rows, adapter);
        };
        const slope = (lossAt(value + STEP) - lossAt(value - STEP)) / (2 * STEP);
        values[index] = value;
        return slope;
      });
      const size = Math.hypot(...numeric);
      expect(size, name).toBeGreaterThan(1e-3);
      const error = Math.hypot(...numeric.map((slope, index) => slope - (analytic[index] as number)));
      // 3e-9 was seen.
      expect(error / size, name).toBeLessThan(1e-7);
    }
  });
});

describe("AdamW", () => {
  const one = (value: number) => new Map([["x", new Matrix(1, 1, Float64Array.of(value))]]);
  const only = (tensors: ReadonlyMap<string, Matrix>) => tensors.get("x")?.at(0, 0) as number;

  test("two steps worked out by hand, with an epsilon and a decay that show", () => {
    const settings = { learningRate: 0.1, weightDecay: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 0.1 };
    // m = 0.1·0.5, v = 0.001·0.25, so m̂ = 0.5, v̂ = 0.25 and p = 0.999 − 0.1 · 0.5 / (0.5 + 0.1).
    const first = adamWStep(adamWStart(one(1)), one(0.5), settings);
    expect(only(first.firstMoments)).toBeCloseTo(0.05, 15);
    expect(only(first.secondMoments)).toBeCloseTo(0.00025, 15);
    expect(only(first.parameters)).toBeCloseTo(0.9156666666666667, 14);
    // m = 0.9·0.05 − 0.1, v = 0.999·0.00025 + 0.001, m̂ = m / 0.19, v̂ = v / 0.001999, √v̂ = 0.790688.
    const second = adamWStep(first, one(-1), settings);
    expect(only(second.firstMoments)).toBeCloseTo(-0.055, 15);
    expect(only(second.secondMoments)).toBeCloseTo(0.00124975, 15);
    expect(only(second.parameters)).toBeCloseTo(0.9472510075981788, 14);
    expect(second.steps).toBe(2);
  });

  test("gradients are clipped by their norm over all tensors, and only downwards", () => {
    const gradients = new Map([
      ["x", new Matrix(1, 1, Float64Array.of(3))],
      ["y", new Matrix(1, 1, Float64Array.of(-4))],
    ]);
    expect(globalNorm(gradients)).toBe(5);
    const clipped = clipToNorm(gradients, 1);
    expect(clipped.get("x")?.at(0, 0)).toBeCloseTo(3 / 5.000001, 15);
    expect(clipped.get("y")?.at(0, 0)).toBeCloseTo(-4 / 5.000001, 15);
    expect(clipToNorm(gradients, 6)).toEqual(gradients);
    expect(clipToNorm(gradients, 0)).toBe(gradients);
  });
});

describe("training", () => {
  // Answers of letters (ids 100 to 125) and the end of turn (2), which a tiny model's output can say.
  const EXAMPLES: EncodedExample[] = [
    { tokenIds: [1, 30, 7, 101, 120, 2], answerStart: 3 },
    { tokenIds: [1, 30, 9, 145, 2], answerStart: 4 },
    { tokenIds: [1, 44, 45, 104, 100, 119, 2], answerStart: 3 },
  ];
  const settings = {
    learningRate: (step: number) => 0.03 / step ** 0.25,
    weightDecay: 0.1,
    beta1: 0.9,
    beta2: 0.99,
    epsilon: 1e-8,
    maxGradientNorm: 0.5,
  };
  const lora = { rank: 2, alpha: 4, targets: LORA_TARGETS };

  test("a step is one AdamW update from the clipped gradient of the mean over all answer tokens of its batch", async () => {
    const { model } = await tiny({ width: 16 });
    const adapter = randomAdapter(model, lora, 0.1);
    const before = JSON.stringify([...adapter.tensors]);
    const { steps, adapter: trained } = trainReference(model, adapter, [EXAMPLES], settings);
    expect(JSON.stringify([...adapter.tensors])).toBe(before);

    // 3 + 1 + 4 answer tokens, each with the weight 1/8 from the beginning.
    const parts = EXAMPLES.map((example) => {
      const rows = lossRows(example).map((row) => ({ ...row, weight: 1 / 8 }));
      return referenceGradients(model, example.tokenIds, rows, adapter);
    });
    expect(steps[0]?.lossNatsPerToken).toBeCloseTo(
      parts.reduce((total, part) => total + part.loss, 0),
      12,
    );
    const name = "blk.1.ffn_up.weight.lora_b";
    const gradient = (at: number) => parts.reduce((total, { gradients }) => total + valueAt(gradients, name, at), 0);
    const factor = 0.5 / ((steps[0]?.gradientNorm as number) + 1e-6);
    expect(factor).toBeLessThan(1);
    for (let at = 0; at < 10; at++) {
      const start = valueAt(adapter.tensors, name, at);
      const g = factor * gradient(at);
      // A first update's moments are the gradient itself.
      const expected = start - 0.03 * 0.1 * start - (0.03 * g) / (Math.abs(g) + 1e-8);
      expect(valueAt(trained.tensors, name, at)).toBeCloseTo(expected, 12);
    }
  });

  test("the next step begins where the last one ended, and the examples are learnt", async () => {
    const { model } = await tiny({ width: 16 });
    const adapter = randomAdapter(model, lora, 0);
    const { steps } = trainReference(model, adapter, Array(12).fill(EXAMPLES), settings);
    const once = trainReference(model, adapter, [EXAMPLES], settings);
    const [again] = trainReference(model, once.adapter, [EXAMPLES], settings).steps;
    expect(steps[1]).toEqual(again);
    expect(steps[0]?.lossNatsPerToken).toBeGreaterThan(3);
  });

  test("a token beyond the vocabulary is refused", async () => {
    const { model } = await tiny({ width: 16 });
    expect(() => referenceLogits(model, [1, 265])).toThrow("token 265 of a vocabulary of 265");
  });
});

function valueAt(tensors: ReadonlyMap<string, Matrix>, name: string, at: number): number {
  return tensors.get(name)?.values[at] as number;
}
