/** Calibration through the command line on a tiny model: in a run, alone, resumed, with adapters, and of one model without a study. */
import { cp, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { calibrate, runStudy, score } from "inward";
import { findAddon } from "../../src/model/native/addon.js";
import type { MeasuredDistribution } from "../../src/ask/measure-distribution.js";
import type { CalibrationScores } from "../../src/score/calibration/score-calibration.js";
import { inward, inwardHere, start } from "../helpers/command-line.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { workIn } from "../helpers/work-in.js";

const STUDY = `
study: calibrated
seed: 5
models: { tiny: { source: ./tiny.gguf } }
tasks: [{ task: animals_long, trainStrings: 2, heldOutStrings: 4, properties: [first_character, third_word] }]
engine: { device: cpu, threads: 1 }
noiseFloor: { questions: 4 }
score: { bootstrapReplicates: 200 }
calibration: { strings: 3, epsilon: 0.03, tokenBudget: 1000, samples: 10 }
`;
const FILES = ["07-distributions.jsonl", "08-calibration.json"];

// Without a compiler there are samples only.
const addon = await findAddon().then(
  () => true,
  () => false,
);

let folder: string;
let whole: string;
const call = (...args: readonly string[]) => inwardHere(args, { cwd: folder });
const read = (out: string, name: string) => readFile(join(out, name), "utf8");
const results = async (out: string) => Promise.all(FILES.map((name) => read(out, name)));
const distributions = async (out: string): Promise<MeasuredDistribution[]> =>
  (await read(out, "07-distributions.jsonl"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
const massOf = ({ distribution }: MeasuredDistribution) =>
  [...distribution.values.map(({ probability }) => probability), ...Object.values(distribution.notCompliant)].reduce(
    (sum, mass) => sum + mass,
    distribution.method === "expansion" ? distribution.tail : 0,
  );

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-calibration-"));
  await writeTinyModel(join(folder, "tiny.gguf"), { seed: 11, contextLength: 1024 });
  await writeFile(join(folder, "study.yaml"), STUDY);
  await writeFile(join(folder, "bare.yaml"), STUDY.replace(/^calibration:.*$/m, ""));
  whole = join(folder, "whole");
  const restore = workIn(folder);
  await runStudy("study.yaml", { out: whole });
  return restore;
});

describe("a study with a calibration", () => {
  test("measures every question once, whole, and says how", async () => {
    const measured = await distributions(whole);
    expect(measured).toHaveLength(2 * 3 * 2);
    expect(new Set(measured.map(({ key }) => key)).size).toBe(measured.length);
    for (const one of measured) {
      expect(massOf(one)).toBeCloseTo(1, 9);
      if (one.side === "object_level" && one.property === "third_word") {
        expect(one.distribution).toMatchObject({ method: "samples", because: "long_answer", samples: 10 });
      }
    }
    expect(measured.some(({ distribution }) => distribution.method === "expansion")).toBe(addon);
  });

  test("scores the predictor beside the constant one, and the report has it", async () => {
    const scores = JSON.parse(await read(whole, "08-calibration.json")) as CalibrationScores;
    expect(scores.rows.map(({ predictor, target, kind, property }) => [predictor, target, kind, property])).toEqual([
      ["tiny", "tiny", "untrained", undefined],
      ["tiny", "tiny", "untrained", "first_character"],
      ["tiny", "tiny", "untrained", "third_word"],
    ]);
    expect(await read(whole, "09-report.md")).toMatch(/calibration/i);
  });

  test("is found again, and scored again from its distributions alone", async () => {
    const copy = join(folder, "rescored");
    await cp(whole, copy, { recursive: true });
    await writeFile(join(copy, "08-calibration.json"), "{}");
    await score(copy);
    await runStudy("study.yaml", { out: copy });
    expect(await results(copy)).toEqual(await results(whole));
  });

  test("is refused when a distribution was changed by hand", async () => {
    const copy = join(folder, "spoilt");
    await cp(whole, copy, { recursive: true });
    const text = await read(copy, "07-distributions.jsonl");
    await writeFile(join(copy, "07-distributions.jsonl"), text.replace('"tiny"', '"tony"'));
    await expect(runStudy("study.yaml", { out: copy })).rejects.toMatchObject({ code: "STORE_CORRUPT" });
  });
});

describe("inward calibrate with a study", () => {
  test("measures and scores what a run would, and nothing else; the run then goes on from there", async () => {
    const out = join(folder, "alone");
    const finished = await inward(["calibrate", "study.yaml", "--out", out], { cwd: folder });
    expect([finished.code, finished.stdout]).toEqual([0, expect.stringContaining("tiny → tiny")]);
    expect((await readdir(out)).filter((name) => /^0[2-9]/.test(name)).sort()).toEqual(FILES);
    expect(await results(out)).toEqual(await results(whole));
    expect((await call("run", "study.yaml", "--out", out)).code).toBe(0);
    expect(await results(out)).toEqual(await results(whole));
  });

  test("killed after each of its first groups, it ends with the same bytes", async () => {
    const out = join(folder, "killed");
    let kills = 0;
    for (; kills < 2; kills++) {
      const { child, finished } = start(["calibrate", "study.yaml", "--out", out], { cwd: folder });
      const events = async () => (await read(out, "events.jsonl").catch(() => "")).split("group_measured").length;
      const before = await events();
      const watch = setInterval(async () => {
        if ((await events()) > before) child.kill("SIGKILL");
      }, 5);
      const { signal } = await finished;
      clearInterval(watch);
      if (signal !== "SIGKILL") break;
    }
    // A fast machine may be through before the second.
    expect(kills).toBeGreaterThan(0);
    expect((await call("calibrate", "study.yaml", "--out", out)).code).toBe(0);
    expect(await results(out)).toEqual(await results(whole));
  });

  test("by Ctrl-C leaves with 130 and goes on", async () => {
    const out = join(folder, "interrupted");
    const { child, finished } = start(["calibrate", "study.yaml", "--out", out], { cwd: folder });
    // Said before the first group: a fast machine is through with all of them in a moment.
    child.stderr?.on("data", (text: string) => {
      if (text.includes("distributions:") && !child.killed) child.kill("SIGINT");
    });
    const { code, stderr } = await finished;
    expect([code, stderr]).toEqual([130, expect.stringContaining("INTERRUPTED")]);
    expect((await call("calibrate", "study.yaml", "--out", out)).code).toBe(0);
    expect(await results(out)).toEqual(await results(whole));
  });

  test("takes the defaults where the study has no section, and says so", async () => {
    // Samples are the quicker way on a tiny model.
    const few = [
      ...["--set", "tasks=[{task: animals_long, heldOutStrings: 1, properties: [first_character]}]"],
      ...["--set", "engine.engine=node-llama-cpp"],
    ];
    const finished = await call("calibrate", "bare.yaml", "--out", join(folder, "bare"), ...few, "--json");
    expect([finished.code, finished.stderr]).toEqual([0, expect.stringContaining("--set calibration={}")]);
    const { calibration } = JSON.parse(await read(join(folder, "bare"), "01-plan.json"));
    expect(calibration).toMatchObject({ strings: 50, samples: 200 });
    expect(JSON.parse(finished.stdout).scores.rows[0]).toMatchObject({ comparisons: 1, strings: 1 });
  });

  test.skipIf(!addon)("trains the adapters that it needs, and measures the states that carry them", async () => {
    const out = join(folder, "trained");
    const set = {
      tasks: [{ task: "animals_long", trainStrings: 8, heldOutStrings: 2, properties: ["first_character"] }],
      lora: { rank: 2, batchExamples: 4, validationShare: 0 },
      "calibration.strings": 2,
    };
    const { rows } = (await calibrate("study.yaml", { out, set })).scores;
    const kinds = rows
      .filter(({ property }) => property === undefined)
      .map(({ predictor, target, kind }) => [predictor, target, kind]);
    expect(kinds).toEqual([
      ["tiny", "tiny", "untrained"],
      ["tiny-predicts-tiny", "tiny", "self"],
      ["tiny-predicts-tiny", "tiny-predicts-tiny", "self"],
      ["tiny", "tiny-predicts-tiny", "untrained"],
    ]);
    const all = await distributions(out);
    const said = (state: string) =>
      all
        .filter((one) => one.state === state && one.side === "hypothetical")
        .map(({ distribution }) => distribution.values);
    expect(said("tiny-predicts-tiny")).toHaveLength(2);
    expect(said("tiny-predicts-tiny")).not.toEqual(said("tiny"));
    expect(await readdir(out)).not.toContain("07-hypothetical.jsonl");
  });
});

describe("inward distribution", () => {
  const quick = (...more: readonly string[]) =>
    call(
      ...["distribution", "--model", "tiny.gguf", "--device", "cpu", "--set", "engine.threads=1"],
      ...[
        "--set",
        "calibration.tokenBudget=1000",
        "--set",
        "calibration.samples=10",
        "--set",
        "calibration.epsilon=0.03",
      ],
      ...["--set", "score.bootstrapReplicates=200", "-p", "first_character", ...more],
    );
  const OF_A_TASK = ["--task", "animals_long", "--strings", "2"];

  test("shows both sides of every string, and the scores", async () => {
    const { code, stdout } = await quick(...OF_A_TASK);
    expect(code).toBe(0);
    expect(stdout.match(/^--- held_out/gm)).toHaveLength(2);
    expect(stdout).toMatch(/p object-level +p hypothetical/);
    expect(stdout).toContain("shows no value");
    expect(stdout).toContain("MAD");
  });

  test("gives everything as JSON, the same twice, and another with an adapter", async () => {
    await writeTinyAdapter(join(folder, "adapter.gguf"));
    const first = JSON.parse((await quick(...OF_A_TASK, "--json")).stdout);
    expect(first.distributions).toHaveLength(4);
    expect(first.scores.rows[0]).toMatchObject({ kind: "untrained", comparisons: 2 });
    expect(JSON.parse((await quick(...OF_A_TASK, "--json")).stdout).distributions).toEqual(first.distributions);
    const adapted = JSON.parse((await quick(...OF_A_TASK, "--json", "--adapter", "adapter.gguf")).stdout);
    expect(adapted.adapter).toMatchObject({ scale: 1, base: "no_card" });
    expect(adapted.scores.rows[0].kind).toBe("self");
    expect(adapted.distributions).not.toEqual(first.distributions);
  });

  test("draws samples, and says why, where the engine cannot list next tokens", async () => {
    const { distributions: drawn } = JSON.parse(
      (await quick(...OF_A_TASK, "--json", "--set", "engine.engine=node-llama-cpp")).stdout,
    );
    for (const { distribution } of drawn) expect(distribution).toMatchObject({ method: "samples", because: "engine" });
  });

  test("of one prompt has no scores, and both sides", async () => {
    const seen = JSON.parse((await quick("Name an animal.", "--json")).stdout);
    expect(seen.strings).toEqual([{ item: "prompt", text: "Name an animal." }]);
    expect(seen.distributions.map(({ side }: MeasuredDistribution) => side)).toEqual(["object_level", "hypothetical"]);
    for (const one of seen.distributions) expect(massOf(one)).toBeCloseTo(1, 9);
    expect(seen).not.toHaveProperty("scores");
  });

  test.each([
    ["neither prompt nor task", [], /give one of the two/],
    ["both", ["Name an animal.", "--task", "animals_long"], /give one of the two/],
    ["a prompt without a property", ["Name an animal."], /wants a property/],
    ["a property that needs a task", ["Name one.", "-p", "matches_myopic_reward"], /PROPERTY_NOT_APPLICABLE/],
    ["no whole number", ["--task", "animals_long", "-n", "few"], /--strings/],
    ["a property of other tasks", ["--task", "animals_long", "-p", "is_even"], /PROPERTY_NOT_APPLICABLE/],
    ["an unknown key", ["--task", "animals_long", "--set", "calibration.sample=3"], /"samples"/],
  ])("%s is refused", async (_, args, words) => {
    const finished = await call("distribution", "--model", "tiny.gguf", ...args);
    expect([finished.code, finished.stderr]).toEqual([2, expect.stringMatching(words)]);
  });

  test.each([
    ["without a study", []],
    ["with a task", ["--task", "animals_long", "--model", "tiny.gguf"]],
    ["with a task and a study", ["study.yaml", "--task", "animals_long"]],
  ])("is what calibrate sends to, %s", async (_, args) => {
    const finished = await call("calibrate", ...args);
    expect([finished.code, finished.stderr]).toEqual([2, expect.stringContaining("npx inward distribution --task")]);
  });
});
