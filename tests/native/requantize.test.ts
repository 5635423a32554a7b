/** Re-encoding through llama.cpp: bit for bit what our own decoder makes, every file type runs, and what cannot be is a coded error. */
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FILE_TYPES, type FileTypeName, type GgmlTypeName } from "../../src/gguf/encodings.js";
import { inspectGguf } from "../../src/gguf/inspect-gguf.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { reencodeGguf } from "../../src/gguf/derived-copies.js";
import { writeGguf, writeInSourceOrder } from "../../src/gguf/write-gguf.js";
import { findBinaries, loadAddon } from "../../src/model/native/addon.js";
import { requantizeGguf } from "../../src/model/requantize.js";
import { resolveModel } from "../../src/model/resolve-model.js";
import { ASKED_ARCHITECTURES, writeAskedModel } from "../helpers/asked-architectures.js";
import { type LlamaCpp, startLlamaCpp } from "../helpers/llama-cpp-logits.js";
import { type TinyEncoding, type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-requantize-"));
const options = { sourceSha256: "cd".repeat(32), threads: 1 };
const coded = (code: string, message = "") =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });
/** Rows of whole superblocks, and everything that a llama may carry beside its matrices. */
const WIDE = {
  width: 256,
  feedForward: 256,
  heads: 4,
  keyValueHeads: 2,
  blocks: 1,
  biases: true,
  ropeFreqs: true,
} as const;
/** Of the logits with those of the F32 model; about half as far again from 1 as was seen. */
const LEAST_CORRELATION: Readonly<Partial<Record<GgmlTypeName, number>>> = {
  F16: 0.999999,
  BF16: 0.99999,
  Q8_0: 0.9999,
  Q6_K: 0.9994,
  Q5_K: 0.998,
  Q5_1: 0.9975,
  Q5_0: 0.998,
  Q4_K: 0.996,
  Q4_1: 0.988,
  Q4_0: 0.992,
  IQ4_NL: 0.992,
  IQ4_XS: 0.992,
  Q3_K: 0.975,
  Q2_K: 0.93,
};
const PROMPT = [5, 9, 14, 20, 31];

const u32 = (value: number) => ({ type: "u32", value }) as const;

let count = 0;
const fresh = () => join(folder, `${count++}.gguf`);
const tiny = async (more: TinyModelOptions = {}) =>
  (await writeTinyModel(fresh(), { ...WIDE, normSpread: 0.2, ...more })).path;
const binariesFolder = findBinaries("cpu").folder;
const { requantize } = await loadAddon(binariesFolder);
/** As requantizeGguf, without a process for each. */
const by = async (source: string, type: FileTypeName, threads = 1) => {
  const [made, path] = [fresh(), fresh()];
  requantize({ binariesFolder, input: source, output: made, type, threads });
  return { path, ...(await writeInSourceOrder(await readGguf(source), made, path, options)) };
};
const ours = async (source: string, type: "f16" | "f32") => (await reencodeGguf(source, fresh(), type, options)).sha256;

let llama: LlamaCpp;
beforeAll(async () => {
  llama = await startLlamaCpp();
});
afterAll(async () => {
  await llama.dispose();
  rmSync(folder, { recursive: true, force: true });
});

