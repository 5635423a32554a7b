/** The training loop on the real addon and a tiny model: losses, layouts, resumption bit for bit, and what is refused. */
import type { TrainingSettings } from "../../src/study/study.js";
import { execFileSync } from "node:child_process";
import { renameSync, rmSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { findAdapter } from "../../src/finetune/adapter/found-adapter.js";
import { readAdapter } from "../../src/finetune/adapter/saved-adapter.js";
import { trainAdapter, type TrainingRequest } from "../../src/finetune/train-adapter.js";
import type { EncodedExample } from "../../src/model/language-model.js";
import type { AdapterCard } from "../../src/finetune/adapter/card.js";
import { type TinyModel, writeTinyModel } from "../helpers/tiny-model.js";

const VARIANTS = fileURLToPath(new URL("../fixtures/peft-variants", import.meta.url));

let folder: string;
let model: TinyModel;
/** What every run is compared with: 12 steps of 8 examples, undisturbed. */
let whole: AdapterCard;

const settings: TrainingSettings = {
  lora: { rank: 4, alpha: 8, dropout: 0.1, targets: ["q", "k", "v", "o", "gate", "up", "down"] },
  epochs: 3,
  batchExamples: 8,
  microbatchTokens: 64,
  order: "by_prompt",
  treePacking: true,
  learningRate: 5e-3,
  schedule: "linear",
  warmupShare: 0.1,
  weightDecay: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  maxGradientNorm: 1,
  seed: 3,
  validationShare: 0.1,
  validateEverySteps: 4,
  checkpointEverySteps: 5,
  activationCheckpointing: false,
};

/** Four examples to a prompt's beginning, ids in the vocabulary. */
function madeExamples(count: number, vocabulary: number): EncodedExample[] {
  const random = xoroshiro128plus(5);
  const draw = (length: number) => Array.from({ length }, () => (random.next() >>> 0) % vocabulary);
  let beginning: number[] = [];
  return Array.from({ length: count }, (_, at) => {
    if (at % 4 === 0) beginning = draw(6);
    const prompt = [...beginning, ...draw(2 + (at % 3))];
    return { tokenIds: [...prompt, ...draw(1 + (at % 3))], answerStart: prompt.length };
  });
}

const request = (name: string, more: Partial<TrainingRequest> = {}): TrainingRequest => ({
  modelPath: model.path,
  base: { source: "tiny", sha256: model.sha256, encoding: "F32", architecture: "llama" },
  examples: madeExamples(36, model.vocabulary.tokens.length),
  settings,
  device: "cpu",
  threads: 1,
  outPath: join(folder, `${name}.gguf`),
  // Measured once: another choice would be another last bit.
  ...(whole ? { kernels: whole.machine.kernels } : {}),
  ...more,
});
const bytesOf = (name: string) => readFile(join(folder, `${name}.gguf`));
const lossesOf = (card: AdapterCard) => card.losses.map(({ lossNatsPerToken }) => lossNatsPerToken);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-train-"));
  model = await writeTinyModel(join(folder, "tiny.gguf"), { seed: 11 });
  whole = await trainAdapter(request("whole"));
});

describe("an undisturbed training", () => {
  test("takes the steps that epochs and batches say, and learns", () => {
    const examples = whole.data.examples;
    expect(examples + whole.data.validationExamples).toBe(36);
    expect(whole.losses).toHaveLength(3 * Math.ceil(examples / 8));
    expect(whole.losses.map(({ step }) => step)).toEqual(whole.losses.map((_, at) => at + 1));
    const losses = lossesOf(whole);
    expect((losses.at(-1) as number) / (losses[0] as number)).toBeLessThan(0.9);
  });

  test("looks at the validation examples every four steps and at the end", () => {
    const last = whole.losses.length;
    expect(whole.validation.map(({ step }) => step)).toEqual(
      [4, 8, 12, 16, 20].filter((step) => step < last).concat(last),
    );
    for (const { answers } of whole.validation) expect(answers).toBe(whole.data.validationExamples);
  });

  test("leaves adapter, card and README, and no checkpoint", async () => {
    const names = (await readdir(folder)).filter((name) => name.startsWith("whole"));
    expect(names.sort()).toEqual(["whole.README.md", "whole.card.json", "whole.gguf"]);
  });

  test("gives the same bytes again, and reports its events as plain JSON", async () => {
    const events: [string, object][] = [];
    const steps: number[] = [];
    const card = await trainAdapter(
      request("again", {
        onEvent: (kind, data) => events.push([kind, data]),
        onProgress: ({ step, totalSteps, secondsLeft, exampleTokensPerSecond, evaluatedTokensPerSecond }) => {
          steps.push(step);
          expect(totalSteps).toBe(whole.losses.length);
          expect(secondsLeft).toBeGreaterThanOrEqual(0);
          expect(exampleTokensPerSecond).toBeGreaterThan(evaluatedTokensPerSecond);
        },
      }),
    );
    expect(await bytesOf("again")).toEqual(await bytesOf("whole"));
    expect(card.losses).toEqual(whole.losses);
    expect(steps).toEqual(whole.losses.map(({ step }) => step));
    expect(JSON.parse(JSON.stringify(events))).toEqual(events);
    const opened = events.find(([kind]) => kind === "training_opened")?.[1];
    expect(opened).toMatchObject({ memory: { totalBytes: expect.any(Number) }, totalSteps: whole.losses.length });
  });
});

