/** What is kept of answers is given back to the bit or not at all: torn, spoilt and misplaced records are counted and never believed. */
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { answerFolder, answerFolderSize, AnswerStore, emptyAnswerFolder } from "../../src/ask/answer-store.js";
import { hashOf } from "../../src/base/files.js";

const EVALUATION = { engine: "of a test" };
const ASKED = "2026-11-29T12:00:00.000Z";
const [A, B, C] = ["a", "b", "c"].map((name) => hashOf(name)) as [string, string, string];
const any = () => true;

let all: string;
beforeEach(() => {
  all = mkdtempSync(join(tmpdir(), "inward-answers-"));
});

const open = (mostBytes?: number) => AnswerStore.open(all, EVALUATION, mostBytes);
const place = () => join(all, hashOf(EVALUATION));
const segments = () =>
  readdirSync(place())
    .filter((name) => name.endsWith(".answers"))
    .sort()
    .map((name) => join(place(), name));

/** As if the process that wrote it had ended: 2³⁰ is above every process id. */
function orphan(): string {
  const [path] = segments() as [string];
  const after = path.replace(/_\d+\.answers$/, "_1073741824.answers");
  renameSync(path, after);
  return after;
}

test.skipIf(process.platform === "win32")("a named pipe in the folder is passed over, not waited for", async () => {
  const writer = await open();
  writer.put(A, 1, ASKED);
  execFileSync("mkfifo", [join(place(), "x_1.answers")]);
  expect((await open()).get(A, any)).toEqual({ value: 1, asked: ASKED });
});

test("what is kept after the folder was emptied in the midst of it is found again, and nothing is taken for spoilt", async () => {
  const writer = await open();
  writer.put(A, "long before", ASKED);
  emptyAnswerFolder(all);
  expect(existsSync(place())).toBe(false);
  writer.put(B, "after", ASKED);
  writer.put(C, "and again", ASKED);
  expect([A, B, C].map((key) => writer.get(key, any)?.value)).toEqual([undefined, "after", "and again"]);
  expect(writer.faults).toEqual({ torn: 0, refused: 0 });
  expect((await open()).get(C, any)).toEqual({ value: "and again", asked: ASKED });
});

describe("a record", () => {
  test("comes back to the last bit, in this process and in the next, and in one that was open all the time", async () => {
    const value = { text: "zebra\n\u2028é😀\ud800", numbers: [0.1 + 0.2, 5e-324, Number.MAX_VALUE, -1.5] };
    const [writer, reader] = [await open(), await open()];
    writer.put(A, value, ASKED);
    expect(writer.get(A, any)).toEqual({ value, asked: ASKED });
    expect(reader.get(A, any)).toBeUndefined();
    reader.look();
    expect(reader.get(A, any)).toEqual({ value, asked: ASKED });
    expect((await open()).get(A, any)).toEqual({ value, asked: ASKED });
    expect((await open()).get(B, any)).toBeUndefined();
    expect((await AnswerStore.open(all, { engine: "another" })).get(A, any)).toBeUndefined();
  });

  test("torn anywhere is none, and counted; those before it stand", async () => {
    const writer = await open();
    writer.put(A, "one", ASKED);
    writer.put(B, "two", ASKED);
    const path = orphan();
    const whole = readFileSync(path);
    const first = whole.indexOf(10) + 1;
    for (let length = first + 1; length < whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      const store = await open();
      expect(store.get(A, any)?.value).toBe("one");
      expect(store.get(B, any)).toBeUndefined();
      expect(store.faults).toEqual({ torn: 1, refused: 0 });
    }
    // What the next process keeps goes to a file of its own.
    const next = await open();
    next.put(B, "two", ASKED);
    expect(segments()).toHaveLength(2);
    expect((await open()).get(B, any)?.value).toBe("two");
  });

  test("with any bit turned over is refused", async () => {
    (await open()).put(A, { logprob: -1.25 }, ASKED);
    const path = orphan();
    const whole = readFileSync(path);
    for (let at = 0; at < whole.length - 1; at++) {
      const spoilt = Buffer.from(whole);
      spoilt[at] = (spoilt[at] as number) ^ (1 << (at % 8));
      writeFileSync(path, spoilt);
      const store = await open();
      expect(store.get(A, any), `byte ${at}`).toBeUndefined();
      // A spoilt key is another's record: nobody asks for it.
      if (at >= 64 && spoilt[at] !== 10) expect(store.faults.refused, `byte ${at}`).toBe(1);
    }
  });

  test("under another's key, or not what its key asks for, is refused and asked again", async () => {
    (await open()).put(A, "one", ASKED);
    const path = orphan();
    appendFileSync(path, readFileSync(path, "utf8").replace(A, C));
    const store = await open();
    expect(store.get(C, any)).toBeUndefined();
    expect(store.get(A, (value) => value === "two")).toBeUndefined();
    expect(store.faults).toEqual({ torn: 0, refused: 2 });
    store.put(A, "two", ASKED);
    expect(store.get(A, any)?.value).toBe("two");
  });
});

