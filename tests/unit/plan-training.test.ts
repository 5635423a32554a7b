import type { StudyLora, TrainingSettings } from "../../src/study/study.js";
import { describe, expect, test } from "vitest";
import { adaptedObjectLevelQuestions, hypotheticalQuestions, objectLevelQuestions } from "../../src/ask/questions.js";
import { parseStudy } from "../../src/study/load-study.js";
import type { ModelFile, Plan } from "../../src/study/plan.js";
import { makePlan } from "../../src/study/make-plan.js";
import { settledStudy } from "../helpers/settled-study.js";

const STUDY = `
study: small
seed: 5
models: { m: { source: some-model }, n: { source: some-model } }
tasks:
  - { task: animals_long, trainStrings: 3, heldOutStrings: 4 }
  - { task: english_words_long, trainStrings: 2, heldOutStrings: 4, train: false }
properties: [first_word]
predictions: [{ predictor: m, target: m }, { predictor: n, target: m }]
`;
const TRAINED = `${STUDY}lora: {}\n`;
const file: ModelFile = { source: "some-model", path: "/a", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };
const plan = (yaml: string): Promise<Plan> => makePlan(settledStudy(yaml), { m: file, n: file }, ".");
const code = (name: string, text?: RegExp) =>
  expect.objectContaining({ code: name, ...(text ? { message: expect.stringMatching(text) } : {}) });

describe("a study with lora", () => {
  test("has every default of training filled in, the study's seed too", () => {
    const expected: TrainingSettings = {
      lora: { rank: 16, alpha: 32, dropout: 0, targets: ["q", "k", "v", "o", "gate", "up", "down"] },
      epochs: 1,
      batchExamples: 16,
      microbatchTokens: 512,
      order: "by_prompt",
      treePacking: true,
      learningRate: 5e-4,
      schedule: "linear",
      warmupShare: 0.1,
      weightDecay: 0,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      maxGradientNorm: 1,
      seed: 5,
      validationShare: 0.05,
      validateEverySteps: 10,
      checkpointEverySteps: 10,
      activationCheckpointing: false,
    };
    const onGpu = { microbatchTokens: 2048, activationCheckpointing: true };
    expect(parseStudy(TRAINED, "s.yaml").lora).toEqual({ examplesPerProperty: 1000, settings: expected, onGpu });
    const said = ["lora.microbatchTokens=64", "lora.activationCheckpointing=false"];
    const { settings, onGpu: open } = parseStudy(TRAINED, "s.yaml", said).lora as StudyLora;
    expect(open).toEqual({});
    expect(settings).toEqual({ ...expected, microbatchTokens: 64 });
  });

  test("takes flat keys and their overrides", () => {
    const yaml = `${STUDY}lora: { rank: 4, targets: [q, v], maxSteps: 7, seed: 9, examplesPerProperty: 20 }\n`;
    const lora = parseStudy(yaml, "s.yaml", ["lora.learningRate=0.001"]).lora;
    expect(lora?.examplesPerProperty).toBe(20);
    expect(lora?.settings).toMatchObject({
      lora: { rank: 4, alpha: 32, targets: ["q", "v"] },
      maxSteps: 7,
      seed: 9,
      learningRate: 0.001,
    });
  });

  test.each([
    ["an unknown key", "lora: { rnak: 3 }", "STUDY_UNKNOWN_KEY", /under lora.*Did you mean "rank"/],
    ["an unknown target", "lora: { targets: [q, w] }", "STUDY_INVALID", /targets/],
    ["a target twice", "lora: { targets: [q, q] }", "STUDY_INVALID", /each target once/],
    ["no targets", "lora: { targets: [] }", "STUDY_INVALID", /targets/],
    ["a rank of 0", "lora: { rank: 0 }", "STUDY_INVALID", /rank/],
    ["everything dropped out", "lora: { dropout: 1 }", "STUDY_INVALID", /dropout/],
    ["a negative rate", "lora: { learningRate: -1 }", "STUDY_INVALID", /learningRate/],
    ["another schedule", "lora: { schedule: step }", "STUDY_INVALID", /schedule/],
  ])("with %s is refused", (_, lora, expected, words) => {
    expect(() => parseStudy(`${STUDY}${lora}\n`, "s.yaml")).toThrow(code(expected, words));
  });
});

