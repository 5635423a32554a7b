/**
 * Our own forward pass on weights as they lie in a file: each decodes to ggml's bits, and every number of a quantized file is, to the
 * bit, that of the same file written out as F32, by whichever kernels and in whichever company.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { afterAll, describe, expect, test } from "vitest";
import type { NativeEngineOptions } from "../../native/index.js";
import { GGML_TYPES, type GgmlTypeName, HALF_TO_FLOAT } from "../../src/gguf/encodings.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { writeGguf } from "../../src/gguf/write-gguf.js";
import { findBinaries, loadAddon } from "../../src/model/native/addon.js";
import { type Answered, answer, type Item, openEngine, workOf } from "../helpers/native-engine.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const VOCABULARY = 265;
/** F32 throughout: sums in another order, and single-precision exponentials. */
const ROUNDING_NATS = 2e-5;
/** Where a block's halves stand, and about how large they are for weights of 1/16. */
const BLOCKS = {
  Q8_0: [[0], 9e-4],
  Q4_0: [[0], 1.4e-2],
  Q4_1: [[0, 2], 7e-3],
  Q5_0: [[0], 7e-3],
  Q5_1: [[0, 2], 3.5e-3],
  Q4_K: [[0, 2], 1e-4],
  Q5_K: [[0, 2], 5e-5],
  Q6_K: [[208], 5e-5],
  Q3_K: [[108], 1.5e-3],
  Q2_K: [[80, 82], 4e-3],
  IQ4_NL: [[0], 1e-3],
  IQ4_XS: [[0], 5e-5],
} as const satisfies Partial<Record<GgmlTypeName, readonly [readonly number[], number]>>;
type Quantized = keyof typeof BLOCKS;
const TYPES = [...(Object.keys(BLOCKS) as Quantized[]), "F16", "BF16"] as const;