describe("the same file as our own re-encoder's, bit for bit", () => {
  const ENCODINGS: readonly TinyEncoding[] = [
    "F32",
    "F16",
    "BF16",
    "Q8_0",
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "Q4_K",
    "Q5_K",
    "Q6_K",
  ];
  test.each(ENCODINGS)("from %s to F32 and F16", async (encoding) => {
    const source = await tiny({ encoding, tiedOutput: encoding === "Q4_1" });
    expect((await by(source, "f32")).sha256).toBe(await ours(source, "f32"));
    expect((await by(source, "f16")).sha256).toBe(await ours(source, "f16"));
  });

  // Routers and small matrices, which llama.cpp leaves alone: as halves it ends the process at some of them.
  test.each(ASKED_ARCHITECTURES)("%s to F16, and from Q8_0 to F32", async (architecture) => {
    const source = fresh();
    await writeAskedModel(source, architecture);
    const halves = await by(source, "f16");
    expect(halves.sha256).toBe(await ours(source, "f16"));
    const [theirs, exact] = [
      (await llama.logits(halves.path, PROMPT)).at(-1),
      (await llama.logits(source, PROMPT)).at(-1),
    ];
    expect(correlation(theirs as Float32Array, exact as Float32Array)).toBeGreaterThan(0.9999);
    const quantized = await by(source, "q8_0");
    expect((await by(quantized.path, "f32")).sha256).toBe(await ours(quantized.path, "f32"));
  });

  test("SmolLM2, Q4_1 to F32: the file that studies with encoding: f32 ask", async () => {
    const source = await resolveModel("smollm2-135m-instruct", { encoding: "as_shipped" });
    const known = await resolveModel("smollm2-135m-instruct", { encoding: "f32" });
    const path = fresh();
    const made = await requantizeGguf(source.path, path, "f32", { sourceSha256: source.sha256, threads: 2 });
    rmSync(path);
    expect(made).toEqual({ sha256: known.sha256, bytes: known.bytes });
  });
});

describe("every file type", () => {
  let source: string;
  let expected: Float32Array;
  beforeAll(async () => {
    source = await tiny();
    expected = (await llama.logits(source, PROMPT)).at(-1) as Float32Array;
  });

  test.each(Object.entries(FILE_TYPES) as [FileTypeName, GgmlTypeName][])("%s", async (type, most) => {
    const made = await by(source, type);
    const [before, after] = [await readGguf(source), await readGguf(made.path)];

    // Metadata are the source's, but for what says how it is encoded now.
    const changed = ["general.file_type", "general.quantization_version"];
    for (const [key, value] of before.metadata) {
      if (!changed.includes(key)) expect(after.metadata.get(key)).toEqual(value);
    }
    expect([...after.metadata.keys()].filter((key) => !before.metadata.has(key) && !changed.includes(key))).toEqual([
      "inward.source.sha256",
      "inward.source.encoding",
    ]);
    expect(after.tensors.map(({ name, dimensions }) => [name, dimensions])).toEqual(
      before.tensors.map(({ name, dimensions }) => [name, dimensions]),
    );
    for (const tensor of after.tensors.filter(({ dimensions }) => dimensions.length === 1))
      expect(tensor.type).toBe("F32");
    const matrices = new Set(
      after.tensors.filter(({ dimensions }) => dimensions.length > 1).map((tensor) => tensor.type),
    );
    expect([...matrices]).toContain(most);
    expect((await inspectGguf(made.path)).reencodedFrom).toEqual({ sha256: options.sourceSha256, encoding: "F32" });

    // llama.cpp's encoder and our decoder agree on what the blocks mean: for some types no other file of ours has them.
    expect((await by(made.path, "f32")).sha256).toBe(await ours(made.path, "f32"));

    const logits = (await llama.logits(made.path, PROMPT)).at(-1) as Float32Array;
    expect(logits.every(Number.isFinite)).toBe(true);
    if (most === "F32") expect(logits).toEqual(expected);
    else expect(correlation(logits, expected)).toBeGreaterThan(LEAST_CORRELATION[most] as number);
  });

  test("the same bytes whatever the number of threads", async () => {
    const one = await by(source, "q4_k_m", 1);
    const four = await requantizeGguf(source, fresh(), "q4_k_m", { ...options, threads: 4 });
    expect(four.sha256).toBe(one.sha256);
  });

  test("rows that are no whole superblocks become a type with smaller blocks", async () => {
    const { path } = await by(await tiny({ width: 64, feedForward: 96 }), "q4_k_m");
    expect((await inspectGguf(path)).encoding).toBe("Q5_0");
    expect((await llama.logits(path, PROMPT)).at(-1)?.every(Number.isFinite)).toBe(true);
  });
});

