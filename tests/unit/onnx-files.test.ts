/** What is written for onnxruntime, without it: the wire format, blocks, refusals, tokenizer files. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dequantize, type GgmlTypeName, GGML_TYPES } from "../../src/gguf/encodings.js";
import type { GgufValue } from "../../src/gguf/read-gguf.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { readDecoder } from "../../src/onnx/decoder.js";
import { mapBlocks, roundBlocks } from "../../src/onnx/graph-weights.js";
import { encodeModel } from "../../src/onnx/model-proto.js";
import { findOnnxPackage } from "../../src/onnx/onnx-packages.js";
import { tokenizerFiles } from "../../src/onnx/tokenizer-files.js";
import { writeOnnx } from "../../src/onnx/write-onnx.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "inward-onnx-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Fields of a protobuf message by number, as they come: varints, and bytes for all else. */
function fields(bytes: Uint8Array): [number, bigint | Uint8Array][] {
  const found: [number, bigint | Uint8Array][] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] as number;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const kind = key & 7;
    if (kind === 0) found.push([key >> 3, varint()]);
    else {
      const length = kind === 5 ? 4 : Number(varint());
      found.push([key >> 3, bytes.subarray(at, at + length)]);
      at += length;
    }
  }
  expect(at).toBe(bytes.length);
  return found;
}

const inside = (bytes: Uint8Array, ...path: number[]): (bigint | Uint8Array)[] =>
  path.reduce<(bigint | Uint8Array)[]>(
    (all, field) =>
      all.flatMap((one) =>
        fields(one as Uint8Array)
          .filter(([key]) => key === field)
          .map(([, value]) => value),
      ),
    [bytes],
  );
const words = (values: (bigint | Uint8Array)[]) => values.map((one) => Buffer.from(one as Uint8Array).toString("utf8"));

test("a graph in protobuf's wire format: what was given stands at onnx.proto's numbers", () => {
  const bytes = encodeModel(
    {
      name: "g",
      nodes: [
        {
          name: "n0",
          type: "Softmax",
          domain: "com.microsoft",
          inputs: ["x", "w"],
          outputs: ["y"],
          attributes: { axis: -1, perm: [0, 300], mode: "a", epsilon: { float: 0.5 } },
        },
      ],
      initializers: [
        { name: "w", type: "float", dimensions: [2, 70_000], data: { location: "f", offset: 2 ** 40, length: 8 } },
        { name: "c", type: "int64", dimensions: [], data: { bytes: Uint8Array.of(1, 2) } },
      ],
      inputs: [{ name: "x", type: "float", dimensions: ["batch", 5] }],
      outputs: [{ name: "y", type: "double", dimensions: [] }],
      opsets: { "": 18, "com.microsoft": 1 },
    },
    "me",
  );
  expect(inside(bytes, 1)).toEqual([10n]);
  expect(words(inside(bytes, 2))).toEqual(["me"]);
  expect(words(inside(bytes, 8, 1))).toEqual(["", "com.microsoft"]);
  expect(inside(bytes, 8, 2)).toEqual([18n, 1n]);
  expect(words(inside(bytes, 7, 1, 1))).toEqual(["x", "w"]);
  expect(words(inside(bytes, 7, 1, 4))).toEqual(["Softmax"]);
  expect(words(inside(bytes, 7, 1, 7))).toEqual(["com.microsoft"]);
  const attributes = inside(bytes, 7, 1, 5).map((one) => fields(one as Uint8Array));
  expect(attributes.map((one) => one.find(([key]) => key === 20)?.[1])).toEqual([2n, 7n, 3n, 1n]);
  expect(attributes[0]?.find(([key]) => key === 3)?.[1]).toBe(2n ** 64n - 1n);
  expect(attributes[1]?.filter(([key]) => key === 8).map(([, value]) => value)).toEqual([0n, 300n]);
  expect(Buffer.from(attributes[3]?.find(([key]) => key === 2)?.[1] as Uint8Array).readFloatLE()).toBe(0.5);
  expect(inside(bytes, 7, 5, 1)).toEqual([2n, 70_000n]);
  expect(inside(bytes, 7, 5, 2)).toEqual([1n, 7n]);
  expect(words(inside(bytes, 7, 5, 13, 2))).toEqual(["f", String(2 ** 40), "8"]);
  expect(inside(bytes, 7, 5, 14)).toEqual([1n]);
  expect(inside(bytes, 7, 5, 9)).toEqual([Buffer.of(1, 2)]);
  expect(words(inside(bytes, 7, 11, 2, 1, 2, 1, 2))).toEqual(["batch"]);
  expect(inside(bytes, 7, 11, 2, 1, 2, 1, 1)).toEqual([5n]);
  expect(inside(bytes, 7, 12, 2, 1, 1)).toEqual([11n]);
});

