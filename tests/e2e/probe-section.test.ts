/** A study that looks inside finds what was planted where it was planted, and nothing where nothing is. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { exportRun } from "../../src/exchange/export-run.js";
import { writePlantedStudy } from "../../src/probe/planted-model.js";
import type { ProbedQuestion, ProbeResults } from "../../src/probe/probe-results.js";
import { dryRun } from "../../src/run/dry-run.js";
import { runStudy, score } from "../../src/run/run-study.js";

const folder = mkdtempSync(join(tmpdir(), "inward-probe-section-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const KEYS = {
  engine: { device: "cpu", threads: 1 },
  noiseFloor: { questions: 4 },
  probe: { spans: { hypothetical: ["string", "last_prompt_token"] }, labels: ["behavior_given_property"] },
};
const runOf = (mechanism: string) => join(folder, mechanism, "run");
const studyOf = (mechanism: string) => join(folder, mechanism, "study.yaml");
const resultsOf = (run: string) => JSON.parse(readFileSync(join(run, "08-probes.json"), "utf8")) as ProbeResults;
const coded = (code: string, message = "") =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

beforeAll(async () => {
  for (const mechanism of ["A", "B"] as const) {
    await writePlantedStudy(join(folder, mechanism), { mechanism, items: 8 });
    const keys = parse(readFileSync(studyOf(mechanism), "utf8"));
    writeFileSync(studyOf(mechanism), stringify({ ...keys, ...KEYS }));
    await runStudy(studyOf(mechanism), { out: runOf(mechanism) });
  }
}, 120_000);

/** Layers after which the answer is read beyond its property: the table of docs/probes.md. */
const READABLE = { A: [0, 1, 2, 3], B: [] } as const;

describe.each(["A", "B"] as const)("%s", (mechanism) => {
  const question = (prompt: ProbedQuestion["prompt"]) => {
    const found = resultsOf(runOf(mechanism)).questions.filter((one) => one.prompt === prompt);
    expect(found).toHaveLength(1);
    return found[0] as ProbedQuestion;
  };

  test("the answer is read on the hypothetical prompt where it is written, and nowhere else", () => {
    const { sites, trainStrings, heldOutStrings, leftOut, tokens } = question("hypothetical");
    expect({ trainStrings, heldOutStrings, leftOut }).toEqual({ trainStrings: 32, heldOutStrings: 32, leftOut: {} });
    expect(tokens.ok && tokens.gainAccuracy.ok && tokens.gainAccuracy.low).toBeLessThanOrEqual(0);
    const declared = sites.filter(({ isEmbedding }) => !isEmbedding);
    expect(declared).toHaveLength(8);
    for (const { span, layer, score, shuffled, holm, beyondTokens } of declared) {
      if (!score.ok || !holm.ok || !shuffled.ok) throw new Error(`${span} ${layer} was not scored`);
      expect(holm.of).toBe(8);
      expect(shuffled.gainAccuracy.ok && shuffled.gainAccuracy.low).toBeLessThanOrEqual(0);
      if (span === "last_prompt_token" && (READABLE[mechanism] as readonly number[]).includes(layer)) {
        expect(score.accuracy).toMatchObject({ ok: true, value: 1 });
        expect(holm.p).toBeLessThanOrEqual(0.01);
        expect(beyondTokens.ok && beyondTokens.difference.ok && beyondTokens.difference.low).toBeGreaterThan(0.5);
      } else {
        expect(score.gainAccuracy.ok && score.gainAccuracy.low).toBeLessThanOrEqual(0);
        expect(holm.p).toBeGreaterThan(0.05);
      }
    }
  });

  test("on the object-level prompt it is read in both: it is about to be said", () => {
    const read = question("object_level").sites.filter(({ isEmbedding }) => !isEmbedding);
    expect(read.map(({ score }) => score.ok && score.accuracy.ok && score.accuracy.value)).toEqual([1, 1, 1, 1]);
  });

  test("what is missing says why", () => {
    const last = question("hypothetical").sites.filter(({ span }) => span === "last_prompt_token");
    // The same token in every prompt.
    expect(last[0]).toMatchObject({
      isEmbedding: true,
      score: { ok: false, reason: "the states of all train strings are the same" },
      holm: { ok: false, reason: "the embedding is in no family of tests" },
    });
    expect(last[1]?.withoutAdapter).toEqual({ ok: false, reason: "it has no adapter of this study" });
    expect(last[1]?.randomWeights.reason).toMatch(/^not made/);
  });

  test("the report says how many sites, and that readable is not used", () => {
    const text = readFileSync(join(runOf(mechanism), "09-report.md"), "utf8");
    expect(text).toContain("Readable is never used.");
    expect(text).toContain(mechanism === "A" ? "Readable beyond the base at 4 of 8 sites" : "At none of 8 sites");
  });
});

