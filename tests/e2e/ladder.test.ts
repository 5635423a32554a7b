/** A study on a ladder of models made from one: layers taken out, weights rounded, another seed. Tiny models, from YAML to report. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findAddon } from "../../src/model/native/addon.js";
import type { Plan } from "../../src/study/plan.js";
import type { Scores } from "../../src/score/scores.js";
import type { AdapterCard } from "../../src/finetune/adapter/card.js";
import { type Finished, inward } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const STUDY = `
study: ladder
seed: 5
models:
  small: { source: ./tiny.gguf, encoding: f32 }
  shallow: { source: ./tiny.gguf, encoding: f32, dropLayers: 0.25 }
  coarse: { source: ./tiny.gguf, encoding: f32, roundedTo: q4_0 }
tasks:
  - { task: animals_long, trainStrings: 8, heldOutStrings: 4, properties: [first_character, starts_with_vowel] }
predictions:
  - { predictor: small, target: small }
  - { predictor: small, target: small, seed: 2 }
  - { predictor: shallow, target: small }
  - { predictor: coarse, target: small }
lora: { rank: 2, batchExamples: 8, learningRate: 0.01, validationShare: 0 }
engine: { device: cpu, threads: 1 }
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 100 }
`;
const ADAPTERS = [
  "small-predicts-small",
  "small-predicts-small-seed-2",
  "shallow-predicts-small",
  "coarse-predicts-small",
];

const addon = await findAddon().then(
  () => true,
  () => false,
);

describe.skipIf(!addon)("a study on a ladder", () => {
  let folder: string;
  let finished: Finished;
  const read = async <T>(name: string): Promise<T> =>
    JSON.parse(await readFile(join(folder, "run", name), "utf8")) as T;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "inward-ladder-"));
    await writeTinyModel(join(folder, "tiny.gguf"), { seed: 11, blocks: 6, contextLength: 1024, encoding: "Q8_0" });
    await writeFile(join(folder, "study.yaml"), STUDY);
    const env = { INWARD_MODELS: join(folder, "models") };
    finished = await inward(["run", "study.yaml", "--out", "run"], { cwd: folder, env });
  }, 120_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test("runs to its end", () => {
    expect(finished.code, finished.stderr).toBe(0);
  });

  test("its plan says what each model is made of", async () => {
    const { models } = await read<Plan>("01-plan.json");
    const source = models.small?.reencodedFrom?.sha256;
    expect(models.shallow?.layersRemoved).toEqual({ sha256: source, of: 6, layers: [2, 3] });
    expect(models.coarse).toMatchObject({ encoding: "F32", roundedTo: { fileType: "q4_0" } });
    expect(new Set(Object.values(models).map(({ sha256 }) => sha256)).size).toBe(3);
  });

  test("trains each adapter on its own base with its own seed, and two seeds are two adapters", async () => {
    const { models } = await read<Plan>("01-plan.json");
    const cards = await Promise.all(ADAPTERS.map((name) => read<AdapterCard>(`05-adapters/${name}.card.json`)));
    expect(cards.map(({ settings }) => settings.seed)).toEqual([5, 2, 5, 5]);
    expect(cards.map(({ base }) => base.sha256)).toEqual(
      ["small", "small", "shallow", "coarse"].map((name) => models[name]?.sha256),
    );
    expect(new Set(cards.map(({ adapter }) => adapter.sha256)).size).toBe(ADAPTERS.length);
    expect(new Set(cards.slice(0, 2).map(({ data }) => data.examples)).size).toBe(1);
  });

  test("scores every rung about the same target, before and after training", async () => {
    const scores = await read<Scores>("08-scores.json");
    const pairs = scores.averages
      .filter(({ kind }) => kind === "micro")
      .map(({ predictor, target }) => `${predictor} about ${target}`);
    expect(pairs.sort()).toEqual(
      [
        ...["small", "shallow", "coarse", ...ADAPTERS].map((predictor) => `${predictor} about small`),
        ...ADAPTERS.slice(0, 2).flatMap((name) => [`${name} about ${name}`, `small about ${name}`]),
      ].sort(),
    );
    expect(new Set(scores.changes?.map(({ after }) => after))).toEqual(new Set(ADAPTERS));
  });
});