describe("a block as MatMulNBits has it means what it means in the GGUF", () => {
  test.each<GgmlTypeName>(["Q4_0", "Q4_1", "Q8_0"])("%s", (type) => {
    const blocks = 400;
    const { blockBytes } = GGML_TYPES[type];
    const random = xoroshiro128plus(7);
    const bytes = Uint8Array.from({ length: blocks * blockBytes }, () => random.next() & 0xff);
    for (let block = 0; block < blocks; block++) {
      // Scales and minima between 2^-10 and 1 of either sign; every 20th scale is 0, every 40th minimum too.
      for (const at of type === "Q4_1" ? [1, 3] : [1]) {
        const exponent = 5 + ((bytes[block * blockBytes + at] as number) % 10);
        bytes[block * blockBytes + at] = ((bytes[block * blockBytes + at] as number) & 0x83) | (exponent << 2);
      }
      if (block % 20 === 0) bytes.fill(0, block * blockBytes, block * blockBytes + 2);
      if (block % 40 === 0 && type === "Q4_1") bytes.fill(0, block * blockBytes + 2, block * blockBytes + 4);
    }
    const expected = dequantize(type, bytes, blocks * 32);
    const { quants, scales, zeros } = mapBlocks(type, bytes, blocks);
    const bits = type === "Q8_0" ? 8 : 4;
    let worst = 0;
    for (let at = 0; at < blocks * 32; at++) {
      const block = at >> 5;
      const quant = bits === 8 ? (quants[at] as number) : ((quants[at >> 1] as number) >>> (4 * (at & 1))) & 15;
      const zero = type === "Q4_1" ? (zeros[block] as number) : bits === 8 ? 128 : 8;
      const made = Math.fround((quant - zero) * (scales[block] as number));
      if (type !== "Q4_1") expect(made).toBe(expected[at]);
      else {
        // A zero point is rounded to single precision: as far off as the last bit of the greatest that it is taken from.
        const greatest = Math.max(15 * Math.abs(scales[block] as number), Math.abs(zero * (scales[block] as number)));
        worst = Math.max(worst, greatest === 0 ? made : Math.abs(made - (expected[at] as number)) / greatest);
      }
    }
    expect(worst).toBeLessThanOrEqual(2 ** -22);
  });
});

describe("a block that is rounded is as near as its bits allow", () => {
  test.each([4, 8] as const)("%i bits", (bits) => {
    const random = xoroshiro128plus(3);
    const values = Float32Array.from({ length: 32 * 200 }, (_, at) => (random.next() / 2 ** 31) ** 3 * 2 ** (at % 7));
    values.fill(0, 64, 96);
    const { quants, scales } = roundBlocks(values, bits);
    let clipped = 0;
    for (const [at, value] of values.entries()) {
      const quant = bits === 8 ? (quants[at] as number) : ((quants[at >> 1] as number) >>> (4 * (at & 1))) & 15;
      const scale = scales[at >> 5] as number;
      const error = Math.abs(value - (quant - (bits === 8 ? 128 : 8)) * scale);
      // Four bits hold −8 to 7: what lies as far from 0 as the farthest weight, on its other side, is cut by up to one step.
      const isCut = bits === 4 && quant === 15 && error > 0.5001 * Math.abs(scale);
      if (isCut) clipped++;
      expect(error).toBeLessThanOrEqual((isCut ? 1.0001 : 0.5001) * Math.abs(scale));
    }
    if (bits === 8) expect(clipped).toBe(0);
    expect(scales[2]).toBe(bits === 8 ? 0 : -0);
  });
});

