/**
 * Layers over several devices, and weights that are sent to a device layer by layer: the same numbers as on one device that keeps
 * them all, bit for bit, because the same kernels compute the same sums. Vulkan runs on Mesa's software device, named twice.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NativeTrainerOptions, Trainer } from "../../native/index.js";
import { openNativeTrainer } from "../../src/finetune/trainer.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import type { StudyEngine } from "../../src/study/study.js";
import { ALPHA, adapterFor, RANK } from "../helpers/compare-gradients.js";
import { binariesFolder, openTrainer, sideBySide } from "../helpers/native-trainer.js";
import { toFlat } from "../helpers/reference/adapter.js";
import { readReferenceModel } from "../helpers/reference/reference-model.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-several-devices-"));
const STEPS = 2;
const BATCHES = [
  [{ tokenIds: [5, 17, 33, 8, 60, 21, 9], answerStart: 4 }],
  [
    { tokenIds: [70, 3, 12, 55, 31, 18, 27, 44, 90], answerStart: 6 },
    { tokenIds: [70, 3, 12, 40, 41], answerStart: 2 },
  ],
].map(sideBySide);

let visible: string | undefined;
beforeAll(() => {
  visible = process.env.GGML_VK_VISIBLE_DEVICES;
  // A software device is passed over unless it is named; named twice, it is two devices with memory of their own.
  process.env.GGML_VK_VISIBLE_DEVICES = "0,0";
});
afterAll(() => {
  if (visible === undefined) delete process.env.GGML_VK_VISIBLE_DEVICES;
  else process.env.GGML_VK_VISIBLE_DEVICES = visible;
});

type Opened = Pick<Trainer, "dispose"> | Awaited<ReturnType<typeof openNativeTrainer>>;

/** Losses, gradients and norms of every step, and what the parameters come to. */
async function trained(modelPath: string, trainer: Opened, parameters: number, tensors: Parameters<typeof toFlat>[0]) {
  const on = trainer as Awaited<ReturnType<typeof openNativeTrainer>>;
  try {
    const flat = new Float32Array(parameters);
    flat.set(toFlat(tensors, adapterFor(await readReferenceModel(modelPath)).tensors));
    const moments = new Float32Array(parameters);
    await on.setState({ parameters: flat, firstMoments: moments, secondMoments: moments });
    const numbers: number[] = [];
    const gradients: Float32Array[] = [];
    for (let step = 1; step <= STEPS; step++) {
      for (const batch of BATCHES) numbers.push(await on.accumulate(batch, step));
      gradients.push(await on.gradients());
      const settings = { learningRate: 0.01, weightDecay: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
      numbers.push(await on.update({ ...settings, step, gradientScale: 0.1, maxGradientNorm: 0.5 }));
    }
    const { logprobs } = await on.evaluate(BATCHES[1] as (typeof BATCHES)[number]);
    return { numbers, gradients, logprobs, state: await on.state() };
  } finally {
    await on.dispose();
  }
}

async function onCpu(modelPath: string, options: Partial<NativeTrainerOptions>) {
  const trainer = await openTrainer(modelPath, {
    rank: RANK,
    alpha: ALPHA,
    maxMicrobatchTokens: 32,
    maxLossRows: 32,
    ...options,
  });
  const { parameters, tensors, memory } = trainer.describe();
  return { memory, ...(await trained(modelPath, trainer, parameters, tensors)) };
}

async function onVulkan(modelPath: string, options: Partial<NativeTrainerOptions>) {
  const trainer = await openNativeTrainer({
    modelPath,
    binariesFolder: binariesFolder("vulkan"),
    device: "vulkan:0",
    threads: 1,
    rank: RANK,
    alpha: ALPHA,
    dropout: 0,
    targets: ["q", "k", "v", "o", "gate", "up", "down"],
    activationCheckpointing: false,
    maxMicrobatchTokens: 32,
    maxLossRows: 32,
    ...options,
  });
  const { parameters, tensors, memory } = trainer.description;
  return { memory, ...(await trained(modelPath, trainer, parameters, tensors)) };
}

const numbersOf = ({ memory: _, ...numbers }: Awaited<ReturnType<typeof onCpu>>) => numbers;
const layersOf = ({ memory }: Awaited<ReturnType<typeof onCpu>>) =>
  memory.devices.map(({ device, layers, streamedLayers }) => [device, layers, streamedLayers]);

describe("on the CPU", () => {
  const path = join(folder, "cpu.gguf");
  const kernels: [string, Partial<NativeTrainerOptions>][] = [
    ["ggml's kernels", { ggmlOperations: true, kernels: { forward: "ggml", backward: "ggml-f32" } }],
    ["our kernels", {}],
  ];

  test.each(kernels)(
    "%s: two devices, weights that are sent, and both are one device, bit for bit",
    async (_, options) => {
      await writeTinyModel(path, { blocks: 5, encoding: "Q8_0", biases: true, ropeFreqs: true, normSpread: 0.2 });
      const one = await onCpu(path, options);
      expect(layersOf(one)).toEqual([["cpu", 5, 0]]);
      const cases: [Partial<NativeTrainerOptions>, (string | number)[][]][] = [
        [
          { device: "cpu,cpu" },
          [
            ["cpu", 3, 0],
            ["cpu", 2, 0],
          ],
        ],
        [{ deviceLayers: 0 }, [["cpu", 5, 5]]],
        [{ deviceLayers: 2 }, [["cpu", 5, 3]]],
        [
          { device: "cpu,cpu", deviceLayers: 2 },
          [
            ["cpu", 3, 2],
            ["cpu", 2, 1],
          ],
        ],
        [{ deviceLayers: 1, activationCheckpointing: true }, [["cpu", 5, 4]]],
      ];
      for (const [changed, layers] of cases) {
        const other = await onCpu(path, { ...options, ...changed });
        expect(layersOf(other)).toEqual(layers);
        expect(numbersOf(other)).toEqual(numbersOf(one));
      }
    },
  );

  test("what is sent lies in the machine's memory, and two layers' places on the device", async () => {
    await writeTinyModel(path, { blocks: 12, width: 128, feedForward: 256 });
    const [all, two] = [await onCpu(path, {}), await onCpu(path, { deviceLayers: 2 })];
    const layer = two.memory.streamedBytes / 10;
    expect(all.memory.streamedBytes).toBe(0);
    expect(layer).toBeGreaterThan(500_000);
    expect(Math.abs(all.memory.weightBytes - two.memory.weightBytes - 8 * layer)).toBeLessThan(0.02 * layer);
  });

  test("what does not fit is refused with what would help, and how much that would need", async () => {
    await writeTinyModel(path, { blocks: 8, width: 128, feedForward: 256 });
    const options = { maxMicrobatchTokens: 512, maxLossRows: 64 };
    const needed = (await openTrainer(path, options)).describe().memory.totalBytes;
    const refused = await openTrainer(path, { ...options, memoryLimitBytes: needed - 1_000_000 }).catch((e) => e);
    expect(refused).toMatchObject({
      code: "TRAIN_MEMORY",
      message: expect.stringMatching(
        /the machine's memory needs (\d+) MiB .*there are \d+ MiB\. It would need (\d+) MiB with activationCheckpointing \(fits\)/,
      ),
    });
    const [, whole, less] = /needs (\d+) MiB.*need (\d+) MiB/.exec(refused.message) as RegExpExecArray;
    expect(Number(less)).toBeLessThan(Number(whole) / 2);
    const withHelp = await openTrainer(path, { ...options, activationCheckpointing: true });
    expect(Math.floor(withHelp.describe().memory.totalBytes / 2 ** 20)).toBe(Number(less));
  });
});

describe("on Vulkan", () => {
  const path = join(folder, "vulkan.gguf");

  test("two devices, and weights that are sent, are one device, bit for bit; CPU and Vulkan are near", async () => {
    await writeTinyModel(path, { blocks: 5, biases: true, ropeFreqs: true, normSpread: 0.2 });
    const one = await onVulkan(path, {}).catch((error: unknown) => error);
    if (one instanceof Error) {
      // No loader or no driver on this machine: then that is what the user is told.
      expect(one).toMatchObject({ code: expect.stringMatching(/^TRAIN_(DEVICE|ADDON)$/) });
      return;
    }
    const whole = one as Awaited<ReturnType<typeof onVulkan>>;
    const cases: [Partial<NativeTrainerOptions>, (string | number)[][]][] = [
      [
        { device: "vulkan:0,vulkan:1" },
        [
          ["vulkan:0", 3, 0],
          ["vulkan:1", 2, 0],
        ],
      ],
      [
        { device: "vulkan:0,vulkan:1", deviceLayers: 2, activationCheckpointing: true },
        [
          ["vulkan:0", 3, 2],
          ["vulkan:1", 2, 1],
        ],
      ],
    ];
    for (const [changed, layers] of cases) {
      const other = await onVulkan(path, changed);
      expect(layersOf(other)).toEqual(layers);
      expect(numbersOf(other)).toEqual(numbersOf(whole));
    }
    const mixed = await onVulkan(path, { device: "cpu,vulkan:0", deviceLayers: 3 });
    expect(layersOf(mixed)).toEqual([
      ["cpu", 2, 0],
      ["vulkan:0", 3, 0],
    ]);
    // Mesa's software device multiplies with half-precision inputs, the CPU does not.
    mixed.numbers.forEach((number, at) => {
      expect(Math.abs(number - (whole.numbers[at] as number))).toBeLessThan(
        0.02 * Math.abs(whole.numbers[at] as number),
      );
    });
    expect(numbersOf(mixed)).not.toEqual(numbersOf(whole));
  });

  test("asking: layers where the settings say, and the CPU's answers", async () => {
    await writeTinyModel(path, { blocks: 4 });
    const ask = async (settings: Partial<StudyEngine>) => {
      const model = await startEngine(path, {
        ...DEFAULT_ENGINE,
        ...settings,
        engine: "native",
        forward: "llama.cpp",
        threads: 1,
        sequences: 2,
      });
      const messages = [{ role: "user" as const, content: "say a word or two" }];
      const replies = await model.ask([{ messages, maxTokens: 4, temperature: 0, seed: "0", topTokens: 3 }]);
      await model.dispose();
      return { placement: model.manifest.placement, logprobs: replies[0]?.logprobs ?? [] };
    };
    const split = await ask({ device: "vulkan:0,vulkan:1", gpuLayers: 2 }).catch((error: unknown) => error);
    if (split instanceof Error) {
      expect(split).toMatchObject({ code: "ENGINE_UNAVAILABLE" });
      return;
    }
    const { placement, logprobs } = split as Awaited<ReturnType<typeof ask>>;
    expect(placement).toEqual([
      { device: "cpu", layers: [0, 1], output: false },
      { device: "vulkan:0", layers: [2, 2], output: false },
      { device: "vulkan:1", layers: [3, 3], output: true },
    ]);
    const cpu = await ask({ device: "cpu" });
    expect(cpu.placement).toBeUndefined();
    expect(logprobs).toHaveLength(cpu.logprobs.length);
    // Half-precision inputs of products, as above.
    logprobs.forEach((logprob, at) => {
      expect(Math.abs(logprob - (cpu.logprobs[at] as number))).toBeLessThan(0.01);
    });
  });
});
