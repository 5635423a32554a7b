/**
 * A run in units: several processes, killed, begun twice, with shards that are torn or another's, give the bytes of one process. The study
 * has two models that learn, a second round that learns from the first, distributions and a matrix.
 */
import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { planStudy, runStudy } from "inward";
import { prepareUnits, runWithWorkers } from "../../src/cluster/launch-workers.js";
import { mergeUnits } from "../../src/cluster/merge.js";
import { UnitSession } from "../../src/cluster/run-unit.js";
import { unitsProgress } from "../../src/cluster/units-progress.js";
import { findAddon } from "../../src/model/native/addon.js";
import { inwardHere, start } from "../helpers/command-line.js";
import type { Reply } from "../../src/tasks/answer.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { workIn } from "../helpers/work-in.js";

const STUDY = `
study: units
seed: 5
experiments: [self_prediction, cross_prediction, calibration, matrix]
models: { a: { source: ./a.gguf }, b: { source: ./b.gguf } }
tasks: [{ task: animals_long, trainStrings: 8, heldOutStrings: 4 }]
properties: [first_character]
predictions:
  - { predictor: a, target: a }
  - { predictor: b, target: a }
  - { predictor: b, target: a-predicts-a }
lora: { rank: 2, epochs: 1, batchExamples: 4, learningRate: 0.01 }
engine: { device: cpu, threads: 1, forward: own, groupQuestions: 2, alternatives: 3 }
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 100 }
calibration: { strings: 1, epsilon: 0.2, tokenBudget: 60, samples: 2 }
`;
const CUT = { questions: 4 };

const addon = await findAddon().then(
  () => true,
  () => false,
);

