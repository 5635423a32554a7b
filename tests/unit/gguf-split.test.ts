/** Models of several files: read as one, and every part that is missing, cut, exchanged or called otherwise is named. */
import { createHash } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { reencodeGguf } from "../../src/gguf/derived-copies.js";
import { writeWithoutLayers } from "../../src/gguf/without-layers.js";
import { inspectGguf } from "../../src/gguf/inspect-gguf.js";
import { type GgufValue, readGguf } from "../../src/gguf/read-gguf.js";
import { checkModelFile, recallSha256, rememberedSha256 } from "../../src/model/model-file.js";
import { splitModel } from "../helpers/split-model.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let root: string;
let whole: string;
let other: string;
let folder: string;
let parts: readonly [string, string, string];
let count = 0;
const made = async (source: string, name = "m", more = {}) =>
  (await splitModel(source, folder, name, 3, more)) as [string, string, string];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "inward-split-"));
  whole = (await writeTinyModel(join(root, "whole.gguf"), { encoding: "Q8_0" })).path;
  other = (await writeTinyModel(join(root, "other.gguf"), { encoding: "Q8_0", seed: 2 })).path;
});

beforeEach(async () => {
  folder = join(root, String(count++));
  await mkdir(folder);
  parts = await made(whole);
});

afterAll(() => rm(root, { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const bytesOf = async (paths: readonly string[]) =>
  Buffer.concat(await Promise.all(paths.map((path) => readFile(path))));

test("the parts are one model: metadata, tensors and sizes are those of the whole file", async () => {
  const [joined, single] = [await readGguf(parts[0]), await readGguf(whole)];
  expect(joined.metadata).toEqual(single.metadata);
  const bare = ({ name, dimensions, type }: (typeof single.tensors)[number]) => ({ name, dimensions, type });
  expect(joined.tensors.map(bare)).toEqual(single.tensors.map(bare));
  expect(joined.fileBytes).toBe((await bytesOf(parts)).length);
  const { path, parts: files, bytes, ...summary } = await inspectGguf(parts[0]);
  const { path: _path, parts: _files, bytes: _bytes, ...ofWhole } = await inspectGguf(whole);
  expect(summary).toEqual(ofWhole);
  expect({ path, files, bytes }).toEqual({ path: parts[0], files: parts, bytes: joined.fileBytes });
});

describe("identity", () => {
  test("is the sha256 of all parts, one after the other", async () => {
    const { sha256: found } = await checkModelFile({ folder, path: parts[0], owned: false });
    expect(found).toBe(sha256(await bytesOf(parts)));
  });

  test.each([1, 2])("changes with one byte of part %i, though the hash was remembered", async (part) => {
    const before = await rememberedSha256(folder, parts);
    expect(recallSha256(folder, parts[0])).toBe(before);
    const path = parts[part] as string;
    const bytes = await readFile(path);
    bytes[bytes.length - 40] = (bytes[bytes.length - 40] as number) ^ 1;
    await writeFile(path, bytes);
    await utimes(path, 1, 2);
    expect(recallSha256(folder, parts[0])).toBeUndefined();
    const { sha256: after } = await checkModelFile({ folder, path: parts[0], owned: false });
    expect(after).not.toBe(before);
    expect(after).toBe(sha256(await bytesOf(parts)));
  });

  test("a part exchanged for another model's of the same shapes is another model", async () => {
    const before = await rememberedSha256(folder, parts);
    const foreign = await made(other, "other");
    await copyFile(foreign[1], parts[1]);
    await utimes(parts[1], 3, 4);
    await expect(
      checkModelFile({ folder, path: parts[0], owned: false, expectedSha256: before }),
    ).rejects.toMatchObject({ code: "MODEL_CHECKSUM" });
  });

  test("a part that is gone is forgotten, not recalled", async () => {
    await rememberedSha256(folder, parts);
    await rm(parts[2]);
    expect(recallSha256(folder, parts[0])).toBeUndefined();
  });
});

describe("refused by name", () => {
  const u16 = (value: number): GgufValue => ({ type: "u16", value });
  const only = (part: number, metadata: Record<string, GgufValue>) => ({
    metadata: (at: number) => (at === part ? metadata : {}),
  });
  test.each<[string, () => Promise<unknown>, string, string]>([
    ["a part that is missing", () => rm(parts[2]), "MODEL_PARTS", "its part 3 of 3 is missing"],
    ["a part that is cut", () => truncate(parts[1], 3000), "MODEL_TRUNCATED", "m-00002-of-00003.gguf"],
    ["a part that is empty", () => truncate(parts[2], 0), "MODEL_TRUNCATED", "m-00003-of-00003.gguf"],
    ["a part that is a text", () => writeFile(parts[1], "not found"), "MODEL_NOT_GGUF", "m-00002-of-00003.gguf"],
    [
      "parts in the wrong order",
      async () => {
        await rename(parts[1], `${parts[1]}.kept`);
        await rename(parts[2], parts[1]);
        await rename(`${parts[1]}.kept`, parts[2]);
      },
      "MODEL_PARTS",
      "by its name it is part 2, by its header part 3",
    ],
    ["the whole model as a part", () => copyFile(whole, parts[1]), "MODEL_PARTS", "it has no split.no"],
    ["the same part twice", () => copyFile(parts[1], parts[2]), "MODEL_PARTS", "by its name it is part 3"],
    [
      "one of another number of parts",
      () => made(whole, "m", only(1, { "split.count": u16(4) })),
      "MODEL_PARTS",
      "it is one of 4 parts",
    ],
    [
      "one of a model of another name",
      () => made(whole, "m", only(2, { "general.name": { type: "string", value: "Another" } })),
      "MODEL_PARTS",
      'it is of another model: its "general.name"',
    ],
    [
      "more tensors than the first promises",
      () => made(whole, "m", only(0, { "split.tensors.count": { type: "i32", value: 20 } })),
      "MODEL_PARTS",
      "should hold 20 tensors",
    ],
    [
      "a number of another type, which llama.cpp aborts on",
      () => made(whole, "m", only(1, { "split.no": { type: "u32", value: 1 } })),
      "MODEL_PARTS",
      "its split.no is of type u32",
    ],
  ])("%s", async (_, spoil, code, words) => {
    await spoil();
    await expect(readGguf(parts[0])).rejects.toMatchObject({ code, message: expect.stringContaining(words) });
  });

  test("another part than the first says which is the first", async () => {
    const message = expect.stringContaining(`name the first part, ${parts[0]}`);
    await expect(readGguf(parts[1])).rejects.toMatchObject({ code: "MODEL_PARTS", message });
  });

  test("a first part that is called otherwise", async () => {
    const renamed = join(folder, "model.gguf");
    await rename(parts[0], renamed);
    const message = expect.stringContaining("is not called <name>-00001-of-00003.gguf");
    await expect(readGguf(renamed)).rejects.toMatchObject({ code: "MODEL_PARTS", message });
  });
});

describe("copies of a split model are one file and say nothing of parts", () => {
  const options = { sourceSha256: "ab".repeat(32) };

  test("re-encoded, byte for byte as from the whole file", async () => {
    const [fromParts, fromWhole] = [join(folder, "a.gguf"), join(folder, "b.gguf")];
    const one = await reencodeGguf(parts[0], fromParts, "f32", options);
    expect(await reencodeGguf(whole, fromWhole, "f32", options)).toEqual(one);
    expect((await readGguf(fromParts)).parts).toHaveLength(1);
  });

  test("without layers, byte for byte as from the whole file", async () => {
    const deep = (await writeTinyModel(join(root, `deep-${count}.gguf`), { blocks: 4 })).path;
    const [first] = await made(deep, "deep");
    const one = await writeWithoutLayers(first, join(folder, "a.gguf"), [1], options);
    expect(await writeWithoutLayers(deep, join(folder, "b.gguf"), [1], options)).toEqual(one);
  });
});
