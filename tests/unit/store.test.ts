import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { once } from "node:events";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Answer } from "../../src/tasks/answer.js";
import type { Plan } from "../../src/study/plan.js";
import { AnswerShard } from "../../src/ask/groups.js";
import { canonicalJson, hashOf, makeFolder, readJson, readJsonLines, writeWhole } from "../../src/base/files.js";
import { requirePlanOfUnits } from "../../src/cluster/shards.js";
import { EventLog, RunFolder } from "../../src/run/folder.js";
import { runLockHolder, takeRunLock } from "../../src/base/lock.js";
import { InwardError } from "../../src/errors.js";
import { inputsOf, runStage, withoutModels } from "../../src/run/run-stages.js";
import type { Stage } from "../../src/run/stages.js";
import { makePlan } from "../../src/study/make-plan.js";
import { settledStudy } from "../helpers/settled-study.js";

// A call that NFS has done is sent again where its answer was lost, and is then told that there is such a file. Others have no hard links.
const answers = vi.hoisted(() => ({ areLost: false, areNone: false }));
vi.mock("node:fs/promises", async (importOriginal) => {
  const real = await importOriginal<typeof import("node:fs/promises")>();
  const link: typeof real.link = async (...paths) => {
    if (answers.areNone) throw Object.assign(new Error("no links"), { code: "ENOTSUP" });
    await real.link(...paths);
    if (answers.areLost) throw Object.assign(new Error("there is one"), { code: "EEXIST" });
  };
  return { ...real, link };
});

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-store-"));
});

const code = (name: string) => expect.objectContaining({ code: name });
const answer = (key: string) => ({ key, state: "m", reply: { text: `said ${key} é` } }) as unknown as Answer;
const groups = [["a", "b"], ["c"], ["d", "e", "f"]].map((keys) => keys.map((key) => ({ state: "m", key })));
const lines = (keys: string) => [...keys].map((key) => `${JSON.stringify(answer(key))}\n`).join("");

