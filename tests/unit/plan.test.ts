import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { parseStudy } from "../../src/study/load-study.js";
import type { ModelFile } from "../../src/study/plan.js";
import { makePlan } from "../../src/study/make-plan.js";
import { studySchema } from "../../src/study/schema.js";
import { hashOf } from "../../src/base/files.js";
import { stringNotes } from "../../src/study/choose-strings.js";
import { benchmarkSchema } from "../../src/quantize/benchmark.js";
import { taskFileSchema } from "../../src/tasks/strings.js";
import { settledStudy } from "../helpers/settled-study.js";

const MINIMAL = `
study: small
models: { m: { source: some-model } }
tasks: [{ task: animals_long, trainStrings: 3, heldOutStrings: 4 }]
`;
const file: ModelFile = { source: "some-model", path: "/a", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };
const code = (name: string, text?: string | RegExp) =>
  expect.objectContaining({ code: name, ...(text ? { message: expect.stringMatching(text) } : {}) });
const plan = (yaml: string, files: Record<string, ModelFile> = { m: file }) => makePlan(settledStudy(yaml), files, ".");

describe("a study", () => {
  test("has every default filled in", () => {
    const study = parseStudy(MINIMAL, "s.yaml");
    expect(study.predictions).toEqual([{ predictor: "m", target: "m" }]);
    expect(study.models.m?.encoding).toBe("as_shipped");
    expect(study.engine).toEqual({
      engine: "auto",
      device: "auto",
      gpuLayers: "auto",
      split: "layer",
      forward: "auto",
      strict: false,
      exact: false,
      invariant: false,
      blas: false,
      cache: true,
      threads: 2,
      groupQuestions: 96,
      topTokens: 10,
    });
    expect(study.system).toBeUndefined();
  });

  test.each([
    ["an unknown key, near one", `${MINIMAL}\nsede: 3`, "STUDY_UNKNOWN_KEY", /"sede".*Did you mean "seed"/],
    ["an unknown key inside", `${MINIMAL}\nengine: { sequence: 3 }`, "STUDY_UNKNOWN_KEY", /under engine.*"sequences"/],
    [
      "an unknown key in a list",
      MINIMAL.replace("trainStrings", "trainString"),
      "STUDY_UNKNOWN_KEY",
      /line 4.*"trainStrings"/,
    ],
    [
      "an unknown key in a model",
      MINIMAL.replace("source", "sourze"),
      "STUDY_UNKNOWN_KEY",
      /"sourze" under models\.m .*Did you mean "source"/,
    ],
    ["a wrong type", `${MINIMAL}\nseed: many`, "STUDY_INVALID", /line 6.*seed/],
    ["a number out of range", `${MINIMAL}\nscore: { confidence: 2 }`, "STUDY_INVALID", /confidence/],
    ["no tasks", MINIMAL.replace(/tasks.*/, "tasks: []"), "STUDY_INVALID", /tasks/],
    ["no models", MINIMAL.replace(/models.*/, "models: {}"), "STUDY_INVALID", /models/],
    ["an unusable name", MINIMAL.replace("small", "../small"), "STUDY_INVALID", /study/],
    ["a list", "- a", "STUDY_INVALID", /mapping/],
    ["nothing", "", "STUDY_INVALID", /mapping/],
    ["broken YAML", "a: [1, 2", "STUDY_NOT_YAML", /line/],
    ["a key twice", `${MINIMAL}\nseed: 1\nseed: 2`, "STUDY_NOT_YAML", /line 7/],
  ])("with %s is refused", (_, yaml, expected, words) => {
    expect(() => parseStudy(yaml, "s.yaml")).toThrow(code(expected, words));
  });

  test("--set changes it before it is parsed", () => {
    const study = parseStudy(MINIMAL, "s.yaml", [
      "seed=9",
      "engine.strict=true",
      "hypothetical.variants=[minimal, past]",
    ]);
    expect([study.seed, study.engine.strict, study.hypothetical.variants]).toEqual([9, true, ["minimal", "past"]]);
  });

  test.each([
    ["seed", "USAGE"],
    ["=3", "USAGE"],
    ["study.x=1", "USAGE"],
    ["sed=1", "STUDY_UNKNOWN_KEY"],
    ["seed=[", "USAGE"],
  ])("--set %s is refused", (override, expected) => {
    expect(() => parseStudy(MINIMAL, "s.yaml", [override])).toThrow(code(expected));
  });
});

