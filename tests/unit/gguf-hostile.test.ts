/** Whatever bytes a model file holds, reading its header gives a header or a coded error that says what is wrong. */
import { mkdtemp, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InwardError } from "../../src/errors.js";
import { HeaderGoesOn, parseHeader, readGguf } from "../../src/gguf/read-gguf.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
let whole: Buffer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-gguf-"));
  whole = await readFile((await writeTinyModel(join(folder, "whole.gguf"), { encoding: "Q4_1" })).path);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function failureOf(bytes: Uint8Array): Promise<InwardError> {
  const path = join(folder, "bad.gguf");
  await writeFile(path, bytes);
  const failure = await readGguf(path).then(
    () => "no failure",
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(InwardError);
  expect((failure as InwardError).message).toContain("bad.gguf");
  return failure as InwardError;
}

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number | bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const string = (text: string) => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)]);
const HUGE = 2n ** 64n - 1n;

/** A header of version 3 with these parts, and 4 kB of zeros behind it. */
function header(tensors: number | bigint, entries: number | bigint, ...parts: Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from("GGUF"), u32(3), u64(tensors), u64(entries), ...parts, Buffer.alloc(4096)]);
}

/** A tensor entry. */
function tensor(name: string, dimensions: (number | bigint)[], type: number, offset: number | bigint = 0): Buffer {
  return Buffer.concat([string(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset)]);
}

test("a truncated file is MODEL_TRUNCATED with the real length, wherever it was cut", async () => {
  for (let part = 0; part < 50; part++) {
    const length = Math.floor((whole.length * part) / 50);
    const failure = await failureOf(whole.subarray(0, length));
    expect(failure.code).toBe("MODEL_TRUNCATED");
    expect(failure.message).toContain(`the file has ${length} bytes`);
    const expected = Number(/(?:at least|end at byte) (\d+)/.exec(failure.message)?.[1]);
    expect(expected).toBeGreaterThan(length);
    expect(expected).toBeLessThanOrEqual(whole.length);
  }
});

describe("a file that is no readable GGUF", () => {
  const nested = Array.from({ length: 50_000 }, () => [u32(9), u64(1)]).flat();
  test.each<[string, () => Uint8Array, InwardError["code"], string]>([
    ["text", () => Buffer.from("Hello, I am a text file."), "MODEL_NOT_GGUF", '"Hell"'],
    ["an HTML page", () => Buffer.from("<!DOCTYPE html>"), "MODEL_NOT_GGUF", '"<!DO"'],
    ["a shorter text", () => Buffer.from("GX"), "MODEL_NOT_GGUF", '"GX"'],
    ["version 1", () => Buffer.concat([Buffer.from("GGUF"), u32(1), Buffer.alloc(64)]), "MODEL_NOT_GGUF", "version 1"],
    ["version 4", () => Buffer.concat([Buffer.from("GGUF"), u32(4), Buffer.alloc(64)]), "MODEL_NOT_GGUF", "version 4"],
    ["big-endian", () => Buffer.from("GGUF\0\0\0\x03\0\0\0\0\0\0\0\0"), "MODEL_NOT_GGUF", "big-endian"],
    ["2^64-1 entries", () => header(0, HUGE), "MODEL_TRUNCATED", "header needs"],
    ["2^64-1 tensors", () => header(HUGE, 0), "MODEL_TRUNCATED", "header needs"],
    ["a key of 2^64-1 bytes", () => header(0, 1, u64(HUGE)), "MODEL_TRUNCATED", "header needs"],
    [
      "an array of 2^61 numbers",
      () => header(0, 1, string("k"), u32(9), u32(10), u64(2n ** 61n)),
      "MODEL_TRUNCATED",
      "header",
    ],
    ["an unknown value type", () => header(0, 1, string("key"), u32(13)), "MODEL_NOT_GGUF", "value type 13"],
    ["a deep nest of arrays", () => header(0, 1, string("k"), u32(9), ...nested), "MODEL_NOT_GGUF", "nests arrays"],
    [
      "a key twice",
      () => header(0, 2, string("k"), u32(4), u32(1), string("k"), u32(4), u32(1)),
      "MODEL_NOT_GGUF",
      "twice",
    ],
    ["alignment 0", () => header(0, 1, string("general.alignment"), u32(4), u32(0)), "MODEL_NOT_GGUF", "alignment"],
    ["alignment 33", () => header(0, 1, string("general.alignment"), u32(4), u32(33)), "MODEL_NOT_GGUF", "33"],
    [
      "an alignment text",
      () => header(0, 1, string("general.alignment"), u32(8), string("32")),
      "MODEL_NOT_GGUF",
      "32",
    ],
    ["an unknown tensor type", () => header(1, 0, tensor("w", [32], 99)), "MODEL_TENSOR_TYPE", "type id 99"],
    ["a removed tensor type", () => header(1, 0, tensor("w", [32], 31)), "MODEL_TENSOR_TYPE", "type id 31"],
    ["half a block", () => header(1, 0, tensor("w", [16, 2], 8)), "MODEL_NOT_GGUF", "whole Q8_0 blocks"],
    ["five dimensions", () => header(1, 0, tensor("w", [1, 1, 1, 1, 1], 0)), "MODEL_NOT_GGUF", "5 dimensions"],
    ["2^256 weights", () => header(1, 0, tensor("w", [HUGE, HUGE, HUGE, HUGE], 0)), "MODEL_NOT_GGUF", "claims"],
    ["2^64 times 0 weights", () => header(1, 0, tensor("w", [HUGE, 0], 0)), "MODEL_NOT_GGUF", "claims"],
    ["a tensor twice", () => header(2, 0, tensor("w", [8], 0), tensor("w", [8], 0, 32)), "MODEL_NOT_GGUF", "twice"],
    [
      "overlapping tensors",
      () => header(2, 0, tensor("a", [8], 0), tensor("b", [8], 0)),
      "MODEL_NOT_GGUF",
      "not at 32",
    ],
    ["a far offset", () => header(1, 0, tensor("w", [8], 0, HUGE)), "MODEL_NOT_GGUF", "not at 0"],
    ["more weights than file", () => header(1, 0, tensor("w", [2 ** 40], 0)), "MODEL_TRUNCATED", "weights end at byte"],
  ])("%s", async (_, make, code, words) => {
    const failure = await failureOf(make());
    expect(failure.message).toContain(words);
    expect(failure.code).toBe(code);
  });

  test.each([
    ["no such file", () => join(folder, "absent.gguf"), "MODEL_NOT_FOUND"],
    ["a path through a file", () => join(folder, "whole.gguf", "x"), "MODEL_NOT_FOUND"],
    ["a path with a NUL", () => `${folder}/a\0b`, "MODEL_NOT_FOUND"],
    ["a folder", () => folder, "MODEL_NOT_GGUF"],
    ["a device", () => "/dev/null", "MODEL_NOT_GGUF"],
  ])("%s", async (_, path, code) => {
    await expect(readGguf(path())).rejects.toMatchObject({ code });
  });

  test("a link to nowhere is MODEL_NOT_FOUND", async () => {
    const link = join(folder, "link.gguf");
    await symlink(join(folder, "nowhere"), link);
    await expect(readGguf(link)).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
  });
});

