/** Laws of writing and reading: typed metadata come back as they were, and a rewrite of a file's header has the same bytes. */
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeHeader, writeFailure, writeGguf } from "../../src/gguf/write-gguf.js";
import {
  type GgufArray,
  type GgufValue,
  type GgufValueType,
  HeaderGoesOn,
  parseHeader,
  readGguf,
} from "../../src/gguf/read-gguf.js";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-gguf-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

type Scalar = number | bigint | boolean | string;

const text = fc.string({ unit: "binary", maxLength: 12 });
const SCALARS: Record<Exclude<GgufValueType, "array">, fc.Arbitrary<Scalar>> = {
  u8: fc.integer({ min: 0, max: 0xff }),
  i8: fc.integer({ min: -0x80, max: 0x7f }),
  u16: fc.integer({ min: 0, max: 0xffff }),
  i16: fc.integer({ min: -0x8000, max: 0x7fff }),
  u32: fc.integer({ min: 0, max: 0xffffffff }),
  i32: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
  f32: fc.float(),
  f64: fc.double(),
  bool: fc.boolean(),
  string: text,
  u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  i64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
};
const scalarTypes = Object.keys(SCALARS) as (keyof typeof SCALARS)[];

const scalar = fc
  .constantFrom(...scalarTypes)
  .chain((type) => SCALARS[type].map((value) => ({ type, value }) as GgufValue));
const flatArray = fc
  .constantFrom(...scalarTypes)
  .chain((elementType) =>
    fc.array(SCALARS[elementType], { maxLength: 9 }).map((value): GgufArray => ({ type: "array", elementType, value })),
  );
const nestedArray = fc
  .array(flatArray, { maxLength: 3 })
  .map((value): GgufArray => ({ type: "array", elementType: "array", value }));
const metadata = fc
  .uniqueArray(fc.tuple(text, fc.oneof(scalar, flatArray, nestedArray)), { selector: ([key]) => key, maxLength: 8 })
  .map((entries) => new Map<string, GgufValue>(entries.filter(([key]) => key !== "general.alignment")));

