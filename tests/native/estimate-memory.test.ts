/**
 * The dry run's memory of a training and of asking, beside what ggml lays out. It is a formula, and whoever plans by it must not run
 * out: it is never below, and not so far above that nothing would be tried.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readShape } from "../../src/model/model-shape.js";
import { trainingMemory } from "../../src/run/estimate/sizes.js";
import { LORA_TARGETS } from "../../src/study/schema.js";
import { defaultModelPath } from "../helpers/default-model.js";
import { openTrainer } from "../helpers/native-trainer.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-estimate-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** As GPUs compute: ggml's own operations. */
async function beside(path: string, tokens: number, rows: number, activationCheckpointing: boolean) {
  const rank = 16;
  const trainer = await openTrainer(path, {
    rank,
    maxMicrobatchTokens: tokens,
    maxLossRows: rows,
    activationCheckpointing,
    ggmlOperations: true,
    // Not measured: only laid out.
    kernels: { forward: "ggml", backward: "ggml-f32" },
  });
  const planned = trainer.describe().memory.computeBytes;
  trainer.dispose();
  const shape = await readShape(path);
  if (!shape) throw new Error(path);
  const settings = { lora: { rank, alpha: 32, dropout: 0, targets: [...LORA_TARGETS] }, activationCheckpointing };
  const { activations } = trainingMemory(shape, 0, settings, { microbatchTokens: tokens, microbatchRows: rows });
  return activations / planned;
}

describe("activations of a training: the estimate is 1 to 2.5 times ggml's layout", () => {
  test.each<[string, TinyModelOptions]>([
    ["llama", {}],
    ["llama, as many keys as queries", { heads: 4, keyValueHeads: 4 }],
    ["qwen3", { architecture: "qwen3" }],
    ["gemma3", { architecture: "gemma3" }],
    ["wide and quantized", { width: 256, feedForward: 512, blocks: 2, encoding: "Q4_K" }],
  ])("%s", async (name, options) => {
    const { path } = await writeTinyModel(join(folder, `${name}.gguf`), { contextLength: 4096, blocks: 6, ...options });
    for (const tokens of [32, 256, 1024]) {
      for (const checkpointing of [false, true]) {
        const ratio = await beside(path, tokens, Math.min(64, tokens), checkpointing);
        expect([name, tokens, checkpointing, ratio >= 1 && ratio < 2.5 ? "fits" : ratio]).toEqual([
          name,
          tokens,
          checkpointing,
          "fits",
        ]);
      }
    }
  });

  test("SmolLM2", async () => {
    const ratio = await beside(await defaultModelPath(), 512, 64, false);
    expect(ratio).toBeGreaterThanOrEqual(1);
    expect(ratio).toBeLessThan(2.5);
  });
});