describe("canonical JSON", () => {
  test("does not depend on the order of keys (law)", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        expect(hashOf(Object.fromEntries(Object.entries(value).reverse()))).toBe(hashOf(value));
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

describe("an answer shard", () => {
  test("cut anywhere, it goes on from the last whole group and ends with the same bytes", async () => {
    const whole = lines("abcdef");
    const bytes = Buffer.byteLength(whole);
    for (let cut = 0; cut <= bytes; cut += 7) {
      const path = join(folder, `${cut}.jsonl`);
      await writeFile(path, whole);
      await truncate(path, cut);
      const shard = await AnswerShard.open(path, groups);
      for (const group of groups.slice(shard.groupsDone)) await shard.append(group.map(({ key }) => answer(key)));
      await shard.close();
      expect(await readFile(path, "utf8")).toBe(whole);
    }
  });

  test.each([
    ["another plan's line", lines("ax")],
    ["more lines than the plan has", lines("abcdefg")],
    ["a spoilt line", `${lines("a")}{"key":\n`],
    ["a line that is no record", `${lines("a")}17\n`],
  ])("refuses %s", async (_, content) => {
    const path = join(folder, "spoilt.jsonl");
    await writeFile(path, content);
    await expect(AnswerShard.open(path, groups)).rejects.toThrow(code("STORE_CORRUPT"));
    expect(await readFile(path, "utf8")).toBe(content);
  });

  const changed = lines("abc").replace('"key":"b"', '"key":"x"');
  test.each([
    ["a line that was changed", (path: string) => writeFile(path, changed), lines("a")],
    ["a file that was cut off", (path: string) => truncate(path, lines("ab").length), lines("a")],
    ["a line of somebody else's", (path: string) => appendFile(path, "{}\n"), lines("abc")],
    ["a file that was removed", (path: string) => rm(path), undefined],
  ])("has no end with %s: what is as it was written stays", async (_, accident, left) => {
    for (const isAtEnd of [false, true]) {
      const path = join(folder, `changed-${isAtEnd}.jsonl`);
      await writeFile(path, lines("a"));
      const each = [..."abcd"].map((key) => [{ state: "m", key }]);
      const shard = await AnswerShard.open(path, each);
      for (const key of "bc") await shard.append([answer(key)]);
      await accident(path);
      const next = isAtEnd ? shard.close() : shard.append([answer("d")]);
      await expect(next).rejects.toThrow(code("STORE_CORRUPT"));
      expect(existsSync(path) ? await readFile(path, "utf8") : undefined).toBe(left);
      if (!isAtEnd) await shard.close().catch(() => {});
    }
  });

  test("another file in its place is left as it is", async () => {
    const path = join(folder, "replaced.jsonl");
    const shard = await AnswerShard.open(path, groups);
    await shard.append([answer("a"), answer("b")]);
    await writeFile(`${path}.new`, lines("xy"));
    await rename(`${path}.new`, path);
    await expect(shard.close()).rejects.toThrow(code("STORE_CORRUPT"));
    expect(await readFile(path, "utf8")).toBe(lines("xy"));
  });

  test("one that was only touched goes on", async () => {
    const path = join(folder, "touched.jsonl");
    const shard = await AnswerShard.open(path, groups);
    await shard.append([answer("a"), answer("b")]);
    await utimes(path, 1, 1);
    await shard.append([answer("c")]);
    await utimes(path, 1, 1);
    await shard.close();
    expect(await readFile(path, "utf8")).toBe(lines("abc"));
  });
});

test("a torn last line is not a record", async () => {
  const path = join(folder, "torn.jsonl");
  await writeFile(path, `${lines("ab")}{"key":"c","state"`);
  expect((await readJsonLines<Answer>(path)).rows.map((row) => row.key)).toEqual(["a", "b"]);
});

test.runIf(existsSync("/dev/full"))("a disk that is full is a clear error", () => {
  expect(() => new EventLog("/dev/full").add("begun")).toThrow(code("STORE_DISK_FULL"));
});

describe("files are whole or absent", () => {
  test("a failed write leaves the old file", async () => {
    const path = join(folder, "file.json");
    await writeWhole(path, "old");
    await mkdir(`${path}.partial-${process.pid}`);
    await expect(writeWhole(path, "new")).rejects.toThrow(code("STORE_UNWRITABLE"));
    expect(await readFile(path, "utf8")).toBe("old");
  });

  test("a folder in the place of a folder that is a file", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(writeWhole(join(folder, "file", "inner"), "x")).rejects.toThrow(code("STORE_UNWRITABLE"));
  });
});

const plan = (study: string) => ({ planVersion: 1, study, tasks: [], predictions: [] }) as unknown as Plan;

/** One that is read back as a plan. */
async function wholePlan(): Promise<Plan> {
  const yaml =
    "study: read\nmodels: { m: { source: m } }\ntasks: [{ task: animals_long, trainStrings: 2, heldOutStrings: 2 }]\nproperties: [first_word]\n";
  const file = { source: "m", path: "/m", sha256: "m", bytes: 1, encoding: "F32", licence: "mit" };
  return makePlan(settledStudy(yaml), { m: file }, ".");
}

describe("a folder that is made", () => {
  test("comes with those above it, and may be there already", () => {
    makeFolder(join(folder, "a", "b", "c"));
    makeFolder(join(folder, "a", "b", "c"));
    expect(existsSync(join(folder, "a", "b", "c"))).toBe(true);
  });

  test.each([
    ["a file is in its place", "file", /ENOTDIR/],
    ["a file is above it", join("file", "x", "y"), /ENOTDIR/],
    // Node's own recursion tries that for ever.
    ...(process.platform === "linux"
      ? ([["the file system has no place for it", "/proc/x/y", /ENOENT/]] as const)
      : []),
  ] as const)("is refused where %s", async (_, path, why) => {
    await writeFile(join(folder, "file"), "");
    const place = path.startsWith("/") ? path : join(folder, path);
    expect(() => makeFolder(place)).toThrow(code("STORE_UNWRITABLE"));
    expect(() => makeFolder(place)).toThrow(why);
  });
});

describe("a run folder", () => {
  test("is refused to a second process, and free again afterwards", async () => {
    const run = await RunFolder.create(folder, plan("one"));
    await expect(takeRunLock(folder)).rejects.toThrow(code("STORE_LOCKED"));
    await run.close();
    await (await RunFolder.create(folder, plan("one"))).close();
  });

  test("of a process that was killed is taken over", async () => {
    const child = spawn(process.execPath, ["-e", ""]);
    await new Promise((resolve) => child.on("exit", resolve));
    await writeFile(join(folder, "run.lock"), JSON.stringify({ pid: child.pid, host: hostname(), started: "1" }));
    const lock = await takeRunLock(folder);
    await lock.release();
  });

  test.runIf(process.platform === "linux")(
    "of a dead process that its parent leaves unburied is taken over",
    async () => {
      // exec leaves a parent that has never heard of its child.
      const parent = spawn("sh", ["-c", "sleep 0.1 & echo $!; exec sleep 60"]);
      const [said] = (await once(parent.stdout, "data")) as [Buffer];
      const stat = async () => (await readFile(`/proc/${Number(said)}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
      await vi.waitFor(async () => expect((await stat())[0]).toBe("Z"), 5000);
      const holder = { pid: Number(said), host: hostname(), started: (await stat())[19] };
      await writeFile(join(folder, "run.lock"), JSON.stringify(holder));
      const lock = await takeRunLock(folder);
      await lock.release();
      parent.kill();
    },
  );

  test("of another host is believed", async () => {
    await writeFile(join(folder, "run.lock"), JSON.stringify({ pid: 1, host: "elsewhere", started: "1" }));
    await expect(takeRunLock(folder)).rejects.toThrow(code("STORE_LOCKED"));
  });

  test("of a dead process is taken over by one process, however many see it at once", async () => {
    const lock = fileURLToPath(new URL("../../dist/base/lock.js", import.meta.url));
    const script = `
      import { openSync, closeSync, rmSync, renameSync, writeFileSync } from "node:fs";
      import { takeRunLock } from ${JSON.stringify(lock)};
      const folder = ${JSON.stringify(folder)};
      const dead = JSON.stringify({ pid: 2 ** 22 + 7, host: (await import("node:os")).hostname(), started: "1" });
      let taken = 0;
      for (let round = 0; round < 60; round++) {
        const lock = await takeRunLock(folder).catch((error) => { if (error.code !== "STORE_LOCKED") throw error; });
        if (!lock) continue;
        taken++;
        // Fails where another one is in here.
        closeSync(openSync(folder + "/inside", "wx"));
        await new Promise(setImmediate);
        rmSync(folder + "/inside");
        // As a process that was killed leaves it.
        writeFileSync(folder + "/dead." + process.pid, dead);
        renameSync(folder + "/dead." + process.pid, folder + "/run.lock");
      }
      console.log(taken);`;
    const all = await Promise.all(
      [1, 2, 3, 4].map(async () => promisify(execFile)(process.execPath, ["--input-type=module", "-e", script])),
    );
    const taken = all.map(({ stdout }) => Number(stdout));
    expect(taken.every((one) => one > 0)).toBe(true);
    await (await takeRunLock(folder)).release();
  });

  test("is had where the server made it, and its answer was lost", async () => {
    answers.areLost = true;
    const lock = await takeRunLock(folder).finally(() => {
      answers.areLost = false;
    });
    await expect(takeRunLock(folder)).rejects.toThrow(code("STORE_LOCKED"));
    await lock.release();
    expect(await readdir(folder)).toEqual([]);
  });

  describe("without hard links", () => {
    beforeEach(() => (answers.areNone = true));
    afterEach(() => (answers.areNone = false));

    test("is refused to a second process, seen by others, and gone afterwards", async () => {
      const own = await wholePlan();
      const run = await RunFolder.create(folder, own);
      await expect(takeRunLock(folder)).rejects.toThrow(code("STORE_LOCKED"));
      expect(runLockHolder(folder)?.pid).toBe(process.pid);
      expect((await RunFolder.look(folder)).path).toBe(folder);
      await run.close();
      expect(await readdir(folder)).toEqual(["01-plan.json"]);
      await (await RunFolder.create(folder, own)).close();
    });

    test("of a dead process is taken over, of another host believed", async () => {
      const heldBy = async (holder: object) => {
        await mkdir(join(folder, "run.lock"), { recursive: true });
        await writeFile(
          join(folder, "run.lock", "holder.json"),
          JSON.stringify({ pid: 2 ** 22 + 7, started: "1", ...holder }),
        );
      };
      await heldBy({ host: "elsewhere" });
      await expect(takeRunLock(folder)).rejects.toThrow(code("STORE_LOCKED"));
      await heldBy({ host: hostname() });
      await (await takeRunLock(folder)).release();
      expect(await readdir(folder)).toEqual([]);
    });
  });

  test.each<[string, string, () => Promise<unknown>]>([
    ["moved away", "STORE_UNWRITABLE", () => rename(folder, `${folder}-moved`)],
    [
      "another's now",
      "STORE_LOCKED",
      () => writeFile(join(folder, "run.lock"), JSON.stringify({ pid: 1, host: "elsewhere", started: "1" })),
    ],
    ["left without its lock", "STORE_LOCKED", () => rm(join(folder, "run.lock"))],
  ])("whose folder is %s stops the run, and no folder is made in its place", async (_, expected, strike) => {
    const run = await RunFolder.create(folder, plan("one"));
    await writeFile(run.file("behaviors"), "rows\n");
    await run.markDone(["behaviors"], { a: 1 });
    await strike();
    await expect(run.requireInPlace()).rejects.toThrow(code(expected));
    await expect(run.markDone(["behaviors"], { a: 2 })).rejects.toThrow();
    const unread = run.inPlace(() => readJson(run.file("scores")));
    await expect(unread).rejects.toThrow(code(expected));
    if (expected === "STORE_UNWRITABLE") {
      expect(() => makeFolder(join(folder, "units", "logs"))).toThrow(code(expected));
      await run.close();
      expect(existsSync(folder)).toBe(false);
      makeFolder(join(folder, "anew"));
      await rm(`${folder}-moved`, { recursive: true });
    } else {
      const left = await readdir(folder);
      await run.close();
      expect(await readdir(folder)).toEqual(left);
    }
  });

  test("of one that cannot be read is no dead one's", async () => {
    await mkdir(join(folder, "run.lock"));
    await expect(takeRunLock(folder)).rejects.toThrow(code("STORE_UNWRITABLE"));
    await rmdir(join(folder, "run.lock"));
    await writeFile(join(folder, "run.lock"), '{"pid":1}');
    await (await takeRunLock(folder)).release();
  });

  test.each<[string, string, (path: string) => Promise<void>]>([
    ["changed", "STORE_CORRUPT", (path) => writeFile(path, JSON.stringify(plan("two")))],
    ["removed", "STORE_INCOMPLETE", (path) => rm(path)],
  ])("whose plan is %s stops the run: what it makes would stand beside another", async (_, expected, strike) => {
    const run = await RunFolder.create(folder, plan("one"));
    await writeFile(run.file("behaviors"), "rows\n");
    await run.markDone(["behaviors"], { a: 1 });
    await writeFile(run.file("plan"), JSON.stringify(plan("one")));
    await run.requireInPlace();
    await strike(run.file("plan"));
    await expect(run.requireInPlace()).rejects.toThrow(code(expected));
    await expect(run.markDone(["behaviors"], { a: 2 })).rejects.toThrow(code(expected));
    await run.close();
  });

  test("in which a model was written over while a stage read it keeps nothing that it made", async () => {
    const run = await RunFolder.create(folder, plan("one"));
    let looks = 0;
    const context = {
      ...withoutModels(run, { add: () => {} }),
      requireModels: async () => {
        if (++looks === 2) throw new InwardError("MODEL_CHECKSUM", "another");
      },
    };
    const stage: Stage = {
      name: "noise floor",
      kind: "measured",
      writes: ["noiseFloor"],
      reads: {},
      run: () => writeFile(run.file("noiseFloor"), "{}\n"),
    };
    await expect(runStage(context, stage)).rejects.toThrow(code("MODEL_CHECKSUM"));
    expect(existsSync(run.file("noiseFloor"))).toBe(false);
    await runStage(context, stage);
    expect(await run.isDone(["noiseFloor"], await inputsOf(run, stage))).toBe(true);
    await run.close();
  });

  test("of another plan is refused", async () => {
    await (await RunFolder.create(folder, plan("one"))).close();
    await expect(RunFolder.create(folder, plan("two"))).rejects.toThrow(code("STORE_OTHER_PLAN"));
    await (await RunFolder.create(folder, plan("one"))).close();
  });

  test("that another version has planned is that one's to ask, also in units, and is read by this one", async () => {
    const own = await wholePlan();
    const older = { ...own, inwardVersion: "0.0.9" };
    await (await RunFolder.create(folder, older)).close();
    const refused = expect.objectContaining({
      code: "STORE_OTHER_PLAN",
      message: expect.stringMatching(/planned by inward "0\.0\.9", and this is \d/),
    });
    await expect(RunFolder.create(folder, own)).rejects.toThrow(refused);
    const run = await RunFolder.open(folder);
    expect(() => requirePlanOfUnits(run, { planHash: hashOf(older) })).toThrow(refused);
    await run.close();
  });

  test.each([
    ["no plan", undefined, "STORE_NOT_A_RUN"],
    ["a plan that is no JSON", "{", "STORE_CORRUPT"],
    ["a plan of another version", '{"planVersion":9}', "STORE_CORRUPT"],
    ["a plan that is a list", "[]", "STORE_CORRUPT"],
  ])("with %s cannot be opened", async (_, content, expected) => {
    if (content !== undefined) await writeFile(join(folder, "01-plan.json"), content);
    await expect(RunFolder.open(folder)).rejects.toThrow(code(expected));
  });

  test("knows which stages are done, from which inputs, and when a file was changed since", async () => {
    const run = await RunFolder.create(folder, plan("one"));
    expect(await run.isDone(["behaviors"], { a: 1 })).toBe(false);
    await writeFile(run.file("behaviors"), "rows\n");
    await run.markDone(["behaviors"], { a: 1 });
    expect(await run.isDone(["behaviors"], { a: 1 })).toBe(true);
    expect(await run.isDone(["behaviors"], { a: 2 })).toBe(false);
    await appendFile(run.file("behaviors"), "x");
    await expect(run.isDone(["behaviors"], { a: 1 })).rejects.toThrow(code("STORE_CORRUPT"));
    await run.close();
  });

  describe("that is read", () => {
    let run: RunFolder;
    beforeEach(async () => {
      run = await RunFolder.create(folder, await wholePlan());
      await writeFile(run.file("behaviors"), "rows\n");
      await run.markDone(["behaviors"], { a: 1 });
    });
    const read = async (of: RunFolder) => {
      await of.requireUnchanged("behaviors");
      return readFile(of.file("behaviors"), "utf8");
    };

    test("needs no lock, and has none: another process may hold it", async () => {
      const before = await readdir(folder);
      expect(await RunFolder.read(folder, read)).toBe("rows\n");
      expect(await readdir(folder)).toEqual(before);
    });

    test.each([
      ["with its mark", () => run.markDone(["behaviors"], { a: 1 })],
      ["before its mark", async () => {}],
    ])("is refused where what was read is made anew meanwhile, %s", async (_, mark) => {
      const meanwhile = async (of: RunFolder) => {
        const text = await read(of);
        await writeWhole(run.file("behaviors"), "others\n");
        await mark();
        return text;
      };
      await expect(RunFolder.read(folder, meanwhile)).rejects.toThrow(code("STORE_LOCKED"));
    });

    test("and is half made anew says who works there; edited by hand it is corrupt", async () => {
      await writeWhole(run.file("behaviors"), "others\n");
      await expect(RunFolder.read(folder, read)).rejects.toThrow(code("STORE_LOCKED"));
      await run.close();
      await expect(RunFolder.read(folder, read)).rejects.toThrow(code("STORE_CORRUPT"));
    });
  });

  test("under a file is a clear error", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(RunFolder.create(join(folder, "file", "run"), plan("one"))).rejects.toThrow(code("STORE_UNWRITABLE"));
  });
});
