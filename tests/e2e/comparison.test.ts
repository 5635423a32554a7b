/** Cross-prediction from its YAML to its report on two tiny models: self against cross and third parties, recounted from the lines. */
import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { findAddon } from "../../src/model/native/addon.js";
import { propertyNamed } from "../../src/properties/all-properties.js";
import { readReply } from "../../src/properties/reading.js";
import type { Answer } from "../../src/tasks/answer.js";
import type { Behavior } from "../../src/properties/property.js";
import type { ComparedPredictors, Comparisons } from "../../src/score/comparison/comparisons.js";
import type { Scores } from "../../src/score/scores.js";
import type { InputOnlyByTarget } from "../../src/run/records.js";
import { inward } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const SELF = "tiny-predicts-tiny";
const CROSS = "other-predicts-tiny";
const STUDY = `
study: compared
seed: 5
models: { tiny: { source: ./tiny.gguf }, other: { source: ./other.gguf } }
tasks:
  - { task: animals_long, trainStrings: 32, heldOutStrings: 12, properties: [first_character, starts_with_vowel] }
predictions:
  - { predictor: tiny, target: tiny }
  - { predictor: other, target: tiny }
lora: { rank: 4, epochs: 1, batchExamples: 8, learningRate: 0.01 }
engine: { device: cpu, threads: 1, groupQuestions: 24 }
noiseFloor: { questions: 4 }
score: { bootstrapReplicates: 200 }
`;

// Everything else works without a compiler; training does not.
const addon = await findAddon().then(
  () => true,
  () => false,
);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-comparison-"));
  // Of this seed, because behaviors that hardly vary are compared for nobody.
  await writeTinyModel(join(folder, "tiny.gguf"), { seed: 6, contextLength: 1024 });
  await writeTinyModel(join(folder, "other.gguf"), { seed: 12, contextLength: 1024 });
});

async function run(name: string, study: string) {
  await writeFile(join(folder, `${name}.yaml`), study);
  const finished = await inward(["run", `${name}.yaml`, "--out", join(folder, name)], { cwd: folder });
  if (finished.code !== 0) throw new Error(finished.stderr);
}
const read = (name: string, file: string) => readFile(join(folder, name, file), "utf8");
const json = async <Content>(name: string, file: string) => JSON.parse(await read(name, file)) as Content;
const lines = async <Row>(name: string, file: string): Promise<Row[]> =>
  (await read(name, file))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);

/** Held-out behaviors of tiny, each with what both predictors said. */
async function recount(name: string, self: string, cross: string) {
  const replies = new Map(
    (await lines<Answer>(name, "07-hypothetical.jsonl")).map((row) => [
      `${row.state} ${row.item} ${row.property}`,
      row,
    ]),
  );
  const behaviors = await lines<Behavior>(name, "03-behaviors.jsonl");
  return behaviors.flatMap(({ state, split, item, property, compliance, extraction }) => {
    if (state !== "tiny" || split !== "held_out" || !compliance.ok || !extraction.ok) return [];
    const isRight = (predictor: string) => {
      const reply = replies.get(`${predictor} ${item} ${property}`)?.reply;
      if (!reply) throw new Error(`no reply of ${predictor}`);
      const said = readReply(propertyNamed(property), reply.text, reply.stop);
      return said.ok && said.value === extraction.value;
    };
    return [{ item, property, value: extraction.value, self: isRight(self), cross: isRight(cross) }];
  });
}