describe.skipIf(!addon)("a run in units", () => {
  let folder: string;
  let whole: string;

  /** All that a run must reproduce: which set-ups answered, and what every stage was made from, too. */
  async function results(run: string): Promise<Record<string, string>> {
    const names = (await readdir(run, { recursive: true })).filter((name) =>
      /^(0\d-.*\.\w+|figures\/.*|stages\.json|manifest\.json)$/.test(name),
    );
    return Object.fromEntries(
      await Promise.all(names.sort().map(async (name) => [name, await readFile(join(run, name), "base64")])),
    );
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "inward-units-"));
    await writeTinyModel(join(folder, "a.gguf"), { seed: 6, contextLength: 1024 });
    await writeTinyModel(join(folder, "b.gguf"), { seed: 12, contextLength: 1024 });
    await writeFile(join(folder, "study.yaml"), STUDY);
    whole = join(folder, "whole");
    const restore = workIn(folder, { INWARD_MODELS: join(folder, "models") });
    await runStudy("study.yaml", { out: whole });
    const [line] = (await readFile(join(whole, "02-object-level.jsonl"), "utf8")).split("\n");
    expect((JSON.parse(line as string) as { reply: Reply }).reply.positions?.[0]?.tokenIds).toHaveLength(3);
    return restore;
  });

  test("three workers, one killed: the bytes of one process; a second launcher is refused", async () => {
    const out = join(folder, "shared");
    const args = ["run", "study.yaml", "--out", out, "--workers", "3", "--unit-questions", "4"];
    const { child, finished } = start(args, { cwd: folder });
    while (!existsSync(join(out, "units", "02-object-level"))) await sleep(20);
    const [worker] = workersOf(child.pid as number);
    process.kill(worker as number, "SIGKILL");
    const second = await inwardHere(args, { cwd: folder });
    expect(second.stderr).toContain("STORE_LOCKED");
    const { code, stderr } = await finished;
    expect(stderr.slice(code === 0 ? stderr.length : 0)).toBe("");
    expect(await results(out)).toEqual(await results(whole));
    const events = await readFile(join(out, "events.jsonl"), "utf8");
    expect(events).toContain('"event":"unit_ended"');
    const { units } = (await unitsProgress(out)) ?? { units: [] };
    expect(units.length).toBeGreaterThan(20);
    expect(units.filter(({ state }) => state !== "done")).toEqual([]);
  });

  test("a model that is replaced between two answers, and a run folder that is moved away, end a run with a code", async () => {
    const out = join(folder, "struck");
    const other = join(folder, "other.gguf");
    await cp(join(folder, "b.gguf"), other);
    let struck = false;
    /** Once the first question is answered by the first model. */
    const once = (strike: () => void) => () => {
      if (!struck && existsSync(join(out, "02-object-level.jsonl"))) {
        struck = true;
        strike();
      }
    };
    const replaced = runStudy("study.yaml", {
      out,
      onProgress: once(() => renameSync(join(folder, "b.gguf"), join(folder, "a.gguf"))),
    });
    await expect(replaced).rejects.toMatchObject({
      code: "MODEL_CHECKSUM",
      message: expect.stringContaining("; a had"),
    });
    await rename(other, join(folder, "b.gguf"));
    await writeTinyModel(join(folder, "a.gguf"), { seed: 6, contextLength: 1024 });
    await rm(out, { recursive: true });

    // Written over, while the last group of a stage is answered.
    struck = false;
    const [mine, others] = await Promise.all(["b.gguf", "a.gguf"].map((name) => readFile(join(folder, name))));
    const overwritten = runStudy("study.yaml", {
      out,
      onProgress: ({ done, total, unit }) => {
        if (struck || unit !== "questions" || total === 0 || done !== total) return;
        struck = true;
        writeFileSync(join(folder, "b.gguf"), others as Buffer);
      },
    });
    await expect(overwritten).rejects.toMatchObject({ code: "MODEL_CHECKSUM" });
    const linesOf = async (run: string) =>
      (await readFile(join(run, "02-object-level.jsonl"), "utf8")).split("\n").length;
    expect(await linesOf(out)).toBeLessThan(await linesOf(whole));
    await writeFile(join(folder, "b.gguf"), mine as Buffer);
    await rm(out, { recursive: true });
    const planned = await planStudy("study.yaml", { out });
    const moved = runWithWorkers(planned, {
      workers: 2,
      cut: CUT,
      onProgress: () => {
        if (!existsSync(`${out}-moved`)) renameSync(out, `${out}-moved`);
      },
    });
    await expect(moved).rejects.toMatchObject({
      code: "STORE_UNWRITABLE",
      message: expect.stringContaining("is not there"),
    });
    // Nobody makes a new one of the old name.
    expect(existsSync(out)).toBe(false);
    expect(workersOf(process.pid)).toEqual([]);
  });

  test("a shard that is removed before it is put together is made again, and what is waited for comes", async () => {
    const out = join(folder, "lost");
    const stage = join(out, "units", "02-object-level");
    let struck = false;
    await runWithWorkers(await planStudy("study.yaml", { out }), {
      workers: 1,
      cut: CUT,
      onProgress: () => {
        const shards = existsSync(stage) ? readdirSync(stage).filter((name) => name.endsWith(".done")) : [];
        // There may be more by now: the worker goes on while this process waits for its turn.
        if (struck || shards.length === 0) return;
        struck = true;
        rmSync(join(stage, shards[0] as string), { recursive: true });
      },
    });
    expect(await results(out)).toEqual(await results(whole));
    expect(await readFile(join(out, "events.jsonl"), "utf8")).toContain('"event":"unit_lost"');
  });

  test("units that are gone, or a file in a folder's place, are said by whoever is to do one", async () => {
    const out = join(folder, "gone");
    const { units } = await prepareUnits(await planStudy("study.yaml", { out }), CUT);
    const unit = units[0]?.id as string;
    const session = await UnitSession.of(out);
    await writeFile(dirname(join(out, "units", unit)), "");
    await expect(session.do(unit)).rejects.toMatchObject({ code: "STORE_UNWRITABLE" });
    await rm(join(out, "units"), { recursive: true });
    await expect(session.do(unit)).rejects.toMatchObject({
      code: "STORE_UNWRITABLE",
      message: expect.stringContaining("setup.json is not there any more"),
    });
    await session.close();
  });

  test("what was begun by one process, begun twice, torn, another's or claimed by the dead is gone on with or done again", async () => {
    const out = join(folder, "attacked");
    const planned = await planStudy("study.yaml", { out });
    // One process had asked two groups and a torn line of a third.
    await mkdir(out);
    const lines = (await readFile(join(whole, "02-object-level.jsonl"), "utf8")).split("\n");
    const { units } = await prepareUnits(planned, CUT);
    await writeFile(join(out, "02-object-level.jsonl"), `${lines.slice(0, 4).join("\n")}\n${lines[4]?.slice(0, 50)}`);
    const first = units.filter(({ wave }) => wave === 0).map(({ id }) => id);
    expect(first).toEqual(["0000", "0001", "0002", "0003"].map((number) => `02-object-level/${number}`));
    const [one, two, three, four] = first as [string, string, string, string];
    const place = (id: string) => join(out, "units", id);

    // A host that is gone said so long ago, and by a clock of another century, that it was at work.
    await mkdir(`${place(one)}.work-gone-1-0`, { recursive: true });
    const by = { pid: 1, host: "gone", started: "1" };
    const claim = { unit: one, madeFrom: "?", by, since: "2199-01-01T00:00:00Z", heard: "1970-01-01T00:00:00Z" };
    await writeFile(
      `${place(one)}.work-gone-1-0/attempt.json`,
      JSON.stringify({ ...claim, done: 1, total: 2, kept: 0 }),
    );

    const [left, right] = [await UnitSession.of(out), await UnitSession.of(out)];
    await expect(left.do(units.at(-1)?.id as string)).rejects.toMatchObject({ code: "UNIT_TOO_EARLY" });
    await expect(left.do("02-object-level/9999")).rejects.toMatchObject({ code: "USAGE" });
    // Twice at once.
    expect(await Promise.all([left.do(one), right.do(one)])).toEqual(["done", "done"]);
    expect(
      (await readdir(join(out, "units", "02-object-level"))).filter((name) => /0000\.(work|done)/.test(name)),
    ).toEqual(["0000.done", "0000.work-gone-1-0"]);
    const shard = JSON.parse(await readFile(join(`${place(one)}.done`, "unit.json"), "utf8"));
    // Its first group was there.
    expect(shard.groups).toEqual({ from: 0, end: 2, asked: 2 });
    expect(await left.do(one)).toBe("was_done");
    // Torn, and another's.
    await left.do(two);
    await left.do(four);
    await cp(`${place(one)}.done`, `${place(three)}.done`, { recursive: true });
    // One that this process may not read is nobody's fault, and stays.
    await withoutReading(join(`${place(two)}.done`, "unit.json"), async () => {
      await expect(mergeUnits(out)).rejects.toMatchObject({ code: "STORE_UNREADABLE" });
      await expect(right.do(two)).rejects.toMatchObject({ code: "STORE_UNREADABLE" });
    });
    expect(await right.do(two)).toBe("was_done");
    await truncate(join(`${place(two)}.done`, "02-object-level.jsonl"), 100);
    const merged = await mergeUnits(out);
    expect(merged.refused.map(({ unit }) => unit)).toEqual([two, three]);
    expect(merged.waiting).toEqual([two, three]);
    expect(merged.finished).toBe(false);
    for (const id of [two, three]) expect(await right.do(id)).toBe("done");
    // One that says what it should, and holds something else of the same size.
    const path = join(`${place(three)}.done`, "02-object-level.jsonl");
    await writeFile(path, (await readFile(path, "utf8")).replace(/"state":"a"/, '"state":"b"'));
    expect((await mergeUnits(out)).refused.map(({ unit }) => unit)).toEqual([three]);
    expect(existsSync(`${place(three)}.done`)).toBe(false);
    expect(await right.do(three)).toBe("done");
    // A link to what is another folder's: nothing is moved out of that.
    const elsewhere = join(folder, "elsewhere");
    await rename(`${place(four)}.done`, elsewhere);
    await symlink(elsewhere, `${place(four)}.done`);
    expect((await mergeUnits(out)).refused.map(({ unit }) => unit)).toEqual([four]);
    expect((await readdir(elsewhere)).toSorted()).toContain("02-object-level.jsonl");
    expect(await right.do(four)).toBe("done");
    await Promise.all([left.close(), right.close()]);
    expect((await mergeUnits(out)).merged).toEqual([
      "object-level",
      "behaviors",
      expect.any(String),
      expect.any(String),
    ]);
    for (const name of ["02-object-level.jsonl", "03-behaviors.jsonl"]) {
      expect(await readFile(join(out, name), "utf8")).toBe(await readFile(join(whole, name), "utf8"));
    }
    expect(existsSync(join(out, "units", "02-object-level"))).toBe(false);

    // TERM: what was in flight is finished, and the unit is to be begun again.
    const training = units.find(({ kind }) => kind === "trained")?.id as string;
    const term = start(["unit", out, training], { cwd: folder });
    while (!existsSync(join(out, "units", training.split("/")[0] as string))) await sleep(20);
    // Node would open its debugger for it.
    term.child.kill("SIGUSR1");
    await sleep(50);
    term.child.kill("SIGTERM");
    const stopped = await term.finished;
    expect(stopped.stderr).not.toContain("Debugger");
    expect([75, 0]).toContain(stopped.code);
    if (stopped.code === 75) expect(stopped.stdout).toContain("begin it again");

    // The plan of another study.
    const plan = join(out, "01-plan.json");
    await rename(plan, `${plan}.kept`);
    await writeFile(plan, (await readFile(`${plan}.kept`, "utf8")).replace('"seed": 5', '"seed": 6'));
    await expect(UnitSession.of(out)).rejects.toMatchObject({ code: "STORE_OTHER_PLAN" });
    await expect(mergeUnits(out)).rejects.toMatchObject({ code: "STORE_OTHER_PLAN" });
    expect((await inwardHere(["unit", out, two], { cwd: folder })).code).toBe(2);
  });
});

/** While the file has no rights at all. Root reads it all the same, so that it is somebody else for so long. */
async function withoutReading(path: string, work: () => Promise<void>): Promise<void> {
  const isRoot = process.geteuid?.() === 0;
  const run = dirname(dirname(dirname(dirname(path))));
  await chmod(path, 0);
  // Whoever merges takes the run's lock.
  for (const folder of [dirname(run), run, dirname(dirname(path))]) await chmod(folder, 0o777);
  if (isRoot) process.seteuid?.(65_534);
  try {
    await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
    await chmod(path, 0o644);
  }
}

/** Processes that the launcher has started for units. */
function workersOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
  return children.map(Number).filter((one) => readFileSync(`/proc/${one}/cmdline`, "utf8").includes("unit-worker"));
}