const folder = mkdtempSync(join(tmpdir(), "inward-encoded-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const binariesFolder = findBinaries("cpu").folder;
const addon = await loadAddon(binariesFolder);
/** As ggml calls a type. */
const ggmlName = (type: GgmlTypeName) => (type.endsWith("_K") ? `q${type.slice(1)}` : type.toLowerCase());

/** Kernels that this processor has. */
const here = (["avx512", "avx2", "plain"] as const).filter((by) => {
  try {
    return addon.decodeWeights("f32", new Uint8Array(4), 1, by).length === 1;
  } catch {
    return false;
  }
});

function randomBytes(count: number, seed: number): Uint8Array {
  const random = xoroshiro128plus(seed);
  return new Uint8Array(Int32Array.from({ length: Math.ceil(count / 4) }, () => random.next()).buffer, 0, count);
}

/** The half nearest to a small positive number. */
function halfOf(value: number): number {
  let best = 0;
  for (let half = 0; half < 0x7c00; half++) {
    const apart = (index: number) => Math.abs((HALF_TO_FLOAT[index] as number) - value);
    if (apart(half) < apart(best)) best = half;
  }
  return best;
}

describe("decodes to ggml's bits, whatever the bytes: infinities, subnormals and what is no number among them", () => {
  test.each(["F32", ...TYPES] as GgmlTypeName[])("%s", (type) => {
    const { blockElements, blockBytes } = GGML_TYPES[type];
    const columns = blockElements === 256 ? 512 : 288;
    const rows = 1500 + 7;
    const bytes = randomBytes((rows * columns * blockBytes) / blockElements, 5);
    const decoded = (by: "ggml" | "avx512" | "avx2" | "plain") => {
      const floats = addon.decodeWeights(ggmlName(type), bytes, columns, by);
      expect(floats).toHaveLength(rows * columns);
      // All that are no numbers are alike.
      const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
      for (let i = 0; i < bits.length; i++) if (((bits[i] as number) & 0x7fffffff) > 0x7f800000) bits[i] = 0x7fc00000;
      return Buffer.from(bits.buffer, bits.byteOffset, bits.byteLength);
    };
    const expected = decoded("ggml");
    for (const by of here) expect([by, decoded(by).equals(expected)]).toEqual([by, true]);
  });

  test("not rows that end within a block, nor types that products do not read", () => {
    for (const [type, columns] of [
      ["q4_K", 288],
      ["q4_1", 48],
      ["iq2_xxs", 256],
      ["i8", 1],
      ["f32", 0],
    ] as const) {
      expect(() => addon.decodeWeights(type, new Uint8Array(2304), columns, "plain")).toThrow(
        expect.objectContaining({ code: "MODEL_TENSOR_TYPE" }),
      );
    }
  });
});

/** Rows of two blocks of sums, a last panel that is not full, matrices of random blocks. */
async function quantizedModel(
  type: (typeof TYPES)[number],
  id: string = type,
): Promise<{ path: string; decoded: string }> {
  const [source, path, decoded] = [`${id}-source`, id, `${id}-decoded`].map((name) => join(folder, `${name}.gguf`)) as [
    string,
    string,
    string,
  ];
  const shape = { width: 256, heads: 4, keyValueHeads: 2, feedForward: 512, blocks: 2, seed: 7, normSpread: 0.1 };
  if (type === "F16" || type === "BF16") await writeTinyModel(path, { ...shape, encoding: type });
  else {
    await writeTinyModel(source, shape);
    const { metadata, tensors, dataOffset } = await readGguf(source);
    const floats = readFileSync(source);
    const [places, size] = BLOCKS[type];
    const half = halfOf(size);
    await writeGguf(
      path,
      metadata,
      tensors.map(({ name, dimensions, type: before, offset, byteLength, elements }, at) => {
        const kept = floats.subarray(dataOffset + offset, dataOffset + offset + byteLength);
        if (dimensions.length === 1) return { name, dimensions, type: before, chunks: () => [kept] };
        const { blockElements, blockBytes } = GGML_TYPES[type];
        const bytes = randomBytes((elements / blockElements) * blockBytes, 100 + at).slice();
        for (let block = 0; block < bytes.length; block += blockBytes) {
          for (const place of places) {
            // Of either sign, and some a little smaller.
            const sign = ((bytes[block + place] as number) & 1) << 15;
            new DataView(bytes.buffer).setUint16(
              block + place,
              sign | (half - ((bytes[block + place] as number) & 6)),
              true,
            );
          }
        }
        return { name, dimensions, type, chunks: () => [bytes] };
      }),
    );
  }
  // By llama.cpp's decoder, so that a misreading of ours would not be in both.
  addon.requantize({ binariesFolder, input: path, output: decoded, type: "f32", threads: 1 });
  return { path, decoded };
}

/** Some share a beginning, one is long. */
const items: Item[] = [
  ...Array.from({ length: 14 }, (_, index) => ({
    ids: [1, 80, 90, 100 + (index % 3), ...Array.from({ length: index }, (_, at) => 60 + ((index * 7 + at) % 30))],
    maxTokens: 1 + (index % 4),
  })),
  { ids: Array.from({ length: 90 }, (_, at) => 60 + ((at * 11) % 90)), maxTokens: 3 },
];

async function answers(
  model: string,
  options: Partial<NativeEngineOptions>,
  adapters: readonly { readonly path: string; readonly scale: number }[] = [],
): Promise<Answered[]> {
  const engine = await openEngine(model, options);
  try {
    engine.setAdapters(adapters);
    return answer(engine, workOf(items, { topTokens: VOCABULARY })).answers;
  } finally {
    engine.dispose();
  }
}

describe("a file's numbers are those of its F32 copy, to the bit", () => {
  test.each(TYPES)("%s", async (type) => {
    const { path, decoded } = await quantizedModel(type);
    const expected = await answers(decoded, { forward: "own" });
    for (const options of [
      {},
      { strict: true },
      { sequences: 2 },
      { batchTokens: 7, threads: 3 },
      { sequences: 48, batchTokens: 512, threads: 2 },
    ] satisfies Partial<NativeEngineOptions>[]) {
      expect(await answers(path, { forward: "own", ...options })).toEqual(expected);
    }
    const theirs = await answers(decoded, {});
    expected.forEach(({ tokenIds, topIds, topLogprobs, logSumExp }, index) => {
      const other = theirs[index] as Answered;
      expect(tokenIds).toEqual(other.tokenIds);
      const logprobs = new Map(other.topIds.map((id, at) => [id, other.topLogprobs[at] as number]));
      const apart = topIds.map((id, at) => Math.abs((topLogprobs[at] as number) - (logprobs.get(id) as number)));
      expect(Math.max(...apart, Math.abs(logSumExp - other.logSumExp))).toBeLessThan(ROUNDING_NATS);
    });
  });

  test("under an adapter", async () => {
    const { path, decoded } = await quantizedModel("Q5_K", "worn");
    const adapter = { path: join(folder, "adapter.gguf"), scale: 0.7 };
    const weights = { "blk.0.attn_q.weight": [256, 256], "blk.1.ffn_down.weight": [512, 256] } as const;
    await writeTinyAdapter(adapter.path, { a: 0.2, b: 0.2, weights });
    const worn = await answers(path, { forward: "own" }, [adapter]);
    expect(worn).toEqual(await answers(decoded, { forward: "own" }, [adapter]));
    expect(worn).not.toEqual(await answers(path, { forward: "own" }));
  });
});

/** The thread sanitizer's own memory is several times the process's. */
const measuresMemory = process.platform === "linux" && process.env.INWARD_SANITIZED !== "thread";

test.runIf(measuresMemory)("weights take the file's size", async () => {
  const path = join(folder, "large.gguf");
  const { bytes } = await writeTinyModel(path, {
    encoding: "Q4_1",
    width: 512,
    heads: 8,
    keyValueHeads: 8,
    feedForward: 2048,
    blocks: 2,
  });
  expect(bytes).toBeGreaterThan(5e6);
  const resident = () => Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
  const before = resident();
  const engine = await openEngine(path, { forward: "own" });
  const taken = resident() - before;
  engine.dispose();
  // As floats they would be 6.4 times the file; 2 MB are the engine's own.
  expect(taken).toBeGreaterThan(0.7 * bytes);
  expect(taken).toBeLessThan(1.3 * bytes + 2e6);
});

test("a row that ends within a block is refused with a code", async () => {
  const { path } = await writeTinyModel(join(folder, "lies.gguf"), { encoding: "Q4_1" });
  const bytes = readFileSync(path);
  const name = Buffer.from("blk.0.attn_q.weight");
  // Behind the name: the number of dimensions, both of them, the type.
  const at = bytes.indexOf(name) + name.length + 4 + 16;
  expect(bytes.readUInt32LE(at)).toBe(GGML_TYPES.Q4_1.id);
  bytes.writeUInt32LE(GGML_TYPES.Q4_K.id, at);
  writeFileSync(path, bytes);
  await expect(openEngine(path, { forward: "own" })).rejects.toMatchObject({
    code: expect.stringMatching(/^(MODEL_|ENGINE_UNAVAILABLE)/),
  });
});
