/** `primary:` and `excludeStringsOf:`: what a plan holds of them, and what is refused before anything is asked. */
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { hashOf, writeJson } from "../../src/base/files.js";
import { RunFolder } from "../../src/run/folder.js";
import { planRun } from "../../src/run/planning.js";
import { type ModelFile, type Plan, readPlan } from "../../src/study/plan.js";
import { sameText } from "../../src/tasks/strings.js";
import { settledStudy } from "../helpers/settled-study.js";

const file: ModelFile = { source: "some-model", path: "", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };
const plan = (yaml: string, folder = ".") => planRun(settledStudy(yaml), { m: file, n: file }, folder);
const code = (name: string, text: RegExp) =>
  expect.objectContaining({ code: name, message: expect.stringMatching(text) });

const TRAINED = `
study: trained
models: { m: { source: some-model }, n: { source: some-model } }
tasks:
  - { task: animals_long, trainStrings: 5, heldOutStrings: 12, properties: [first_word] }
  - { task: countries_long, trainStrings: 5, heldOutStrings: 9, properties: [first_word] }
  - { task: english_words_long, trainStrings: 5, heldOutStrings: 7, properties: [first_word], train: false }
predictions:
  - { predictor: m, target: m }
  - { predictor: n, target: m }
  - { predictor: n, target: m-predicts-m }
lora: { rank: 2, alpha: 4 }
changes: [{ name: last, model: m, answers: { policy: last_item }, tasks: [animals_long] }]
`;
const withPrimary = (primary: string) => `${TRAINED}primary: ${primary}\n`;

