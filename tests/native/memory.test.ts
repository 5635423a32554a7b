/**
 * The memory plan: weights + 16 bytes for each parameter + activations as laid out + two gradients + work space + one chunk of
 * logits. It is what refuses a run, so it must say what the process will come to have.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import type { NativeMemoryPlan, NativeTrainerOptions } from "../../native/index.js";
import { findAddon } from "../../src/model/native/addon.js";
import { LORA_TARGETS } from "../../src/study/schema.js";
import { defaultModelPath } from "../helpers/default-model.js";
import { binariesFolder, openTrainer } from "../helpers/native-trainer.js";

const SCRIPT = fileURLToPath(new URL("../helpers/measure-training-memory.mjs", import.meta.url));

async function measure(options: Partial<NativeTrainerOptions>) {
  const all = {
    addon: (await findAddon()).path,
    modelPath: await defaultModelPath(),
    binariesFolder: binariesFolder("cpu"),
    device: "cpu",
    threads: 1,
    rank: 16,
    alpha: 32,
    dropout: 0,
    targets: LORA_TARGETS,
    activationCheckpointing: false,
    maxMicrobatchTokens: 512,
    maxLossRows: 64,
    ...options,
  };
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, JSON.stringify(all)]);
  return JSON.parse(stdout) as { before: number; planned: number; peak: number; memory: NativeMemoryPlan };
}

describe.runIf(process.platform === "linux")("SmolLM2: the plan is within 10 % of the process's measured peak", () => {
  test.each<[string, Partial<NativeTrainerOptions>]>([
    ["512 tokens", {}],
    ["128 tokens, every second one a loss row, two threads", { maxMicrobatchTokens: 128, maxLossRows: 64, threads: 2 }],
    ["activation checkpointing", { activationCheckpointing: true }],
    ["dropout", { dropout: 0.1, maxMicrobatchTokens: 256, maxLossRows: 32 }],
  ])("%s", async (_, options) => {
    const { before, planned, peak } = await measure(options);
    // The thread sanitizer's own memory is several times the process's: there it is run for its races alone.
    if (process.env.INWARD_SANITIZED === "thread") return;
    expect(Math.abs((before + planned) / peak - 1)).toBeLessThan(0.1);
  });

  test("activation checkpointing needs less than half of the activations' memory", async () => {
    const common = { rank: 16, maxMicrobatchTokens: 512, maxLossRows: 64 };
    const open = async (activationCheckpointing: boolean) => {
      const trainer = await openTrainer(await defaultModelPath(), { ...common, activationCheckpointing });
      const { memory } = trainer.describe();
      trainer.dispose();
      return memory;
    };
    expect((await open(true)).computeBytes).toBeLessThan((await open(false)).computeBytes / 2);
  });
});
