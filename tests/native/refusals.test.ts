/** Proof 6 at the addon's border: what would abort inside ggml is a coded error before it. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { NativeMicrobatch, NativeTrainerOptions } from "../../native/index.js";
import type { GgufValue } from "../../src/gguf/read-gguf.js";
import { openTrainer, sideBySide } from "../helpers/native-trainer.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-refusals-"));
const path = join(folder, "tiny.gguf");
const BATCH = sideBySide([{ tokenIds: [5, 6, 7, 8], answerStart: 2 }]);

beforeAll(() => writeTinyModel(path));

const coded = (code: string, message: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

describe("microbatches", () => {
  test.each<[string, string, Partial<NativeMicrobatch>]>([
    ["TRAIN_EXAMPLE", "token id 9999", { tokenIds: Int32Array.of(5, 6, 7, 9999) }],
    ["TRAIN_EXAMPLE", "token id -1", { lossTargets: Int32Array.of(7, -1) }],
    ["TRAIN_SHAPE", "no tokens", { tokenIds: new Int32Array(0) }],
    ["TRAIN_SHAPE", "positions", { positions: Int32Array.of(0, 1, 2) }],
    ["TRAIN_SHAPE", "positions", { positions: Int32Array.of(0, 1, 2, 4) }],
    ["TRAIN_SHAPE", "ascend", { lossRows: Int32Array.of(2, 1) }],
    ["TRAIN_SHAPE", "ascend", { lossRows: Int32Array.of(2, 4) }],
    ["TRAIN_SHAPE", "finite", { lossWeights: Float32Array.of(1, Number.NaN) }],
    ["TRAIN_SHAPE", "parent", { segmentParents: Int32Array.of(0) }],
    ["TRAIN_SHAPE", "segments", { segmentStarts: Int32Array.of(1) }],
    [
      "TRAIN_SHAPE",
      "loss rows",
      { lossRows: new Int32Array(0), lossTargets: new Int32Array(0), lossWeights: new Float32Array(0) },
    ],
    ["TRAIN_SHAPE", "typed array", { tokenIds: [5, 6, 7, 8] as unknown as Int32Array }],
  ])("%s %s", async (code, message, change) => {
    const trainer = await openTrainer(path);
    expect(() => trainer.accumulate({ ...BATCH, ...change }, 0)).toThrow(coded(code, message));
    expect(() => trainer.evaluate({ ...BATCH, ...change })).toThrow(coded(code, message));
    expect(trainer.accumulate(BATCH, 0)).toBeGreaterThan(0);
    trainer.dispose();
  });

  test("longer than planned, or than the model's context", async () => {
    const trainer = await openTrainer(path, { maxMicrobatchTokens: 3, maxLossRows: 2 });
    expect(() => trainer.accumulate(BATCH, 0)).toThrow(coded("TRAIN_SHAPE", "4 tokens, planned were 3"));
    trainer.dispose();
    const short = join(folder, "short.gguf");
    await writeTinyModel(short, { contextLength: 3 });
    const other = await openTrainer(short);
    expect(() => other.accumulate(BATCH, 0)).toThrow(coded("TRAIN_CONTEXT", "position 3"));
    other.dispose();
  });

  test("a state of another length, and a trainer that is gone", async () => {
    const trainer = await openTrainer(path);
    const wrong = new Float32Array(3);
    expect(() => trainer.setState({ parameters: wrong, firstMoments: wrong, secondMoments: wrong })).toThrow(
      coded("TRAIN_SHAPE", "parameters has 3 values"),
    );
    trainer.dispose();
    expect(() => trainer.accumulate(BATCH, 0)).toThrow(coded("TRAIN_SHAPE", "disposed"));
  });
});

describe("settings", () => {
  test.each<[string, string, Partial<NativeTrainerOptions>]>([
    ["TRAIN_SETTINGS", "rank is 0", { rank: 0 }],
    ["TRAIN_SETTINGS", "alpha", { alpha: -1 }],
    ["TRAIN_SETTINGS", "dropout", { dropout: 1 }],
    ["TRAIN_SETTINGS", "threads", { threads: 0 }],
    ["TRAIN_SETTINGS", 'no target "w"', { targets: ["q", "w"] }],
    ["TRAIN_SETTINGS", "twice", { targets: ["q", "q"] }],
    ["TRAIN_SETTINGS", "empty", { targets: [] }],
    ["TRAIN_SETTINGS", "loss rows", { maxLossRows: 0 }],
    ["TRAIN_DEVICE", "no ggml library", { binariesFolder: "/nowhere" }],
    ["TRAIN_DEVICE", "no cuda device", { device: "cuda" }],
    // Choices of a training before there were products of our own, and of a GPU's.
    ["TRAIN_DEVICE", '"blas" for qkv.forward cannot be had', { kernels: { forward: "blas" } }],
    ["TRAIN_DEVICE", "cannot be had", { kernels: { backward: "ggml-bf16" } }],
    ["TRAIN_DEVICE", "cannot be had", { ggmlOperations: true, kernels: { forward: "own" } }],
    ["TRAIN_MEMORY", "activationCheckpointing", { memoryLimitBytes: 100_000 }],
  ])("%s %s", async (code, message, options) => {
    await expect(openTrainer(path, options)).rejects.toEqual(coded(code, message));
  });
});

describe("models", () => {
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  test.each<[string, string, TinyModelOptions]>([
    ["MODEL_ARCHITECTURE", '"mamba"', { architecture: "mamba" }],
    ["TRAIN_MODEL", "mixture of experts", { metadata: { "llama.expert_count": u32(8) } }],
    ["TRAIN_MODEL", '"longrope"', { metadata: { "llama.rope.scaling.type": { type: "string", value: "longrope" } } }],
    [
      "TRAIN_MODEL",
      "no single whole number",
      { metadata: { "llama.attention.head_count_kv": { type: "array", elementType: "u32", value: [2, 2] } } },
    ],
    ["TRAIN_MODEL", "evenly", { metadata: { "llama.attention.head_count_kv": u32(3) } }],
    ["TRAIN_MODEL", "shape", { metadata: { "llama.feed_forward_length": u32(96) } }],
    ["TRAIN_MODEL", "no tensor blk.2", { metadata: { "llama.block_count": u32(3) } }],
    ["TRAIN_MODEL", "unknown tensor blk.1", { metadata: { "llama.block_count": u32(1) } }],
    ["TRAIN_MODEL", "part of each head", { metadata: { "llama.rope.dimension_count": u32(8) } }],
  ])("%s %s", async (code, message, options) => {
    const other = join(folder, `${message.replaceAll(/\W/g, "")}.gguf`);
    await writeTinyModel(other, options);
    await expect(openTrainer(other)).rejects.toEqual(coded(code, message));
  });

  test("cut off, or no GGUF at all", async () => {
    const bytes = readFileSync(path);
    const cut = join(folder, "cut.gguf");
    writeFileSync(cut, bytes.subarray(0, bytes.length - 4096));
    await expect(openTrainer(cut)).rejects.toEqual(coded("MODEL_TRUNCATED", "ends at"));
    writeFileSync(cut, bytes.subarray(0, 500));
    await expect(openTrainer(cut)).rejects.toEqual(coded("MODEL_NOT_GGUF", cut));
    writeFileSync(cut, "not a model");
    await expect(openTrainer(cut)).rejects.toEqual(coded("MODEL_NOT_GGUF", cut));
    await expect(openTrainer("/nowhere.gguf")).rejects.toEqual(coded("MODEL_NOT_GGUF", "/nowhere.gguf"));
  });
});
