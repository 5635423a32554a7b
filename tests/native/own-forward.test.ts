/** Our own forward pass says what llama.cpp says of every shape of model, and nothing but a prompt's own tokens reaches its numbers. */
import { mkdtempSync } from "node:fs";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { NativeEngineOptions } from "../../native/index.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import { settleEngine, takesOwnForward } from "../../src/model/engines/settings.js";
import { type GgufTensor, readGguf } from "../../src/gguf/read-gguf.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import type { Reply } from "../../src/tasks/answer.js";
import type { StudyEngine } from "../../src/study/study.js";
import { type Answered, answer, type Item, openEngine, workOf } from "../helpers/native-engine.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

const VOCABULARY = 265;
/** F32 throughout: sums in another order, and single-precision exponentials. */
const ROUNDING_NATS = 2e-5;
const folder = mkdtempSync(join(tmpdir(), "inward-own-forward-"));
const path = join(folder, "tiny.gguf");
beforeAll(() => writeTinyModel(path, { seed: 5, normSpread: 0.1 }));

/** Some share a beginning, one is long: rows of one path in one batch, and paths over many batches. */
const items: Item[] = [
  ...Array.from({ length: 20 }, (_, index) => ({
    ids: [1, 80, 90, 100 + (index % 3), ...Array.from({ length: index }, (_, at) => 60 + ((index * 7 + at) % 30))],
    maxTokens: 1 + (index % 4),
  })),
  { ids: Array.from({ length: 150 }, (_, at) => 60 + ((at * 11) % 90)), maxTokens: 3 },
];

async function answers(
  model: string,
  options: Partial<NativeEngineOptions>,
  adapters: readonly { readonly path: string; readonly scale: number }[] = [],
  asked: readonly Item[] = items,
): Promise<Answered[]> {
  const engine = await openEngine(model, options);
  try {
    engine.setAdapters(adapters);
    return answer(engine, workOf(asked, { topTokens: VOCABULARY })).answers;
  } finally {
    engine.dispose();
  }
}

function expectWithin(nats: number, ours: readonly Answered[], theirs: readonly Answered[]): void {
  expect(ours).toHaveLength(theirs.length);
  ours.forEach(({ topIds, topLogprobs, logSumExp }, index) => {
    const other = theirs[index] as Answered;
    const logprobs = new Map(other.topIds.map((id, at) => [id, other.topLogprobs[at] as number]));
    const apart = topIds.map((id, at) => Math.abs((topLogprobs[at] as number) - (logprobs.get(id) as number)));
    expect(topIds).toHaveLength(VOCABULARY);
    expect(Math.max(...apart, Math.abs(logSumExp - other.logSumExp))).toBeLessThan(nats);
  });
}

describe("as llama.cpp", () => {
  test.each<[string, TinyModelOptions]>([
    ["plain", {}],
    ["tied output", { tiedOutput: true }],
    ["Llama 3's RoPE factors", { ropeFreqs: true }],
    ["scaled RoPE", { ropeScale: 2 }],
    ["biases", { biases: true }],
    ["as many key-value heads as heads", { keyValueHeads: 4 }],
    ["three heads to one, of 20 features", { heads: 3, keyValueHeads: 1, width: 60, headWidth: 20, feedForward: 100 }],
    ["heads of 80 features, four layers", { headWidth: 80, blocks: 4 }],
    ["rows longer than a block of sums", { width: 320, heads: 5, keyValueHeads: 1, feedForward: 600 }],
  ])("%s", async (name, options) => {
    const model = join(folder, `${name}.gguf`);
    await writeTinyModel(model, { seed: 7, normSpread: 0.1, ...options });
    expectWithin(ROUNDING_NATS, await answers(model, { forward: "own" }), await answers(model, {}));
  });

  test("under two adapters at once, of other scales", async () => {
    const both = ["first", "second"].map((name, at) => ({ path: join(folder, `${name}.gguf`), scale: 1 - 0.3 * at }));
    for (const [at, one] of both.entries()) await writeTinyAdapter(one.path, { a: 0.2, b: 0.2 - 0.05 * at });
    const own = await answers(path, { forward: "own" }, both);
    expectWithin(ROUNDING_NATS, own, await answers(path, {}, both));
    expect(own).not.toEqual(await answers(path, { forward: "own" }, both.slice(0, 1)));
  });
});

