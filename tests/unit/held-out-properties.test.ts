/** Properties that are asked about and never learnt. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { hypotheticalQuestions, objectLevelQuestions, toAnswer } from "../../src/ask/questions.js";
import { readJsonLines, writeJsonLines } from "../../src/base/files.js";
import { buildSet, type FinetuneExample } from "../../src/finetune/set.js";
import { whatWasTrained } from "../../src/report/sections/training-section.js";
import { setInput } from "../../src/run/finetune-sets.js";
import { RunFolder } from "../../src/run/folder.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { ModelFile, Plan } from "../../src/study/plan.js";
import { replyOf } from "../helpers/scripted-model.js";
import { runStored } from "../helpers/scripted-run.js";
import { settledStudy } from "../helpers/settled-study.js";

const STUDY = `
study: aside
seed: 5
models: { m: { source: some-model } }
tasks:
  - { task: animals_long, trainStrings: 8, heldOutStrings: 4 }
  - { task: numbers, trainStrings: 6, heldOutStrings: 4, properties: [is_even, second_character] }
  - { task: english_words_long, trainStrings: 4, heldOutStrings: 4, train: false }
properties: [first_word, second_character]
controls: { scrambled: true, formatOnly: true }
changes: [{ name: last, model: m, answers: { policy: last_item }, planted: true }]
`;
const model: ModelFile = { source: "some-model", path: "/m", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };
const plan = (rest: string): Promise<Plan> => makePlan(settledStudy(`${STUDY}${rest}\n`), { m: model }, ".");
const ASIDE = "lora: {}\nheldOutProperties: [second_character]";

test("the plan has them with every task that asks for them, and nothing where none are", async () => {
  const { tasks } = await plan(ASIDE);
  expect(tasks.map(({ heldOutProperties }) => heldOutProperties)).toEqual([
    ["second_character"],
    ["second_character"],
    ["second_character"],
  ]);
  for (const task of (await plan("lora: {}")).tasks) expect(Object.keys(task)).not.toContain("heldOutProperties");
  const only = await plan("lora: {}\nheldOutProperties: [first_word]");
  expect(only.tasks.map((task) => "heldOutProperties" in task)).toEqual([true, false, true]);
});

test("no adapter learns them, control and planted change included, and everybody is asked", async () => {
  const made = await plan(ASIDE);
  const run = await RunFolder.create(await mkdtemp(join(tmpdir(), "inward-aside-")), made);
  const say = (task: string, item: string) => (task === "numbers" ? String(item.length % 10) : `wolf${item} bear`);
  await writeJsonLines(
    run.file("objectLevel"),
    objectLevelQuestions(made).map((question) => toAnswer(question, replyOf(say(question.task, question.item)))),
  );
  await run.markDone(["objectLevel"], { plan: 1 });
  await runStored(run, "behaviors");
  const names = ["m-predicts-m", "m-predicts-m-scrambled", "m-predicts-m-format-only"];
  for (const name of names) {
    await runStored(run, `finetune set ${name}`);
    const { rows } = await readJsonLines<FinetuneExample>(run.file(`finetuneSet/${name}`));
    expect(new Set(rows.map(({ metadata }) => metadata.property))).toEqual(new Set(["first_word", "is_even"]));
  }
  // A planted change teaches what is said of the new behavior: not about these.
  await writeJsonLines(run.file("objectLevelAdapted"), []);
  await run.markDone(["objectLevelAdapted"], { plan: 1 });
  await runStored(run, "behaviors, adapted");
  await runStored(run, "finetune set m-predicts-m-changed-last");
  const { rows } = await readJsonLines<FinetuneExample>(run.file("finetuneSet/m-predicts-m-changed-last"));
  expect(new Set(rows.map(({ metadata }) => metadata.property))).toEqual(new Set(["answer", "first_word", "is_even"]));
  const asked = hypotheticalQuestions(made).filter(({ property }) => property === "second_character");
  expect(new Set(asked.map(({ state }) => state)).size).toBe(5);
});

test("a set that one gets into is an inner error, whoever put it there", async () => {
  const made = await plan(ASIDE);
  const [item] = made.tasks[0]?.train ?? [];
  if (!item) throw new Error("no string");
  const about = { state: "m", task: "animals_long", item: item.id, split: "train", sample: 0 } as const;
  const behavior = {
    ...about,
    property: "second_character",
    extraction: { ok: true, value: "o" },
    compliance: { ok: true },
  } as const;
  const input = setInput(made, { base: "m", target: "m", examplesPerProperty: 10 }, [behavior]);
  expect(input.candidates).toEqual([]);
  expect(() => buildSet({ ...input, candidates: [{ item, behavior, readable: true }] })).toThrow(
    expect.objectContaining({ code: "INTERNAL", message: expect.stringMatching(/second_character of animals_long/) }),
  );
});

test("the report says so", async () => {
  expect(whatWasTrained(await plan(ASIDE))).toMatch(/No question about second character was learnt on any task/);
  expect(whatWasTrained(await plan("lora: {}"))).not.toMatch(/No question about/);
});

describe("refused", () => {
  test.each([
    [
      "one that no task has",
      "lora: {}\nheldOutProperties: [third_word]",
      "STUDY_INVALID",
      /third_word, which no task.*first_word/,
    ],
    [
      "one that there is not",
      "lora: {}\nheldOutProperties: [second_charakter]",
      "PROPERTY_NOT_FOUND",
      /second_character/,
    ],
    [
      "all that a trained task has",
      "lora: {}\nheldOutProperties: [is_even, second_character]",
      "STUDY_INVALID",
      /numbers/,
    ],
    [
      "all of everything",
      "lora: {}\nheldOutProperties: [first_word, is_even, second_character]",
      "STUDY_INVALID",
      /nothing to learn from animals_long.*train: false/,
    ],
    ["one named twice", "lora: {}\nheldOutProperties: [is_even, is_even]", "STUDY_INVALID", /each property once/],
    ["where nothing is trained", "heldOutProperties: [is_even]\ncontrols: {}\nchanges: []", "STUDY_INVALID", /no lora/],
  ])("%s", async (_, rest, code, message) => {
    const yaml = rest.startsWith("lora")
      ? `${STUDY}${rest}\n`
      : `${STUDY.slice(0, STUDY.indexOf("controls:"))}${rest}\n`;
    await expect(async () => makePlan(settledStudy(yaml), { m: model }, ".")).rejects.toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});
