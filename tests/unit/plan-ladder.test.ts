/** A study's ladder: what is made of a model before it is asked, and several trainings of one prediction. */
import { describe, expect, test } from "vitest";
import { hypotheticalQuestions } from "../../src/ask/questions.js";
import { parseStudy } from "../../src/study/load-study.js";
import type { ModelFile, Plan } from "../../src/study/plan.js";
import { makePlan } from "../../src/study/make-plan.js";
import { settledStudy } from "../helpers/settled-study.js";

const study = (model: string, predictions = "[{ predictor: m, target: m }]") => `
study: ladder
seed: 5
models: { m: { source: some-model${model} }, n: { source: some-model } }
tasks: [{ task: animals_long, trainStrings: 3, heldOutStrings: 4, properties: [first_word] }]
predictions: ${predictions}
`;
const trained = (predictions: string, lora = "{}") => `${study("", predictions)}lora: ${lora}\n`;
const file: ModelFile = { source: "some-model", path: "/a", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };
const plan = (yaml: string): Promise<Plan> => makePlan(settledStudy(yaml), { m: file, n: file }, ".");
const invalid = (message: RegExp) =>
  expect.objectContaining({ code: "STUDY_INVALID", message: expect.stringMatching(message) });

describe("a model of a study", () => {
  test.each([
    ["", { encoding: "as_shipped" }],
    [", encoding: q4_0", { encoding: "q4_0" }],
    [", encoding: f32, roundedTo: q4_0", { encoding: "f32", roundedTo: "q4_0" }],
    [", dropLayers: 0.2", { encoding: "as_shipped", dropLayers: 0.2 }],
    [", encoding: f32, roundedTo: q4_0, dropLayers: 0.2", { encoding: "f32", roundedTo: "q4_0", dropLayers: 0.2 }],
  ])("may say%s", (words, expected) => {
    expect(parseStudy(study(words), "s.yaml").models.m).toEqual({ source: "some-model", ...expected });
  });

  test.each([
    [", encoding: q9_9", /models\.m\.encoding/],
    [", encoding: q4_0, roundedTo: q4_0", /models\.m\.roundedTo: wants encoding: f32/],
    [", roundedTo: q4_0", /roundedTo: wants encoding: f32/],
    [", encoding: f32, roundedTo: f32", /models\.m\.roundedTo/],
    [", dropLayers: 0", /models\.m\.dropLayers/],
    [", dropLayers: 1", /models\.m\.dropLayers/],
  ])("may not say%s", (words, message) => {
    expect(() => parseStudy(study(words), "s.yaml")).toThrow(invalid(message));
  });

  test("a slip is met with the key that was meant", () => {
    expect(() => parseStudy(study(", dropLayer: 0.2"), "s.yaml")).toThrow(/Did you mean "dropLayers"/);
  });

  test("stands in the plan with what was made of it", async () => {
    const made = {
      reencodedFrom: { sha256: "11", encoding: "Q4_1" },
      roundedTo: { fileType: "q4_0", sha256: "22" },
      layersRemoved: { sha256: "33", of: 30, layers: [3, 8] },
    };
    const settled = settledStudy(study(""));
    const { models } = await makePlan(settled, { m: { ...file, ...made }, n: file }, ".");
    expect(models.m).toMatchObject(made);
    expect(models.n).toEqual({ source: "some-model", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" });
  });
});

describe("a prediction with a seed of its own", () => {
  const PREDICTIONS =
    "[{ predictor: m, target: m }, { predictor: m, target: m, seed: 2 }, { predictor: n, target: m, seed: 0 }]";

  test("is another adapter, alike but for its seed, and another state", async () => {
    const { states, adapters } = await plan(trained(PREDICTIONS));
    expect(states).toEqual({
      m: { model: "m" },
      n: { model: "n" },
      "m-predicts-m": { model: "m", adapter: "m-predicts-m" },
      "m-predicts-m-seed-2": { model: "m", adapter: "m-predicts-m-seed-2" },
      "n-predicts-m-seed-0": { model: "n", adapter: "n-predicts-m-seed-0" },
    });
    const first = adapters?.["m-predicts-m"];
    expect(first?.settings.seed).toBe(5);
    expect(adapters?.["m-predicts-m-seed-2"]).toEqual({ ...first, settings: { ...first?.settings, seed: 2 } });
    expect(adapters?.["n-predicts-m-seed-0"]).toMatchObject({ base: "n", target: "m", settings: { seed: 0 } });
  });

  test("the untrained model is asked once and scored about all, each trained one about the same target and about itself", async () => {
    const made = await plan(trained(PREDICTIONS));
    expect(made.predictions).toEqual([
      { predictor: "m", target: "m" },
      { predictor: "m-predicts-m", target: "m" },
      { predictor: "m-predicts-m", target: "m-predicts-m" },
      { predictor: "m", target: "m-predicts-m" },
      { predictor: "m-predicts-m-seed-2", target: "m" },
      { predictor: "m-predicts-m-seed-2", target: "m-predicts-m-seed-2" },
      { predictor: "m", target: "m-predicts-m-seed-2" },
      { predictor: "n", target: "m" },
      { predictor: "n-predicts-m-seed-0", target: "m" },
    ]);
    const questions = hypotheticalQuestions(made).map(({ state, key }) => `${state} ${key}`);
    expect(new Set(questions).size).toBe(questions.length);
    expect(new Set(hypotheticalQuestions(made).map(({ state }) => state))).toEqual(
      new Set(["m", "m-predicts-m", "m-predicts-m-seed-2", "n", "n-predicts-m-seed-0"]),
    );
  });

  test.each([
    [trained("[{ predictor: m, target: m }, { predictor: m, target: m, seed: 5 }]"), /one adapter: both have seed 5/],
    [
      trained("[{ predictor: m, target: m, seed: 9 }, { predictor: m, target: m }]", "{ seed: 9 }"),
      /"m-predicts-m-seed-9" and "m-predicts-m" would be one adapter/,
    ],
    [
      trained("[{ predictor: m, target: m, seed: 2 }, { predictor: m, target: m, seed: 2 }]"),
      /"m-predicts-m-seed-2".*twice/,
    ],
    [study("", "[{ predictor: m, target: m, seed: 2 }]"), /seed 2.*no lora/],
  ])("is refused where it makes no other adapter: %#", async (yaml, message) => {
    await expect(plan(yaml)).rejects.toThrow(invalid(message));
  });

  test.each(["-1", "1.5", "x"])("of %s is refused", (seed) => {
    expect(() => parseStudy(trained(`[{ predictor: m, target: m, seed: ${seed} }]`), "s.yaml")).toThrow(
      invalid(/predictions\.0\.seed/),
    );
  });
});