describe.each(["F32", "Q5_K"] as const)("kernels, %s", (encoding) => {
  const asked = {
    messages: [{ role: "user" as const, content: "a b c" }],
    maxTokens: 6,
    temperature: 0 as const,
    topTokens: 50,
  };
  const say = async (kernels?: string) => {
    const model = join(folder, `kernels-${encoding}.gguf`);
    await writeTinyModel(model, { seed: 5, normSpread: 0.1, width: 256, feedForward: 256, encoding });
    const settings = await settleEngine({ ...DEFAULT_ENGINE, engine: "native", device: "cpu", threads: 2 }, [model]);
    // A worker of its own: kernels are chosen once in a process.
    if (kernels) process.env.INWARD_KERNELS = kernels;
    const engine = await startEngine(model, settings).finally(() => delete process.env.INWARD_KERNELS);
    try {
      const [reply] = await engine.ask([asked]);
      return { reply: reply as Reply, kernels: engine.manifest.kernels };
    } finally {
      await engine.dispose();
    }
  };
  let usual: Awaited<ReturnType<typeof say>>;
  beforeAll(async () => {
    usual = await say();
  });

  test.each(["avx2", "plain"])("no better than %s say the same: one machine proves another's", async (most) => {
    const forced = await say(most);
    expect(forced.kernels).not.toMatch(/avx512/);
    expect(forced.reply.tokenIds).toEqual(usual.reply.tokenIds);
    forced.reply.logprobs.forEach((logprob, at) => {
      expect(Math.abs(logprob - (usual.reply.logprobs[at] as number))).toBeLessThan(ROUNDING_NATS);
    });
    // Both fuse every product with its sum, in the same order.
    if (most === "avx2" && usual.kernels === "avx512" && forced.kernels === "avx2")
      expect(forced.reply).toEqual(usual.reply);
  });
});

describe("the same bytes", () => {
  let usual: string;
  beforeAll(async () => {
    usual = JSON.stringify(await answers(path, { forward: "own" }));
  });

  test.each<[string, Partial<NativeEngineOptions>]>([
    ["strict", { strict: true }],
    ["one sequence", { sequences: 1 }],
    ["all at once", { sequences: 40, batchTokens: 512 }],
    ["batches of 7", { batchTokens: 7 }],
    ["three threads", { threads: 3 }],
    ["a small cache", { mostCells: 160 }],
  ])("%s", async (_, options) => {
    expect(JSON.stringify(await answers(path, { forward: "own", ...options }))).toBe(usual);
  });

  test("in another order", async () => {
    const turned = await answers(path, { forward: "own" }, [], [...items].reverse());
    expect(JSON.stringify([...turned].reverse())).toBe(usual);
  });
});

