/** A study that writes inside, and takes answers apart: its files, its verdict, its report; and one patch from the command line. */
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import type { PatchedRow } from "../../src/ask/patched-distributions.js";
import { exportRun } from "../../src/exchange/export-run.js";
import type { InsideResults, InsideRow } from "../../src/probe/inside-results.js";
import { type PlantedStudy, writePlantedStudy } from "../../src/probe/planted-model.js";
import { dryRun } from "../../src/run/dry-run.js";
import { RunFolder } from "../../src/run/folder.js";
import { CapturedStates } from "../../src/run/probe-states.js";
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
  inside: {
    strings: 7,
    attribution: {},
    heads: { sites: "head_values.0" },
    subspace: { sites: "residual_after.0", randomSeeds: 1 },
    patchscope: { sites: "residual_after.1", maxTokens: 2 },
  },
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
          reservations: [{ kind: "donors_said_alike" }, { kind: "two_values" }, { kind: "moved_by_vectors_alone" }],
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

test("answers taken apart: every reading, with nothing that is no number; the report says what may be said and what not", () => {
  const text = readFileSync(join(run, "08-inside.json"), "utf8");
  expect(text).not.toContain("null");
  const { attribution, heads, subspace, patchscope } = JSON.parse(text) as InsideResults;
  expect(attribution.map(({ prompt, label, strings }) => [prompt, label, strings])).toEqual([
    ["object_level", "behavior", 7],
    ["hypothetical", "behavior", 7],
    ["hypothetical", "property", 7],
  ]);
  expect(heads.map(({ prompt, strings, leftOut }) => [prompt, strings, leftOut])).toEqual([
    ["object_level", 7, {}],
    ["hypothetical", 7, {}],
  ]);
  expect(subspace.map(({ of, sites }) => [of, sites.length])).toEqual([
    ["behavior", 1],
    ["property", 1],
  ]);
  expect(patchscope.map(({ prompt, expected }) => [prompt, expected])).toEqual([
    ["object_level", "behavior"],
    ["hypothetical", "behavior"],
    ["hypothetical", "property"],
  ]);
  for (const { own, item, prompt } of linesOf<InsideRow>(join(run, "07-inside.jsonl")).filter((row) => row.own)) {
    const { answer, value } = planted.strings[Number(item.slice("pair-".length))] as PlantedStudy["strings"][number];
    expect(own).toEqual(prompt === "object_level" ? { behavior: answer } : { behavior: answer, property: value });
  }
  const report = readFileSync(join(run, "09-report.md"), "utf8");
  for (const words of ["Answers taken apart", "it may be written and never read", "a lookup needs of the text"]) {
    expect(report).toContain(words);
  }
});

test("a run that was killed while it asked goes on, to the same bytes; scoring again gives the same bytes", async () => {
  const copy = join(folder, "copy");
  cpSync(run, copy, { recursive: true });
  const names = ["07-patches.jsonl", "07-inside.jsonl", "08-simulation.json", "08-inside.json"];
  const files = names.map((name) => join(copy, name)) as [string, string, string, string];
  const before = files.map((path) => readFileSync(path));
  const isSame = () => files.map((path, at) => readFileSync(path).equals(before[at] as Buffer));
  const marks = JSON.parse(readFileSync(join(copy, "stages.json"), "utf8"));
  for (const name of ["patches", "simulation", "inside", "insideResults", "experiments", "report", "reportMarkdown"])
    delete marks[name];
  writeFileSync(join(copy, "stages.json"), JSON.stringify(marks));
  truncateSync(files[0], Math.floor((before[0] as Buffer).length * 0.98));
  truncateSync(files[1], Math.floor((before[1] as Buffer).length * 0.6));
  await runStudy(planted.study, { out: copy });
  expect(isSame()).toEqual([true, true, true, true]);
  for (const path of files.slice(2)) rmSync(path);
  await score(copy);
  expect(isSame()).toEqual([true, true, true, true]);
  // Of states that were changed by hand nothing is written.
  appendFileSync(join(copy, "07-inside-states", "planted", "prompts.jsonl"), "\n");
  const changed = await RunFolder.look(copy);
  await expect(CapturedStates.read(changed, "planted", "insideStates")).rejects.toEqual(
    coded("STORE_CORRUPT", "prompts.jsonl was changed"),
  );
});

test("the dry run counts the distributions that are measured, and the lines", async () => {
  const { patching, inside } = await dryRun(planted.study, { measure: false });
  const rows = linesOf(join(run, "07-patches.jsonl")).length;
  expect(patching).toEqual([expect.objectContaining({ ok: true, state: "planted", sites: 2, donorPrompts: 36, rows })]);
  const lines = linesOf(join(run, "07-inside.jsonl")).length;
  expect(inside).toEqual([expect.objectContaining({ ok: true, state: "planted", rows: lines })]);
});

test("tables of it are exported", async () => {
  const out = join(folder, "export");
  await exportRun(run, { to: ["csv"], out });
  const [header, ...rows] = readFileSync(join(out, "simulation.csv"), "utf8").trimEnd().split(/\r?\n/);
  expect(header).toMatch(/^state,task,property,variant,finding,part,span,role,layer/);
  expect(rows).toHaveLength(2);
  expect(readFileSync(join(out, "patches.csv"), "utf8")).toMatch(/^key,side,state,task,item,property,kind,site,span/);
  const inside = (name: string) =>
    readFileSync(join(out, `inside_${name}.csv`), "utf8")
      .trimEnd()
      .split(/\r?\n/);
  expect(inside("heads")).toHaveLength(1 + 2 * 2 * 4);
  expect(inside("attribution")[0]).toMatch(/^state,task,prompt,property,strings,leftOut,label,component,meanLead/);
  expect(inside("subspace")[0]).toMatch(/outside_beyondAdjustedP,.*same_lead,/);
  expect(inside("patchscope")).toHaveLength(1 + 3);
  expect(inside("lines")).toHaveLength(1 + linesOf(join(run, "07-inside.jsonl")).length);
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
  [{ "inside.predictors": ["nobody"] }, "STUDY_INVALID", "inside names the predictor nobody"],
  [{ "objectLevel.reasoning": "strip" }, "STUDY_INVALID", "objectLevel.reasoning to off"],
])("%j is refused before anything is asked", async (set, code, message) => {
  await expect(dryRun(planted.study, { measure: false, set })).rejects.toEqual(coded(code, message));
});