describe.skipIf(!addon)("a study with a self and a cross predictor, both trained", () => {
  let one: ComparedPredictors;
  beforeAll(async () => {
    await run("trained", STUDY);
    [one] = (await json<Comparisons>("trained", "08-comparisons.json")).comparisons as [ComparedPredictors];
  });

  test("compares trained with trained, once", async () => {
    const { comparisons } = await json<Comparisons>("trained", "08-comparisons.json");
    expect(comparisons).toHaveLength(1);
    expect(one).toMatchObject({
      target: "tiny",
      self: SELF,
      cross: CROSS,
      trained: { self: true, cross: true },
      sameWeights: false,
      crossBehavior: { ok: false, reason: expect.stringContaining(`${CROSS} does on these strings was not asked`) },
    });
    expect(one.comparison.sensitivity[2]).toMatchObject({ ok: false, reason: expect.stringContaining("not asked") });
  });

  test("the numbers are those of the lines", async () => {
    const trials = await recount("trained", SELF, CROSS);
    const share = (right: (trial: (typeof trials)[number]) => boolean) => trials.filter(right).length / trials.length;
    const [micro] = one.comparison.overall;
    expect(trials.length).toBeGreaterThan(10);
    expect(one.comparison.trials).toEqual({
      paired: trials.length,
      selfOnly: 0,
      crossOnly: 0,
      notScored: 2 * 12 - trials.length,
    });
    expect(micro.self).toMatchObject({ value: share(({ self }) => self), n: trials.length });
    expect(micro.cross).toMatchObject({ value: share(({ cross }) => cross) });
    expect(micro.difference).toMatchObject({
      value: expect.closeTo(share(({ self }) => self) - share(({ cross }) => cross), 12),
      clusters: new Set(trials.map(({ item }) => item)).size,
    });
    const { mcnemar } = one.comparison;
    expect([mcnemar.selfOnly, mcnemar.crossOnly]).toEqual([
      trials.filter(({ self, cross }) => self && !cross).length,
      trials.filter(({ self, cross }) => !self && cross).length,
    ]);
  });

  test("the classifier of strings stands among the rules and as a third party, with the same numbers", async () => {
    const { tiny } = await json<InputOnlyByTarget>("trained", "07-input-only.json");
    const said = new Map(
      tiny?.input_only_classifier.predictions.map(({ item, property, prediction }) => [
        `${item} ${property}`,
        prediction,
      ]),
    );
    const trials = await recount("trained", SELF, CROSS);
    const ofCell = trials.filter(({ property }) => property === "first_character");
    const right = ofCell.filter(({ item, property, value }) => {
      const guess = said.get(`${item} ${property}`);
      return guess?.ok && guess.value === value;
    });
    const { cells } = await json<Scores>("trained", "08-scores.json");
    const cell = cells.find(
      (row) => row.predictor === SELF && row.target === "tiny" && row.property === "first_character",
    );
    expect(cell?.heuristics.input_only_classifier).toMatchObject({
      value: right.length / ofCell.length,
      n: ofCell.length,
    });
    expect(cells.every(({ heuristics }) => "input_only_classifier" in heuristics)).toBe(true);
    expect(one.thirdParties.input_only?.trials.paired).toBe(trials.length);
    expect(one.thirdParties.best_heuristic?.contrasts[0]?.cross).toBe("best_heuristic");
    expect(one.thirdParties.untrained?.contrasts[0]?.cross).toBe("untrained");
    expect(one.verdict.notCompared).toEqual({
      scrambled_labels: expect.stringContaining("controls.scrambled"),
      format_only: expect.stringContaining("controls.formatOnly"),
    });
  });

  test("the report has the section, its figure and the verdict", async () => {
    const markdown = await read("trained", "09-report.md");
    expect(markdown).toContain("## Self against cross");
    expect(markdown).toContain(one.verdict.rule.slice(0, 40));
    expect(await read("trained", "09-report.html")).toContain('id="comparison"');
    expect(await readdir(join(folder, "trained", "figures"))).toContain("comparison.svg");
  });

  test("scoring again asks nothing and gives the same bytes", async () => {
    const files = ["07-input-only.json", "08-trials.jsonl", "08-scores.json", "08-comparisons.json", "09-report.html"];
    const all = () => Promise.all(files.map((file) => read("trained", file)));
    const before = await all();
    const again = async (command: string) =>
      expect((await inward([command, join(folder, "trained")], { cwd: folder })).code).toBe(0);
    await again("score");
    await again("report");
    expect(await all()).toEqual(before);
  });
});

test("untrained models in both directions: the cross predictor's own behavior is known", async () => {
  await run(
    "both",
    STUDY.replace(/^lora:.*\n/m, "").replace(
      "  - { predictor: other, target: tiny }",
      "  - { predictor: other, target: tiny }\n  - { predictor: other, target: other }\n  - { predictor: tiny, target: other }",
    ),
  );
  const { comparisons } = await json<Comparisons>("both", "08-comparisons.json");
  expect(comparisons.map(({ target, self, cross }) => [target, self, cross])).toEqual([
    ["tiny", "tiny", "other"],
    ["other", "other", "tiny"],
  ]);
  expect(comparisons[0]?.crossBehavior).toEqual({ ok: true, state: "other" });
  const trials = await recount("both", "tiny", "other");
  expect(comparisons[0]?.comparison.trials.paired).toBe(trials.length);
  expect((await read("both", "09-report.md")).match(/^### About /gm)).toHaveLength(2);
});

test("self alone: no cross, but third parties; no classifier of strings from too few train strings", async () => {
  const study = STUDY.replace(/^lora:.*\n/m, "")
    .replace("  - { predictor: other, target: tiny }\n", "")
    .replace("trainStrings: 32", "trainStrings: 6");
  await run("alone", study);
  const { comparisons, selfPredictions } = await json<Comparisons>("alone", "08-comparisons.json");
  expect(comparisons).toEqual([]);
  expect(selfPredictions).toMatchObject([{ target: "tiny", self: "tiny", seeds: 1, trained: false }]);
  expect(selfPredictions?.[0]?.verdict.notCompared).toHaveProperty("input_only");
  const { tiny } = await json<InputOnlyByTarget>("alone", "07-input-only.json");
  expect(tiny?.input_only_classifier.cells).toHaveLength(2);
  for (const cell of tiny?.input_only_classifier.cells ?? []) {
    expect(cell).toMatchObject({ ok: false, reason: expect.stringMatching(/^(only|no) .*train string/) });
  }
  expect(await read("alone", "08-scores.json")).not.toContain("input_only_classifier");
  expect(await read("alone", "09-report.md")).toContain("No classifier of strings was trained for");
});
