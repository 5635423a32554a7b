/** Checkpoints: bit for bit, whole or refused, and of one training only. */
import { mkdir, mkdtemp, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import {
  readCheckpoint,
  removeCheckpoint,
  requireReachable,
  requireSameRun,
  type TrainingCheckpoint,
  type TrainingIdentity,
  writeCheckpoint,
} from "../../src/finetune/checkpoint.js";

let folder: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "inward-checkpoint-")), "adapter.checkpoint");
});

const identity: TrainingIdentity = {
  settings: {
    lora: { rank: 4, alpha: 8, dropout: 0, targets: ["q", "v"] },
    epochs: 2,
    batchExamples: 8,
    microbatchTokens: 512,
    order: "by_prompt",
    treePacking: true,
    learningRate: 1e-3,
    schedule: "linear",
    warmupShare: 0,
    weightDecay: 0,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    maxGradientNorm: 1,
    seed: 1,
    validationShare: 0.1,
    validateEverySteps: 10,
    checkpointEverySteps: 10,
    activationCheckpointing: false,
  },
  data: "d1",
  subjects: null,
  validationData: null,
  base: "b1",
  initialAdapter: null,
  device: "cpu",
  threads: 2,
  llamaCpp: "b1",
};

function checkpointOf(values: readonly number[], step = 7): TrainingCheckpoint {
  const scaled = (by: number) => Float32Array.from(values, (value) => value * by);
  return {
    identity,
    step,
    losses: [
      { step: 1, epoch: 1, lossNatsPerToken: 0.1 + 0.2, answerTokens: 9, learningRate: 1e-3, gradientNorm: 1 / 3 },
    ],
    validation: [{ step: 7, lossNatsPerToken: 2.5, answersRight: 1, answers: 3 }],
    kernels: { "forward 576x1536": "sgemm" },
    state: { parameters: scaled(1), firstMoments: scaled(0.5), secondMoments: scaled(0.25) },
  };
}

describe("a checkpoint", () => {
  test("comes back bit for bit, whatever its floats", async () => {
    const floats = fc.float32Array({ maxLength: 300 });
    await fc.assert(
      fc.asyncProperty(floats, floats, async (parameters, moments) => {
        const pad = (from: Float32Array) => Float32Array.from(parameters, (_, at) => from[at] ?? -0);
        const state = { parameters, firstMoments: pad(moments), secondMoments: pad(moments) };
        const written = { ...checkpointOf([]), state };
        await writeCheckpoint(folder, written);
        expect(await readCheckpoint(folder)).toEqual(written);
      }),
      { numRuns: 25 },
    );
  });

  test("reads a state that lies inside a larger buffer", async () => {
    const all = Float32Array.from({ length: 12 }, (_, at) => at);
    const state = {
      parameters: all.subarray(1, 4),
      firstMoments: all.subarray(4, 7),
      secondMoments: all.subarray(7, 10),
    };
    await writeCheckpoint(folder, { ...checkpointOf([]), state });
    expect((await readCheckpoint(folder))?.state.secondMoments).toEqual(Float32Array.of(7, 8, 9));
  });

  test("is replaced whole: the next one's, with nothing of the last", async () => {
    await writeCheckpoint(folder, checkpointOf([1, 2, 3], 7));
    await writeCheckpoint(folder, checkpointOf([4, 5, 6], 14));
    expect(await readCheckpoint(folder)).toEqual(checkpointOf([4, 5, 6], 14));
    expect(await readdir(folder)).toEqual(["checkpoint.bin"]);
  });

  test("that could not be written leaves the last one", async () => {
    await writeCheckpoint(folder, checkpointOf([1, 2, 3]));
    // A folder stands where the new one would be written.
    await mkdir(join(folder, `checkpoint.bin.partial-${process.pid}`));
    await expect(writeCheckpoint(folder, checkpointOf([4]))).rejects.toMatchObject({ code: "STORE_UNWRITABLE" });
    expect(await readCheckpoint(folder)).toEqual(checkpointOf([1, 2, 3]));
  });

  test("is absent where none was written", async () => {
    expect(await readCheckpoint(folder)).toBeUndefined();
  });

  test("goes away with its leftovers, and what is not its own stays", async () => {
    await writeCheckpoint(folder, checkpointOf([1]));
    await writeFile(join(folder, "checkpoint.bin.partial-1"), "torn");
    await writeFile(join(folder, "notes.txt"), "mine");
    await removeCheckpoint(folder);
    expect(await readdir(folder)).toEqual(["notes.txt"]);
    await removeCheckpoint(join(folder, "never"));
  });
});

describe("a damaged checkpoint is TRAIN_CHECKPOINT", () => {
  const path = () => join(folder, "checkpoint.bin");
  const refusal = (why: string) =>
    expect(readCheckpoint(folder)).rejects.toMatchObject({
      code: "TRAIN_CHECKPOINT",
      message: expect.stringContaining(why),
    });

  beforeEach(() => writeCheckpoint(folder, checkpointOf([1, 2, 3])));

  test.each([0, 5, 20, 200])("cut to %i bytes", async (bytes) => {
    await truncate(path(), bytes);
    await refusal("bytes");
  });

  test("one byte longer", async () => {
    await writeFile(path(), Buffer.concat([await readFile(path()), Buffer.of(0)]));
    await refusal("should have");
  });

  test("one bit of a moment turned", async () => {
    const bytes = await readFile(path());
    bytes[bytes.length - 40] = (bytes[bytes.length - 40] as number) ^ 1;
    await writeFile(path(), bytes);
    await refusal("checksum");
  });

  test("another kind of file", async () => {
    await writeFile(path(), "x".repeat(100));
    await refusal("does not begin as one");
  });
});