describe("refused, with nothing left behind", () => {
  test.each<[string, string, FileTypeName, () => Promise<string>]>([
    ["MODEL_NOT_FOUND", "no such file", "f16", async () => join(folder, "missing.gguf")],
    [
      "MODEL_NOT_GGUF",
      "",
      "f16",
      async () => {
        const path = fresh();
        writeFileSync(path, "no model at all");
        return path;
      },
    ],
    [
      "MODEL_NOT_GGUF",
      "no weights",
      "f16",
      async () => {
        const path = fresh();
        await writeGguf(path, new Map([["general.architecture", { type: "string", value: "llama" }]]), []);
        return path;
      },
    ],
    [
      "MODEL_TRUNCATED",
      "",
      "f16",
      async () => {
        const path = await tiny();
        truncateSync(path, 200_000);
        return path;
      },
    ],
    ["MODEL_PARTS", "first of 3 parts", "f16", () => tiny({ metadata: { "split.count": { type: "u16", value: 3 } } })],
    ["MODEL_TENSOR_TYPE", "aligned to 64", "f16", () => tiny({ metadata: { "general.alignment": u32(64) } })],
    // llama.cpp aborts.
    ["ENGINE_CRASHED", "GGML_ASSERT", "q8_0", () => tiny({ metadata: { "llama.block_count": u32(600) } })],
    ["MODEL_TENSOR_TYPE", "unknown model architecture", "q8_0", () => tiny({ architecture: "unheard_of" })],
    ["MODEL_TENSOR_TYPE", "validation failed", "f16", () => withWeight(70_000)],
    ["MODEL_TENSOR_TYPE", "", "q8_0", () => withWeight(Number.NaN)],
  ])("%s %s", async (code, message, type, make) => {
    const source = await make();
    const before = readdirSync(folder);
    await expect(requantizeGguf(source, join(folder, "never.gguf"), type, options)).rejects.toEqual(
      coded(code, message),
    );
    expect(readdirSync(folder)).toEqual(before);
  });

  test("a folder that is not there", async () => {
    const target = join(folder, "nowhere", "new.gguf");
    await expect(requantizeGguf(await tiny(), target, "f16", options)).rejects.toEqual(
      coded("STORE_UNWRITABLE", target),
    );
  });

  test("Ctrl-C", async () => {
    const source = await tiny();
    const before = readdirSync(folder);
    const signal = AbortSignal.timeout(30);
    const stopped = requantizeGguf(source, join(folder, "never.gguf"), "q4_k_m", { ...options, signal });
    await expect(stopped).rejects.toEqual(coded("INTERRUPTED"));
    expect(readdirSync(folder)).toEqual(before);
  });

  test("what only the addon can be given", async () => {
    const good = { binariesFolder, input: await tiny(), output: fresh(), type: "f16", threads: 1 };
    expect(() => requantize({ ...good, type: "q9_z" })).toThrow(coded("MODEL_TENSOR_TYPE", "q9_z"));
    expect(() => requantize({ ...good, threads: 0 })).toThrow(coded("ENGINE_UNAVAILABLE", "thread"));
    // llama.cpp takes no name for no file, and its process with it.
    for (const input of ["", folder, join(folder, "nowhere.gguf")]) {
      expect(() => requantize({ ...good, input })).toThrow(coded("MODEL_NOT_FOUND", input));
    }
    expect(() => requantize({ ...good, output: good.input })).toThrow(coded("INTERNAL", "is there already"));
    const output = join(folder, "nowhere", "new.gguf");
    expect(() => requantize({ ...good, output })).toThrow(coded("STORE_UNWRITABLE", output));
    requantize(good);
    expect((await inspectGguf(good.output)).encoding).toBe("F16");
  });
});

async function withWeight(value: number): Promise<string> {
  const path = fresh();
  const source = await readGguf(await tiny());
  const tensors = source.tensors.map(({ name, dimensions, elements }) => ({
    name,
    dimensions,
    type: "F32" as const,
    chunks: () => [new Uint8Array(new Float32Array(elements).fill(value, 0, 1).buffer)],
  }));
  await writeGguf(path, source.encodedMetadata, tensors);
  return path;
}

function correlation(a: Float32Array, b: Float32Array): number {
  const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  a.forEach((value, index) => {
    const [da, db] = [value - meanA, (b[index] as number) - meanB];
    ab += da * db;
    aa += da * da;
    bb += db * db;
  });
  return ab / Math.sqrt(aa * bb);
}
