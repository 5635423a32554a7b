/** From a study's calibration section to its questions: defaults, refusals, order, groups, and who counts as what. */
import { describe, expect, test } from "vitest";
import { calibrationGroups, calibrationQuestions } from "../../src/ask/measure-distribution.js";
import { hypotheticalQuestions, objectLevelQuestions } from "../../src/ask/questions.js";
import { parseStudy } from "../../src/study/load-study.js";
import type { ModelFile } from "../../src/study/plan.js";
import { makePlan } from "../../src/study/make-plan.js";
import { statesOf } from "../../src/study/states.js";
import { hashOf } from "../../src/base/files.js";
import { settledStudy } from "../helpers/settled-study.js";

const BASE = `
study: small
seed: 3
models: { a: { source: some-model }, b: { source: some-model } }
hypothetical: { variants: [past, minimal], maxTokens: 7 }
tasks:
  - { task: animals_long, trainStrings: 3, heldOutStrings: 4, properties: [first_word, third_word] }
  - { task: wealth_seeking, trainStrings: 3, heldOutStrings: 2 }
`;
const SECTION = "calibration: { strings: 3 }";
const LORA = "lora: { rank: 4 }";
const PREDICTIONS = "predictions: [{ predictor: a, target: a }, { predictor: b, target: a }]";
const file: ModelFile = { source: "some-model", path: "/a", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };
const plan = (...more: string[]) => makePlan(settledStudy([BASE, ...more].join("\n")), { a: file, b: file }, ".");
const code = (name: string, text: RegExp) =>
  expect.objectContaining({ code: name, message: expect.stringMatching(text) });

describe("the section", () => {
  test("has every default, and none of it when it is absent", async () => {
    const settings = { epsilon: 0.001, tokenBudget: 4096, mostTail: 0.05, samples: 200 };
    expect((await plan("calibration: {}")).calibration).toEqual({
      ...settings,
      strings: 50,
      properties: { animals_long: ["first_word", "third_word"], wealth_seeking: ["matches_wealth_seeking"] },
    });
    const without = await plan();
    expect(without).not.toHaveProperty("calibration");
    expect(calibrationQuestions(without)).toEqual([]);
    expect(hashOf(await plan("calibration: {}"))).not.toBe(hashOf(without));
  });

  test("asks a property of the tasks that it applies to, asked elsewhere or not, and words it in the plan", async () => {
    const made = await plan("calibration: { properties: [second_character, second_character] }");
    expect(made.calibration?.properties).toEqual({ animals_long: ["second_character"] });
    expect(made.tasks[0]?.properties).not.toContain("second_character");
    expect(made.wordings.properties.second_character).toContain("second character");
  });

  test.each([
    ["an unknown key", "calibration: { sample: 3 }", "STUDY_UNKNOWN_KEY", /under calibration.*"samples"/],
    ["no strings", "calibration: { strings: 0 }", "STUDY_INVALID", /strings/],
    ["an epsilon of 0", "calibration: { epsilon: 0 }", "STUDY_INVALID", /epsilon/],
    ["a tail of 1", "calibration: { mostTail: 1 }", "STUDY_INVALID", /mostTail/],
    ["no properties", "calibration: { properties: [] }", "STUDY_INVALID", /properties/],
    ["nothing", "calibration:", "STUDY_INVALID", /calibration/],
  ])("with %s is refused", (_, section, expected, words) => {
    expect(() => parseStudy(`${BASE}\n${section}`, "s.yaml")).toThrow(code(expected, words));
  });

  test.each([
    ["nobody knows", "first_werd", "PROPERTY_NOT_FOUND", /first_word/],
    ["no task has", "is_even", "PROPERTY_NOT_APPLICABLE", /is_even/],
  ])("with a property that %s is refused", async (_, name, expected, words) => {
    await expect(plan(`calibration: { properties: [${name}] }`)).rejects.toThrow(code(expected, words));
  });
});