describe("a plan", () => {
  test("chooses strings by seed, and asking for more keeps those chosen before", async () => {
    const few = await plan(MINIMAL);
    const more = await plan(MINIMAL.replace("heldOutStrings: 4", "heldOutStrings: 9"));
    const other = await plan(`${MINIMAL}\nseed: 5`);
    const ids = (one: typeof few) => one.tasks[0]?.heldOut.map((item) => item.id) ?? [];
    expect(ids(more).slice(0, 4)).toEqual(ids(few));
    expect(ids(other)).not.toEqual(ids(few));
    expect(few.tasks[0]?.heldOut.every((item) => item.split === "held_out")).toBe(true);
  });

  test("does not depend on where the model lies, and does on what it is", async () => {
    const here = await plan(MINIMAL);
    expect(hashOf(await plan(MINIMAL, { m: { ...file, path: "/elsewhere" } }))).toBe(hashOf(here));
    expect(hashOf(await plan(MINIMAL, { m: { ...file, sha256: "01" } }))).not.toBe(hashOf(here));
  });

  test("holds the words of everything it asks", async () => {
    const { tasks, wordings } = await plan(MINIMAL);
    expect(Object.keys(wordings.properties).sort()).toEqual([...(tasks[0]?.properties ?? [])].sort());
    expect(wordings.variants.minimal).toContain("{prompt}");
  });

  test.each([
    ["a task nobody knows", MINIMAL.replace("animals_long", "animals_lon"), "TASK_NOT_FOUND"],
    ["a property nobody knows", `${MINIMAL}\nproperties: [second_charakter]`, "PROPERTY_NOT_FOUND"],
    ["a property of other tasks", `${MINIMAL}\nproperties: [matches_wealth_seeking]`, "PROPERTY_NOT_APPLICABLE"],
    ["too many strings", MINIMAL.replace("heldOutStrings: 4", "heldOutStrings: 90000"), "STUDY_NOT_ENOUGH_STRINGS"],
    ["a predictor without a model", `${MINIMAL}\npredictions: [{ predictor: n, target: m }]`, "STUDY_UNKNOWN_MODEL"],
    ["a wording nobody knows", `${MINIMAL}\nhypothetical: { variants: [minimum] }`, "STUDY_INVALID"],
    ["a task twice", MINIMAL.replace("tasks: [", "tasks: [{ task: animals_long }, "), "STUDY_INVALID"],
  ])("with %s is refused", async (_, yaml, expected) => {
    await expect(plan(yaml)).rejects.toThrow(code(expected));
  });
});

test.each([
  ["numbers", "is_correct"],
  ["stories_sentences", "main_character_name"],
  ["wealth_seeking", "keeps_answer"],
  ["stories_sentences", "is_right_word"],
  ["animals_long", "place_in_list"],
])("%s has not what %s needs", async (task, property) => {
  const yaml = `${MINIMAL.replace("animals_long", task)}\nproperties: [${property}]`;
  await expect(plan(yaml)).rejects.toThrow(code("PROPERTY_NOT_APPLICABLE"));
});

describe("a study that names no number of strings", () => {
  test("takes a hundred of each split", async () => {
    const [task] = (await plan(MINIMAL.replace(", trainStrings: 3, heldOutStrings: 4", ""))).tasks;
    expect([task?.train.length, task?.heldOut.length, task?.allThereAre]).toEqual([100, 100, undefined]);
  });

  test("takes what is there where that is less, and says so; a number that it names is refused as ever", async () => {
    const folder = await mkdtemp(join(tmpdir(), "inward-few-"));
    const words = ["amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath"];
    const rows = words.map((word, at) => ({ text: `${word} ${at} ${word}s`, split: at < 5 ? "train" : "held_out" }));
    await writeFile(join(folder, "few.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
    await writeFile(
      join(folder, "few.yaml"),
      'name: few\nkind: continuation\nquestion: "{string}"\nproperties: [first_word]\nstrings: few.jsonl\n',
    );
    const few = (more: string) =>
      makePlan(
        settledStudy(MINIMAL.replace("animals_long, trainStrings: 3, heldOutStrings: 4", `few.yaml${more}`)),
        { m: file },
        folder,
      );
    const made = await few("");
    expect(made.tasks[0]).toMatchObject({ allThereAre: ["train", "heldOut"] });
    expect([made.tasks[0]?.train.length, made.tasks[0]?.heldOut.length]).toEqual([5, 3]);
    expect(stringNotes(made)).toEqual([
      "The study names no number of strings, and there are fewer than the 100 that it would take: 5 train strings of few, 3 held-out strings of few.",
    ]);
    const named = await few(", trainStrings: 2");
    expect([named.tasks[0]?.train.length, named.tasks[0]?.allThereAre]).toEqual([2, ["heldOut"]]);
    await expect(few(", heldOutStrings: 4")).rejects.toThrow(
      code("STUDY_NOT_ENOUGH_STRINGS", /asks for 4; there are 3/),
    );
    await rm(folder, { recursive: true });
  });
});

test("the JSON Schemas shipped for editors are the schemas that are enforced", async () => {
  for (const [name, schema] of Object.entries({
    study: studySchema,
    task: taskFileSchema,
    quantize: benchmarkSchema,
  })) {
    const shipped = await readFile(new URL(`../../schemas/${name}.schema.json`, import.meta.url), "utf8");
    expect(JSON.parse(shipped)).toEqual(JSON.parse(JSON.stringify(z.toJSONSchema(schema, { io: "input" }))));
  }
});