describe("another training's checkpoint", () => {
  const refusal = (now: TrainingIdentity, why: RegExp) => {
    expect(() => requireSameRun("out.checkpoint", identity, now)).toThrow(why);
    expect(() => requireSameRun("out.checkpoint", identity, now)).toThrow(
      expect.objectContaining({ code: "TRAIN_CHECKPOINT" }),
    );
  };

  test("the same is taken, however it is ordered and copied", () => {
    const { lora, ...rest } = structuredClone(identity.settings);
    requireSameRun("out.checkpoint", identity, { ...structuredClone(identity), settings: { ...rest, lora } });
  });

  test("the first difference is named", () => {
    const { settings } = identity;
    refusal(
      { ...identity, settings: { ...settings, learningRate: 2e-3 } },
      /settings\.learningRate is 0.001, now it is 0.002/,
    );
    refusal({ ...identity, settings: { ...settings, maxSteps: 3 } }, /settings\.maxSteps is absent, now it is 3/);
    refusal(
      { ...identity, settings: { ...settings, lora: { ...settings.lora, targets: ["q"] } } },
      /settings\.lora\.targets is \["q","v"\]/,
    );
    refusal({ ...identity, data: "d2" }, /data is "d1"/);
    refusal({ ...identity, base: "b2" }, /base/);
    refusal({ ...identity, initialAdapter: "i" }, /initialAdapter is null/);
    refusal({ ...identity, threads: 4 }, /threads is 2, now it is 4/);
  });

  test("a processor's from before inward's own products is refused with what computed them; another device's is taken", () => {
    const earlier = (blas: string | null, device = "cpu") => ({ ...identity, device, blas });
    expect(() => requireSameRun("out.checkpoint", earlier("/lib/libopenblas.so"), identity)).toThrow(
      "its products were computed by /lib/libopenblas.so, now they are inward's own",
    );
    expect(() => requireSameRun("out.checkpoint", earlier(null), identity)).toThrow("by ggml's kernels, now");
    requireSameRun("out.checkpoint", earlier(null, "cuda:0"), { ...identity, device: "cuda:0" });
  });
});

describe("a checkpoint that is whole and says what cannot be", () => {
  const written = async (changes: object) => {
    await writeCheckpoint(folder, { ...checkpointOf([1, 2, 3], 1), ...changes } as TrainingCheckpoint);
    return readCheckpoint(folder);
  };

  test.each([
    ["no identity", { identity: undefined }, "identity"],
    ["half a step", { step: 0.5 }, "step"],
    ["a step that is text", { step: "1" }, "step"],
    ["losses that are none", { losses: [{}] }, "losses.0.step"],
    ["a loss that is not finite", { losses: [{ step: 1, lossNatsPerToken: Number.NaN }] }, "losses.0"],
    ["kernels that are a list", { kernels: ["sgemm"] }, "kernels"],
    ["another key", { more: 1 }, "more"],
  ])("in its header (%s) is refused as it is read", async (_, changes, key) => {
    await expect(written(changes)).rejects.toMatchObject({
      code: "TRAIN_CHECKPOINT",
      message: expect.stringContaining(key),
    });
  });

  test("is no folder and no pipe", async () => {
    await mkdir(join(folder, "checkpoint.bin"), { recursive: true });
    await expect(readCheckpoint(folder)).rejects.toMatchObject({ code: "TRAIN_CHECKPOINT" });
  });

  test("is reached by the training that takes it up", () => {
    const one = checkpointOf([1, 2, 3], 1);
    const reached = { ...one, validation: [] };
    requireReachable("out.checkpoint", reached, 1);
    const look = (step: number) => ({ step, lossNatsPerToken: 2, answersRight: 1, answers: 3 });
    const state = (name: string, value: number) => ({ ...one.state, [name]: Float32Array.of(1, value, 2) });
    const cases: [Partial<TrainingCheckpoint>, string][] = [
      [{ step: 2, losses: [...one.losses, { ...one.losses[0], step: 2 } as never] }, "step 2 of 1"],
      [{ losses: [] }, "losses of other steps"],
      [{ losses: [{ ...one.losses[0], step: 2 } as never] }, "losses of other steps"],
      [{ validation: [look(2)] }, "looks at the validation examples"],
      [{ validation: [look(1), look(1)] }, "looks at the validation examples"],
      [{ state: state("parameters", Number.NaN) }, "value 1 of its parameters is NaN"],
      [{ state: state("secondMoments", -1) }, "value 1 of its secondMoments is -1"],
    ];
    for (const [changes, why] of cases) {
      expect(() => requireReachable("out.checkpoint", { ...reached, ...changes }, 1)).toThrow(
        expect.objectContaining({ code: "TRAIN_CHECKPOINT", message: expect.stringContaining(why) }),
      );
    }
  });
});