describe("refusals", () => {
  test("a model that it has no operations for", async () => {
    const model = join(folder, "experts.gguf");
    await writeTinyModel(model, { metadata: { "llama.rope.dimension_count": { type: "u32", value: 8 } } });
    await expect(openEngine(model, { forward: "own" })).rejects.toMatchObject({
      code: "ENGINE_UNAVAILABLE",
      message: expect.stringMatching(/RoPE turns only a part of each head.*set engine\.forward to llama\.cpp/),
    });
    expect(await settleEngine({ ...DEFAULT_ENGINE, device: "cpu" }, [model])).toMatchObject({ forward: "llama.cpp" });
  });

  test("a cache that no memory holds", async () => {
    const model = join(folder, "long.gguf");
    await writeTinyModel(model, { contextLength: 2 ** 31 - 1 });
    const engine = await openEngine(model, { forward: "own" });
    const begin = () => engine.begin(workOf([{ ids: [1] }], { maxTokens: Int32Array.of(2 ** 31 - 10) }));
    expect(begin).toThrow(expect.objectContaining({ code: "ENGINE_MEMORY" }));
    engine.dispose();
  });

  test.each<[string, Record<string, readonly [number, number]>]>([
    ["a query", { "blk.0.attn_q.weight": [64, 64] }],
    ["a gate", { "blk.0.ffn_gate.weight": [64, 128] }],
  ])("%s that is no number: its exponential is none either, and the logits say so", async (_, weights) => {
    const adapter = join(folder, "not-a-number.gguf");
    await writeTinyAdapter(adapter, { weights, b: Number.NaN });
    await expect(answers(path, { forward: "own" }, [{ path: adapter, scale: 1 }])).rejects.toMatchObject({
      code: "ENGINE_NOT_FINITE",
    });
  });

  test("settings that only llama.cpp has", async () => {
    for (const other of [{ flashAttention: true }, { blas: true }, { device: "cuda" }, { engine: "node-llama-cpp" }]) {
      const settings = { ...DEFAULT_ENGINE, ...other, forward: "own" } as StudyEngine;
      await expect(settleEngine(settings, [path])).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE" });
    }
  });
});

describe("auto", () => {
  const settings: StudyEngine = { ...DEFAULT_ENGINE, engine: "native", device: "cpu" };

  test.each<[string, Partial<StudyEngine>, readonly string[], string]>([
    ["a model of floats", {}, ["tiny.gguf"], "own"],
    ["two of them", {}, ["tiny.gguf", "F16.gguf"], "own"],
    ["a quantized one beside it", {}, ["tiny.gguf", "Q8_0.gguf"], "own"],
    ["a quantized one on a GPU", { device: "cuda" }, ["Q8_0.gguf"], "llama.cpp"],
    ["a quantized one where llama.cpp is asked for", { forward: "llama.cpp" }, ["Q8_0.gguf"], "llama.cpp"],
    ["no model", {}, [], "llama.cpp"],
    ["flash attention", { flashAttention: true }, ["tiny.gguf"], "llama.cpp"],
    ["the BLAS plugin", { blas: true }, ["tiny.gguf"], "llama.cpp"],
    ["node-llama-cpp", { engine: "node-llama-cpp" }, ["tiny.gguf"], "llama.cpp"],
    ["a GPU", { device: "cuda" }, ["tiny.gguf"], "llama.cpp"],
  ])("%s", async (_, more, models, forward) => {
    const paths = models.map((name) => join(folder, name));
    for (const name of models) {
      if (name === "tiny.gguf") continue;
      await writeTinyModel(join(folder, name), { seed: 7, encoding: name.slice(0, -5) as "F16" | "Q8_0" });
    }
    expect(await settleEngine({ ...settings, ...more }, paths)).toMatchObject({ forward });
  });

  test("an encoding that products do not read, or weights beyond half of the memory", async () => {
    const { metadata, tensors } = await readGguf(path);
    const as = (change: Partial<GgufTensor>) => ({
      metadata,
      tensors: tensors.map((one) => (one.dimensions.length === 2 ? { ...one, ...change } : one)),
    });
    expect(takesOwnForward(as({ type: "IQ4_XS" }))).toBe(true);
    expect(takesOwnForward(as({ type: "IQ2_XXS" }))).toBe(false);
    expect(takesOwnForward(as({ byteLength: totalmem() }))).toBe(false);
  });

  test("a plan from before there was a choice stays with llama.cpp", async () => {
    const { forward: _, ...older } = settings;
    expect(await settleEngine(older, [path])).toMatchObject({ forward: "llama.cpp", sequences: 16 });
  });
});
