/**
 * `studies/cross-family.yaml` in small: a llama and a qwen2 learn what the other and what they themselves do, are shown it, and
 * learn what the trained other does. Each reads its own tokens of the same texts.
 */
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { findAddon } from "../../src/model/native/addon.js";
import type { Comparisons } from "../../src/score/comparison/comparisons.js";
import type { ExperimentResults } from "../../src/score/verdicts/experiments.js";
import type { Answer } from "../../src/tasks/answer.js";
import { inward } from "../helpers/command-line.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const STUDY = fileURLToPath(new URL("../../studies/cross-family.yaml", import.meta.url));
/** The study's own predictions and primary contrast, on fewer strings of models that fit in a test. */
const SMALLER = {
  models: { smollm2: { source: "./llama.gguf" }, qwen: { source: "./qwen2.gguf" } },
  tasks: [
    { task: "animals_long", trainStrings: 20, heldOutStrings: 2, examples: false },
    { task: "english_words_long", trainStrings: 6, heldOutStrings: 10, examples: false, train: false },
  ],
  properties: ["first_character"],
  lora: { rank: 2, epochs: 1, batchExamples: 20, learningRate: 0.01 },
  engine: { device: "cpu", threads: 1, groupQuestions: 48 },
  noiseFloor: { questions: 0 },
  score: { bootstrapReplicates: 100 },
};

const addon = await findAddon().then(
  () => true,
  () => false,
);

describe.skipIf(!addon)("two families", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "inward-family-"));
    await writeTinyModel(join(folder, "llama.gguf"), { seed: 6, contextLength: 4096 });
    await writeTinyModel(join(folder, "qwen2.gguf"), { seed: 12, contextLength: 4096, architecture: "qwen2" });
    const study = { ...parse(await readFile(STUDY, "utf8")), ...SMALLER };
    study.primary.strings = 10;
    // A tiny vocabulary has a token for each few letters.
    for (const one of study.predictions) if (one.shown !== undefined) one.shown = one.shown === 4 ? 1 : [1, 2];
    await writeFile(join(folder, "study.yaml"), stringify(study));
    const finished = await inward(["run", "study.yaml", "--out", join(folder, "run")], {
      cwd: folder,
    });
    if (finished.code !== 0) throw new Error(finished.stderr);
  });
  const read = (file: string) => readFile(join(folder, "run", file), "utf8");

  test("every predictor trains an adapter of its own architecture", async () => {
    for (const [adapter, architecture] of [
      ["smollm2-predicts-smollm2", "llama"],
      ["qwen-predicts-smollm2", "qwen2"],
      ["smollm2-predicts-qwen-predicts-qwen", "llama"],
      ["qwen-predicts-smollm2-predicts-smollm2", "qwen2"],
    ] as const) {
      const { metadata } = await readGguf(join(folder, "run", "05-adapters", `${adapter}.gguf`));
      expect([adapter, metadata.get("general.architecture")?.value]).toEqual([adapter, architecture]);
    }
  });

  test("both directions are compared, trained, shown and about the trained target", async () => {
    const { comparisons, netOfSkill }: Comparisons = JSON.parse(await read("08-comparisons.json"));
    const pairs = new Set(comparisons.map(({ self, cross, target }) => `${self} / ${cross} about ${target}`));
    expect([...pairs]).toEqual(
      expect.arrayContaining([
        "smollm2-predicts-smollm2 / qwen-predicts-smollm2 about smollm2",
        "qwen-predicts-qwen / smollm2-predicts-qwen about qwen",
        "smollm2-predicts-smollm2 / qwen-predicts-smollm2-predicts-smollm2 about smollm2-predicts-smollm2",
        "qwen-predicts-qwen / smollm2-predicts-qwen-predicts-qwen about qwen-predicts-qwen",
      ]),
    );
    expect(comparisons.every(({ sameWeights }) => !sameWeights)).toBe(true);
    expect(netOfSkill.length).toBeGreaterThan(0);
    const rows: Answer[] = (await read("07-hypothetical.jsonl"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const states = new Set(rows.map(({ state }) => state));
    for (const shown of ["qwen-shown-1-of-smollm2", "qwen-shown-2-of-smollm2", "smollm2-shown-1-of-qwen"]) {
      expect(states).toContain(shown);
    }
  });

  test("the primary verdict is about the trained model and the other family's", async () => {
    const { experiments }: ExperimentResults = JSON.parse(await read("08-experiments.json"));
    const primary = experiments.flatMap(({ name, verdicts }) =>
      verdicts.filter(({ status }) => status === "primary").map(({ about }) => ({ name, about })),
    );
    expect(primary).toEqual([
      {
        name: "cross_prediction",
        about: expect.objectContaining({
          self: "smollm2-predicts-smollm2",
          cross: "qwen-predicts-smollm2-predicts-smollm2",
          target: "smollm2-predicts-smollm2",
        }),
      },
    ]);
  });
});