test("the dry run says the bytes that the files have", async () => {
  const { probe } = await dryRun(studyOf("A"), { measure: false });
  const { files } = JSON.parse(readFileSync(join(runOf("A"), "07-states/planted/states.json"), "utf8"));
  const bytes = files.reduce((sum: number, one: { bytes: number }) => sum + one.bytes, 0);
  expect(probe?.states).toEqual([
    expect.objectContaining({ ok: true, state: "planted", sites: 5, prompts: 128, rows: 192, bytes }),
  ]);
  // A bag of tokens for each kind of prompt; of each site and span the probe, shuffled labels and the control task.
  expect(probe?.fits).toBe(2 + 3 * 5 * (2 + 1));
});

test("a table of it is exported", async () => {
  const out = join(folder, "export");
  await exportRun(runOf("A"), { to: ["csv"], out });
  const [header, ...rows] = readFileSync(join(out, "probes.csv"), "utf8").trimEnd().split(/\r?\n/);
  expect(header).toMatch(/^predictor,target,task,prompt,property,variant,label,part,layer,span/);
  expect(rows).toHaveLength(resultsOf(runOf("A")).questions.reduce((sum, { sites }) => sum + sites.length, 0));
});

test("states that were changed are refused; scoring again gives the same bytes", async () => {
  const copy = join(folder, "copy");
  cpSync(runOf("B"), copy, { recursive: true });
  const before = readFileSync(join(copy, "08-probes.json"));
  rmSync(join(copy, "08-probes.json"));
  await score(copy);
  expect(readFileSync(join(copy, "08-probes.json")).equals(before)).toBe(true);
  const states = join(copy, "07-states/planted/states-00001.safetensors");
  const bytes = readFileSync(states);
  bytes[bytes.length - 3] = (bytes[bytes.length - 3] as number) ^ 1;
  writeFileSync(states, bytes);
  rmSync(join(copy, "08-probes.json"));
  await expect(score(copy)).rejects.toEqual(coded("STORE_CORRUPT", "states-00001.safetensors was changed"));
});

test.each([
  ["attention_weights.0", "PROBE_SITE", "rows are as long as their text"],
  ["residual_after.9", "PROBE_SITE", "layers 0 to 3"],
])("sites: %s is refused before anything is asked", async (sites, code, message) => {
  const set = { "probe.sites": sites };
  await expect(dryRun(studyOf("A"), { measure: false, set })).rejects.toEqual(coded(code, message));
  await expect(runStudy(studyOf("A"), { out: join(folder, `refused ${sites}`), set })).rejects.toEqual(
    coded(code, message),
  );
});

test.each([
  [{ "probe.spans": { hypothetical: ["strings"] } }, "STUDY_INVALID", "name a span"],
  [{ "probe.spans": { objectLevel: ["property"] } }, "STUDY_INVALID", "name a span"],
  [{ "objectLevel.reasoning": "strip" }, "STUDY_INVALID", "objectLevel.reasoning to off"],
])("%j is refused", async (set, code, message) => {
  await expect(dryRun(studyOf("A"), { measure: false, set })).rejects.toEqual(coded(code, message));
});
