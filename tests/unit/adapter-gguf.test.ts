/** An adapter's GGUF: what is written comes back, what is no adapter is refused with words, hostile bytes never do worse. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InwardError } from "../../src/errors.js";
import { adapterSettings } from "../../src/finetune/adapter/card.js";
import {
  adapterIntoState,
  adapterToState,
  type LoraAdapter,
  type LoraMatrix,
  stateToAdapter,
  writeAdapter,
} from "../../src/finetune/adapter/adapter.js";
import { readAdapter } from "../../src/finetune/adapter/saved-adapter.js";
import { sha256OfFile } from "../../src/model/model-file.js";
import { type GgufValue, readGguf } from "../../src/gguf/read-gguf.js";
import { floatsToHalves } from "../../src/gguf/encodings.js";
import { type TensorSource, writeGguf } from "../../src/gguf/write-gguf.js";
import { LORA_TARGETS } from "../../src/study/schema.js";
import { layoutFloats, randomAdapter, tinyLayout } from "../helpers/random-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-adapter-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const code = (name: string, message: string | RegExp = "") =>
  expect.objectContaining({
    code: name,
    message: typeof message === "string" ? expect.stringContaining(message) : expect.stringMatching(message),
  });
const string = (value: string): GgufValue => ({ type: "string", value });
const metadata = (changes: Record<string, GgufValue | undefined> = {}) => {
  const entries: Record<string, GgufValue | undefined> = {
    "general.type": string("adapter"),
    "general.architecture": string("llama"),
    "adapter.type": string("lora"),
    "adapter.lora.alpha": { type: "f32", value: 8 },
    ...changes,
  };
  return new Map(Object.entries(entries).filter((entry): entry is [string, GgufValue] => entry[1] !== undefined));
};
const bytesOf = (values: Float32Array | Uint16Array) => new Uint8Array(values.buffer, 0, values.byteLength);
const floats = (name: string, dimensions: number[], value = 0.5): TensorSource => ({
  name,
  dimensions,
  type: "F32",
  chunks: () => [bytesOf(new Float32Array(dimensions.reduce((product, size) => product * size, 1)).fill(value))],
});
const pair = [floats("blk.0.attn_q.weight.lora_a", [8, 2]), floats("blk.0.attn_q.weight.lora_b", [2, 6])];

describe("writing and reading", () => {
  test("the file has llama.cpp's keys, F32 tensors, the sha256 and length that were returned, and no company", async () => {
    const path = join(folder, "plain.gguf");
    const written = await writeAdapter(path, randomAdapter());
    const file = await readGguf(path);
    expect(Object.fromEntries(file.metadata)).toEqual({
      "general.type": string("adapter"),
      "general.architecture": string("llama"),
      "general.name": string("random"),
      "adapter.type": string("lora"),
      "adapter.lora.alpha": { type: "f32", value: 5 },
      "general.base_model.count": { type: "u32", value: 1 },
      "general.base_model.0.name": string("Tiny Random"),
    });
    expect(file.tensors.map(({ name, dimensions, type }) => ({ name, dimensions, type }))).toEqual(
      tinyLayout(3).map(({ name, dimensions }) => ({ name, dimensions, type: "F32" })),
    );
    expect(written).toEqual({ bytes: file.fileBytes, sha256: await sha256OfFile(path) });
    expect((await readdir(folder)).filter((name) => name.startsWith("plain.gguf"))).toEqual(["plain.gguf"]);
  });

  test.each([1, 3, 16])(
    "every bit of a rank-%i adapter comes back, and fills the trainer's state as it was",
    async (rank) => {
      const path = join(folder, `rank-${rank}.gguf`);
      const adapter = randomAdapter({ rank, alpha: 0.1, seed: rank });
      await writeAdapter(path, adapter);
      const back = await readAdapter(path);
      expect(back).toEqual({ ...adapter, alpha: Math.fround(0.1) });
      const layout = tinyLayout(rank);
      const state = adapterToState(back, { tensors: layout, parameters: layoutFloats(layout), alpha: 0.1 });
      expect(stateToAdapter({ architecture: "llama", layout, parameters: state, alpha: 0.1, rank }).tensors).toEqual(
        adapter.tensors,
      );
      expect(adapterSettings(back)).toEqual({ rank, alpha: Math.fround(0.1), targets: [...LORA_TARGETS] });
    },
  );

  test("F16 and BF16 tensors are read as the floats that they stand for", async () => {
    const path = join(folder, "halves.gguf");
    const values = Float32Array.of(1, -0.5, 2 ** -20, 3.25, -65504, 0.099975586, 7, 0);
    const halves = new Uint16Array(8);
    expect(floatsToHalves(values, halves)).toBe(-1);
    const brains = Float32Array.of(1, -0.5, 2 ** -100, 3.25, 2 ** 100, 7, 0, -1.0078125);
    const brainBits = Uint16Array.from(new Uint32Array(brains.buffer), (bits) => bits >>> 16);
    await writeGguf(path, metadata(), [
      { name: "blk.0.ffn_up.weight.lora_a", dimensions: [4, 2], type: "F16", chunks: () => [bytesOf(halves)] },
      { name: "blk.0.ffn_up.weight.lora_b", dimensions: [2, 4], type: "BF16", chunks: () => [bytesOf(brainBits)] },
    ]);
    const { tensors } = await readAdapter(path);
    expect(tensors.get("blk.0.ffn_up.weight.lora_a")).toEqual({ dimensions: [4, 2], values });
    expect(tensors.get("blk.0.ffn_up.weight.lora_b")).toEqual({ dimensions: [2, 4], values: brains });
  });

  test("rank 1 as ggml writes it: a trailing dimension of 1 is not in the file", async () => {
    const path = join(folder, "one.gguf");
    const tensors = [floats("blk.0.attn_q.weight.lora_a", [8]), floats("blk.0.attn_q.weight.lora_b", [1, 6])];
    await writeGguf(path, metadata(), tensors);
    const adapter = await readAdapter(path);
    expect(adapter.rank).toBe(1);
    expect(adapter.tensors.get("blk.0.attn_q.weight.lora_a")?.dimensions).toEqual([8, 1]);
  });

  test.each([undefined, { type: "f32", value: 0 } as const])(
    "alpha %j is the rank, for llama.cpp then scales by 1",
    async (alpha) => {
      const path = join(folder, "alpha.gguf");
      await writeGguf(path, metadata({ "adapter.lora.alpha": alpha }), pair);
      expect((await readAdapter(path)).alpha).toBe(2);
    },
  );

  test("vectors of norms are named as skipped, which is what llama.cpp does with them", async () => {
    const path = join(folder, "norms.gguf");
    await writeGguf(path, metadata(), [...pair, floats("blk.0.attn_norm.weight", [8])]);
    const adapter = await readAdapter(path);
    expect(adapter.skipped).toEqual(["blk.0.attn_norm.weight"]);
    expect([...adapter.tensors.keys()]).toEqual(pair.map(({ name }) => name));
  });
});

describe("what is no adapter is refused", () => {
  const cases: [string, Record<string, GgufValue | undefined>, TensorSource[], RegExp][] = [
    ["a model's type", { "general.type": string("model") }, pair, /general\.type is "model", not "adapter"/],
    ["no type", { "general.type": undefined }, pair, /general\.type is missing/],
    ["a type that is no string", { "general.type": { type: "u32", value: 1 } }, pair, /general\.type is missing/],
    ["no architecture", { "general.architecture": undefined }, pair, /general\.architecture is missing/],
    ["another kind of adapter", { "adapter.type": string("ia3") }, pair, /adapter\.type is "ia3"/],
    ["alpha of another type", { "adapter.lora.alpha": { type: "u32", value: 8 } }, pair, /alpha is of type u32/],
    ["alpha NaN", { "adapter.lora.alpha": { type: "f32", value: Number.NaN } }, pair, /alpha is NaN/],
    ["alpha below 0", { "adapter.lora.alpha": { type: "f32", value: -1 } }, pair, /alpha is -1/],
    [
      "an activated LoRA",
      { "adapter.alora.invocation_tokens": { type: "array", elementType: "u32", value: [1] } },
      pair,
      /activated LoRA/,
    ],
    ["no tensors", {}, [], /holds no LoRA tensor/],
    ["half a pair", {}, [pair[0] as TensorSource], /blk\.0\.attn_q\.weight\.lora_a has no lora_b/],
    ["the other half", {}, [pair[1] as TensorSource], /blk\.0\.attn_q\.weight\.lora_b has no lora_a/],
    [
      "A and B of different rank",
      {},
      [pair[0] as TensorSource, floats("blk.0.attn_q.weight.lora_b", [3, 6])],
      /lora_b has rank 3, blk\.0\.attn_q\.weight has rank 2/,
    ],
    ["another tensor", {}, [...pair, floats("output.weight", [8, 8])], /output\.weight is neither/],
    [
      "NaN",
      {},
      [pair[0] as TensorSource, floats("blk.0.attn_q.weight.lora_b", [2, 6], Number.NaN)],
      /value 0 of .* is NaN/,
    ],
    [
      "a cube",
      {},
      [floats("blk.0.attn_q.weight.lora_a", [8, 2, 2]), pair[1] as TensorSource],
      /dimensions \[8, 2, 2\], not a matrix/,
    ],
    [
      "nothing in a matrix",
      {},
      [floats("blk.0.attn_q.weight.lora_a", [8, 0]), floats("blk.0.attn_q.weight.lora_b", [0, 6])],
      /\[8, 0\]/,
    ],
    [
      "integers",
      {},
      [
        { name: "blk.0.attn_q.weight.lora_a", dimensions: [8, 2], type: "I32", chunks: () => [new Uint8Array(64)] },
        pair[1] as TensorSource,
      ],
      /type I32/,
    ],
  ];
  test.each(cases)("%s", async (_what, changes, tensors, message) => {
    const path = join(folder, "bad.gguf");
    await writeGguf(path, metadata(changes), tensors);
    await expect(readAdapter(path)).rejects.toThrow(code("ADAPTER_INVALID", message));
    await expect(readAdapter(path)).rejects.toThrow(code("ADAPTER_INVALID", path));
  });

  test("no file, a folder, a model, a text", async () => {
    const missing = join(folder, "none.gguf");
    await expect(readAdapter(missing)).rejects.toThrow(code("ADAPTER_NOT_FOUND", missing));
    await expect(readAdapter(folder)).rejects.toThrow(code("ADAPTER_INVALID", folder));
    const model = await writeTinyModel(join(folder, "model.gguf"));
    await expect(readAdapter(model.path)).rejects.toThrow(code("ADAPTER_INVALID", "general.type is missing"));
    await writeFile(join(folder, "text.gguf"), "hello");
    await expect(readAdapter(join(folder, "text.gguf"))).rejects.toThrow(code("ADAPTER_INVALID", "not a GGUF"));
  });

  test("a truncated file, wherever it was cut", async () => {
    const path = join(folder, "whole.gguf");
    await writeAdapter(path, randomAdapter({ rank: 1, targets: ["q"] }));
    const whole = await readFile(path);
    const cut = join(folder, "cut.gguf");
    for (let part = 0; part < 40; part++) {
      await writeFile(cut, whole.subarray(0, Math.floor((whole.length * part) / 40)));
      await expect(readAdapter(cut)).rejects.toThrow(code("ADAPTER_INVALID"));
    }
  });

  test("changed bytes give an adapter or a coded error, never anything else", async () => {
    const path = join(folder, "flips.gguf");
    await writeAdapter(path, randomAdapter({ rank: 1, targets: ["q"] }));
    const whole = await readFile(path);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(900), fc.nat(255)), { minLength: 1, maxLength: 4 }), async (flips) => {
        const bytes = Buffer.from(whole);
        for (const [at, value] of flips) bytes[at] = value;
        await writeFile(path, bytes);
        const result = await readAdapter(path).catch((error: unknown) => error);
        if (result instanceof Error) {
          expect(result).toBeInstanceOf(InwardError);
          expect((result as InwardError).code).toBe("ADAPTER_INVALID");
        }
      }),
      { numRuns: 200, seed: 5 },
    );
  });

  test("nor is it written: a half pair, a wrong rank, NaN, alpha 0 or beyond single precision, a name that ggml cannot hold", async () => {
    const good = randomAdapter({ targets: ["q"] });
    const without = (name: string) => new Map([...good.tensors].filter(([other]) => other !== name));
    const changed = (name: string, matrix: LoraMatrix) => new Map(good.tensors).set(name, matrix);
    const name = "blk.1.attn_q.weight.lora_b";
    const long = `${"x".repeat(60)}.lora_`;
    const bad: LoraAdapter[] = [
      { ...good, tensors: without(name) },
      { ...good, tensors: new Map() },
      { ...good, rank: 4 },
      { ...good, alpha: 0 },
      { ...good, alpha: 1e-60 },
      { ...good, alpha: 1e60 },
      { ...good, alpha: Number.NaN },
      { ...good, tensors: changed(name, { dimensions: [3, 64], values: new Float32Array(192).fill(Number.NaN) }) },
      { ...good, tensors: changed(name, { dimensions: [3, 64], values: new Float32Array(191) }) },
      { ...good, tensors: new Map([...good.tensors.values()].slice(0, 2).map((m, at) => [`${long}${"ab"[at]}`, m])) },
    ];
    const path = join(folder, "never.gguf");
    for (const adapter of bad) await expect(writeAdapter(path, adapter)).rejects.toThrow(code("ADAPTER_INVALID"));
    expect((await readdir(folder)).filter((file) => file.startsWith("never"))).toEqual([]);
  });
});

test.each([
  ["alpha divided by each pair's own rank", 5, 5 / 2 / (5 / 3)],
  ["no alpha: a scale of 1 whatever the rank", 0, 1],
])("pairs of two ranks are read as pairs of one, each with llama.cpp's product: %s", async (_, alpha, factor) => {
  const large = randomAdapter({ targets: ["q"], rank: 3, alpha: 5 });
  const small = randomAdapter({ targets: ["k"], rank: 2, seed: 2 });
  const path = join(folder, "two-ranks.gguf");
  const tensors = [...large.tensors, ...small.tensors].map(([name, { dimensions, values }]) => ({
    name,
    dimensions,
    type: "F32" as const,
    chunks: () => [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)],
  }));
  const metadata = new Map<string, GgufValue>([
    ["general.type", { type: "string", value: "adapter" }],
    ["general.architecture", { type: "string", value: "llama" }],
    ["adapter.type", { type: "string", value: "lora" }],
    ["adapter.lora.alpha", { type: "f32", value: alpha }],
  ]);
  await writeGguf(path, metadata, tensors);
  const read = await readAdapter(path);
  expect([read.rank, read.alpha]).toEqual([3, alpha || 3]);
  for (const [name, matrix] of large.tensors) expect(read.tensors.get(name)).toEqual(matrix);
  const b = small.tensors.get("blk.0.attn_k.weight.lora_b")?.values as Float32Array;
  const even = read.tensors.get("blk.0.attn_k.weight.lora_b");
  expect(even?.dimensions).toEqual([3, 32]);
  const wanted = Array.from({ length: 96 }, (_, at) =>
    at % 3 === 2 ? 0 : Math.fround((b[2 * Math.floor(at / 3) + (at % 3)] as number) * factor),
  );
  expect([...(even?.values ?? [])]).toEqual(wanted);
  const a = read.tensors.get("blk.0.attn_k.weight.lora_a");
  expect([...(a?.values.subarray(128) ?? [])]).toEqual(Array.from({ length: 64 }, () => 0));
});

describe("an adapter of another shape is ADAPTER_SHAPE, with the tensor and both shapes", () => {
  const layout = (rank = 3, targets = LORA_TARGETS.slice(0, 2)) => {
    const tensors = tinyLayout(rank, targets);
    return { tensors, parameters: layoutFloats(tensors), alpha: 5 };
  };
  const adapter = randomAdapter({ targets: ["q", "k"] });

  test("the trainer trains fewer projections, or more", () => {
    expect(() => adapterToState(adapter, layout(3, ["q"]))).toThrow(
      code("ADAPTER_SHAPE", "blk.0.attn_k.weight.lora_a [64, 3]"),
    );
    expect(() => adapterToState(adapter, layout(3, ["q", "k", "v"]))).toThrow(
      code("ADAPTER_SHAPE", "blk.0.attn_v.weight.lora_a is [64, 3] in the trainer; the adapter has no such tensor"),
    );
  });

  test("an adapter on some layers: elsewhere A and B are zero", () => {
    const some = new Map(
      [...adapter.tensors].filter(
        ([name]) => name !== "blk.1.attn_k.weight.lora_a" && name !== "blk.1.attn_k.weight.lora_b",
      ),
    );
    const { tensors, ...rest } = layout();
    const state = adapterToState({ ...adapter, tensors: some }, { tensors, ...rest });
    for (const { name, dimensions, offset } of tensors) {
      const values = state.subarray(offset, offset + dimensions[0] * dimensions[1]);
      expect(values).toEqual(some.get(name)?.values ?? new Float32Array(values.length));
    }
  });

  test("as the beginning of a larger one: the same product, and the rest as a fresh training begins", () => {
    const wide = layout(5, LORA_TARGETS.slice(0, 3));
    const fresh = Float32Array.from({ length: wide.parameters }, (_, at) => at + 1);
    for (const { name, dimensions, offset } of wide.tensors)
      if (name.endsWith("b")) fresh.fill(0, offset, offset + dimensions[0] * dimensions[1]);
    const state = adapterIntoState(adapter, wide, fresh);
    const back = stateToAdapter({
      architecture: "llama",
      layout: wide.tensors,
      parameters: state,
      alpha: wide.alpha,
      rank: 5,
    });
    const productOf = (from: typeof back, place: string, [row, column]: [number, number]) => {
      const [a, b] = ["a", "b"].map((half) => from.tensors.get(`${place}.lora_${half}`));
      if (!a || !b) return 0;
      let sum = 0;
      for (let k = 0; k < from.rank; k++)
        sum += (b.values[row * from.rank + k] as number) * (a.values[k * a.dimensions[0] + column] as number);
      return (from.alpha / from.rank) * sum;
    };
    for (const place of ["blk.0.attn_q.weight", "blk.1.attn_k.weight", "blk.0.attn_v.weight"]) {
      for (const at of [
        [0, 0],
        [31, 63],
        [7, 12],
      ] as [number, number][])
        expect(productOf(back, place, at)).toBeCloseTo(productOf(adapter, place, at), 5);
    }
    // Row 3 of A is the fresh one's.
    const { offset } = wide.tensors[0] as (typeof wide.tensors)[number];
    expect(state[offset + 3 * 64]).toBe(fresh[offset + 3 * 64]);
    expect(() => adapterIntoState(adapter, layout(2), fresh)).toThrow(code("ADAPTER_SHAPE", "the trainer has [64, 2]"));
    expect(() => adapterIntoState(adapter, layout(4, ["q"]), fresh)).toThrow(code("ADAPTER_SHAPE", "no such tensor"));
  });

  test("another rank, another width", () => {
    expect(() => adapterToState(adapter, layout(4))).toThrow(
      code("ADAPTER_SHAPE", "blk.0.attn_q.weight.lora_a is [64, 4] in the trainer; the adapter has [64, 3]"),
    );
    const wide = { dimensions: [3, 40] as const, values: new Float32Array(120) };
    const tensors = new Map(adapter.tensors).set("blk.1.attn_k.weight.lora_b", wide);
    expect(() => adapterToState({ ...adapter, tensors }, layout())).toThrow(
      code("ADAPTER_SHAPE", "blk.1.attn_k.weight.lora_b is [3, 32] in the trainer; the adapter has [3, 40]"),
    );
  });

  test("another alpha would make another adapter of the same A and B", () => {
    expect(() => adapterToState(adapter, { ...layout(), alpha: 6 })).toThrow(code("TRAIN_SETTINGS", "alpha is 6"));
  });

  test("a layout that goes beyond its parameters", () => {
    const { tensors, parameters } = layout();
    const short = new Float32Array(parameters - 1);
    expect(() =>
      stateToAdapter({ architecture: "llama", layout: tensors, parameters: short, alpha: 5, rank: 3 }),
    ).toThrow(code("TRAIN_SHAPE"));
  });
});