describe("what the graph would compute otherwise is refused by name", () => {
  const f32 = (value: number): GgufValue => ({ type: "f32", value });
  const string = (value: string): GgufValue => ({ type: "string", value });
  test.each<[string, TinyModelOptions, RegExp]>([
    ["another architecture", { architecture: "gemma2" }, /architecture is gemma2; written are llama, qwen2, qwen3/],
    ["granite's scales", { architecture: "granite" }, /architecture is granite/],
    [
      "YaRN",
      { metadata: { "llama.rope.scaling.type": string("yarn"), "llama.rope.scaling.factor": f32(4) } },
      /RoPE scaling is "yarn"/,
    ],
    ["a magnitude of RoPE", { metadata: { "llama.rope.scaling.attn_factor": f32(1.2) } }, /attn_factor is 1.2/],
    [
      "RoPE of a part of a head",
      { metadata: { "llama.rope.dimension_count": { type: "u32", value: 8 } } },
      /turns only a part/,
    ],
    ["a mixture of experts", { metadata: { "llama.expert_count": { type: "u32", value: 4 } } }, /mixture of experts/],
  ])("%s", async (name, options, why) => {
    const { path } = await writeTinyModel(join(folder, `refused ${name}.gguf`), options);
    const written = writeOnnx(path, join(folder, `refused ${name}`));
    await expect(written).rejects.toMatchObject({ code: "ONNX_MODEL" });
    await expect(written).rejects.toThrow(why);
  });

  test.each<[string, TinyModelOptions, RegExp]>([
    [
      "an unknown way of cutting words",
      { metadata: { "tokenizer.ggml.pre": string("tekken") } },
      /pre is "tekken"; known are gpt-2/,
    ],
    ["SentencePiece", { chat: "sentencepiece" }, /model is "llama"; written is byte-level BPE/],
  ])("a tokenizer: %s", async (name, options, why) => {
    const { path } = await writeTinyModel(join(folder, `tokenizer ${name}.gguf`), options);
    const file = await readGguf(path);
    const decoder = await readDecoder(file);
    expect(() => tokenizerFiles(file, decoder, { endIds: [2] })).toThrow(why);
    // The graph is written all the same, and says what is missing.
    const written = await writeOnnx(path, join(folder, `tokenizer ${name}`), { tokenizer: { endIds: [2] } });
    expect(written.withoutTokenizer).toMatch(why);
  });
});

test("of an F32 file nothing is copied, and the graph is small", async () => {
  const { path, bytes } = await writeTinyModel(join(folder, "plain.gguf"));
  const written = await writeOnnx(path, join(folder, "plain"));
  expect(written).toMatchObject({ copiedBytes: 0, matrices: { float: 15, mapped: 0, rounded: 0 } });
  expect(written.bytes).toBeGreaterThan(0.9 * bytes);
  expect(written.bytes).toBeLessThan(1.5 * bytes);
});

test("RoPE's angles are the header's", async () => {
  const { path } = await writeTinyModel(join(folder, "rope.gguf"), { ropeFreqs: true, ropeScale: 4 });
  const { frequencies } = await readDecoder(await readGguf(path));
  // Heads of 16, base 10,000; the factors rise to 8 for the slowest pair, and positions are divided by 4.
  expect(frequencies[0]).toBeCloseTo(1 / 4, 12);
  expect(frequencies[7]).toBeCloseTo(10_000 ** (-14 / 16) / 8 / 4, 12);
});

test("without the packages one coded line says how to add them", () => {
  const env = { INWARD_ONNX: join(folder, "nowhere") };
  const missing = () => findOnnxPackage("onnxruntime-node", env, join(folder, "inward.js"));
  expect(missing).toThrow(expect.objectContaining({ code: "ONNX_PACKAGES" }));
  expect(missing).toThrow(
    /npm install --prefix \S*nowhere .*onnxruntime-node@1\.30\.0 @huggingface\/transformers@4\.3\.2/,
  );
});
