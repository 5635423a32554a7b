/** How a run is cut into units: all of it, once, in its order, each only after what it reads; and whose lock a job of Slurm may take. */
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { cutGroups } from "../../src/ask/groups.js";
import { matrixPredictors } from "../../src/ask/logprob-differences.js";
import { hypotheticalQuestions } from "../../src/ask/questions.js";
import { takeRunLock } from "../../src/base/lock.js";
import { environmentOf, runWithWorkers } from "../../src/cluster/launch-workers.js";
import { readGiven, readSetUp, writeSetUp } from "../../src/cluster/shards.js";
import { cutStages, expectedOf, unitsOfPlan } from "../../src/cluster/units.js";
import type { PlanEstimate } from "../../src/run/estimate/estimate.js";
import { type CountedGroups, groupsOfPart, placedGroups } from "../../src/run/ask-stages.js";
import { stagesOf } from "../../src/run/stages.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { ModelFile, Plan } from "../../src/study/plan.js";
import { settledStudy } from "../helpers/settled-study.js";

const STUDY = `
study: cut
experiments: [self_prediction, cross_prediction, calibration, matrix]
models: { a: { source: ./a.gguf }, b: { source: ./b.gguf } }
tasks: [{ task: animals_long, trainStrings: 40, heldOutStrings: 20 }]
properties: [first_character, starts_with_vowel]
predictions:
  - { predictor: a, target: a }
  - { predictor: b, target: a }
  - { predictor: b, target: a-predicts-a }
lora: { rank: 2 }
calibration: { strings: 5 }
engine: { groupQuestions: 6 }
`;

let plan: Plan;
beforeAll(async () => {
  const study = settledStudy(STUDY);
  const file = (name: string): ModelFile => {
    return { source: name, path: `/${name}`, sha256: name, bytes: 1, encoding: "F32", licence: "mit" };
  };
  plan = await makePlan(study, { a: file("a"), b: file("b") }, ".");
});

describe("cutting", () => {
  test("every stage with a model has units, no other has, and the plan alone says which", () => {
    const cut = cutStages(plan, { questions: 10 });
    for (const { stage, units } of cut) {
      expect([stage.name, units.length > 0]).toEqual([
        stage.name,
        ["asked", "measured", "trained"].includes(stage.kind),
      ]);
    }
    const units = unitsOfPlan(plan, { questions: 10 });
    expect(units).toEqual(unitsOfPlan(JSON.parse(JSON.stringify(plan)), { questions: 10 }));
    expect(new Set(units.map(({ id }) => id)).size).toBe(units.length);
    for (const { id } of units) expect(id).toMatch(/^[\w.+-]+\/\d{4}$/);
  });

  test.each([1, 7, 10, 1000])("blocks of about %i questions are all groups, once, in their order", (questions) => {
    const groups = cutGroups(hypotheticalQuestions(plan), plan.engine.groupQuestions);
    const parts = unitsOfPlan(plan, { questions }).flatMap(({ stage, part }) =>
      stage === "hypothetical" && part ? [part] : [],
    );
    let next = 0;
    for (const part of parts) {
      const [from, end] = groupsOfPart(groups, part);
      expect(from).toBe(next);
      for (const [first] of groups.slice(from, end)) expect(first?.state).toBe(part.state);
      next = end;
    }
    expect(next).toBe(groups.length);
  });

  test("a unit that makes its own state's questions alone has the groups of one that makes all, at their place", () => {
    const groups = cutGroups(hypotheticalQuestions(plan), plan.engine.groupQuestions);
    const states = matrixPredictors(plan);
    const cut = (state: string) => cutGroups(hypotheticalQuestions(plan, undefined, state), plan.engine.groupQuestions);
    const parts = unitsOfPlan(plan, { questions: 7 }).flatMap(({ stage, part }) =>
      stage === "hypothetical" && part ? [part] : [],
    );
    expect(parts.length).toBeGreaterThan(states.length);
    const known = new Map<string, CountedGroups>();
    for (const part of parts) {
      const whole = placedGroups(groups, part, new Map());
      expect(placedGroups({ states, of: cut }, part, new Map())).toEqual(whole);
      expect(placedGroups({ states, of: cut }, part, known)).toEqual(whole);
    }
    const [first, second] = states as [string, string];
    const turned = { state: second, at: 0, of: 1, states: [second, first] };
    expect(() => placedGroups({ states, of: cut }, turned, new Map())).toThrow(/is asked before/);
  });

  test("a state that is asked nothing after all stands where it would; states in another order are refused", () => {
    const groups = [["x"], ["x"], ["z"]].map((states) => states.map((state) => ({ state, key: "k" })));
    const part = (state: string, at = 0, of = 1) => ({ state, at, of, states: ["x", "y", "z"] });
    expect(groupsOfPart(groups, part("y"))).toEqual([2, 2]);
    expect(groupsOfPart(groups, part("z", 0, 2))).toEqual([2, 2]);
    expect(groupsOfPart(groups, part("z", 1, 2))).toEqual([2, 3]);
    expect(() => groupsOfPart(groups, { state: "x", at: 0, of: 1, states: ["z", "x"] })).toThrow("its parts are z, x");
  });

  test("what a unit reads is written in a lower wave, or by a stage without a model that reads lower waves alone", () => {
    const cut = cutStages(plan, { questions: 10 });
    const waveOf = (at: number): number =>
      Math.max(-1, ...cut.slice(0, at + 1).map(({ units }) => units[0]?.wave ?? -1));
    for (const { units, after } of cut) {
      for (const { wave, reads } of units) {
        const writers = reads.map((file) => stagesOf(plan).findIndex(({ writes }) => writes.includes(file)));
        expect(Math.max(-1, ...writers)).toBe(after);
        expect(wave).toBeGreaterThan(waveOf(after));
      }
    }
    const waves = new Map(cut.flatMap(({ stage, units: [unit] }) => (unit ? [[stage.name, unit.wave] as const] : [])));
    const trained = waves.get("training b-predicts-a-predicts-a") as number;
    expect(trained).toBeGreaterThan(waves.get("object-level, adapted") as number);
    expect(waves.get("distributions")).toBe(waves.get("hypothetical"));
  });

  test("what a unit takes is its share of what the dry run says of its state", () => {
    const time = (seconds: number) => ({ ok: true, seconds, basis: "measured" }) as const;
    const stage = (state: string, seconds: number) => ({ stage: "hypothetical", state, time: time(seconds) });
    const estimate = {
      stages: [stage("a", 90), stage("b", 30)],
      models: [{ model: "a", memory: { total: 5 } }],
      training: [{ adapter: "a-predicts-a", time: time(12), memory: { total: 9 } }],
    } as unknown as PlanEstimate;
    const units = unitsOfPlan(plan, { questions: 20 });
    const own = units.filter(({ stage: name, part }) => name === "hypothetical" && part?.state === "a");
    expect(own.length).toBe(2);
    expect(own.map((unit) => expectedOf(unit, estimate))).toEqual(Array(2).fill({ seconds: 45, memoryBytes: 5 }));
    const training = units.find(({ id }) => id.startsWith("05-adapters.a-predicts-a/"));
    expect(training && expectedOf(training, estimate)).toEqual({ seconds: 12, memoryBytes: 9 });
  });
});

