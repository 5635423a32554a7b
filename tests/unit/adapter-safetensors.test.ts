/** safetensors: number types, and files that lie. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InwardError } from "../../src/errors.js";
import { readSafetensors, type SafeTensor, writeSafetensors } from "../../src/finetune/adapter/safetensors.js";

let folder: string;
let path: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-safetensors-"));
  path = join(folder, "x.safetensors");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const invalid = (message: string) =>
  expect.objectContaining({ code: "ADAPTER_INVALID", message: expect.stringContaining(message) });

/** A file with this header text and this data. */
async function file(header: unknown, data: Uint8Array = new Uint8Array(), headerBytes?: bigint): Promise<string> {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(headerBytes ?? BigInt(json.length));
  await writeFile(path, Buffer.concat([length, json, data]));
  return path;
}
const f32 = (shape: number[], begin: number, end: number) => ({ dtype: "F32", shape, data_offsets: [begin, end] });

test("any tensors come back, sorted by name, from a file whose data begins at a multiple of 8", async () => {
  const tensor = fc.array(fc.nat(4), { maxLength: 3 }).chain((shape) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return fc
      .array(fc.float({ noNaN: true }), { minLength: count, maxLength: count })
      .map((values): SafeTensor => ({ shape, values: Float32Array.from(values) }));
  });
  const names = fc.string({ unit: "grapheme" }).filter((name) => name !== "__metadata__" && name !== "__proto__");
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.tuple(names, tensor), { selector: ([name]) => name, maxLength: 5 }),
      async (all) => {
        await writeSafetensors(path, new Map(all));
        expect(new Map([...(await readSafetensors(path))].sort())).toEqual(new Map([...all].sort()));
        expect(Number((await readFile(path)).readBigUInt64LE()) % 8).toBe(0);
      },
    ),
    { numRuns: 60, seed: 2 },
  );
  expect(await readdir(folder)).toEqual(["x.safetensors"]);
});

test("F16 and BF16 are read as the floats that they stand for, whatever the header's order", async () => {
  const data = Uint8Array.of(0x00, 0x3c, 0x00, 0xc0, 0x80, 0x3f, 0x40, 0xc0);
  const header = {
    later: { dtype: "BF16", shape: [2], data_offsets: [4, 8] },
    __metadata__: { format: "pt" },
    first: { dtype: "F16", shape: [2, 1], data_offsets: [0, 4] },
  };
  expect([...(await readSafetensors(await file(header, data)))]).toEqual([
    ["first", { shape: [2, 1], values: Float32Array.of(1, -2) }],
    ["later", { shape: [2], values: Float32Array.of(1, -3) }],
  ]);
});

describe("a file that lies is ADAPTER_INVALID", () => {
  const data = new Uint8Array(16);
  const cases: [string, unknown, string, (bigint | undefined)?][] = [
    ["a header of 2^64 - 1 bytes", {}, "claims 18446744073709551615 bytes", 2n ** 64n - 1n],
    ["a header beyond the file", {}, "claims 5000 bytes", 5000n],
    ["no JSON", "{", "not JSON"],
    ["a list", "[]", "not a JSON object"],
    ["null", "null", "not a JSON object"],
    ["a tensor that is a number", { a: 3 }, '"a"'],
    ["integers", { a: { dtype: "I64", shape: [2], data_offsets: [0, 16] } }, "dtype"],
    ["a negative offset", { a: f32([4], -16, 0) }, "data_offsets"],
    ["a fraction in a shape", { a: f32([1.5], 0, 6) }, "shape"],
    ["a negative shape", { a: f32([-2, -2], 0, 16) }, "shape"],
    ["a shape that overflows", { a: f32([2 ** 52, 2 ** 52], 0, 16) }, "has 16 bytes"],
    ["a shape that does not fit its bytes", { a: f32([3], 0, 16) }, "has 16 bytes, not 12"],
    ["an end before the beginning", { a: f32([4], 16, 0) }, "begins at 16"],
    ["data beyond the file", { a: f32([8], 0, 32) }, "take 32 bytes, its data 16"],
    ["data that nobody owns", { a: f32([2], 0, 8) }, "take 8 bytes, its data 16"],
    ["a hole", { a: f32([1], 0, 4), b: f32([2], 8, 16) }, "b begins at 8"],
    ["an overlap", { a: f32([4], 0, 16), b: f32([2], 8, 16) }, "b begins at 8"],
    ["an extra key", { a: { ...f32([4], 0, 16), also: 1 } }, "also"],
  ];
  test.each(cases)("%s", async (_what, header, message, headerBytes) => {
    await expect(readSafetensors(await file(header, data, headerBytes))).rejects.toThrow(invalid(message));
  });

  test("a file cut anywhere", async () => {
    await file({ a: f32([4], 0, 16) }, data);
    const whole = await readFile(path);
    for (let length = 0; length < whole.length; length++) {
      await writeFile(path, whole.subarray(0, length));
      await expect(readSafetensors(path)).rejects.toThrow(invalid(path));
    }
  });

  test("random bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (bytes) => {
        await writeFile(path, bytes);
        const result = await readSafetensors(path).catch((error: unknown) => error);
        if (result instanceof Error) expect((result as InwardError).code).toBe("ADAPTER_INVALID");
      }),
      { numRuns: 100, seed: 3 },
    );
  });
});

test("no file is ADAPTER_NOT_FOUND; a folder that is not there cannot be written to", async () => {
  const missing = join(folder, "none", "x.safetensors");
  await expect(readSafetensors(missing)).rejects.toThrow(expect.objectContaining({ code: "ADAPTER_NOT_FOUND" }));
  await writeFile(join(folder, "plain"), "");
  await expect(writeSafetensors(join(folder, "plain", "x"), new Map())).rejects.toBeInstanceOf(InwardError);
});
