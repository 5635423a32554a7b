/** `inward power` on a run whose answers are written down. */
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { powerCommand } from "../../src/cli/power.js";
import { summarize } from "../../src/cli/summary.js";
import type { ExperimentResults } from "../../src/score/verdicts/experiments.js";
import { powerAssumed, powerFromPilot } from "../../src/run/primary-power.js";
import type { ModelFile, PlannedPrimary } from "../../src/study/plan.js";
import { planRun } from "../../src/run/planning.js";
import { RunFolder } from "../../src/run/folder.js";
import { MANIFEST } from "../fixtures/report/make-report-input.js";
import { printed } from "../helpers/printed.js";
import { runScripted } from "../helpers/scripted-run.js";
import { scriptedModel } from "../helpers/scripted-model.js";
import { settledStudy } from "../helpers/settled-study.js";

const STUDY = `
study: pilot
models: { m: { source: some-model }, n: { source: some-model } }
predictions: [{ predictor: m, target: m }, { predictor: n, target: m }]
tasks: [{ task: animals_long, trainStrings: 10, heldOutStrings: 20, examples: false, properties: [first_word] }]
engine: { groupQuestions: 10 }
noiseFloor: { questions: 1 }
score: { bootstrapReplicates: 100 }
`;
const file: ModelFile = { source: "some-model", path: "", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };

let folder: string;
/** The same, of a study that names what it is judged by. */
let primary: string;

beforeAll(async () => {
  folder = await runOf(STUDY);
  primary = await runOf(
    `${STUDY}primary: { experiment: self_prediction, target: m, strings: 20, smallestDifference: 0.05 }\n`,
  );
});

async function runOf(study: string): Promise<string> {
  const plan = await planRun(settledStudy(study), { m: file, n: file }, ".");
  const path = await mkdtemp(join(tmpdir(), "inward-power-"));
  const run = await RunFolder.create(path, plan);
  const wording = plan.wordings.properties.first_word as string;
  const animal = (text: string) => (text.length % 2 === 0 ? "bear" : "lion");
  // Both strings and questions decide: n says one word whatever the string.
  const open = async (state: string) => ({
    ...scriptedModel((text) => (state === "n" && text.includes(wording) ? "bear" : animal(text))),
    manifest: MANIFEST,
  });
  await runScripted(run, open);
  await run.close();
  return path;
}

test("says for each difference how many strings it takes, and what that assumes", async () => {
  const text = await printed(powerCommand(), folder, "--difference", "10");
  expect(text).toContain("self minus cross: m minus n, about m");
  expect(text).toContain("above the mode baseline (train labels): n minus mode_train, about m");
  expect(text).toMatch(/task +strings in the run +for power 0\.8 +for power 0\.9/);
  expect(text).toMatch(/animals_long +20 +\d+ +\d+/);
  expect(text).toContain("- strings are independent of each other");
});

test("--json is the same as data", async () => {
  const { differences } = JSON.parse(
    await printed(powerCommand(), folder, "--difference", "10", "--power", "0.8", "--json"),
  );
  expect(differences[0]).toMatchObject({
    name: "self_minus_cross",
    contrast: { target: "m", self: "m", cross: "n" },
    calculations: [{ ok: true, difference: 0.1, power: 0.8, pilot: { strings: 20, trials: 20, tasks: 1 } }],
  });
  expect(differences[0].calculations[0].strings).toBeGreaterThan(20);
});

test.each([
  [["--difference", "five"], "USAGE"],
  [["--difference", "5", "--average", "mean"], "USAGE"],
  [["--difference", "-5"], "STUDY_INVALID"],
  [[], "USAGE"],
])("%j is refused", async (options, code) => {
  await expect(printed(powerCommand(), folder, ...options)).rejects.toMatchObject({ code });
});