describe("layouts", () => {
  // Sums of single-precision products in another order; 12 steps of AdamW let the difference grow.
  const close = (card: AdapterCard) => {
    expect(card.losses).toHaveLength(whole.losses.length);
    lossesOf(card).forEach((loss, at) => {
      expect(Math.abs(loss / (lossesOf(whole)[at] as number) - 1)).toBeLessThan(1e-3);
    });
  };
  const plain = { ...settings, lora: { ...settings.lora, dropout: 0 } };
  let reference: AdapterCard;
  const near = (card: AdapterCard) => {
    lossesOf(card).forEach((loss, at) => {
      expect(Math.abs(loss / (lossesOf(reference)[at] as number) - 1)).toBeLessThan(1e-3);
    });
  };
  beforeAll(async () => {
    reference = await trainAdapter(request("plain", { settings: plain }));
  });

  test("without tree packing the losses are the same", async () => {
    near(await trainAdapter(request("untreed", { settings: { ...plain, treePacking: false } })));
  });

  test("in smaller microbatches the losses are the same", async () => {
    near(await trainAdapter(request("small", { settings: { ...plain, microbatchTokens: 20 } })));
  });

  test("with activation checkpointing the losses are the same", async () => {
    close(await trainAdapter(request("recomputed", { settings: { ...settings, activationCheckpointing: true } })));
  });
});

describe("an interrupted training", () => {
  test.each([1, 4, 5, 7])("after step %i goes on to the same bytes", async (stopAt) => {
    const name = `stopped-${stopAt}`;
    const controller = new AbortController();
    const stopped = trainAdapter(
      request(name, {
        signal: controller.signal,
        onProgress: ({ step }) => step === stopAt && controller.abort(),
      }),
    );
    await expect(stopped).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect(await readdir(join(folder, `${name}.checkpoint`))).toEqual(["checkpoint.bin"]);
    const steps: number[] = [];
    // Its kernels come out of the checkpoint, not out of the request.
    const { kernels: _, ...rest } = request(name, { onProgress: ({ step }) => steps.push(step) });
    const card = await trainAdapter(rest);
    expect(steps[0]).toBe(stopAt + 1);
    expect(await bytesOf(name)).toEqual(await bytesOf("whole"));
    expect(card).toEqual(whole);
    expect(await readdir(folder)).not.toContain(`${name}.checkpoint`);
  });

  test("between the microbatches of a step, and twice, goes on to the same bytes", async () => {
    const name = "twice";
    for (let attempt = 0; attempt < 2; attempt++) {
      const controller = new AbortController();
      let steps = 0;
      const run = trainAdapter(
        request(name, {
          signal: controller.signal,
          // The next tick falls into the next step's first microbatch.
          onProgress: () => ++steps === 3 && setTimeout(() => controller.abort(), 1),
        }),
      );
      await expect(run).rejects.toMatchObject({ code: "INTERRUPTED" });
    }
    expect(await trainAdapter(request(name))).toEqual(whole);
  });

  test("before its first step leaves nothing behind", async () => {
    const run = trainAdapter(request("early", { signal: AbortSignal.abort() }));
    await expect(run).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect((await readdir(folder)).filter((name) => name.startsWith("early"))).toEqual([]);
  });

  test("is taken up by nothing but the same training", async () => {
    const controller = new AbortController();
    const run = (more: Partial<TrainingRequest>) => trainAdapter(request("other", more));
    const stopped = run({ signal: controller.signal, onProgress: () => controller.abort() });
    await expect(stopped).rejects.toMatchObject({ code: "INTERRUPTED" });
    const refusal = (message: string) => ({ code: "TRAIN_CHECKPOINT", message: expect.stringContaining(message) });
    await expect(run({ settings: { ...settings, learningRate: 1 } })).rejects.toMatchObject(
      refusal("settings.learningRate is 0.005, now it is 1"),
    );
    await expect(run({ examples: request("other").examples.slice(1) })).rejects.toMatchObject(refusal("data"));
    await expect(run({ threads: 2 })).rejects.toMatchObject(refusal("threads is 1, now it is 2"));
  });

  test("with a damaged checkpoint says so and leaves it", async () => {
    await mkdir(join(folder, "damaged.checkpoint"));
    await writeFile(join(folder, "damaged.checkpoint", "checkpoint.bin"), "inwckpt1 and then nothing");
    await expect(trainAdapter(request("damaged"))).rejects.toMatchObject({ code: "TRAIN_CHECKPOINT" });
    expect(await readdir(join(folder, "damaged.checkpoint"))).toEqual(["checkpoint.bin"]);
  });
});

