/** Layers that are told apart by their number go on as what they were when others are taken out before them, or none is taken out. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type GgufValue, readGguf } from "../../src/gguf/read-gguf.js";
import { keysOfNumberedLayers, writeWithoutLayers } from "../../src/gguf/without-layers.js";
import { readReferenceModel } from "../helpers/reference/reference-model.js";
import { referenceLogits } from "../helpers/reference/reference-pass.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-layers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const TOKENS = [1, 30, 7, 7, 200, 88, 61, 2, 145, 30, 7, 99];
const SMALL = { width: 32, feedForward: 24, heads: 2, keyValueHeads: 1 };
const u32 = (value: number): GgufValue => ({ type: "u32", value });
let files = 0;
const fresh = () => join(folder, `${files++}.gguf`);

function tiny(architecture: string, blocks: number, keys: Readonly<Record<string, GgufValue>> = {}) {
  const metadata = Object.fromEntries(Object.entries(keys).map(([key, value]) => [`${architecture}.${key}`, value]));
  const options: TinyModelOptions = { ...SMALL, architecture, blocks, metadata };
  return writeTinyModel(fresh(), options);
}

describe("the copy computes what the whole model computes when its pass skips them", () => {
  test.each<[string, number, readonly number[], Readonly<Record<string, GgufValue>>]>([
    ["llama", 4, [1], {}],
    ["qwen3", 4, [1, 2], {}],
    ["phi3", 3, [1], {}],
    ["granite", 3, [1], {}],
    ["gemma2", 5, [1], {}],
    ["gemma2", 6, [2], { "attention.sliding_window_pattern": u32(3) }],
    ["gemma3", 5, [1, 2], {}],
    ["gemma3", 7, [2], { "attention.sliding_window_pattern": u32(6) }],
    ["gemma3", 4, [1], { "attention.sliding_window": u32(0) }],
    ["olmo2", 6, [1], { "attention.sliding_window_pattern": u32(4) }],
    ["smollm3", 9, [2, 3, 4, 5], {}],
  ])("%s of %i layers without %j, %j", async (architecture, blocks, removed, keys) => {
    const whole = await tiny(architecture, blocks, keys);
    const copy = fresh();
    await writeWithoutLayers(whole.path, copy, removed, { sourceSha256: whole.sha256 });
    const model = await readReferenceModel(whole.path);
    const kept = model.blocks.filter((_, layer) => !removed.includes(layer));
    const expected = referenceLogits({ ...model, blocks: kept }, TOKENS);
    expect(referenceLogits(await readReferenceModel(copy), TOKENS).values).toEqual(expected.values);
    expect(referenceLogits(model, TOKENS).values).not.toEqual(expected.values);
  });
});

describe("no layer is taken out", () => {
  const refusal = async (architecture: string, blocks: number, removed: readonly number[]) => {
    const { path } = await tiny(architecture, blocks);
    await expect(writeWithoutLayers(path, fresh(), removed, { sourceSha256: "" })).rejects.toMatchObject({
      code: "STUDY_INVALID",
    });
    const file = await readGguf(path);
    return () => keysOfNumberedLayers(file, removed);
  };

  test("where no key says which layers have no RoPE, and they would be others", async () => {
    expect(await refusal("smollm3", 6, [2])).toThrow(
      "each 4th layer has no RoPE, so that only whole 4s of layers can go",
    );
  });

  test("where nobody knows what an architecture's layers are", async () => {
    expect(await refusal("cohere2", 4, [1])).toThrow("it is known of llama, qwen2, ");
  });

  test("where the number of layers says how queries are scaled", async () => {
    const { path } = await tiny("gemma2", 4);
    const file = await readGguf(path);
    const metadata = new Map(file.metadata).set("gemma2.block_count", u32(47));
    expect(() => keysOfNumberedLayers({ path, metadata }, [20])).toThrow("with 46 layers llama.cpp scales queries");
    expect(() => keysOfNumberedLayers({ path, metadata }, [20, 21])).not.toThrow();
  });
});
