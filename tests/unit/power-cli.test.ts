/** `inward power` on a run whose answers are written down. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { powerCommand } from "../../src/cli/power.js";
import type { ModelFile } from "../../src/study/plan.js";
import { makePlan } from "../../src/study/make-plan.js";
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
tasks: [{ task: animals_long, trainStrings: 10, heldOutStrings: 20, properties: [first_word] }]
engine: { groupQuestions: 10 }
noiseFloor: { questions: 1 }
score: { bootstrapReplicates: 100 }
`;
const file: ModelFile = { source: "some-model", path: "/m", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };

let folder: string;

beforeAll(async () => {
  const plan = await makePlan(settledStudy(STUDY), { m: file, n: file }, ".");
  folder = await mkdtemp(join(tmpdir(), "inward-power-"));
  const run = await RunFolder.create(folder, plan);
  const wording = plan.wordings.properties.first_word as string;
  const animal = (text: string) => (text.length % 2 === 0 ? "bear" : "lion");
  // Both strings and questions decide: n says one word whatever the string.
  const open = async (state: string) => ({
    ...scriptedModel((text) => (state === "n" && text.includes(wording) ? "bear" : animal(text))),
    manifest: MANIFEST,
  });
  await runScripted(run, open);
  await run.close();
});

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
])("%j is refused", async (options, code) => {
  await expect(printed(powerCommand(), folder, ...options)).rejects.toMatchObject({ code });
});