describe("of a study that names its primary contrast", () => {
  test("tells the power of a yes against everything at once, and how many strings a no takes", async () => {
    const text = await printed(powerCommand(), primary);
    expect(text).toContain(
      "primary contrast: self_prediction, m, about m, all, micro average, 20 strings, 5 points count",
    );
    expect(text).toMatch(/mode_train +[+-][\d.]+ +[\d.]+ +20 +20/);
    expect(text).toMatch(/all comparisons together, with mode_train, best_heuristic/);
    expect(text).toMatch(/yes, \+8\.0 points +0\.\d\d +\d+ +\d+/);
    expect(text).toMatch(/no \(below 5 points\), 0 +0\.\d\d +\d+ +\d+/);
    expect(text).toContain("- yes = in every comparison the interval lies above 5 points");
    expect(text).not.toContain("exploratory");
  });

  test("--json has it beside the comparisons that --difference asks for, which are exploratory", async () => {
    const json = JSON.parse(await printed(powerCommand(), primary, "--difference", "20", "--json"));
    const { pilot, power } = json.primary;
    expect(pilot).toMatchObject({ study: "pilot", tasks: ["animals_long"] });
    expect(power).toMatchObject({ ok: true, basis: "pilot", kind: "micro", smallestDifference: 0.05, strings: 20 });
    expect(power.yes.map((one: { difference: number }) => one.difference)).toEqual([0.2]);
    const alone = Math.max(
      ...power.comparisons.map((one: { no: { needed: { strings: number }[] } }) => one.no.needed[1]?.strings),
    );
    expect(power.no.needed[1]).toEqual({ power: 0.9, strings: alone });
    expect(json.differences.length).toBeGreaterThan(0);
    expect(await printed(powerCommand(), primary, "--difference", "20")).toContain(
      "exploratory, each comparison alone",
    );
  });

  test("its run says which verdict is the primary one, in the data, in the report and on the terminal", async () => {
    const experiments = JSON.parse(await readFile(join(primary, "08-experiments.json"), "utf8")) as ExperimentResults;
    const verdicts = experiments.experiments.flatMap((one) => one.verdicts);
    expect(verdicts.map(({ status, about }) => [about.kind, status])).toEqual([
      ["self", "primary"],
      ["self_and_cross", "exploratory"],
    ]);
    expect(experiments.primary).toMatchObject({ experiment: "self_prediction", smallestDifference: 0.05 });
    const report = await readFile(join(primary, "09-report.md"), "utf8");
    expect(report).toMatch(/Primary: (yes|no|cannot be told)/);
    expect(report).toMatch(/Exploratory: (yes|no|cannot be told)/);
    expect(report).toContain("Exploratory: the study is judged by its primary contrast");
    const plan = JSON.parse(await readFile(join(primary, "01-plan.json"), "utf8"));
    const scores = JSON.parse(await readFile(join(primary, "08-scores.json"), "utf8"));
    expect(scores.standing).toContain("whose verdict stands in 08-experiments.json");
    const { text } = await summarize({ folder: primary, plan, scores, experiments });
    expect(text).toMatch(/The primary contrast was settled in the plan.*\nSelf-prediction, m, about itself: primary: /);
    expect(text).toMatch(/Self against others, m against n, about m: exploratory: /);
  });

  test("a difference that does not count is refused", async () => {
    const refused = printed(powerCommand(), primary, "--difference", "4");
    await expect(refused).rejects.toMatchObject({
      code: "STUDY_INVALID",
      message: expect.stringContaining("must be above 5 points"),
    });
  });
});

describe("the power of a plan", () => {
  const planned = async (more: string) => {
    const plan = await planRun(settledStudy(`${STUDY}${more}`), { m: file, n: file }, ".");
    return { ...plan, primary: plan.primary as PlannedPrimary };
  };

  test("from a pilot of another study is that of the pilot's strings", async () => {
    const plan = await planned("primary: { experiment: cross_prediction, strings: 20 }\n");
    const { pilot, power } = await powerFromPilot(plan, folder, { differences: [0.3] });
    expect(pilot).toMatchObject({ study: "pilot" });
    expect(power).toMatchObject({ ok: true, comparisons: [{ against: "cross", pilot: { strings: 20 } }] });
  });

  test("of a pilot that has nothing of the contrast is refused", async () => {
    const other = STUDY.replace("animals_long", "countries_long").replace("study: pilot", "study: other");
    const plan = await planRun(
      settledStudy(`${other}primary: { experiment: cross_prediction, strings: 20 }\n`),
      { m: file, n: file },
      ".",
    );
    await expect(powerFromPilot({ ...plan, primary: plan.primary as PlannedPrimary }, folder)).rejects.toMatchObject({
      code: "STUDY_INVALID",
      message: expect.stringMatching(/is no pilot of the primary contrast.*countries_long/),
    });
  });

  test("without a pilot says whom it counts and what it assumes", async () => {
    const plan = await planned("primary: { experiment: self_prediction, target: m, strings: 20 }\n");
    const { pilot, power } = powerAssumed(plan, 0.4);
    expect(pilot).toBeUndefined();
    if (!power.ok) throw new Error(power.reason);
    expect(power.basis).toBe("assumption");
    expect(power.comparisons.map(({ against }) => against)).toEqual(["mode_train", "best_heuristic", "input_only"]);
    expect(power.assumptions.join("\n")).toContain("in 40 % of a string's trials");
  });
});
