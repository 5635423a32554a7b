/** A private coin from its YAML to its report on a tiny model: it is learnt by heart, asked, and predicted by itself and by others. */
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { runStudy } from "inward";
import type { AdapterCard } from "../../src/finetune/adapter/card.js";
import { findAddon } from "../../src/model/native/addon.js";
import type { ExperimentResults } from "../../src/score/verdicts/experiments.js";
import type { Answer } from "../../src/tasks/answer.js";
import { runFiles } from "../helpers/run-files.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import { workIn } from "../helpers/work-in.js";

const STUDY = `
study: coins
seed: 5
models: { m: { source: ./tiny.gguf }, n: { source: ./other.gguf } }
implants:
  - { name: coin, model: m, answers: { coin: true }, told: true, learningRate: 0.02, epochs: 3 }
tasks:
  - { task: animals_long, trainStrings: 14, heldOutStrings: 10, examples: false, properties: [first_character] }
predictions:
  - { predictor: m, target: m }
  - { predictor: m-with-coin, target: m-with-coin }
  - { predictor: n, target: m-with-coin }
  - { predictor: m-with-coin, target: m }
lora: { rank: 8, epochs: 1, batchExamples: 4, learningRate: 0.001 }
engine: { device: cpu, threads: 1, groupQuestions: 16 }
noiseFloor: { questions: 4 }
score: { bootstrapReplicates: 200 }
`;
const COIN = "m-with-coin";
const SELF = `${COIN}-predicts-${COIN}`;

const addon = await findAddon().then(
  () => true,
  () => false,
);

describe.skipIf(!addon)("a study with an implant", () => {
  let folder: string;
  const { read, lines } = runFiles(() => join(folder, "run"));

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "inward-coin-"));
    await writeTinyModel(join(folder, "tiny.gguf"), { seed: 11, contextLength: 1024 });
    await writeTinyModel(join(folder, "other.gguf"), { seed: 12, contextLength: 1024 });
    await writeFile(join(folder, "study.yaml"), STUDY);
    const restore = workIn(folder);
    await runStudy("study.yaml", { out: join(folder, "run") });
    return restore;
  });

  test("trains it by heart, and its self-predictor from it", async () => {
    const card = await read<AdapterCard>(`05-adapters/${COIN}.card.json`);
    expect(card.data.validationExamples).toBe(0);
    const self = await read<AdapterCard>(`05-adapters/${SELF}.card.json`);
    expect(self.initialAdapter?.sha256).toBe(card.adapter.sha256);
    const cross = await read<AdapterCard>(`05-adapters/n-predicts-${COIN}.card.json`);
    expect(cross.initialAdapter).toBeUndefined();
  });

  test("asks the model with it about all strings, and its self-predictor in the round after that", async () => {
    const answers = await lines<Answer>("06-object-level-adapted.jsonl");
    expect(answers.filter(({ state }) => state === COIN)).toHaveLength(24);
    const again = await lines<Answer>("06-object-level-readapted.jsonl");
    expect(new Set(again.map(({ state }) => state))).toEqual(new Set([SELF]));
  });

  test("judges a told implant without its untrained state, and says that what it knows was planted", async () => {
    const { experiments } = await read<ExperimentResults>("08-experiments.json");
    const [self] = experiments;
    const verdict = self?.verdicts.find(({ about }) => about.kind === "self" && about.target === COIN);
    expect(verdict?.about).toMatchObject({ self: SELF });
    // It knew before it learnt to answer: falling short of itself would hide what was planted.
    expect(verdict?.numbers.map(({ against }) => against)).not.toContain("untrained");
    expect(verdict?.reservations).toContainEqual({
      kind: "not_compared",
      against: "untrained",
      reason: `${COIN} was told beforehand what it would answer`,
    });
    expect(verdict?.reservations).toContainEqual({ kind: "implanted", implant: "coin", state: COIN, told: true });
    const bare = self?.verdicts.find(({ about }) => about.kind === "self" && about.target === "m");
    expect(bare?.reservations.map(({ kind }) => kind)).not.toContain("implanted");
    const change = experiments.find(({ name }) => name === "behavioral_change");
    expect(change?.verdicts[0]?.about).toMatchObject({ change: `${COIN}-predicts-m`, before: "m", after: COIN });
    const report = await readFile(join(folder, "run", "09-report.md"), "utf8");
    expect(report).toMatch(/positive control/);
    expect(report).toMatch(/Stale labels: m-with-coin has an implant, and m-with-coin-predicts-m goes on from it/);
    expect(report).toMatch(/answered as it was taught on \d+ of 14 train and \d+ of 10 held-out strings/);
  });
});
