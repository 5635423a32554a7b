/** A copy without some layers computes what the whole model computes when its pass skips them. */
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startEngine } from "../../src/model/engines/start-engine.js";
import { inspectGguf } from "../../src/gguf/inspect-gguf.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { writeWithoutLayers } from "../../src/gguf/without-layers.js";
import { resolveModel } from "../../src/model/resolve-model.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import type { SettledEngine } from "../../src/study/study.js";
import { ENGINES } from "../helpers/engines.js";
import { type LlamaCpp, startLlamaCpp } from "../helpers/llama-cpp-logits.js";
import { readReferenceModel } from "../helpers/reference/reference-model.js";
import { referenceLogits } from "../helpers/reference/reference-pass.js";
import { type TinyEncoding, type TinyModel, type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

const TOKENS = [1, 30, 7, 7, 200, 88, 61, 2, 145, 30, 7, 99, 12, 264, 54, 3, 80, 81, 82, 2];
const REMOVED = [1, 4];
/** Everything that stands beside matrices, so that it must move up with them. */
const DEEP = { blocks: 6, normSpread: 0.2, biases: true, ropeFreqs: true } as const;
const made = { sourceSha256: "ef".repeat(32) };
const folder = mkdtempSync(join(tmpdir(), "inward-layers-"));
let llama: LlamaCpp;
let files = 0;

beforeAll(async () => {
  llama = await startLlamaCpp();
});
afterAll(async () => {
  await llama.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const fresh = () => join(folder, `${files++}.gguf`);
const tiny = (options: TinyModelOptions = {}) => writeTinyModel(fresh(), { ...DEEP, ...options });

async function without(model: TinyModel, layers: readonly number[]) {
  const path = fresh();
  return { path, ...(await writeWithoutLayers(model.path, path, layers, made)) };
}

/** Largest |difference| over all positions and tokens. */
function worst(a: readonly Float32Array[], at: (row: number, id: number) => number): number {
  return Math.max(...a.flatMap((row, position) => Array.from(row, (value, id) => Math.abs(value - at(position, id)))));
}

describe("the file", () => {
  test("gives in llama.cpp the logits of a float64 pass over the other layers of the whole model", async () => {
    const whole = await tiny();
    const { path } = await without(whole, REMOVED);
    const model = await readReferenceModel(whole.path);
    const blocks = model.blocks.filter((_, layer) => !REMOVED.includes(layer));
    const expected = referenceLogits({ ...model, blocks }, TOKENS);
    const logits = await llama.logits(path, TOKENS);
    expect(logits).toHaveLength(TOKENS.length);
    expect(worst(logits, (row, id) => expected.at(row, id))).toBeLessThan(2e-5);
    const all = referenceLogits(model, TOKENS);
    expect(worst(logits, (row, id) => all.at(row, id))).toBeGreaterThan(0.5);
  });

  test.each<TinyEncoding>(["F32", "F16", "Q8_0", "Q4_1"])(
    "keeps %s weights and metadata byte for byte",
    async (encoding) => {
      const whole = await tiny({ encoding });
      const { path, sha256 } = await without(whole, REMOVED);
      const [before, after] = [await readGguf(whole.path), await readGguf(path)];
      const [source, target] = [readFileSync(whole.path), readFileSync(path)];
      const kept = [0, 2, 3, 5];
      const names = before.tensors.flatMap(({ name }) => {
        const [, layer, rest] = /^blk\.(\d+)(.*)$/.exec(name) ?? [];
        if (layer === undefined) return [[name, name]];
        const moved = kept.indexOf(Number(layer));
        return moved < 0 ? [] : [[name, `blk.${moved}${rest}`]];
      });
      expect(after.tensors.map(({ name }) => name)).toEqual(names.map(([, name]) => name));
      for (const [index, tensor] of after.tensors.entries()) {
        const from = before.tensors.find(({ name }) => name === names[index]?.[0]);
        if (!from) throw new Error(`${tensor.name} comes from nowhere`);
        const bytes = (data: Buffer, start: number) => data.subarray(start, start + from.byteLength);
        expect(
          bytes(target, after.dataOffset + tensor.offset).equals(bytes(source, before.dataOffset + from.offset)),
        ).toBe(true);
      }
      const changed = ["general.name", "llama.block_count"];
      for (const [key, value] of before.encodedMetadata) {
        if (!changed.includes(key)) expect(after.encodedMetadata.get(key)).toEqual(value);
      }
      expect(await inspectGguf(path)).toMatchObject({
        name: "Tiny Random without 2 of 6 layers",
        blockCount: 4,
        encoding,
        layersRemoved: { sha256: made.sourceSha256, of: 6, layers: REMOVED },
      });
      expect((await without(whole, REMOVED)).sha256).toBe(sha256);
    },
  );

  test("values for each layer lose those of the removed ones", async () => {
    const heads = { type: "array", elementType: "u32", value: [4, 4, 4, 4, 4, 2] } as const;
    const whole = await tiny({ metadata: { "llama.attention.head_count": heads } });
    const { path } = await without(whole, REMOVED);
    expect((await readGguf(path)).metadata.get("llama.attention.head_count")?.value).toEqual([4, 4, 4, 2]);
  });

  test("one part of a split model is refused", async () => {
    const part = await tiny({ metadata: { "split.count": { type: "u16", value: 3 } } });
    await expect(without(part, REMOVED)).rejects.toMatchObject({ code: "MODEL_PARTS" });
  });
});

describe("a study's dropLayers", () => {
  let models: string;
  const resolve = (path: string, more: Partial<Parameters<typeof resolveModel>[1]> = {}) =>
    resolveModel(path, { encoding: "as_shipped", dropLayers: 0.25, env: { INWARD_MODELS: models }, ...more });
  beforeEach(() => {
    models = mkdtempSync(join(folder, "models-"));
  });

  test("makes the copy once, under a name that tells what it is, and records what was removed of what", async () => {
    const whole = await tiny({ encoding: "Q8_0" });
    const file = await resolve(whole.path);
    expect(file.path).toMatch(/-[0-9a-f]{12}\.without-layers-2-to-3-of-6\.gguf$/);
    expect(file).toMatchObject({ encoding: "Q8_0", layersRemoved: { sha256: whole.sha256, of: 6, layers: [2, 3] } });
    expect(file.sha256).toBe(createHash("sha256").update(readFileSync(file.path)).digest("hex"));
    expect(file.reencodedFrom).toBeUndefined();
    const stages = new Set<string>();
    expect(await resolve(whole.path, { onProgress: ({ stage }) => stages.add(stage) })).toEqual(file);
    expect([...stages]).toEqual([]);
  });

  test("with an encoding, is that of the smaller network", async () => {
    const whole = await tiny({ encoding: "Q8_0" });
    const small = await resolve(whole.path);
    const file = await resolve(whole.path, { encoding: "f32" });
    expect(file.path).toMatch(/\.without-layers-2-to-3-of-6\.f32\.gguf$/);
    expect(file).toMatchObject({
      encoding: "F32",
      reencodedFrom: { sha256: small.sha256, encoding: "Q8_0" },
      layersRemoved: { sha256: whole.sha256, of: 6, layers: [2, 3] },
    });
  });

  test("a spoilt copy is set aside, and made again with the same bytes", async () => {
    const whole = await tiny();
    const { path } = await resolve(whole.path);
    const good = readFileSync(path);
    writeFileSync(path, Buffer.from(good).fill(7, good.length - 5));
    await expect(resolve(whole.path)).rejects.toMatchObject({ code: "MODEL_CHECKSUM" });
    await resolve(whole.path);
    expect(readFileSync(path).equals(good)).toBe(true);
  });

  test("a share that removes nothing is refused", async () => {
    const whole = await tiny();
    await expect(resolve(whole.path, { dropLayers: 0.05 })).rejects.toMatchObject({ code: "STUDY_INVALID" });
  });

  test.each<SettledEngine["engine"]>(ENGINES)("the copy answers through %s", async (engine) => {
    const whole = await tiny();
    const { path } = await resolve(whole.path);
    const model = await startEngine(path, { ...DEFAULT_ENGINE, device: "cpu", threads: 1, sequences: 2, engine });
    try {
      const { tokenIds } = await model.render([{ role: "user", content: "cat dog" }]);
      const [reply] = await model.ask([
        { messages: [{ role: "user", content: "cat dog" }], maxTokens: 1, temperature: 0, topTokens: 1 },
      ]);
      const logits = (await llama.logits(path, [...tokenIds])).at(-1) as Float32Array;
      expect(reply?.tokenIds).toEqual([logits.indexOf(Math.max(...logits))]);
    } finally {
      await model.dispose();
    }
  });
});