describe("a long header", () => {
  test("of 20 MB is read whole", async () => {
    const path = join(folder, "long.gguf");
    const value = "x".repeat(20 * 2 ** 20);
    await writeFile(path, header(0, 2, string("a"), u32(8), string(value), string("b"), u32(4), u32(7)));
    const file = await readGguf(path);
    expect(file.metadata.get("a")?.value).toHaveLength(value.length);
    expect(file.metadata.get("b")).toEqual({ type: "u32", value: 7 });
  });

  test("of 300 MB is refused before it is read", async () => {
    const path = join(folder, "sparse.gguf");
    await writeFile(path, header(0, 1, string("a"), u32(9), u32(0), u64(300 * 2 ** 20)));
    await truncate(path, 400 * 2 ** 20);
    await expect(readGguf(path)).rejects.toMatchObject({ code: "MODEL_NOT_GGUF" });
  });
});

describe("laws", () => {
  /** A parse gives a header, asks for more, or throws a coded error; anything else escapes. */
  const parse = (bytes: Uint8Array) => {
    try {
      parseHeader(bytes, "a.gguf");
    } catch (error) {
      if (!(error instanceof InwardError) && !(error instanceof HeaderGoesOn)) throw error;
    }
  };

  test("garbage behind a good beginning never escapes as another exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(3), fc.nat(3), (garbage, tensors, entries) =>
        parse(Buffer.concat([Buffer.from("GGUF"), u32(3), u64(tensors), u64(entries), garbage])),
      ),
      { numRuns: 2000 },
    );
  });

  test("flipped bytes in a real header never escape as another exception", () => {
    const length = parseHeader(whole, "a.gguf").dataOffset;
    const flip = fc.tuple(fc.nat(length - 1), fc.integer({ min: 1, max: 255 }));
    fc.assert(
      fc.property(fc.array(flip, { minLength: 1, maxLength: 4 }), (flips) => {
        const bytes = Buffer.from(whole.subarray(0, length));
        for (const [at, bits] of flips) bytes[at] = (bytes[at] as number) ^ bits;
        parse(bytes);
      }),
      { numRuns: 1000 },
    );
  });
});

test("arrays of more values than any model has are refused before they are read", async () => {
  const array = (type: number, count: number) => [u32(9), u32(type), u64(count)];
  const many = Buffer.alloc(5_000_000);
  const one = await failureOf(header(0, 1, string("general.bytes"), ...array(0, many.length), many));
  expect(one).toMatchObject({ code: "MODEL_NOT_GGUF", message: expect.stringContaining("5000000 values") });
  const values = Buffer.alloc(3_000_000);
  const two = ["a", "b"].flatMap((key) => [string(key), ...array(0, values.length), values]);
  expect((await failureOf(header(0, 2, ...two))).message).toContain("6000000 values");
});