describe("what goes wrong on the way", () => {
  test("a loss that is not finite is TRAIN_NOT_FINITE, and the last checkpoint stays", async () => {
    const wild = {
      ...settings,
      learningRate: 1,
      weightDecay: 100,
      epochs: 20,
      checkpointEverySteps: 1,
      maxGradientNorm: 0,
      warmupShare: 0,
    };
    await expect(trainAdapter(request("wild", { settings: wild }))).rejects.toMatchObject({ code: "TRAIN_NOT_FINITE" });
    expect((await readdir(folder)).filter((name) => name.startsWith("wild"))).toEqual(["wild.checkpoint"]);
  });

  test("a checkpoint's folder that is removed is made again; one above it is not", async () => {
    let struck = 0;
    const onProgress = ({ step }: { readonly step: number }) => {
      if (step === 3 && struck++ === 0) rmSync(join(folder, "bare.checkpoint"), { recursive: true });
    };
    expect(await trainAdapter(request("bare", { onProgress }))).toEqual(whole);
    expect((await readdir(folder)).filter((name) => /^bare.*checkpoint/.test(name))).toEqual([]);
    const inside = join(folder, "inside");
    await mkdir(inside);
    const moved = trainAdapter(
      request("inside/moved", {
        onProgress: ({ step }) => step === 3 && renameSync(inside, join(folder, "aside")),
      }),
    );
    await expect(moved).rejects.toMatchObject({ code: "STORE_UNWRITABLE" });
    expect(await readdir(folder)).not.toContain("inside");
  });

  test("a worker that is killed is TRAIN_CRASHED, and the same training goes on", async () => {
    const killed = trainAdapter(
      request("killed", {
        onProgress: ({ step }) => {
          if (step === 7) process.kill(trainerWorker(), "SIGKILL");
        },
      }),
    );
    await expect(killed).rejects.toMatchObject({ code: "TRAIN_CRASHED", message: expect.stringContaining("SIGKILL") });
    const steps: number[] = [];
    const card = await trainAdapter(request("killed", { onProgress: ({ step }) => steps.push(step) }));
    expect(steps[0]).toBe(6);
    expect(card).toEqual(whole);
  });

  test("a second training to the same path is refused while the first goes on", async () => {
    const first = trainAdapter(request("taken"));
    // Its lock is there when its folder holds one.
    while (!(await readdir(join(folder, "taken.checkpoint")).catch(() => [] as string[])).includes("run.lock")) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await expect(trainAdapter(request("taken"))).rejects.toMatchObject({ code: "STORE_LOCKED" });
    expect(await first).toEqual(whole);
  });

  const long = Array.from({ length: 513 }, () => 1);
  test.each([
    ["TRAIN_SETTINGS", { outPath: "adapter.bin" }],
    ["TRAIN_SETTINGS", { settings: { ...settings, epochs: 0 } }],
    ["TRAIN_EMPTY_SET", { examples: [] }],
    ["TRAIN_EXAMPLE", { examples: [{ tokenIds: [1, 2], answerStart: 2 }] }],
    ["TRAIN_EXAMPLE", { examples: [{ tokenIds: [1, 1_000_000], answerStart: 1 }] }],
    ["TRAIN_CONTEXT", { examples: [{ tokenIds: long, answerStart: 500 }] }],
    ["MODEL_NOT_FOUND", { modelPath: "/nowhere.gguf" }],
    ["ADAPTER_NOT_FOUND", { initAdapter: "/nowhere.gguf" }],
    ["ADAPTER_INVALID", { initAdapter: "tiny.gguf" }],
  ] as [string, Partial<TrainingRequest>][])("%s", async (code, more) => {
    const inFolder = more.initAdapter === "tiny.gguf" ? { initAdapter: model.path } : more;
    await expect(trainAdapter(request("refused", inFolder))).rejects.toMatchObject({ code });
    expect((await readdir(folder)).filter((name) => name.startsWith("refused"))).toEqual([]);
  });
});

