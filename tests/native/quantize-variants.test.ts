/** Variants of a model, byte for byte what llama-quantize built from the bundle writes, with and without an importance matrix; hostile ones refused. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FILE_TYPE_NAMES, IMATRIX_TYPE_NAMES, type VariantTypeName } from "../../src/gguf/encodings.js";
import { readImatrix, requireFits } from "../../src/gguf/imatrix.js";
import { type GgufValue, readGguf } from "../../src/gguf/read-gguf.js";
import { writeGguf } from "../../src/gguf/write-gguf.js";
import { findBinaries, loadAddon } from "../../src/model/native/addon.js";
import { asNative, requantizeGguf } from "../../src/model/requantize.js";
import { reencodeModel } from "../../src/model/reencode-model.js";
import { makeVariants } from "../../src/quantize/variants.js";
import { resolveModel } from "../../src/model/resolve-model.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";
import { peerProgram } from "../helpers/peers.js";

const folder = mkdtempSync(join(tmpdir(), "inward-variants-"));
process.env.INWARD_MODELS = join(folder, "models");
const llamaQuantize = peerProgram("quantize");
const binariesFolder = findBinaries("cpu").folder;
const { requantize } = await loadAddon(binariesFolder);
const coded = (code: string, message = "") =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });
const WIDE = { width: 256, feedForward: 256, heads: 4, keyValueHeads: 2, blocks: 2, normSpread: 0.2 } as const;

let count = 0;
const fresh = (ending = "gguf") => join(folder, `${count++}.${ending}`);
const tiny = async (more: TinyModelOptions = {}) => (await writeTinyModel(fresh(), { ...WIDE, ...more })).path;

/** Of every matrix but the embedding's: numbers from 0.1 to 2 that are no pattern of the weights. */
async function importances(model: string, calls: number): Promise<Map<string, Float32Array>> {
  const { tensors } = await readGguf(model);
  return new Map(
    tensors
      .filter(({ name, dimensions }) => dimensions.length > 1 && name.startsWith("blk."))
      .map(({ name, dimensions: [columns = 0] }, at) => [
        name,
        Float32Array.from({ length: columns }, (_, column) => (0.1 + ((column * 7919 + at * 31) % 191) / 100) * calls),
      ]),
  );
}

async function writeLegacy(model: string, { calls = 40, dataset = "text.txt", chunks = 12 } = {}): Promise<string> {
  const parts: Buffer[] = [];
  const i32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    parts.push(bytes);
  };
  const entries = await importances(model, calls);
  i32(entries.size);
  for (const [name, values] of entries) {
    i32(Buffer.byteLength(name));
    parts.push(Buffer.from(name));
    i32(calls);
    i32(values.length);
    parts.push(Buffer.from(values.buffer));
  }
  i32(chunks);
  i32(Buffer.byteLength(dataset));
  parts.push(Buffer.from(dataset));
  const path = fresh("dat");
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

async function writeNew(
  model: string,
  change: { leaveOut?: string; counts?: number; metadata?: false } = {},
): Promise<string> {
  const calls = change.counts ?? 37;
  const entries = [...(await importances(model, calls))];
  const floats = (name: string, values: Float32Array) => ({
    name,
    dimensions: [values.length, 1],
    type: "F32" as const,
    chunks: () => [new Uint8Array(values.buffer)],
  });
  const metadata: Record<string, GgufValue> = {
    "general.type": { type: "string", value: "imatrix" },
    ...(change.metadata === false
      ? {}
      : {
          "imatrix.datasets": { type: "array", elementType: "string", value: ["one.txt", "two.txt"] } as const,
          "imatrix.chunk_count": { type: "u32", value: 5 } as const,
          "imatrix.chunk_size": { type: "u32", value: 512 } as const,
        }),
  };
  const path = fresh();
  await writeGguf(
    path,
    new Map(Object.entries(metadata)),
    entries.flatMap(([name, values]) => [
      floats(`${name}.in_sum2`, values),
      ...(change.leaveOut === "counts" ? [] : [floats(`${name}.counts`, Float32Array.of(calls))]),
    ]),
  );
  return path;
}