test.each([
  ["cuda:1", { CUDA_VISIBLE_DEVICES: "1" }],
  ["vulkan:0", { GGML_VK_VISIBLE_DEVICES: "0" }],
  ["metal", {}],
  ["cpu", {}],
])("a worker on %s sees that device alone", (device, env) => {
  expect(environmentOf(device)).toEqual(env);
});

test.each(["cuda", "cuda:x", "cpu:1", "metal:0", "rocm:0", "", "cuda:1:2"])("the device %j is refused", (device) => {
  expect(() => environmentOf(device)).toThrow(/--devices has/);
});

describe("a lock of another machine", () => {
  afterEach(() => vi.unstubAllEnvs());
  const held = async (job?: { id: string; restarts: number }) => {
    const folder = await mkdtemp(join(tmpdir(), "inward-lock-"));
    await writeFile(join(folder, "run.lock"), JSON.stringify({ pid: 1, host: "another", started: "1", job }));
    return folder;
  };
  const begunAnew = (id: string, restarts: string) => {
    vi.stubEnv("SLURM_JOB_ID", id);
    vi.stubEnv("SLURM_RESTART_COUNT", restarts);
  };

  test("is taken over by the same job that Slurm has begun anew", async () => {
    const folder = await held({ id: "7", restarts: 0 });
    begunAnew("7", "1");
    const lock = await takeRunLock(folder);
    expect(JSON.parse(await readFile(join(folder, "run.lock"), "utf8")).job).toEqual({ id: "7", restarts: 1 });
    await lock.release();
  });

  test.each([
    ["another job", { id: "8", restarts: 0 }, "1"],
    ["the same attempt of it", { id: "7", restarts: 1 }, "1"],
    ["a later attempt", { id: "7", restarts: 2 }, "1"],
    ["no job", undefined, "1"],
    ["a count that is none", { id: "7", restarts: 0 }, "x"],
  ])("is believed of %s", async (_, job, restarts) => {
    const folder = await held(job);
    begunAnew("7", restarts);
    await expect(takeRunLock(folder)).rejects.toMatchObject({ code: "STORE_LOCKED" });
  });
});

test("replies that were given elsewhere are read whole, or not at all: one that is gone would count as in no log", async () => {
  const folder = await mkdtemp(join(tmpdir(), "inward-given-"));
  const reply = { text: "ä\u2028", stop: "end", tokenIds: [], logprobs: undefined };
  const given = new Map(Object.entries({ "a|one": reply, "a|two": "engine_crashed" }));
  const planned = { planHash: "p", models: {}, lensPaths: {}, vectorPaths: {}, cache: false, given };
  await writeSetUp(folder, planned as never);
  const setUp = await readSetUp(folder);
  expect([...(await readGiven(folder, setUp)).keys()]).toEqual(["a|one", "a|two"]);
  const path = join(folder, "units/given.jsonl");
  const text = await readFile(path, "utf8");
  for (const spoilt of ["", text.split("\n").slice(1).join("\n"), text.replace("ä", "a")]) {
    await writeFile(path, spoilt);
    await expect(readGiven(folder, setUp)).rejects.toMatchObject({ code: "STORE_CORRUPT" });
  }
});

test("more workers than a machine can have are refused before anything is written", async () => {
  const refused = runWithWorkers({ plan, folder: "/nowhere" } as never, { workers: 1e9 });
  await expect(refused).rejects.toMatchObject({
    code: "USAGE",
    message: expect.stringContaining("1000000000 workers"),
  });
});