test("two processes that write at once share what they have, each in a file of its own", async () => {
  const [one, other] = [await open(), await open()];
  for (let at = 0; at < 50; at++) {
    one.put(hashOf(["one", at]), at, ASKED);
    other.put(hashOf(["other", at]), at, ASKED);
  }
  one.look();
  for (let at = 0; at < 50; at++) expect(one.get(hashOf(["other", at]), any)?.value).toBe(at);
  expect(segments()).toHaveLength(2);
  expect(one.faults).toEqual({ torn: 0, refused: 0 });
});

test("what was not used for the longest time goes when there is no room, but nothing of a process that runs", async () => {
  for (const [at, key] of [A, B].entries()) {
    (await open()).put(key, "x".repeat(1000), ASKED);
    const path = segments().find((one) => one.endsWith(`_${process.pid}.answers`)) as string;
    const orphaned = path.replace(/_\d+\.answers$/, "_1073741824.answers");
    renameSync(path, orphaned);
    utimesSync(orphaned, at + 1, at + 1);
  }
  // Used, and so not the oldest any more.
  expect((await open()).get(A, any)).toBeDefined();
  const store = await open(1500);
  expect(store.get(A, any)).toBeDefined();
  expect(store.get(B, any)).toBeUndefined();
  store.put(C, "y".repeat(5000), ASKED);
  expect((await open(1500)).get(C, any)).toBeDefined();
});

test("a folder that cannot be written, or is none, costs asking and nothing else", async () => {
  const file = join(all, "file");
  writeFileSync(file, "mine");
  const store = await AnswerStore.open(file, EVALUATION);
  store.put(A, "one", ASKED);
  expect(store.get(A, any)).toBeUndefined();
  expect(store.faults.unwritable).toContain("ENOTDIR");
  expect(readFileSync(file, "utf8")).toBe("mine");
  if (process.getuid?.() === 0) return;
  chmodSync(all, 0o500);
  expect((await open()).faults.unwritable).toContain("EACCES");
});

test("nothing is read or written through a link", async () => {
  (await open()).put(A, "one", ASKED);
  const [path] = segments() as [string];
  renameSync(path, join(all, "elsewhere"));
  symlinkSync(join(all, "elsewhere"), path);
  expect((await open()).get(A, any)).toBeUndefined();
});

test("emptying takes what stores have written and leaves the rest", async () => {
  (await open()).put(A, "one", ASKED);
  mkdirSync(join(all, "mine"));
  writeFileSync(join(place(), "notes.txt"), "mine");
  const size = answerFolderSize(all);
  expect(size).toMatchObject({ files: 1 });
  expect(emptyAnswerFolder(all)).toEqual(size);
  expect(answerFolderSize(all)).toEqual({ bytes: 0, files: 0 });
  expect(existsSync(join(place(), "notes.txt"))).toBe(true);
  expect(existsSync(join(all, "mine"))).toBe(true);
  expect(answerFolderSize(join(all, "none"))).toEqual({ bytes: 0, files: 0 });
});

test("where it is", () => {
  expect(answerFolder({ INWARD_ANSWER_CACHE: "off", XDG_CACHE_HOME: "/c" })).toBeUndefined();
  expect(answerFolder({ INWARD_ANSWER_CACHE: "/a", XDG_CACHE_HOME: "/c" })).toBe("/a");
  expect(answerFolder({ XDG_CACHE_HOME: "/c" })).toBe("/c/inward/answers");
});