let source: string;
beforeAll(async () => {
  source = await tiny();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function bothOf(type: VariantTypeName, imatrixPath?: string): Promise<{ ours: Buffer; theirs: Buffer }> {
  const [ours, theirs] = [fresh(), fresh()];
  const imatrix = imatrixPath === undefined ? {} : asNative(await readImatrix(imatrixPath));
  requantize({ binariesFolder, input: source, output: ours, type, threads: 2, ...imatrix });
  const flags = imatrixPath === undefined ? [] : ["--imatrix", imatrixPath];
  execFileSync(llamaQuantize.program as string, [...flags, "--allow-requantize", source, theirs, type, "1"], {
    stdio: "pipe",
  });
  return { ours: readFileSync(ours), theirs: readFileSync(theirs) };
}

describe.skipIf(llamaQuantize.program === undefined)(
  `byte for byte what llama-quantize writes ${llamaQuantize.note}`,
  () => {
    test.each(FILE_TYPE_NAMES)("%s", async (type) => {
      const { ours, theirs } = await bothOf(type);
      expect(ours.equals(theirs)).toBe(true);
    });

    // llama.cpp makes tables of some seconds for each of the others, in each process: INWARD_ALL_TYPES=1 has them all.
    const some = process.env.INWARD_ALL_TYPES ? IMATRIX_TYPE_NAMES : (["iq3_m", "q2_k_s"] as const);
    test.each([...some, "q4_k_m", "iq4_xs", "q3_k_l"] as const)(
      "%s with an importance matrix, old and new format",
      async (type) => {
        for (const path of [await writeLegacy(source), await writeNew(source)]) {
          const { ours, theirs } = await bothOf(type, path);
          expect(ours.equals(theirs)).toBe(true);
        }
      },
    );

    test("the matrix is used: without it the file is another one", async () => {
      const weights = (file: Buffer) => file.subarray(-4096);
      const { ours } = await bothOf("q4_k_m", await writeLegacy(source));
      expect(weights(ours).equals(weights((await bothOf("q4_k_m")).ours))).toBe(false);
    });
  },
);

describe("what goes with a variant", () => {
  test("a manifest that says what each file is; the same again is the same file, and is not made anew", async () => {
    const file = await resolveModel(source, { encoding: "as_shipped" });
    const imatrix = await readImatrix(await writeLegacy(source));
    const made = await makeVariants({ source: file, types: ["q4_k_s", "q2_k_s"], files: {}, imatrix });
    expect(made.map(({ name, kind }) => [name, kind])).toEqual([
      ["source", "source"],
      ["q4_k_s", "made"],
      ["q2_k_s", "made"],
    ]);
    const [floats, small, least] = made as [(typeof made)[0], (typeof made)[0], (typeof made)[0]];
    expect(floats.bitsPerWeight).toBe(32);
    expect(small.bitsPerWeight).toBeGreaterThan(4.5);
    expect(least.bitsPerWeight).toBeLessThan(small.bitsPerWeight);
    expect(small.imatrix).toEqual({ sha256: imatrix.sha256, datasets: ["text.txt"], chunks: 12, without: [] });
    expect(Object.values(small.weights).reduce((sum, one) => sum + one, 0)).toBe(floats.parameters);
    const again = await makeVariants({ source: file, types: ["q4_k_s", "q2_k_s"], files: {}, imatrix });
    expect(again).toEqual(made);
    // Without the matrix it is another file, beside this one.
    const plain = await makeVariants({ source: file, types: ["q4_k_s"], files: {} });
    expect(plain[1]?.path).not.toBe(small.path);
    expect(plain[1]?.sha256).not.toBe(small.sha256);
  });

  test("models reencode takes the same matrix, and makes the same weights of it", async () => {
    const file = await resolveModel(source, { encoding: "as_shipped" });
    const path = await writeLegacy(source);
    const imatrix = await readImatrix(path);
    const out = join(folder, "reencoded.gguf");
    const done = await reencodeModel(source, { to: "q4_k_s", out, imatrix: path, threads: 1 });
    expect(done.imatrix).toEqual({ sha256: imatrix.sha256, without: [] });
    const [, made] = await makeVariants({ source: file, types: ["q4_k_s"], files: {}, imatrix });
    expect(readFileSync(out).equals(readFileSync(made?.path as string))).toBe(true);
    await expect(reencodeModel(source, { to: "q4_k_s", imatrix: path })).rejects.toThrow(/--out/);
    await expect(reencodeModel(source, { to: "f16", out: `${out}.f16`, imatrix: path })).rejects.toThrow(/--imatrix/);
  });

  test("a given file must be of the same model", async () => {
    const file = await resolveModel(source, { encoding: "as_shipped" });
    const same = await tiny({ encoding: "Q8_0" });
    const given = await makeVariants({ source: file, types: [], files: { mine: same } });
    expect(given[1]).toMatchObject({ name: "mine", kind: "given" });
    const vocabulary = await tiny({ chat: "llama3" });
    const shape = await tiny({ feedForward: 512 });
    const deeper = await tiny({ blocks: 1 });
    for (const [path, what] of [
      [vocabulary, "tokenizer.ggml"],
      [shape, "ffn"],
      [deeper, "blk.1."],
    ] as const) {
      await expect(makeVariants({ source: file, types: [], files: { mine: path } })).rejects.toEqual(
        coded("STUDY_INVALID", what),
      );
    }
  });

  test("a source that was rounded is refused", async () => {
    const file = await resolveModel(await tiny({ encoding: "Q8_0" }), { encoding: "as_shipped" });
    await expect(makeVariants({ source: file, types: ["q4_0"], files: {} })).rejects.toEqual(
      coded("STUDY_INVALID", "Q8_0"),
    );
  });

  test("Q4_K_M is not taken for Q4_K_S, which has the same type in most matrices", async () => {
    const path = fresh();
    const options = { sourceSha256: "cd".repeat(32), threads: 1 };
    await requantizeGguf(source, path, "q4_k_m", options);
    const as = async (encoding: "q4_k_m" | "q4_k_s") => (await resolveModel(path, { encoding })).path;
    expect(await as("q4_k_m")).toBe(path);
    expect(await as("q4_k_s")).not.toBe(path);
  });
});

describe("importance matrices that are refused", () => {
  const refusal = async (path: string) => readImatrix(path).catch((error) => error);

  test.each<[string, () => Promise<string> | string]>([
    ["no such file", () => join(folder, "none.dat")],
    [
      "no importance matrix",
      () => {
        const path = fresh("dat");
        writeFileSync(path, Buffer.alloc(64));
        return path;
      },
    ],
    [
      "ends in the middle",
      async () => {
        const path = await writeLegacy(source);
        writeFileSync(path, readFileSync(path).subarray(0, 900));
        return path;
      },
    ],
    ["has sums and no counts", () => writeNew(source, { leaveOut: "counts" })],
    ["lacks imatrix", () => writeNew(source, { metadata: false })],
    [
      "has NaN for column 0",
      async () => {
        const path = await writeLegacy(source);
        const bytes = readFileSync(path);
        const name = bytes.readInt32LE(4);
        bytes.writeFloatLE(Number.NaN, 8 + name + 8);
        writeFileSync(path, bytes);
        return path;
      },
    ],
  ])("%s", async (message, make) => {
    expect(await refusal(await make())).toEqual(coded("IMATRIX_INVALID", message));
  });

  test("another model's, by name and by columns, which llama.cpp would take without a word", async () => {
    const wider = await tiny({ width: 512, heads: 8 });
    const deeper = await tiny({ blocks: 3 });
    const header = await readGguf(source);
    for (const other of [wider, deeper]) {
      const matrix = await readImatrix(await writeLegacy(other));
      expect(() => requireFits(matrix, header)).toThrow(coded("IMATRIX_INVALID", "another model's"));
    }
  });

  test("a type that needs one, without", async () => {
    const target = fresh();
    const act = requantizeGguf(source, target, "iq2_xxs", { sourceSha256: "cd".repeat(32), threads: 1 });
    await expect(act).rejects.toEqual(coded("IMATRIX_INVALID", "iq2_xxs"));
  });
});