describe("the questions", () => {
  test("put each question once, to targets and predictors alone, states outside", async () => {
    const questions = calibrationQuestions(await plan(SECTION, PREDICTIONS));
    expect(new Set(questions.map(({ key }) => key)).size).toBe(questions.length);
    // Three strings with two properties and two with one: a's behaviors, a's predictions, b's predictions.
    const perSide = 3 * 2 + 2;
    const units = questions.map(({ state, side }) => `${state} ${side}`);
    expect(units).toEqual(
      ["a object_level", "a hypothetical", "b hypothetical"].flatMap((unit) => Array(perSide).fill(unit)),
    );
    expect(questions[0]?.key).toMatch(/^object_level\/a\/animals_long\/[^/]+\/first_word$/);
    expect(questions.at(-1)?.key).toMatch(/^hypothetical\/b\/wealth_seeking\/[^/]+\/matches_wealth_seeking\/past$/);
  });

  test("have the messages and lengths of asking, hypothetical ones in the first wording", async () => {
    const made = await plan(SECTION);
    const [objectLevel, hypothetical] = [objectLevelQuestions(made), hypotheticalQuestions(made)];
    for (const { side, key, state, task, item, messages, maxTokens } of calibrationQuestions(made)) {
      const asked =
        side === "object_level"
          ? objectLevel.find((one) => one.state === state && one.key === `${task}/${item}`)
          : hypothetical.find((one) => one.state === state && key === `hypothetical/${state}/${one.key}`);
      expect([messages, maxTokens]).toEqual([asked?.messages, asked?.maxTokens]);
    }
  });

  test("say where only samples tell: behaviors that are decided late in long answers", async () => {
    const questions = calibrationQuestions(await plan(SECTION));
    const late = questions.filter(({ decidedLate }) => decidedLate);
    expect(late.length).toBeGreaterThan(0);
    expect(late.every(({ side, property }) => side === "object_level" && property === "third_word")).toBe(true);
  });

  test("read behaviors as answers of their item, and predictions as replies", async () => {
    const questions = calibrationQuestions(await plan(SECTION));
    const of = (side: string) => questions.filter((one) => one.side === side && one.task === "wealth_seeking");
    for (const { decider } of of("object_level")) {
      const said = ["A", "B"].map((letter) => decider.atEnd(letter, "end_of_generation"));
      expect(said.map((one) => one.ok && one.value).sort()).toEqual(["false", "true"]);
    }
    for (const { decider } of of("hypothetical")) {
      expect(decider.atEnd("true", "end_of_generation")).toEqual({ ok: true, value: "true" });
      expect(decider.atEnd("A", "end_of_generation")).toMatchObject({ ok: false });
    }
  });

  test("are cut into one side of one string of one state", async () => {
    const questions = calibrationQuestions(await plan(SECTION));
    const groups = calibrationGroups(questions);
    expect(groups.flat()).toEqual(questions);
    expect(groups.map((group) => group.length).sort()).toEqual([...Array(8).fill(1), ...Array(12).fill(2)]);
    for (const group of groups) {
      expect(new Set(group.map(({ state, side, task, item }) => `${state} ${side} ${task} ${item}`)).size).toBe(1);
    }
  });
});

test("predictors are untrained, self or cross by their adapter's base and the target's", async () => {
  const made = await plan(SECTION, LORA, PREDICTIONS);
  const kinds = made.predictions.map((pair) => [pair.predictor, pair.target, statesOf(made).kindOf(pair)]);
  expect(kinds).toEqual([
    ["a", "a", "untrained"],
    ["a-predicts-a", "a", "self"],
    ["a-predicts-a", "a-predicts-a", "self"],
    ["a", "a-predicts-a", "untrained"],
    ["b", "a", "untrained"],
    ["b-predicts-a", "a", "cross"],
  ]);
  expect(statesOf({}).kindOf({ predictor: "b", target: "a" })).toBe("untrained");
});
