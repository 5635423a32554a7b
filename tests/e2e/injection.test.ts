/** A study that injects concepts finds a planted noticer, and calls a model that says yes to any long vector no noticer. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { readSafetensors, writeSafetensors } from "../../src/finetune/adapter/safetensors.js";
import type { StateShape } from "../../src/model/sites.js";
import { writeControlVector } from "../../src/probe/control-vector.js";
import { injectedDirections } from "../../src/run/injection-files.js";
import { exportRun } from "../../src/exchange/export-run.js";
import { type Noticer, writePlantedNoticer } from "../../src/probe/planted-noticer.js";
import { dryRun } from "../../src/run/dry-run.js";
import { planStudy, runStudy } from "../../src/run/run-study.js";
import type { AbilityResult, InjectionResults } from "../../src/score/injection/injection-scores.js";
import { injectionSchema } from "../../src/study/injection-schema.js";
import type { InjectionAbility } from "../../src/study/injection-schema.js";

const hashOfFile = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
const folder = mkdtempSync(join(tmpdir(), "inward-injection-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const INJECTION = {
  sites: "residual_after.0",
  strengths: [0.5],
  concepts: ["ocean", "volcano", "violin", "tiger", "snow", "bread"],
  vectorSpan: "message",
  sentences: [
    "The kettle stands on the lower shelf.",
    "A bus waits at the corner.",
    "Two chairs lean against the wall.",
  ],
};
const texts = injectionSchema.parse(INJECTION);
const runOf = (noticer: Noticer) => join(folder, noticer, "run");
const studyOf = (noticer: Noticer) => join(folder, noticer, "study.yaml");
const ALL: readonly Noticer[] = ["noticer", "yes_to_any"];

beforeAll(async () => {
  for (const noticer of ALL) {
    mkdirSync(join(folder, noticer));
    const { path } = await writePlantedNoticer(join(folder, noticer, "planted.gguf"), noticer, texts);
    writeFileSync(
      studyOf(noticer),
      stringify({
        study: "injection",
        models: { planted: { source: path } },
        tasks: [
          { task: "animals_long", trainStrings: 2, heldOutStrings: 2, examples: false, properties: ["first_word"] },
        ],
        engine: { device: "cpu", threads: 1, cache: false },
        noiseFloor: { questions: 0 },
        injection: INJECTION,
      }),
    );
    await runStudy(studyOf(noticer), { out: runOf(noticer) });
  }
}, 300_000);

const resultsOf = (noticer: Noticer): InjectionResults =>
  JSON.parse(readFileSync(join(runOf(noticer), "08-injection.json"), "utf8"));
const resultOf = (noticer: Noticer, ability: InjectionAbility) =>
  resultsOf(noticer).results.find((one) => one.ability === ability) as AbilityResult;

test("the noticer notices, names, locates and rates", () => {
  for (const ability of ["notice", "name", "locate", "rate"] as const) {
    const heard = resultOf("noticer", ability);
    expect(heard.outcome, ability).toBe("shown");
    const [setting] = heard.settings;
    if (!setting?.effect.estimate.ok) throw new Error(`no effect of ${ability}`);
    expect(setting.effect.estimate.value).toBeGreaterThan(2);
    // All six concepts on one side: 2 of 64 patterns, and one setting to adjust over.
    expect(setting.adjusted).toMatchObject({ ok: true, p: 2 / 64, of: 1 });
    expect(setting).toMatchObject({ concepts: 6, leftOut: 0, found: true });
  }
  expect(resultOf("noticer", "name").settings[0]?.right).toMatchObject({
    concept: { ok: true, value: 1 },
    chance: 1 / 6,
  });
  expect(resultOf("noticer", "locate").settings[0]?.right).toMatchObject({
    concept: { ok: true, value: 1 },
    chance: 1 / 3,
  });
});

test("who says yes to any long vector is moved towards yes, and notices nothing", () => {
  const { outcome, settings } = resultOf("yes_to_any", "notice");
  const [setting] = settings;
  expect(setting?.effect.estimate.ok && setting.effect.estimate.low).toBeGreaterThan(5);
  expect(setting?.found).toBe(false);
  expect(outcome).toBe("shift_towards_yes");
  const beside = setting?.beside as Record<string, { value: number }>;
  expect(beside.random?.value).toBeGreaterThan(5);
  expect(beside.denied?.value).toBeGreaterThan(5);
  for (const ability of ["name", "locate", "rate"] as const)
    expect(resultOf("yes_to_any", ability).outcome).toBe("cannot_tell");
});

test("the experiment says so of each ability, with the number that it rests on and what weakens it", () => {
  const verdictsOf = (noticer: Noticer) => {
    const { experiments } = JSON.parse(readFileSync(join(runOf(noticer), "08-experiments.json"), "utf8"));
    return experiments.find(({ name }: { name: string }) => name === "injection").verdicts;
  };
  const [notice, name] = verdictsOf("noticer");
  expect(notice).toMatchObject({
    about: { ability: "notice" },
    finding: "exceeds",
    decidedBy: "effect",
    reservations: [],
  });
  expect(name).toMatchObject({
    about: { ability: "name" },
    finding: "exceeds",
    because: [{ kind: "injection_rule", outcome: "shown", found: 1, settings: 1 }],
    reservations: [{ kind: "questions_of_one_kind", controls: texts.controls.name.length }],
  });
  expect(name.numbers).toHaveLength(1 + texts.controls.name.length);
  expect(verdictsOf("yes_to_any").map(({ finding }: { finding: string }) => finding)).toEqual(
    new Array(4).fill("cannot_tell"),
  );
  expect(verdictsOf("yes_to_any")[0].because).toMatchObject([{ outcome: "shift_towards_yes", found: 0 }]);
});

test("directions of files are injected as they are: the same vectors give the same bytes; others, or too few, are refused", async () => {
  const made = await readSafetensors(join(runOf("noticer"), "07-injection-vectors", "planted.safetensors"));
  const files = Object.fromEntries(
    INJECTION.concepts.map((concept) => [concept, join(folder, `${concept}.safetensors`)]),
  );
  for (const [concept, path] of Object.entries(files)) {
    const { shape, values } = made.get(`${concept}@residual_after.0`) as { shape: number[]; values: Float32Array };
    // How long they are in the file does not count.
    await writeSafetensors(path, new Map([["residual_after.0", { shape, values: values.map((one) => 4 * one) }]]), {});
  }
  const study = join(folder, "noticer", "files.yaml");
  const keys = parse(readFileSync(studyOf("noticer"), "utf8"));
  const withFiles = (vectors: Record<string, string>, more: object = {}) =>
    writeFileSync(study, stringify({ ...keys, injection: { ...INJECTION, abilities: ["notice"], vectors, ...more } }));
  withFiles(files);
  const out = join(folder, "noticer", "files");
  await runStudy(study, { out });
  const rows = (run: string) =>
    readFileSync(join(run, "07-injections.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { question: string; answers: unknown });
  const same = rows(runOf("noticer")).filter(({ question }) => rows(out).some((one) => one.question === question));
  expect(rows(out).length).toBeGreaterThan(0);
  expect(rows(out)).toEqual(same);
  expect(readFileSync(join(out, "09-report.md"), "utf8")).toMatch(
    /the direction of a file \(.*ocean\.safetensors, sha256/,
  );
  const [ocean] = Object.entries(files) as [[string, string]];
  withFiles(Object.fromEntries([ocean]));
  await expect(planStudy(study)).rejects.toMatchObject({
    code: "STUDY_INVALID",
    message: expect.stringContaining("no file of the concept"),
  });
  withFiles(files, { sites: "residual_after.1" });
  await expect(runStudy(study, { out: join(folder, "noticer", "elsewhere") })).rejects.toMatchObject({
    code: "PROBE_SITE",
  });
  const path = join(folder, "ocean.gguf");
  await writeControlVector(path, {
    width: 4,
    modelHint: "llama",
    directions: new Map([
      [1, Float32Array.of(1, 2, 3, 4)],
      [3, new Float32Array(4)],
    ]),
  });
  const shape: StateShape = { architecture: "llama", layers: 4, embedding: 4, headWidth: 4, heads: [1, 1, 1, 1] };
  const asked = (layer: number, sha256?: string) =>
    injectedDirections(
      { concept: "ocean", planned: { file: path, sha256: sha256 ?? hashOfFile(path) }, path },
      { sites: [{ part: "residual_after", layer }], shape, sha256: "0".repeat(64) },
    );
  expect([...(await asked(1))]).toEqual([["residual_after.1", Float32Array.of(1, 2, 3, 4)]]);
  await expect(asked(2)).rejects.toMatchObject({ code: "PROBE_SITE" });
  await expect(asked(3)).rejects.toMatchObject({ code: "PROBE_INVALID", message: expect.stringContaining("is 0") });
  await expect(asked(1, "1".repeat(64))).rejects.toMatchObject({
    code: "PROBE_INVALID",
    message: expect.stringContaining("has changed"),
  });
}, 120_000);

test("one control question says nothing of how far questions stand out", () => {
  const one = injectionSchema.safeParse({ ...INJECTION, controls: { name: ["Pick any word."] } });
  expect(one.error?.issues[0]?.path).toEqual(["controls", "name"]);
});

test("the report and the export say so, and the dry run what it costs", { timeout: 120_000 }, async () => {
  const report = (noticer: Noticer) => readFileSync(join(runOf(noticer), "09-report.md"), "utf8");
  expect(report("noticer")).toContain("Notices");
  expect(report("noticer")).toContain("Does it name what was added? (yes, with reservations)");
  // Of every verdict, and not of the first alone.
  expect(report("noticer")).toContain("more easily pushed than these, would pass as well");
  expect(report("yes_to_any")).toContain("A shift towards yes");
  expect(report("yes_to_any")).toContain("Cannot be told");
  await exportRun(runOf("noticer"), { to: ["csv"], out: join(folder, "tables") });
  const [head, ...lines] = readFileSync(join(folder, "tables", "injection.csv"), "utf8")
    .trim()
    .split("\n");
  expect(head).toContain("ability,outcome,site");
  expect(lines).toHaveLength(4);
  const { injection } = await dryRun(studyOf("yes_to_any"), { measure: false });
  const rows = readFileSync(join(runOf("yes_to_any"), "07-injections.jsonl"), "utf8")
    .trim()
    .split("\n");
  expect(injection).toMatchObject([{ ok: true, state: "planted", sites: 1, prompts: rows.length + 6 * 4 }]);
});

test("a text that gives a concept away is refused, and a site that is not there before anything is asked", async () => {
  expect(
    injectionSchema.safeParse({ ...INJECTION, concepts: ["ocean", "tiger", "snow", "kettle"] }).error?.issues[0]
      ?.message,
  ).toContain("gives away");
  await expect(
    runStudy(studyOf("yes_to_any"), { out: join(folder, "none"), set: ["injection.sites=residual_after.9"] }),
  ).rejects.toEqual(expect.objectContaining({ code: "PROBE_SITE" }));
});
