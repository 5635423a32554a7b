/**
 * Adapters as stock llama.cpp takes them. What it computes with the adapter file is held against a model file into whose weights
 * alpha / rank · B·A was added here, in double precision: names, orientation, scale and the choice of tensors must all be right.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getLlama, type Llama, LlamaLogLevel, type LlamaModel, type Token } from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LoraAdapter, writeAdapter } from "../../src/finetune/adapter/adapter.js";
import { exportPeft, importPeft } from "../../src/finetune/adapter/peft.js";
import { dequantize } from "../../src/gguf/encodings.js";
import { openGguf, readFully, readGguf } from "../../src/gguf/read-gguf.js";
import { writeGguf } from "../../src/gguf/write-gguf.js";
import { LORA_TARGETS } from "../../src/study/schema.js";
import { randomAdapter, TINY_SHAPE } from "../helpers/random-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const PROMPT = [5, 17, 40, 41, 9, 60, 33, 8] as Token[];
/** Single-precision sums of 64 to 128 products, added in another order: the largest of several hundred differences. */
const LOGPROB_TOLERANCE = 2e-4;

let folder: string;
let base: string;
let llama: Llama;
let model: LlamaModel;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-lora-"));
  base = join(folder, "base.gguf");
  await writeTinyModel(base, { seed: 3 });
  llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.disabled });
  model = await llama.loadModel({ modelPath: base });
});
afterAll(async () => {
  await model.dispose();
  await llama.dispose();
  await rm(folder, { recursive: true, force: true });
});

/** Natural log of every token's probability after the prompt, by token id. */
async function logprobs(of: LlamaModel, adapterPath?: string): Promise<number[]> {
  const context = await of.createContext({
    contextSize: 64,
    threads: 1,
    flashAttention: false,
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
    ...(adapterPath === undefined ? {} : { lora: { adapters: [{ filePath: adapterPath, scale: 1 }] } }),
  });
  const steps = context.getSequence().evaluateWithMetadata(PROMPT, { probabilities: true }, { temperature: 0 });
  const { value } = await steps.next();
  await steps.return?.(undefined);
  await context.dispose();
  if (!value) throw new Error("llama.cpp gave no token");
  const byId = new Map([...value.probabilities].map(([id, probability]) => [id as number, Math.log(probability)]));
  return Array.from({ length: byId.size }, (_, id) => byId.get(id) as number);
}

/** A model file with the adapter's product added to the weights. */
async function merged(adapter: LoraAdapter, name: string): Promise<LlamaModel> {
  const source = await readGguf(base);
  const file = await openGguf(base);
  const tensors = [];
  for (const { name, dimensions, type, elements, byteLength, offset } of source.tensors) {
    const bytes = new Uint8Array(byteLength);
    await readFully(file, bytes, source.dataOffset + offset);
    const weights = dequantize(type, bytes, elements);
    const a = adapter.tensors.get(`${name}.lora_a`);
    const b = adapter.tensors.get(`${name}.lora_b`);
    if (a && b) {
      const [inputs, rank] = a.dimensions;
      for (let at = 0; at < elements; at++) {
        const [row, column] = [Math.floor(at / inputs), at % inputs];
        let sum = 0;
        for (let k = 0; k < rank; k++)
          sum += (b.values[row * rank + k] as number) * (a.values[k * inputs + column] as number);
        weights[at] = (weights[at] as number) + (adapter.alpha / adapter.rank) * sum;
      }
    }
    const out = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
    tensors.push({ name, dimensions, type: "F32" as const, chunks: () => [out] });
  }
  await file.close();
  const path = join(folder, `${name}.gguf`);
  await writeGguf(path, source.encodedMetadata, tensors);
  return llama.loadModel({ modelPath: path });
}

const largest = (x: readonly number[], y: readonly number[]) => {
  expect(x.length).toBe(y.length);
  return Math.max(...x.map((value, at) => Math.abs(value - (y[at] as number))));
};

describe("llama.cpp with our adapter is the model with the product added to its weights", () => {
  test.each([
    ["all seven projections, rank 3, alpha 5", { rank: 3, alpha: 5, scaleB: 0.05, seed: 1 }],
    ["rank 1, alpha 0.5", { rank: 1, alpha: 0.5, scaleB: 0.05, seed: 2 }],
    ["rank 16, alpha 32", { rank: 16, alpha: 32, scaleB: 0.02, seed: 3 }],
    ...LORA_TARGETS.map((target) => [`only ${target}`, { targets: [target], scaleB: 0.3, seed: 4 }] as const),
  ] as const)("%s", async (name, options) => {
    const adapter = randomAdapter(options);
    const path = join(folder, `${name}.lora.gguf`);
    await writeAdapter(path, adapter);
    const withAdapter = await logprobs(model, path);
    const added = await merged(adapter, name);
    expect(largest(withAdapter, await logprobs(added))).toBeLessThan(LOGPROB_TOLERANCE);
    // The adapter does something: a test that passes without it would prove nothing.
    expect(largest(withAdapter, await logprobs(model))).toBeGreaterThan(100 * LOGPROB_TOLERANCE);
    await added.dispose();
  });

  test("with B zero it is the base, every bit", async () => {
    const path = join(folder, "zero.lora.gguf");
    await writeAdapter(path, randomAdapter({ scaleB: 0 }));
    expect(await logprobs(model, path)).toEqual(await logprobs(model));
  });

  test("exported to PEFT and imported again it is the same adapter to llama.cpp", async () => {
    const adapter = randomAdapter({ scaleB: 0.05, seed: 9 });
    const [path, back] = [join(folder, "out.lora.gguf"), join(folder, "back.lora.gguf")];
    await writeAdapter(path, adapter);
    await exportPeft(join(folder, "peft"), adapter, TINY_SHAPE);
    await writeAdapter(back, await importPeft(join(folder, "peft"), TINY_SHAPE));
    expect(await logprobs(model, back)).toEqual(await logprobs(model, path));
  });
});

test("llama.cpp refuses an adapter of another shape", async () => {
  const adapter = randomAdapter({ targets: ["q"] });
  const name = "blk.0.attn_q.weight.lora_b";
  const tensors = new Map(adapter.tensors).set(name, { dimensions: [3, 32], values: new Float32Array(96) });
  const path = join(folder, "narrow.lora.gguf");
  await writeAdapter(path, { ...adapter, tensors });
  await expect(logprobs(model, path)).rejects.toThrow();
});
