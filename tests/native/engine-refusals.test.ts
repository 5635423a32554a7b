/** Proof 6: what would abort in llama.cpp, or answer something else than was asked, is a coded error, and the process lives on. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine, NativeWork } from "../../native/index.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import type { GgufValue } from "../../src/gguf/read-gguf.js";
import { settleEngine } from "../../src/model/engines/settings.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { type Answered, answer, openEngine, workOf } from "../helpers/native-engine.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-engine-refusals-"));
const path = join(folder, "tiny.gguf");
const settings = { ...DEFAULT_ENGINE, engine: "native", device: "cpu", threads: 1 } as const;
const GROUP = workOf([
  { ids: [5, 6, 7], maxTokens: 4 },
  { ids: [5, 6, 8], maxTokens: 4 },
]);
const coded = (code: string, message = "") =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

let engine: Engine;
let usual: Answered[];
beforeAll(async () => {
  await writeTinyModel(path, { contextLength: 64 });
  engine = await openEngine(path);
  usual = answer(engine, GROUP).answers;
});
afterAll(() => engine.dispose());

describe("groups", () => {
  test.each<[string, string, NativeWork]>([
    [
      "ENGINE_CONTEXT",
      "65 tokens with its answer",
      workOf([
        { ids: [5], maxTokens: 4 },
        { ids: Array(61).fill(9), maxTokens: 4 },
      ]),
    ],
    ["ENGINE_EMPTY_PROMPT", "prompt 2", workOf([{ ids: [5] }, { ids: [], scoreFrom: 1 }])],
    ["ENGINE_TOKEN", "token id 265", workOf([{ ids: [5, 265], maxTokens: 1 }])],
    ["ENGINE_TOKEN", "token id -1", workOf([{ ids: [-1], maxTokens: 1 }])],
    ["ENGINE_TOKEN", "token id 9999", workOf([{ ids: [5], maxTokens: 1 }], { readIds: Int32Array.of(9999) })],
    ["TRAIN_SHAPE", "differ in length", { ...GROUP, starts: Int32Array.of(0, 3) }],
    ["TRAIN_SHAPE", "item 1", { ...GROUP, scoreFrom: Int32Array.of(0, 3) }],
    ["TRAIN_SHAPE", "item 2", { ...GROUP, scoreFrom: Int32Array.of(3, 4) }],
    ["TRAIN_SHAPE", "item 1", { ...GROUP, maxTokens: Int32Array.of(-1, 4) }],
    ["ENGINE_EMPTY_PROMPT", "prompt 2", { ...GROUP, starts: Int32Array.of(0, 7, 6) }],
    ["ENGINE_EMPTY_PROMPT", "prompt 1", { ...GROUP, starts: Int32Array.of(0, -3, 6) }],
    ["TRAIN_SHAPE", "typed array", { ...GROUP, tokenIds: [5, 6, 7, 5, 6, 8] as unknown as Int32Array }],
  ])("%s: %s", (code, message, work) => {
    expect(() => engine.begin(work)).toThrow(coded(code, message));
    expect(answer(engine, GROUP).answers).toEqual(usual);
  });

  test("cancelled in the middle: what finished stays, and the next group is as ever", () => {
    engine.begin(
      workOf([
        { ids: [5, 6], maxTokens: 1 },
        { ids: [5, 7], maxTokens: 30, draws: Array(30).fill(0.3) },
      ]),
    );
    engine.step();
    engine.cancel();
    expect(Array.from(engine.take().items)).toEqual([0]);
    expect(engine.step()).toBe(false);
    expect(answer(engine, GROUP).answers).toEqual(usual);
  });
});

describe("settings", () => {
  test("a cache too small for one item", async () => {
    const small = await openEngine(path, { mostCells: 1 });
    expect(() => small.begin(GROUP)).toThrow(coded("ENGINE_MEMORY"));
    small.dispose();
  });

  test("a disposed engine refuses", async () => {
    const gone = await openEngine(path);
    gone.dispose();
    gone.dispose();
    expect(() => gone.begin(GROUP)).toThrow(coded("ENGINE_UNAVAILABLE"));
    expect(() => gone.describe()).toThrow(coded("ENGINE_UNAVAILABLE"));
  });
});

describe("files", () => {
  test.each(["none.gguf", "text.gguf"])("%s is refused by the addon itself", async (name) => {
    writeFileSync(join(folder, "text.gguf"), "no model");
    await expect(openEngine(join(folder, name))).rejects.toThrow(coded("MODEL_LOAD", name));
  });

  test("the engine refuses a model that disappeared, one without a vocabulary, one of another architecture", async () => {
    const [gone, bare, other] = ["gone", "bare", "other"].map((name) => join(folder, `${name}.gguf`)) as [
      string,
      string,
      string,
    ];
    await writeTinyModel(gone);
    rmSync(gone);
    await writeTinyModel(bare, { vocabulary: false });
    await writeTinyModel(other, { architecture: "bert" });
    await expect(startEngine(gone, settings)).rejects.toThrow(coded("MODEL_NOT_FOUND"));
    await expect(startEngine(bare, settings)).rejects.toThrow(coded("MODEL_NO_VOCABULARY"));
    await expect(startEngine(other, settings)).rejects.toThrow(coded("MODEL_ARCHITECTURE"));
  });

  test.each<[string, GgufValue, string]>([
    ["llama.block_count", { type: "u32", value: 1 }, "wrong number of tensors; expected 21, got 12"],
    ["llama.context_length", { type: "string", value: "64" }, "llama.context_length has wrong type str"],
  ])("a file that neither forward pass takes, by %s: llama.cpp's own line", async (key, value, line) => {
    const broken = join(folder, `${key}.gguf`);
    await writeTinyModel(broken, { metadata: { [key]: value } });
    for (const forward of ["own", "llama.cpp"] as const) {
      await expect(startEngine(broken, { ...settings, forward })).rejects.toThrow(coded("MODEL_LOAD", line));
    }
  });

  test("a model that disappears while it is asked goes on", async () => {
    const passing = join(folder, "passing.gguf");
    await writeTinyModel(passing, { contextLength: 64 });
    const open = await openEngine(passing);
    rmSync(passing);
    expect(answer(open, GROUP).answers).toEqual(usual);
    open.dispose();
  });

  test("adapters: of another shape, no adapter at all, none there; the engine goes on without", async () => {
    const unfit = join(folder, "unfit.gguf");
    await writeTinyAdapter(unfit, { weights: { "blk.0.attn_q.weight": [32, 64] } });
    for (const adapter of [unfit, path, join(folder, "none.gguf")]) {
      expect(() => engine.setAdapters([{ path: adapter, scale: 1 }])).toThrow(coded("ADAPTER_INVALID", adapter));
    }
    expect(answer(engine, GROUP).answers).toEqual(usual);
    await expect(startEngine(path, settings, { adapter: { path: unfit } })).rejects.toThrow(coded("ADAPTER_SHAPE"));
  });
});

test("adapters are set, scaled and unset on one engine; what was evaluated before is forgotten", async () => {
  const adapter = join(folder, "adapter.gguf");
  await writeTinyAdapter(adapter);
  const fresh = await openEngine(path);
  fresh.setAdapters([{ path: adapter, scale: 0.5 }]);
  const half = answer(fresh, GROUP).answers;
  fresh.dispose();
  engine.setAdapters([{ path: adapter, scale: 1 }]);
  const whole = answer(engine, GROUP).answers;
  engine.setAdapters([{ path: adapter, scale: 0.5 }]);
  expect(answer(engine, GROUP).answers).toEqual(half);
  engine.setAdapters([]);
  expect(answer(engine, GROUP).answers).toEqual(usual);
  expect(new Set([usual, half, whole].map((answers) => JSON.stringify(answers))).size).toBe(3);
});

test("where the addon is not built, auto is node-llama-cpp and native says what is missing", async () => {
  expect(await settleEngine(DEFAULT_ENGINE, [], folder)).toMatchObject({ engine: "node-llama-cpp", sequences: 8 });
  expect(await settleEngine(DEFAULT_ENGINE)).toMatchObject({ engine: "native", sequences: 16 });
  expect(await settleEngine({ ...DEFAULT_ENGINE, engine: "native", sequences: 3 }, [], folder)).toMatchObject({
    engine: "native",
    sequences: 3,
  });
});
