/** Checksums are remembered as long as a file is the same file, by size, times and inode, and believed as long as their seal holds. */
import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { recallSha256, rememberedSha256, requirePlannedFile } from "../../src/model/model-file.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { workIn } from "../helpers/work-in.js";

const folder = mkdtempSync(join(tmpdir(), "inward-remembered-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const path = join(folder, "a.gguf");
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
/** All of one time, as `cp -p` leaves them. */
function put(place: string, text: string): void {
  writeFileSync(place, text);
  utimesSync(place, 1_000_000, 1_000_000);
}

test("another file of the same size and time in its place is hashed again", async () => {
  put(path, "one");
  expect(await rememberedSha256(folder, [path])).toBe(sha256("one"));
  put(join(folder, "other"), "two");
  renameSync(join(folder, "other"), path);
  expect(recallSha256(folder, path)).toBeUndefined();
  expect(await rememberedSha256(folder, [path])).toBe(sha256("two"));
  expect(recallSha256(folder, path)).toBe(sha256("two"));
});

test("another content of the same size and time, written over the file, is hashed again: cp -p keeps both, and the inode", async () => {
  put(path, "one");
  expect(await rememberedSha256(folder, [path])).toBe(sha256("one"));
  put(path, "two");
  expect(recallSha256(folder, path)).toBeUndefined();
  expect(await rememberedSha256(folder, [path])).toBe(sha256("two"));
});

test("a file that was cut off after its checksum was remembered is not taken for the whole one", async () => {
  put(path, "whole");
  expect(await rememberedSha256(folder, [path])).toBe(sha256("whole"));
  truncateSync(path, 3);
  utimesSync(path, 1_000_000, 1_000_000);
  expect(recallSha256(folder, path)).toBeUndefined();
  expect(await rememberedSha256(folder, [path])).toBe(sha256("who"));
});

test.each<[string, (all: Record<string, Record<string, unknown>>) => unknown]>([
  ["another checksum", (all) => ({ ...all, [path]: { ...all[path], sha256: sha256("other") } })],
  ["parts that are none", (all) => ({ ...all, [path]: { ...all[path], parts: 5 } })],
  ["no seal, as before there were seals", (all) => ({ ...all, [path]: { ...all[path], seal: undefined } })],
  ["the entry of another file", (all) => ({ [path]: all[join(folder, "b.gguf")] })],
  ["no mapping", () => [1]],
])("a memory with %s is not believed", async (_, change) => {
  put(path, "one");
  put(join(folder, "b.gguf"), "two");
  await rememberedSha256(folder, [path]);
  await rememberedSha256(folder, [join(folder, "b.gguf")]);
  const memory = join(folder, "verified.json");
  writeFileSync(memory, JSON.stringify(change(JSON.parse(readFileSync(memory, "utf8")))));
  expect(recallSha256(folder, path)).toBeUndefined();
  expect(await rememberedSha256(folder, [path])).toBe(sha256("one"));
  expect(recallSha256(folder, path)).toBe(sha256("one"));
});

test("a file that was planned is that file still, or is refused by name: it is looked at again, also where nothing can be remembered", async () => {
  const restore = workIn(folder, { INWARD_MODELS: join(folder, "models") });
  try {
    const model = join(folder, "planned.gguf");
    await writeTinyModel(model, { seed: 1 });
    const file = { path: model, sha256: sha256Of(model) };
    await requirePlannedFile("a", file);
    utimesSync(model, 2_000_000, 2_000_000);
    await requirePlannedFile("a", file);
    rmSync(join(folder, "models"), { recursive: true });
    await requirePlannedFile("a", file);
    // Of the same size and time, put in its place by renaming.
    await writeTinyModel(join(folder, "other.gguf"), { seed: 2 });
    utimesSync(join(folder, "other.gguf"), 2_000_000, 2_000_000);
    renameSync(join(folder, "other.gguf"), model);
    await expect(requirePlannedFile("a", file)).rejects.toMatchObject({
      code: "MODEL_CHECKSUM",
      message: `${model} has sha256 ${sha256Of(model)}; a had ${file.sha256} when it was looked for.`,
    });
    rmSync(model);
    await expect(requirePlannedFile("a", file)).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
    // A file in the place of its folder.
    mkdirSync(join(folder, "moved"));
    await writeTinyModel(join(folder, "moved", "m.gguf"), { seed: 1 });
    const moved = { path: join(folder, "moved", "m.gguf"), sha256: file.sha256 };
    await requirePlannedFile("a", moved);
    rmSync(join(folder, "moved"), { recursive: true });
    writeFileSync(join(folder, "moved"), "");
    await expect(requirePlannedFile("a", moved)).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
  } finally {
    restore();
  }
});

function sha256Of(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