describe("primary", () => {
  test("stands settled in the plan: what could be meant in one way only is filled in, and the scope is the held-out task's", async () => {
    const planned = await plan(withPrimary("{ experiment: self_prediction, target: m-predicts-m, strings: 7 }"));
    expect(planned.primary).toEqual({
      experiment: "self_prediction",
      self: "m-predicts-m",
      target: "m-predicts-m",
      scope: "held_out_tasks",
      average: "micro",
      smallestDifference: 0.02,
      strings: 7,
    });
    expect(readPlan(planned, "01-plan.json")).toBe(planned);
  });

  test.each([
    ["{ experiment: self_prediction, target: m, scope: held_out_strings, strings: 21 }", "held_out_strings", 21],
    [
      "{ experiment: cross_prediction, cross: n-predicts-m-predicts-m, average: macro, strings: 7 }",
      "held_out_tasks",
      7,
    ],
    ["{ experiment: behavioral_change, strings: 16 }", "elsewhere", 16],
    ["{ experiment: behavioral_change, change: last, scope: taught, strings: 12 }", "taught", 12],
  ])("%s is of scope %s, with %i strings", async (primary, scope, strings) => {
    expect((await plan(withPrimary(primary))).primary).toMatchObject({ scope, strings });
  });

  test("where nothing is trained the scope is all", async () => {
    const untrained = `
study: untrained
models: { m: { source: some-model } }
tasks: [{ task: animals_long, trainStrings: 3, heldOutStrings: 4 }]
primary: { experiment: self_prediction, strings: 4, smallestDifference: 0.05 }
`;
    const { primary } = await plan(untrained);
    expect(primary).toMatchObject({ self: "m", target: "m", scope: "all", smallestDifference: 0.05 });
  });

  test.each([
    [
      "another number of strings",
      "{ experiment: self_prediction, target: m-predicts-m, strings: 500 }",
      "STUDY_INVALID",
      /promises 500 held-out strings, and the plan has 7 of scope held_out_tasks/,
    ],
    [
      "a name that no state has",
      "{ experiment: self_prediction, target: m-predict-m, strings: 7 }",
      "STUDY_UNKNOWN_MODEL",
      /primary.target names "m-predict-m".*Did you mean "m-predicts-m"/,
    ],
    [
      "a change that is none",
      "{ experiment: behavioral_change, change: lst, strings: 7 }",
      "STUDY_UNKNOWN_MODEL",
      /primary.change.*Did you mean "last"/,
    ],
    [
      "several contrasts",
      "{ experiment: self_prediction, strings: 7 }",
      "STUDY_INVALID",
      /2 contrasts of self_prediction.*target: m \}; .*target: m-predicts-m \}/,
    ],
    [
      "a contrast that is not made",
      "{ experiment: cross_prediction, self: m, target: m, strings: 7 }",
      "STUDY_INVALID",
      /does not compare; its contrasts of cross_prediction: \{ self: m-predicts-m/,
    ],
    [
      "a side that means nothing",
      "{ experiment: self_prediction, cross: n, strings: 7 }",
      "STUDY_INVALID",
      /cross, which means nothing for self_prediction/,
    ],
    [
      "a scope that is not there",
      "{ experiment: self_prediction, target: m, scope: held_out_properties, strings: 7 }",
      "STUDY_INVALID",
      /held_out_properties, of which the plan has no string; it has held_out_tasks \(7 strings\), held_out_strings \(21/,
    ],
    [
      "a scope of changes",
      "{ experiment: self_prediction, target: m, scope: taught, strings: 7 }",
      "STUDY_INVALID",
      /scope taught, of which/,
    ],
    [
      "a change by the macro average",
      "{ experiment: behavioral_change, average: macro, strings: 16 }",
      "STUDY_INVALID",
      /judged by the micro average alone/,
    ],
  ])("with %s is refused", async (_, primary, expected, words) => {
    await expect(plan(withPrimary(primary))).rejects.toEqual(code(expected, words));
  });

  test.each([
    [
      "calibration",
      "{ experiment: calibration, strings: 7 }",
      /primary.experiment: cannot be calibration, which rests on skill/,
    ],
    ["the matrix", "{ experiment: matrix, strings: 7 }", /cannot be matrix/],
    ["limits", "{ experiment: limits, strings: 7 }", /cannot be limits/],
    [
      "points in the place of a share",
      "{ experiment: self_prediction, strings: 7, smallestDifference: 2 }",
      /primary.smallestDifference: must be at most 0.5: a share, 0.02 for two points, found 2/,
    ],
    [
      "no difference that counts",
      "{ experiment: self_prediction, strings: 7, smallestDifference: 0 }",
      /must be above 0/,
    ],
    ["no number of strings", "{ experiment: self_prediction }", /primary.strings is missing/],
  ])("with %s is refused when it is read", (_, primary, words) => {
    expect(() => settledStudy(withPrimary(primary))).toThrow(code("STUDY_INVALID", words));
  });

  test("an experiment that the study leaves out is refused", async () => {
    const yaml = `${withPrimary("{ experiment: behavioral_change, strings: 16 }")}experiments: [self_prediction]\n`;
    await expect(plan(yaml)).rejects.toEqual(code("STUDY_INVALID", /behavioral_change, which experiments leaves out/));
  });

  test("another one is another plan, whose run folder is refused", async () => {
    const first = await plan(withPrimary("{ experiment: self_prediction, target: m-predicts-m, strings: 7 }"));
    const other = await plan(
      withPrimary("{ experiment: self_prediction, target: m-predicts-m, strings: 7, smallestDifference: 0.01 }"),
    );
    expect(hashOf(other)).not.toBe(hashOf(first));
    expect(hashOf(await plan(TRAINED))).not.toBe(hashOf(first));
    const folder = await mkdtemp(join(tmpdir(), "inward-primary-"));
    await (await RunFolder.create(folder, first)).close();
    await expect(RunFolder.create(folder, other)).rejects.toMatchObject({ code: "STORE_OTHER_PLAN" });
  });

  test("of a plan names states that the plan has", async () => {
    const planned = await plan(withPrimary("{ experiment: self_prediction, target: m, strings: 7 }"));
    const wrong = { ...planned, primary: { ...planned.primary, self: "nobody" } };
    expect(() => readPlan(wrong, "01-plan.json")).toThrow(
      code("STORE_CORRUPT", /primary.self.*"nobody" is no model state/),
    );
  });
});

