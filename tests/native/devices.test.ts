/** The same graph on other devices. Vulkan runs on Mesa's software device where it is installed; CUDA is not run by any test. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findBinaries } from "../../src/model/native/addon.js";
import { openNativeTrainer } from "../../src/finetune/trainer.js";
import type { DeviceName } from "../../src/model/device.js";
import type { EncodedExample } from "../../src/model/language-model.js";
import { LORA_TARGETS } from "../../src/study/schema.js";
import { ALPHA, adapterFor, RANK } from "../helpers/compare-gradients.js";
import { sideBySide } from "../helpers/native-trainer.js";
import { toFlat } from "../helpers/reference/adapter.js";
import { readReferenceModel } from "../helpers/reference/reference-model.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-devices-"));
const EXAMPLES: EncodedExample[] = [
  { tokenIds: [5, 17, 33, 8, 60, 21, 9], answerStart: 4 },
  { tokenIds: [70, 3, 12, 55, 31, 18, 27, 44, 90], answerStart: 6 },
];
const STEPS = 8;
let visible: string | undefined;

beforeAll(() => {
  visible = process.env.GGML_VK_VISIBLE_DEVICES;
  // A software device is passed over unless it is named.
  process.env.GGML_VK_VISIBLE_DEVICES = "0";
});
afterAll(() => {
  if (visible === undefined) delete process.env.GGML_VK_VISIBLE_DEVICES;
  else process.env.GGML_VK_VISIBLE_DEVICES = visible;
});

async function train(modelPath: string, device: DeviceName) {
  const trainer = await openNativeTrainer({
    modelPath,
    binariesFolder: findBinaries(device).folder,
    device,
    threads: 1,
    rank: RANK,
    alpha: ALPHA,
    dropout: 0,
    targets: LORA_TARGETS,
    activationCheckpointing: false,
    maxMicrobatchTokens: 64,
    maxLossRows: 64,
    ggmlOperations: true,
    kernels: { forward: "ggml", backward: "ggml-f32" },
  });
  try {
    const { tensors, parameters, fallbacks } = trainer.description;
    const flat = new Float32Array(parameters);
    flat.set(toFlat(tensors, adapterFor(await readReferenceModel(modelPath)).tensors));
    const moments = new Float32Array(parameters);
    await trainer.setState({ parameters: flat, firstMoments: moments, secondMoments: moments });
    const batch = sideBySide(EXAMPLES);
    const rows = batch.lossRows.length;
    const losses: number[] = [];
    let gradient: Float32Array = new Float32Array();
    for (let step = 1; step <= STEPS; step++) {
      losses.push((await trainer.accumulate(batch, 0)) / rows);
      if (step === 1) gradient = await trainer.gradients();
      await trainer.update({
        learningRate: 0.01,
        weightDecay: 0,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        step,
        gradientScale: 1 / rows,
        maxGradientNorm: 1,
      });
    }
    return { losses, gradient, fallbacks };
  } finally {
    await trainer.dispose();
  }
}

function apart(one: Float32Array, other: Float32Array): number {
  const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return norm(one.map((value, at) => value - (other[at] as number))) / norm(other);
}

describe("Vulkan", () => {
  // Mesa's software device multiplies with half-precision inputs; the feasibility study saw 1e-3 on F32 and 2e-2 on 4-bit weights.
  test.each<[string, TinyModelOptions, number, number]>([
    ["F32", { heads: 6, keyValueHeads: 2, width: 96, feedForward: 192 }, 0.005, 0.002],
    ["biases, frequency factors, tied output", { biases: true, ropeFreqs: true, tiedOutput: true }, 0.005, 0.01],
    ["Q8_0", { encoding: "Q8_0", width: 256, feedForward: 256 }, 0.03, 0.02],
    ["Q4_K", { encoding: "Q4_K", width: 256, feedForward: 256 }, 0.05, 0.03],
  ])("%s: the CPU's gradient and loss curve", async (name, options, gradientTolerance, lossTolerance) => {
    const path = join(folder, `${name.replaceAll(/\W/g, "")}.gguf`);
    await writeTinyModel(path, { normSpread: 0.2, ...options });
    const found = await train(path, "vulkan").catch((error: unknown) => error);
    if (found instanceof Error) {
      // No loader or no driver on this machine: then that is what the user is told.
      expect(found).toMatchObject({ code: expect.stringMatching(/^TRAIN_(DEVICE|ADDON)$/) });
      return;
    }
    const vulkan = found as Awaited<ReturnType<typeof train>>;
    const cpu = await train(path, "cpu");
    expect(vulkan.fallbacks).toEqual({});
    expect(apart(vulkan.gradient, cpu.gradient)).toBeLessThan(gradientTolerance);
    vulkan.losses.forEach((loss, at) => {
      expect(Math.abs(loss - (cpu.losses[at] as number))).toBeLessThan(lossTolerance * (cpu.losses[0] as number));
    });
  });
});

test("CUDA's absence is a coded error that says what was looked for", async () => {
  const path = join(folder, "cuda.gguf");
  await writeTinyModel(path);
  const found = await train(path, "cuda").catch((error: unknown) => error);
  if (!(found instanceof Error)) return; // A machine with CUDA: the curve is checked by hand there.
  expect(found).toMatchObject({ code: "TRAIN_DEVICE", message: expect.stringContaining("cuda") });
});