describe("an initial adapter", () => {
  test("is gone on from: the first loss is the one it had reached", async () => {
    const examples = request("first").examples;
    const batch = {
      ...settings,
      batchExamples: examples.length,
      validationShare: 0,
      lora: { ...settings.lora, dropout: 0 },
    };
    const first = await trainAdapter(request("first", { settings: batch, validationExamples: examples }));
    const second = await trainAdapter(
      request("second", { settings: batch, initAdapter: join(folder, "first.gguf"), validationExamples: examples }),
    );
    expect(second.initialAdapter?.sha256).toBe(first.adapter.sha256);
    // The same forward pass, once with the rows of the loss in one order and once in another.
    expect(second.losses[0]?.lossNatsPerToken).toBeCloseTo(first.validation.at(-1)?.lossNatsPerToken as number, 4);
    expect(second.losses[0]?.lossNatsPerToken).toBeLessThan(first.losses[0]?.lossNatsPerToken as number);
  });

  test("of another base is refused by its card, unless forced, and then the card says so", async () => {
    const other = { source: "other", sha256: "0".repeat(64), encoding: "F32", architecture: "llama" };
    const onOther = request("onto", { base: other, initAdapter: join(folder, "whole.gguf") });
    await expect(trainAdapter(onOther)).rejects.toMatchObject({ code: "ADAPTER_BASE" });
    const card = await trainAdapter({ ...onOther, forceBase: true });
    expect(card.forcedOnto).toEqual([{ sha256: other.sha256 }]);
  });

  test("of PEFT's on some layers, or of two ranks, is gone on from on those alone", async () => {
    vi.stubEnv("INWARD_MODELS", join(folder, "models"));
    try {
      for (const [name, rank, alpha, targets] of [
        ["layers", 3, 5, ["q", "v"]],
        ["some_modules", 3, 5, ["k", "gate"]],
        ["rank_pattern", 5, 25 / 3, settings.lora.targets],
      ] as const) {
        const path = join(VARIANTS, name);
        const lora = { rank, alpha, dropout: 0.1, targets };
        const card = await trainAdapter(request(name, { settings: { ...settings, lora }, initAdapter: path }));
        expect(
          (card.losses.at(-1)?.lossNatsPerToken as number) / (card.losses[0]?.lossNatsPerToken as number),
        ).toBeLessThan(0.98);
        const before = await readAdapter((await findAdapter(path, model.path)).path);
        const after = await readAdapter(join(folder, `${name}.gguf`));
        expect([...after.tensors.keys()].sort()).toEqual([...before.tensors.keys()].sort());
        for (const [tensor, { values }] of before.tensors) {
          const now = after.tensors.get(tensor)?.values as Float32Array;
          // What filled up a pair of a lower rank is zero still; all else has moved.
          const zeros = [...values.keys()].filter((at) => values[at] === 0);
          expect(zeros.every((at) => now[at] === 0)).toBe(true);
          expect([...values.keys()].filter((at) => values[at] === now[at])).toEqual(zeros);
        }
      }
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test("of another rank is ADAPTER_SHAPE", async () => {
    const lora = { ...settings.lora, rank: 5 };
    const run = trainAdapter(
      request("rank", { settings: { ...settings, lora }, initAdapter: join(folder, "whole.gguf") }),
    );
    await expect(run).rejects.toMatchObject({ code: "ADAPTER_SHAPE" });
  });
});

/** The one child of this process that holds a trainer. */
function trainerWorker(): number {
  const lines = execFileSync("ps", ["-o", "pid=,args=", "--ppid", String(process.pid)], { encoding: "utf8" }).split(
    "\n",
  );
  const workers = lines.filter((line) => line.includes("trainer-worker"));
  expect(workers).toHaveLength(1);
  return Number.parseInt(workers[0] as string, 10);
}