describe("excludeStringsOf", () => {
  const PILOT = `
study: pilot
seed: 1
models: { m: { source: some-model } }
tasks: [{ task: animals_long, trainStrings: 40, heldOutStrings: 60 }]
`;
  const MAIN = `
study: main
seed: 2
models: { m: { source: some-model } }
tasks: [{ task: animals_long, trainStrings: 30, heldOutStrings: 50 }]
`;
  let root: string;
  let pilot: Plan;
  const put = async (name: string, content: unknown) => {
    await mkdir(join(root, name), { recursive: true });
    await writeJson(join(root, name, "01-plan.json"), content);
  };
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "inward-pilot-"));
    pilot = await plan(PILOT);
    await put("runs/pilot", pilot);
  });
  const textsOf = (...plans: Plan[]) =>
    plans.flatMap(({ tasks }) =>
      tasks.flatMap(({ train, heldOut }) => [...train, ...heldOut].map(({ text }) => sameText(text))),
    );
  const shared = (one: readonly string[], other: readonly string[]) =>
    one.filter((text) => other.includes(text)).length;

  test("what the pilot asked or trained on is never chosen, and the plan says whose strings and how many", async () => {
    const overlapping = textsOf(await plan(MAIN, root));
    expect(shared(overlapping, textsOf(pilot))).toBeGreaterThan(0);
    const main = await plan(`${MAIN}excludeStringsOf: runs/pilot\n`, root);
    expect(shared(textsOf(main), textsOf(pilot))).toBe(0);
    expect(main.excluded).toEqual([{ study: "pilot", planHash: hashOf(pilot), strings: 100 }]);
    expect(JSON.stringify(main)).not.toContain(root);
    expect(readPlan(main, "01-plan.json")).toBe(main);
  });

  test("of several runs each counts", async () => {
    const second = await plan(`${MAIN}excludeStringsOf: runs/pilot\n`, root);
    await put("runs/second", second);
    const third = await plan(`${MAIN}excludeStringsOf: [runs/pilot, runs/second]\n`, root);
    expect(third.excluded?.map(({ strings }) => strings)).toEqual([100, 80]);
    expect(shared(textsOf(third), textsOf(pilot, second))).toBe(0);
  });

  test("a folder that is no run is refused", async () => {
    const missing = plan(`${MAIN}excludeStringsOf: runs/pilto\n`, root);
    await expect(missing).rejects.toEqual(code("STORE_NOT_A_RUN", /excludeStringsOf names runs\/pilto/));
    await mkdir(join(root, "runs/spoilt"), { recursive: true });
    await writeFile(join(root, "runs/spoilt/01-plan.json"), "{}");
    await expect(plan(`${MAIN}excludeStringsOf: runs/spoilt\n`, root)).rejects.toMatchObject({ code: "STORE_CORRUPT" });
  });

  test("another task of the same name is refused", async () => {
    const [task] = pilot.tasks;
    const heldOut = task?.heldOut.map((item, at) => (at === 0 ? { ...item, text: "something else" } : item));
    await put("runs/other", { ...pilot, tasks: [{ ...task, heldOut }] });
    await expect(plan(`${MAIN}excludeStringsOf: runs/other\n`, root)).rejects.toEqual(
      code("STUDY_INVALID", /1 of the 100 strings that runs\/other has of animals_long, such as "something else"/),
    );
  });

  test("a run that asked none of the study's strings is refused", async () => {
    const other = MAIN.replace("animals_long", "countries_long");
    await expect(plan(`${other}excludeStringsOf: runs/pilot\n`, root)).rejects.toEqual(
      code("STUDY_INVALID", /runs\/pilot \(study pilot\), which asked none of this study's strings/),
    );
  });

  test("where too few are left the numbers are said", async () => {
    const all = await plan(PILOT.replace("heldOutStrings: 60", "heldOutStrings: 460"));
    await put("runs/large", all);
    await expect(plan(`${MAIN}excludeStringsOf: runs/large\n`, root)).rejects.toEqual(
      code(
        "STUDY_NOT_ENOUGH_STRINGS",
        /asks for 50; there are 40 without the 460 of 500 that excludeStringsOf leaves out/,
      ),
    );
  });
});