describe("header", () => {
  test("reads back every value with its type, and writes the same bytes again", () => {
    fc.assert(
      fc.property(metadata, (values) => {
        const { bytes } = encodeHeader(values, [], 32);
        const header = parseHeader(bytes, "a.gguf");
        expect([...header.metadata]).toEqual([...values]);
        expect(header.dataOffset).toBe(bytes.length);
        expect(Buffer.compare(encodeHeader(header.metadata, [], 32).bytes, bytes)).toBe(0);
        expect(Buffer.compare(encodeHeader(header.encodedMetadata, [], 32).bytes, bytes)).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test("what a number or a string cannot carry survives as encoded bytes", () => {
    const strange = new Map([
      ["nan", Buffer.from("060000000100a07f", "hex")],
      ["invalid utf-8", Buffer.from("080000000200000000000000fffe", "hex")],
      ["bool of 2", Buffer.from("0700000002", "hex")],
    ]);
    const { bytes } = encodeHeader(strange, [], 32);
    const header = parseHeader(bytes, "a.gguf");
    expect(header.metadata.get("bool of 2")).toEqual({ type: "bool", value: true });
    expect(Buffer.compare(encodeHeader(header.encodedMetadata, [], 32).bytes, bytes)).toBe(0);
  });

  test("any beginning of a header asks for more bytes, never more than there are", () => {
    const values = new Map<string, GgufValue>([
      ["name", { type: "string", value: "A model" }],
      ["tokens", { type: "array", elementType: "string", value: ["a", "bc", "déf"] }],
    ]);
    const { bytes } = encodeHeader(values, [{ name: "weights", dimensions: [32, 2], type: "Q8_0" }], 1);
    for (let length = 0; length < bytes.length; length++) {
      const act = () => parseHeader(bytes.subarray(0, length), "a.gguf");
      expect(act).toThrow(HeaderGoesOn);
      try {
        act();
      } catch (error) {
        expect((error as HeaderGoesOn).needed).toBeGreaterThan(length);
        expect((error as HeaderGoesOn).needed).toBeLessThanOrEqual(bytes.length);
      }
    }
    expect(parseHeader(bytes, "a.gguf").tensors).toHaveLength(1);
  });

  test.each<[string, GgufValue]>([
    ["u8 of 256", { type: "u8", value: 256 }],
    ["i16 of -32769", { type: "i16", value: -32_769 }],
    ["u32 of 1.5", { type: "u32", value: 1.5 }],
    ["u64 of -1", { type: "u64", value: -1n }],
    ["i64 of 2^63", { type: "i64", value: 2n ** 63n }],
    ["string among i32", { type: "array", elementType: "i32", value: ["x"] }],
  ])("a %s is refused, not wrapped around", (_, value) => {
    const act = () => encodeHeader(new Map([["key", value]]), [], 32);
    expect(act).toThrow(expect.objectContaining({ code: "INTERNAL" }));
  });
});

describe("writeGguf", () => {
  const tensors = [
    {
      name: "a",
      dimensions: [3],
      type: "F32" as const,
      chunks: () => [new Uint8Array(4).fill(1), new Uint8Array(8).fill(2)],
    },
    { name: "b", dimensions: [32, 2], type: "Q8_0" as const, chunks: () => [new Uint8Array(68).fill(3)] },
  ];

  test.each([8, 32, 64])(
    "writes padded tensors at an alignment of %d, and says the file's checksum",
    async (alignment) => {
      const path = join(folder, `aligned-${alignment}.gguf`);
      const values = new Map<string, GgufValue>([["general.alignment", { type: "u32", value: alignment }]]);
      const progress: [number, number][] = [];
      const written = await writeGguf(path, values, tensors, {
        alignment,
        onProgress: (done, total) => progress.push([done, total]),
      });
      const bytes = await readFile(path);
      expect(written).toEqual({ bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") });
      expect(progress.at(-1)).toEqual([bytes.length, bytes.length]);
      const file = await readGguf(path);
      expect(file.alignment).toBe(alignment);
      expect(file.dataOffset % alignment).toBe(0);
      expect(file.tensors).toEqual([
        { name: "a", dimensions: [3], type: "F32", elements: 3, offset: 0, byteLength: 12 },
        {
          name: "b",
          dimensions: [32, 2],
          type: "Q8_0",
          elements: 64,
          offset: alignment === 8 ? 16 : alignment,
          byteLength: 68,
        },
      ]);
      const [a, b] = file.tensors.map(({ offset, byteLength }) =>
        bytes.subarray(file.dataOffset + offset, file.dataOffset + offset + byteLength),
      );
      expect([...(a as Buffer)]).toEqual([1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]);
      expect((b as Buffer).every((byte) => byte === 3)).toBe(true);
    },
  );

  test.each([
    [
      "throws half-way",
      () => {
        throw new Error("no more");
      },
      "no more",
    ],
    ["gives too few bytes", () => [new Uint8Array(3)], "tensor a ends at"],
  ])("a tensor that %s leaves nothing behind, and the old file as it was", async (_, chunks, message) => {
    const path = join(folder, "old.gguf");
    await writeFile(path, "old");
    await expect(writeGguf(path, new Map(), [{ name: "a", dimensions: [1], type: "F32", chunks }])).rejects.toThrow(
      message,
    );
    expect(await readFile(path, "utf8")).toBe("old");
    expect((await readdir(folder)).filter((name) => name.includes("partial"))).toEqual([]);
  });

  test("aborting stops it with INTERRUPTED and leaves nothing behind", async () => {
    const stop = new AbortController();
    const path = join(folder, "aborted.gguf");
    const chunks = function* () {
      yield new Uint8Array(4);
      stop.abort();
      yield new Uint8Array(4);
    };
    const writing = writeGguf(path, new Map(), [{ name: "a", dimensions: [2], type: "F32", chunks }], {
      signal: stop.signal,
    });
    await expect(writing).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect((await readdir(folder)).filter((name) => name.includes("aborted"))).toEqual([]);
  });

  test("a folder that is not there is STORE_UNWRITABLE", async () => {
    const path = join(folder, "absent", "a.gguf");
    await expect(writeGguf(path, new Map(), [])).rejects.toMatchObject({ code: "STORE_UNWRITABLE" });
  });

  test.each([
    ["ENOSPC", "STORE_DISK_FULL"],
    ["EDQUOT", "STORE_DISK_FULL"],
    ["EACCES", "STORE_UNWRITABLE"],
    ["EROFS", "STORE_UNWRITABLE"],
    ["EIO", "STORE_UNWRITABLE"],
  ])("%s is %s, with the path", (code, expected) => {
    const error = writeFailure(Object.assign(new Error("refused"), { code }), "models/a.gguf");
    expect(error.code).toBe(expected);
    expect(error.message).toContain("models/a.gguf");
    expect(error.message).toContain(code);
  });
});
