/** The float64 reference of every architecture that our own forward pass knows: it is llama.cpp's arithmetic, and its gradients are slopes. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type GgufValue, readGguf } from "../../src/gguf/read-gguf.js";
import { LORA_TARGETS } from "../../src/study/schema.js";
import { ARCHITECTURE_VARIANTS } from "../helpers/architecture-variants.js";
import { type LlamaCpp, startLlamaCpp } from "../helpers/llama-cpp-logits.js";
import { type ReferenceAdapter, randomAdapter } from "../helpers/reference/adapter.js";
import type { Matrix } from "../helpers/reference/matrix.js";
import { type ReferenceModel, readReferenceModel } from "../helpers/reference/reference-model.js";
import { writeSteadyModel } from "../helpers/reference/steady-model.js";
import { referenceGradients, referenceLogits, referenceLoss } from "../helpers/reference/reference-pass.js";
import { TINY_ARCHITECTURES } from "../helpers/tiny-architectures.js";
import { writeReferenceAdapter } from "../helpers/reference/write-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
let llama: LlamaCpp;
let files = 0;
const fresh = () => join(folder, `${files++}.gguf`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-reference-"));
  llama = await startLlamaCpp();
});

afterAll(async () => {
  await llama.dispose();
  await rm(folder, { recursive: true, force: true });
});

/** llama.cpp sums in single precision, whose unit at a logit of 16 is 2e-6. */
const TOLERANCE = 2e-5;

/** Longer than every window. */
const TOKENS = [1, 30, 7, 7, 200, 88, 61, 2, 145, 30, 7, 99];

/** The largest |difference|, over all positions and tokens. */
function furthest(ours: Matrix, theirs: readonly ArrayLike<number>[]): number {
  expect(theirs.map((row) => row.length)).toEqual(Array.from({ length: ours.rows }, () => ours.columns));
  return Math.max(...theirs.flatMap((row, at) => Array.from(row, (value, id) => Math.abs(value - ours.at(at, id)))));
}

const rowsOf = ({ rows, columns, values }: Matrix) =>
  Array.from({ length: rows }, (_, row) => values.subarray(row * columns, (row + 1) * columns));

const u32 = (value: number): GgufValue => ({ type: "u32", value });
const f32 = (value: number): GgufValue => ({ type: "f32", value });
const none: GgufValue = { type: "string", value: "none" };

describe("the forward pass equals llama.cpp's", () => {
  test.each(ARCHITECTURE_VARIANTS)("%s", async (_, options) => {
    const { path, model } = await writeSteadyModel(fresh(), options, TOKENS);
    const ours = referenceLogits(model, TOKENS);
    expect(furthest(ours, await llama.logits(path, TOKENS))).toBeLessThan(TOLERANCE);
    expect(Math.max(...ours.values.map(Math.abs))).toBeGreaterThan(3);
  });
});

/** Of which llama.cpp takes no notice, or only of whether a prompt is longer. */
const UNSEEN = ["phi3.attention.sliding_window", "phi3.rope.scaling.original_context_length"];

describe.each(TINY_ARCHITECTURES)("%s", (architecture) => {
  test("every key that it has beside llama's moves the logits", async () => {
    const { path } = await writeTinyModel(fresh(), { architecture });
    const rows = rowsOf(referenceLogits(await readReferenceModel(path), TOKENS));
    const { metadata } = await readGguf(path);
    for (const [key, value] of metadata) {
      if (!/rope|attn_|final_|scale$|sliding/.test(key) || key.endsWith("rope.dimension_count")) continue;
      const changed = await writeTinyModel(fresh(), { architecture, metadata: { [key]: other(value) } });
      const moved = furthest(referenceLogits(await readReferenceModel(changed.path), TOKENS), rows);
      if (UNSEEN.includes(key)) expect(moved, key).toBe(0);
      else expect(moved, key).toBeGreaterThan(100 * TOLERANCE);
    }
  });

  test("a pair beside every projection gives llama.cpp's logits with the same pairs in a file", async () => {
    const pairs = (base: ReferenceModel) => randomAdapter(base, { rank: 3, alpha: 5, targets: LORA_TARGETS }, 0.2);
    const { path, model, adapter } = await writeSteadyModel(fresh(), { architecture }, TOKENS, pairs);
    const adapterPath = fresh();
    await writeReferenceAdapter(adapterPath, adapter as ReferenceAdapter, 5, architecture);
    const ours = referenceLogits(model, TOKENS, adapter);
    expect(furthest(ours, await llama.logits(path, TOKENS, adapterPath))).toBeLessThan(TOLERANCE);
    expect(furthest(ours, rowsOf(referenceLogits(model, TOKENS)))).toBeGreaterThan(0.5);
  });

  test("each pair's gradient is the slope of the loss", async () => {
    const small = { width: 16, heads: 2, keyValueHeads: 1, headWidth: 8, feedForward: 12 };
    const { path } = await writeTinyModel(fresh(), { architecture, biases: true, ...small });
    const model = await readReferenceModel(path);
    const adapter = randomAdapter(model, { rank: 2, alpha: 3, targets: LORA_TARGETS }, 0.3);
    const tokenIds = TOKENS.slice(0, 11);
    const rows = [
      { row: 3, target: 80, weight: 1 },
      { row: 8, target: 100, weight: 0.25 },
      { row: 10, target: 2, weight: 2 },
    ];
    const { loss, gradients } = referenceGradients(model, tokenIds, rows, adapter);
    expect(loss).toBe(referenceLoss(model, tokenIds, rows, adapter));
    for (const [name, { values }] of adapter.tensors) {
      const analytic = gradients.get(name)?.values as Float64Array;
      const start = values.slice();
      // Along a direction that has nothing to do with the gradient, so that no error in it is at right angles to it.
      const direction = start.map((_, at) => Math.cos(7 * at + 1) * Math.sqrt(2 / start.length));
      const lossAt = (step: number) => {
        for (const [at, value] of start.entries()) values[at] = value + step * (direction[at] as number);
        return referenceLoss(model, tokenIds, rows, adapter);
      };
      const slope = (lossAt(STEP) - lossAt(-STEP)) / (2 * STEP);
      values.set(start);
      const expected = analytic.reduce((sum, value, at) => sum + value * (direction[at] as number), 0);
      expect(Math.abs(slope - expected), name).toBeLessThan(1e-7 * Math.hypot(...analytic));
      expect(Math.hypot(...analytic), name).toBeGreaterThan(1e-4);
    }
  });
});

/** Of the central differences: their error falls with its square, the loss's rounding (1e-16) is divided by it. */
const STEP = 1e-5;

/** A value of the same type that says something else. */
function other(value: GgufValue): GgufValue {
  if (value.type === "u32") return u32(value.value + 1);
  if (value.type === "f32") return f32(1.4 * value.value);
  if (value.type === "string") return none;
  if (value.type === "array") return { ...value, value: value.value.map((one) => !one) } as GgufValue;
  throw new Error(`no other value of ${value.type}`);
}
