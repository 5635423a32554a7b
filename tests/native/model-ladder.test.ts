/** Rungs of a ladder that need the addon: quantizations, their weights as F32, and training on a copy without some layers. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { inspectGguf } from "../../src/gguf/inspect-gguf.js";
import { reencodeGguf } from "../../src/gguf/derived-copies.js";
import { type ResolveModelOptions, resolveModel } from "../../src/model/resolve-model.js";
import { type LlamaCpp, startLlamaCpp } from "../helpers/llama-cpp-logits.js";
import { openTrainer, wholeSequence } from "../helpers/native-trainer.js";
import { type TinyModel, writeTinyModel } from "../helpers/tiny-model.js";

const TOKENS = [1, 30, 7, 7, 200, 88, 61, 2, 145, 30];
const root = mkdtempSync(join(tmpdir(), "inward-ladder-"));
let tiny: TinyModel;
let plain: TinyModel;
let llama: LlamaCpp;
let models: string;

beforeAll(async () => {
  tiny = await writeTinyModel(join(root, "tiny.gguf"), { blocks: 6, encoding: "Q8_0", normSpread: 0.2 });
  plain = await writeTinyModel(join(root, "plain.gguf"), { encoding: "Q4_0" });
  llama = await startLlamaCpp();
});
afterAll(async () => {
  await llama.dispose();
  rmSync(root, { recursive: true, force: true });
});
beforeEach(() => {
  models = mkdtempSync(join(root, "models-"));
});

const resolve = (path: string, options: ResolveModelOptions) =>
  resolveModel(path, { env: { INWARD_MODELS: models }, ...options });
const copies = () => readdirSync(models).filter((name) => name.endsWith(".gguf"));

describe("a coarser quantization", () => {
  test("is made once by llama.cpp, recorded, and found again", async () => {
    const file = await resolve(tiny.path, { encoding: "q4_0" });
    expect(file.path).toMatch(/\/tiny-[0-9a-f]{12}\.q4_0\.gguf$/);
    expect(file).toMatchObject({ encoding: "Q4_0", reencodedFrom: { sha256: tiny.sha256, encoding: "Q8_0" } });
    expect(file.bytes).toBeLessThan(0.7 * tiny.bytes);
    const [record] = Object.values(JSON.parse(readFileSync(join(models, "checksums.json"), "utf8")).files);
    expect(record).toMatchObject({ sha256: file.sha256, origin: "re-encoded by llama.cpp as q4_0" });
    const written = statSync(file.path).mtimeMs;
    expect(await resolve(tiny.path, { encoding: "q4_0" })).toEqual(file);
    expect(statSync(file.path).mtimeMs).toBe(written);
  });

  test("written out as F32 has its weights and nothing else: the same logits but for what rounds activations", async () => {
    const quantized = await resolve(tiny.path, { encoding: "q4_0" });
    const file = await resolve(tiny.path, { encoding: "f32", roundedTo: "q4_0" });
    expect(file.path).toMatch(/\.q4_0\.f32\.gguf$/);
    expect(file).toMatchObject({
      encoding: "F32",
      reencodedFrom: { sha256: tiny.sha256, encoding: "Q8_0" },
      roundedTo: { fileType: "q4_0", sha256: quantized.sha256 },
    });
    const decoded = await reencodeGguf(quantized.path, join(models, "own"), "f32", { sourceSha256: quantized.sha256 });
    expect(file.sha256).toBe(decoded.sha256);
    const asItCame = await resolve(tiny.path, { encoding: "f32" });
    expect(asItCame.sha256).not.toBe(file.sha256);
    expect(asItCame.roundedTo).toBeUndefined();
  });

  test("of a file that is quantized so already is the file itself", async () => {
    expect(await resolve(plain.path, { encoding: "q4_0" })).toMatchObject({ path: plain.path, sha256: plain.sha256 });
    expect(copies()).toEqual([]);
    const rounded = await resolve(plain.path, { encoding: "f32", roundedTo: "q4_0" });
    expect(rounded).toEqual({
      ...(await resolve(plain.path, { encoding: "f32" })),
      roundedTo: { fileType: "q4_0", sha256: plain.sha256 },
    });
    expect(copies()).toHaveLength(1);
  });

  test("of a smaller network: layers go first, and every step is on record", async () => {
    const file = await resolve(tiny.path, { encoding: "f32", roundedTo: "q4_0", dropLayers: 0.25 });
    expect(file.path).toMatch(/\.without-layers-2-to-3-of-6\.q4_0\.f32\.gguf$/);
    const small = copies().find((name) => name.endsWith("-of-6.gguf")) as string;
    const half = copies().find((name) => name.endsWith(".q4_0.gguf")) as string;
    expect(copies()).toHaveLength(3);
    const records = JSON.parse(readFileSync(join(models, "checksums.json"), "utf8")).files;
    expect(file).toMatchObject({
      reencodedFrom: { sha256: records[small].sha256, encoding: "Q8_0" },
      roundedTo: { fileType: "q4_0", sha256: records[half].sha256 },
      layersRemoved: { sha256: tiny.sha256, of: 6, layers: [2, 3] },
    });
    expect((await inspectGguf(file.path)).blockCount).toBe(4);
  });
});

test("the trainer's forward pass over a copy without some layers is llama.cpp's", async () => {
  const { path } = await resolve(tiny.path, { encoding: "f32", dropLayers: 0.25 });
  const trainer = await openTrainer(path);
  const { vocabulary } = trainer.describe();
  const ours = trainer.logits(wholeSequence(TOKENS));
  trainer.dispose();
  const theirs = await llama.logits(path, TOKENS);
  expect(ours).toHaveLength(theirs.length * vocabulary);
  const apart = theirs.map((row, at) =>
    Math.max(...row.map((value, id) => Math.abs(value - (ours[at * vocabulary + id] as number)))),
  );
  expect(Math.max(...apart)).toBeLessThan(1e-3);
});
