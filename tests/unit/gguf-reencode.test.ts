/** Re-encoding keeps names, shapes, metadata and every weight, and gives the same bytes each time. */
import { mkdtemp, open, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dequantize, type GgmlTypeName } from "../../src/gguf/encodings.js";
import { type GgufFile, type GgufTensor, readGguf } from "../../src/gguf/read-gguf.js";
import { inspectGguf } from "../../src/gguf/inspect-gguf.js";
import { reencodeGguf } from "../../src/gguf/derived-copies.js";
import { writeGguf } from "../../src/gguf/write-gguf.js";
import { type TinyEncoding, type TinyModel, writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
const models = new Map<TinyEncoding, TinyModel>();
const options = { sourceSha256: "ab".repeat(32) };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-gguf-"));
  for (const encoding of ["F32", "F16", "Q8_0", "Q4_1"] as const) {
    models.set(encoding, await writeTinyModel(join(folder, `${encoding}.gguf`), { encoding }));
  }
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function weightsOf(file: GgufFile, tensor: GgufTensor): Promise<Float32Array> {
  const handle = await open(file.path);
  const bytes = new Uint8Array(tensor.byteLength);
  await handle.read(bytes, 0, bytes.length, file.dataOffset + tensor.offset);
  await handle.close();
  return dequantize(tensor.type, bytes, tensor.elements);
}

async function writeOneTensor(
  path: string,
  type: GgmlTypeName,
  dimensions: number[],
  bytes: Uint8Array,
): Promise<string> {
  await writeGguf(path, new Map(), [{ name: "w.weight", dimensions, type, chunks: () => [bytes] }]);
  return path;
}

describe.each(["F32", "F16", "Q8_0", "Q4_1"] as const)("from %s", (sourceEncoding) => {
  test.each(["f32", "f16"] as const)("to %s", async (encoding) => {
    const source = await readGguf((models.get(sourceEncoding) as TinyModel).path);
    const path = join(folder, `${sourceEncoding}-as.${encoding}.gguf`);
    await reencodeGguf(source.path, path, encoding, options);
    const target = await readGguf(path);

    expect(target.metadata.get("general.file_type")).toEqual({ type: "u32", value: encoding === "f32" ? 0 : 1 });
    expect(target.metadata.get("inward.source.sha256")).toEqual({ type: "string", value: options.sourceSha256 });
    expect(target.metadata.get("inward.source.encoding")).toEqual({ type: "string", value: sourceEncoding });
    expect(target.metadata.size).toBe(source.metadata.size + 3);
    for (const [key, bytes] of source.encodedMetadata) expect(target.encodedMetadata.get(key)).toEqual(bytes);
    expect((await inspectGguf(path)).reencodedFrom).toEqual({ sha256: options.sourceSha256, encoding: sourceEncoding });

    expect(target.tensors.map(({ name, dimensions }) => [name, dimensions])).toEqual(
      source.tensors.map(({ name, dimensions }) => [name, dimensions]),
    );
    for (const [index, tensor] of target.tensors.entries()) {
      expect(tensor.type).toBe(encoding === "f16" && tensor.dimensions.length > 1 ? "F16" : "F32");
      const before = await weightsOf(source, source.tensors[index] as GgufTensor);
      const after = await weightsOf(target, tensor);
      if (tensor.type === "F32")
        expect(Buffer.compare(new Uint8Array(after.buffer), new Uint8Array(before.buffer))).toBe(0);
      // Half a unit in the last of 11 bits, and half of 2^-24 near zero.
      else
        expect(
          after.every((w, i) => Math.abs(w - (before[i] ?? 0)) <= Math.abs(before[i] ?? 0) * 2 ** -11 + 2 ** -25),
        ).toBe(true);
    }
  });
});

test("the same source gives the same bytes", async () => {
  const source = (models.get("Q4_1") as TinyModel).path;
  const [one, two] = [join(folder, "one.gguf"), join(folder, "two.gguf")];
  const first = await reencodeGguf(source, one, "f16", options);
  expect(await reencodeGguf(source, two, "f16", options)).toEqual(first);
  expect(Buffer.compare(await readFile(one), await readFile(two))).toBe(0);
});

test("a matrix larger than one chunk comes out whole and in order", async () => {
  const elements = 2 ** 20 + 64;
  const values = Float32Array.from({ length: elements }, (_, index) => index);
  const path = await writeOneTensor(
    join(folder, "large.gguf"),
    "F32",
    [32, elements / 32],
    new Uint8Array(values.buffer),
  );
  const target = join(folder, "large.f32.gguf");
  const progress: number[] = [];
  await reencodeGguf(path, target, "f32", { ...options, onProgress: (done) => progress.push(done) });
  const file = await readGguf(target);
  expect(
    Buffer.compare(
      new Uint8Array((await weightsOf(file, file.tensors[0] as GgufTensor)).buffer),
      new Uint8Array(values.buffer),
    ),
  ).toBe(0);
  expect(progress).toEqual(progress.toSorted((a, b) => a - b));
  expect(progress.length).toBeGreaterThanOrEqual(3);
});

describe("refused", () => {
  const f32 = (...values: number[]) =>
    new Uint8Array(Float32Array.from({ length: 64 }, (_, i) => values[i] ?? 0).buffer);

  test.each<[string, "f16" | "f32", GgmlTypeName, () => Uint8Array, string]>([
    ["a weight beyond half precision", "f16", "F32", () => f32(1, 70_000), "weight 1 of tensor w.weight is 70000"],
    [
      "an infinite weight",
      "f16",
      "F32",
      () => f32(Number.POSITIVE_INFINITY),
      "weight 0 of tensor w.weight is Infinity",
    ],
    ["a type that is not decoded", "f32", "MXFP4", () => new Uint8Array(34), "tensor w.weight is of type MXFP4"],
  ])("%s is MODEL_TENSOR_TYPE and leaves no file", async (_, encoding, type, bytes, words) => {
    const path = await writeOneTensor(join(folder, "refused.gguf"), type, [32, 2], bytes());
    const failure = reencodeGguf(path, join(folder, "refused.out.gguf"), encoding, options);
    await expect(failure).rejects.toMatchObject({ code: "MODEL_TENSOR_TYPE", message: expect.stringContaining(words) });
    expect((await readdir(folder)).filter((name) => name.startsWith("refused.out"))).toEqual([]);
  });

  test("a large weight is no trouble for f32, nor in a vector", async () => {
    const matrix = await writeOneTensor(join(folder, "big-matrix.gguf"), "F32", [32, 2], f32(70_000));
    const vector = await writeOneTensor(join(folder, "big-vector.gguf"), "F32", [64], f32(70_000));
    await reencodeGguf(matrix, join(folder, "big.out.gguf"), "f32", options);
    await reencodeGguf(vector, join(folder, "big.out.gguf"), "f16", options);
    expect((await readGguf(join(folder, "big.out.gguf"))).tensors[0]?.type).toBe("F32");
  });

  test("one part of a split model", async () => {
    const path = join(folder, "part.gguf");
    await writeTinyModel(path, { metadata: { "split.count": { type: "u16", value: 4 } } });
    const failure = reencodeGguf(path, join(folder, "part.out.gguf"), "f32", options);
    await expect(failure).rejects.toMatchObject({
      code: "MODEL_PARTS",
      message: expect.stringContaining("4 parts"),
    });
  });

  test("an abort stops it with INTERRUPTED", async () => {
    const source = (models.get("Q4_1") as TinyModel).path;
    const stop = new AbortController();
    const failure = reencodeGguf(source, join(folder, "stopped.gguf"), "f32", {
      ...options,
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    await expect(failure).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect((await readdir(folder)).filter((name) => name.startsWith("stopped"))).toEqual([]);
  });
});
