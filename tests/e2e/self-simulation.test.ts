/** A study that writes inside: its files, its verdict, its report; and one patch from the command line. */
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import type { PatchedRow } from "../../src/ask/patched-distributions.js";
import { exportRun } from "../../src/exchange/export-run.js";
import { type PlantedStudy, writePlantedStudy } from "../../src/probe/planted-model.js";
import { dryRun } from "../../src/run/dry-run.js";
import { runStudy, score } from "../../src/run/run-study.js";
import type { SimulationResults } from "../../src/score/simulation/simulation.js";
import { inwardHere } from "../helpers/command-line.js";

const folder = mkdtempSync(join(tmpdir(), "inward-self-simulation-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const STRINGS = 18;
const MEASURED = { epsilon: 0.01, tokenBudget: 4096, mostTail: 0.1, samples: 3 };
const KEYS = {
  engine: { device: "cpu", threads: 1 },
  noiseFloor: { questions: 0 },
  experiments: ["self_simulation"],
  patching: { sites: "residual_after.0", strings: STRINGS, ...MEASURED },
  calibration: { strings: STRINGS, ...MEASURED },
};
const run = join(folder, "run");
const linesOf = <Row>(path: string) =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);
const coded = (code: string, message = "") =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

let planted: PlantedStudy;
beforeAll(async () => {
  planted = await writePlantedStudy(folder, { mechanism: "A", items: 6 });
  const keys = parse(readFileSync(planted.study, "utf8"));
  writeFileSync(planted.study, stringify({ ...keys, ...KEYS }));
  await runStudy(planted.study, { out: run });
}, 120_000);

test("it simulates, and the verdict and the report say so, with what weakens it", () => {
  const { questions } = JSON.parse(readFileSync(join(run, "08-simulation.json"), "utf8")) as SimulationResults;
  expect(questions).toMatchObject([
    { state: "planted", finding: "simulates", strings: STRINGS, leftOut: {}, isSaidAlike: true },
  ]);
  const { experiments } = JSON.parse(readFileSync(join(run, "08-experiments.json"), "utf8"));
  expect(experiments).toMatchObject([
    {
      name: "self_simulation",
      verdicts: [
        {
          finding: "exceeds",
          decidedBy: "slope/steered",
          reservations: [{ kind: "donors_said_alike" }, { kind: "moved_by_vectors_alone" }],
        },
      ],
    },
  ]);
  const text = readFileSync(join(run, "09-report.md"), "utf8");
  expect(text).toContain(
    "Predictions go through a simulated behavior: Δ prediction on Δ behavior at residual\\_after.0",
  );
  expect(text).toContain("What follows when something is written inside");
});

test("a row says what was written; a null patch is what calibration measures", () => {
  const rows = linesOf<PatchedRow>(join(run, "07-patches.jsonl"));
  const of = (side: string, kind: string) => rows.filter((row) => row.side === side && row.kind === kind);
  // At the declared site and at the end of the last layer.
  for (const kind of ["other", "same", "steered", "counter", "random", "shifted"]) {
    expect(of("hypothetical", kind)).toHaveLength(2 * STRINGS);
  }
  for (const kind of ["steered", "counter"]) expect(of("object_level", kind)).toHaveLength(2 * STRINGS);
  const value = (item?: string) => planted.strings[Number(item?.slice("pair-".length))]?.value;
  for (const row of rows) {
    expect(row.own).toBe(value(row.item));
    if (row.kind === "other" || row.kind === "same") expect(row.toward).toBe(value(row.donor));
    if (row.kind === "other") expect(row.toward).not.toBe(row.own);
    if (row.kind === "same") expect(row.toward).toBe(row.own);
  }
  const measured = linesOf<{ side: string; item: string; distribution: { followed?: unknown } }>(
    join(run, "07-distributions.jsonl"),
  );
  for (const { side, item, distribution } of measured) {
    const { followed, ...rest } = distribution;
    expect(followed).not.toEqual([]);
    expect(of(side, "none").find((row) => row.item === item)?.distribution).toEqual(rest);
  }
  expect(measured).toHaveLength(2 * STRINGS);
});

test("a run that was killed while it patched goes on, to the same bytes; scoring again gives the same bytes", async () => {
  const copy = join(folder, "copy");
  cpSync(run, copy, { recursive: true });
  const files = ["07-patches.jsonl", "08-simulation.json"].map((name) => join(copy, name));
  const before = files.map((path) => readFileSync(path));
  const marks = JSON.parse(readFileSync(join(copy, "stages.json"), "utf8"));
  for (const name of ["patches", "simulation", "experiments", "report", "reportMarkdown"]) delete marks[name];
  writeFileSync(join(copy, "stages.json"), JSON.stringify(marks));
  truncateSync(files[0] as string, Math.floor((before[0] as Buffer).length * 0.98));
  await runStudy(planted.study, { out: copy });
  expect(files.map((path, at) => readFileSync(path).equals(before[at] as Buffer))).toEqual([true, true]);
  rmSync(files[1] as string);
  await score(copy);
  expect(readFileSync(files[1] as string).equals(before[1] as Buffer)).toBe(true);
});

test("the dry run counts the distributions that are measured", async () => {
  const { patching } = await dryRun(planted.study, { measure: false });
  const rows = linesOf(join(run, "07-patches.jsonl")).length;
  expect(patching).toEqual([expect.objectContaining({ ok: true, state: "planted", sites: 2, donorPrompts: 36, rows })]);
});

test("tables of it are exported", async () => {
  const out = join(folder, "export");
  await exportRun(run, { to: ["csv"], out });
  const [header, ...rows] = readFileSync(join(out, "simulation.csv"), "utf8").trimEnd().split(/\r?\n/);
  expect(header).toMatch(/^state,task,property,variant,finding,part,span,role,layer/);
  expect(rows).toHaveLength(2);
  expect(readFileSync(join(out, "patches.csv"), "utf8")).toMatch(/^key,side,state,task,item,property,kind,site,span/);
});

test("npx inward patch: another string's answer in its place turns a prediction over", async () => {
  const tasks = parse(readFileSync(planted.task, "utf8"));
  const answered = (value: string) => planted.strings.find((one) => one.value === value)?.text as string;
  const asked = (text: string) => tasks.question.replace("{string}", text);
  const recipient = `${asked(answered("yes"))} ${tasks.ownProperties.listed.question}`;
  const donor = ["--donor", asked(answered("no")), "--sites", "mlp_output.0", "--write", "difference"];
  const instead = ["--instead", asked(answered("yes")), "-m", planted.path, "--device", "cpu", "--json"];
  const made = await inwardHere(["patch", recipient, ...donor, ...instead]);
  expect(made).toMatchObject({ code: 0 });
  const { first, totalVariation, tokens } = JSON.parse(made.stdout);
  expect(first[0]).toMatchObject({ text: "no" });
  expect(totalVariation).toBeGreaterThan(0.99);
  expect(tokens).toEqual({ recipient: [expect.any(Number)], donor: [expect.any(Number)] });
});

test.each([
  [{ "patching.sites": "residual_after.9" }, "PROBE_SITE", "layers 0 to 3"],
  [{ "patching.sites": "attention_weights.0" }, "PROBE_SITE", "cannot be written"],
  [{ "patching.spans": ["strings"] }, "STUDY_INVALID", "name a span"],
  [{ "patching.states": ["nobody"] }, "STUDY_INVALID", "no state of the plan"],
  [{ "patching.predictors": ["nobody"] }, "STUDY_INVALID", "no state that predicts itself"],
  [{ "patching.properties": ["first_word"] }, "STUDY_INVALID", "which no task of the study asks about"],
  [{ "objectLevel.reasoning": "strip" }, "STUDY_INVALID", "objectLevel.reasoning to off"],
])("%j is refused before anything is asked", async (set, code, message) => {
  await expect(dryRun(planted.study, { measure: false, set })).rejects.toEqual(coded(code, message));
});
