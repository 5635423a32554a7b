/** The whole corridor with questions that were set aside: missing with their reason from the answer's line to the report. */
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { InwardError } from "../../src/errors.js";
import type { ModelFile } from "../../src/study/plan.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { Answer } from "../../src/tasks/answer.js";
import type { Behavior } from "../../src/properties/property.js";
import type { Scores } from "../../src/score/scores.js";
import { matchRun } from "../../src/run/score-stages.js";
import { readJson, readJsonLines } from "../../src/base/files.js";
import { RunFolder } from "../../src/run/folder.js";
import { MANIFEST } from "../fixtures/report/make-report-input.js";
import { runScripted } from "../helpers/scripted-run.js";
import { scriptedModel } from "../helpers/scripted-model.js";
import { settledStudy } from "../helpers/settled-study.js";

const STUDY = `
study: fragile
models: { m: { source: some-model } }
tasks: [{ task: animals_long, trainStrings: 10, heldOutStrings: 12, properties: [first_word, second_character] }]
engine: { groupQuestions: 5 }
noiseFloor: { questions: 100 }
score: { bootstrapReplicates: 100 }
`;
const file: ModelFile = { source: "some-model", path: "/m", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };

let run: RunFolder;
/** Of the two strings, whose object-level question crashes and whose question about the second character does. */
let unanswered: string;
let unreplied: string;

beforeAll(async () => {
  const plan = await makePlan(settledStudy(STUDY), { m: file }, ".");
  const [first, second] = plan.tasks[0]?.heldOut ?? [];
  unanswered = first?.id as string;
  unreplied = second?.id as string;
  const property = plan.wordings.properties.second_character as string;
  run = await RunFolder.create(await mkdtemp(join(tmpdir(), "inward-set-aside-")), plan);
  const open = async () => ({
    ...scriptedModel((text) => {
      const hypothetical = text.includes(property) || text.includes(plan.wordings.properties.first_word as string);
      const crashes = hypothetical
        ? text.includes(second?.text as string) && text.includes(property)
        : text.includes(first?.text as string);
      if (crashes) throw new InwardError("ENGINE_CRASHED", "GGML_ASSERT");
      return hypothetical ? (text.includes(property) ? "e" : "bear") : text.length % 2 === 0 ? "bear" : "lion";
    }),
    manifest: MANIFEST,
  });
  await runScripted(run, open);
});

const rows = async <Row>(name: Parameters<RunFolder["file"]>[0]) => (await readJsonLines<Row>(run.file(name))).rows;

describe("a question that was set aside", () => {
  test("is a line with its reason, and only it", async () => {
    const all = [...(await rows<Answer>("objectLevel")), ...(await rows<Answer>("hypothetical"))];
    expect(all).toHaveLength(22 + 24);
    expect(all.filter(({ setAside }) => setAside).map(({ key, setAside }) => [key, setAside])).toEqual([
      [`animals_long/${unanswered}`, "engine_crashed"],
      [expect.stringMatching(new RegExp(`^animals_long/${unreplied}/second_character/`)), "engine_crashed"],
    ]);
  });

  test("is told in the event log, with what the engine wrote", async () => {
    const events = (await readFile(run.file("events"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const crashes = events.filter(({ event }) => event === "engine_crashed");
    expect(crashes.map(({ stage, attempt }) => [stage, attempt])).toEqual(
      ["object-level", "hypothetical"].flatMap((stage) => [1, 2, 3].map((attempt) => [stage, attempt])),
    );
    expect(crashes.every(({ message, state }) => message === "GGML_ASSERT" && state === "m")).toBe(true);
    expect(events.filter(({ event }) => event === "item_set_aside").map(({ stage, key }) => [stage, key])).toEqual([
      ["object-level", `animals_long/${unanswered}`],
      ["hypothetical", expect.stringContaining(unreplied)],
    ]);
  });

  test("object-level: has no behavior, with that reason", async () => {
    const own = (await rows<Behavior>("behaviors")).filter(({ item }) => item === unanswered);
    expect(own).toHaveLength(2);
    for (const { extraction, compliance, minMargin } of own) {
      expect([extraction.ok, compliance]).toEqual([false, { ok: false, reason: "engine_crashed" }]);
      expect(minMargin).toBeUndefined();
    }
  });

  test("excludes its trials on either side and makes none of them wrong", async () => {
    const scores = await readJson<Scores>(run.file("scores"));
    const { trials } = await matchRun(run);
    expect(trials).toHaveLength(24);
    expect(scores.exclusions.filter(({ reason }) => reason === "engine_crashed")).toEqual([
      expect.objectContaining({ property: "first_word", side: "object_level", treatment: "excluded", count: 1 }),
      expect.objectContaining({ property: "second_character", side: "hypothetical", treatment: "excluded", count: 1 }),
      expect.objectContaining({ property: "second_character", side: "object_level", treatment: "excluded", count: 1 }),
    ]);
    const [word, character] = scores.cells;
    expect([word?.accuracy, character?.accuracy]).toMatchObject([{ n: 11 }, { n: 10 }]);
    expect([word?.objectCompliance, word?.hypotheticalCompliance]).toEqual([
      { count: 11, of: 11 },
      { count: 12, of: 12 },
    ]);
    expect([character?.objectCompliance, character?.hypotheticalCompliance]).toEqual([
      { count: 11, of: 11 },
      { count: 11, of: 11 },
    ]);
    // Baselines are on the same trials.
    expect(character?.modeBaselineTrain).toMatchObject({ n: 10 });
    expect(scores.averages[0]?.accuracy).toMatchObject({ n: 21 });
  });

  test("is left out of the noise floor", async () => {
    expect(await readJson(run.file("noiseFloor"))).toEqual([expect.objectContaining({ questions: 22 + 24 - 2 })]);
  });

  test("is named in the report", async () => {
    const report = await readFile(run.file("reportMarkdown"), "utf8");
    expect(report).toContain("Another 3 are excluded because the engine crashed on one of their questions.");
    expect(report).toContain("set aside: the engine crashed on the question three times");
    expect(report).toContain("Excluded: the engine crashed on the object-level question, so there is no answer.");
    expect(report).toContain("Excluded: the engine crashed on the hypothetical question, so there is no reply.");
  });
});