describe("its plan", () => {
  test("has an adapter for each prediction, and the states and pairs that follow", async () => {
    const { states, adapters, predictions } = await plan(TRAINED);
    expect(states).toEqual({
      m: { model: "m" },
      n: { model: "n" },
      "m-predicts-m": { model: "m", adapter: "m-predicts-m" },
      "n-predicts-m": { model: "n", adapter: "n-predicts-m" },
    });
    expect(Object.keys(adapters ?? {})).toEqual(["m-predicts-m", "n-predicts-m"]);
    expect(adapters?.["n-predicts-m"]).toMatchObject({ base: "n", target: "m", examplesPerProperty: 1000 });
    expect(predictions).toEqual([
      { predictor: "m", target: "m" },
      { predictor: "m-predicts-m", target: "m" },
      { predictor: "m-predicts-m", target: "m-predicts-m" },
      { predictor: "m", target: "m-predicts-m" },
      { predictor: "n", target: "m" },
      { predictor: "n-predicts-m", target: "m" },
    ]);
  });

  test("asks models about all strings, adapted targets about all again, and every predictor hypothetically", async () => {
    const trained = await plan(TRAINED);
    const count = (questions: readonly { state: string; split: string }[]) =>
      questions.reduce<Record<string, number>>((counts, { state, split }) => {
        const key = `${state} ${split}`;
        counts[key] = (counts[key] ?? 0) + 1;
        return counts;
      }, {});
    expect(count(objectLevelQuestions(trained))).toEqual({ "m train": 5, "m held_out": 8 });
    expect(count(adaptedObjectLevelQuestions(trained))).toEqual({
      "m-predicts-m train": 5,
      "m-predicts-m held_out": 8,
    });
    expect(count(hypotheticalQuestions(trained))).toEqual({
      "m held_out": 8,
      "m-predicts-m held_out": 8,
      "n held_out": 8,
      "n-predicts-m held_out": 8,
    });
    const prompts = (questions: readonly { state: string; key: string; messages: unknown }[], state: string) =>
      questions.filter((question) => question.state === state).map(({ key, messages }) => ({ key, messages }));
    expect(prompts(hypotheticalQuestions(trained), "m-predicts-m")).toEqual(
      prompts(hypotheticalQuestions(trained), "m"),
    );
  });

  test("says which tasks are held out", async () => {
    expect((await plan(TRAINED)).tasks.map(({ trained }) => trained)).toEqual([true, false]);
  });

  test("is what it always was when nothing is trained", async () => {
    const untrained = await plan(STUDY);
    for (const key of ["states", "adapters"]) expect(untrained).not.toHaveProperty(key);
    for (const task of untrained.tasks) expect(task).not.toHaveProperty("trained");
    expect(untrained.predictions).toHaveLength(2);
    expect(adaptedObjectLevelQuestions(untrained)).toEqual([]);
  });

  test.each([
    ["every task held out", TRAINED.replace("heldOutStrings: 4 }", "heldOutStrings: 4, train: false }"), /held out/],
    ["no train strings", TRAINED.replace("trainStrings: 3", "trainStrings: 0"), /train strings/],
    ["a prediction twice", TRAINED.replace("predictor: n", "predictor: m"), /"m-predicts-m".*twice/],
    [
      "a model with an adapter's name",
      TRAINED.replace("n: { source", "m-predicts-m: { source").replace("predictor: n", "predictor: m-predicts-m"),
      /"m-predicts-m"/,
    ],
  ])("with %s is refused", async (_, yaml, words) => {
    await expect(plan(yaml)).rejects.toThrow(code("STUDY_INVALID", words));
  });
});
