/** `--set`: reaches what the schema has, and refuses what would change nothing. */
import { describe, expect, test } from "vitest";
import { InwardError } from "../../src/errors.js";
import { parseStudy } from "../../src/study/load-study.js";

const STUDY = `study: s
models: {m: {source: some.gguf}}
tasks: [{task: numbers}, {task: colors_long}]
`;
const load = (...overrides: string[]) => parseStudy(STUDY, "s.yaml", overrides);

function refusal(...overrides: string[]): string {
  try {
    load(...overrides);
  } catch (error) {
    if (error instanceof InwardError) return `${error.code} ${error.message}`;
    throw error;
  }
  return "accepted";
}

describe("an entry of a list", () => {
  test("that is there is changed, and the next one is added", () => {
    expect(load("tasks.1.task=numbers", "tasks.0.heldOutStrings=7").tasks).toMatchObject([
      { task: "numbers", heldOutStrings: 7 },
      { task: "numbers" },
    ]);
    expect(load("tasks.2.task=arithmetic").tasks.map(({ task }) => task)).toEqual([
      "numbers",
      "colors_long",
      "arithmetic",
    ]);
    expect(load("properties.0=first_word", "properties.1=second_word").tasks[0]?.properties).toEqual([
      "first_word",
      "second_word",
    ]);
  });

  test.each([
    "length=1",
    "length=100000000",
    "4000000000.task=x",
    "3.task=x",
    "-1.task=x",
    "push=1",
    "00.task=x",
    "1e0.task=x",
    "+1.task=x",
    "at.task=x",
  ])("tasks.%s is refused with what there is", (override) => {
    const begun = performance.now();
    const step = override.split(/[.=]/)[0];
    expect(refusal(`tasks.${override}`)).toBe(
      `USAGE --set tasks.${override}: "${step}" is no entry of tasks, which has 2: say tasks.0 to tasks.1, or tasks.2 for one more.`,
    );
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  test("of a list that the study does not have begins at 0", () => {
    expect(refusal("properties.foo=x")).toContain(
      '"foo" is no entry of properties, which has 0: say properties.0 for one more',
    );
    expect(refusal("lora.targets.1=q")).toContain('"1" is no entry of lora.targets, which has 0');
    expect(load("lora.targets.0=q").lora?.settings.lora.targets).toEqual(["q"]);
  });
});

test.each([
  ["__proto__.x=1", "USAGE"],
  ["models.__proto__.source=x", "USAGE"],
  ["constructor.prototype.x=1", 'STUDY_UNKNOWN_KEY --set constructor.prototype.x=1: the key "constructor"'],
  ["toString=1", "STUDY_UNKNOWN_KEY"],
  ["models.m.constructor.x=1", 'the key "constructor" under models.m does not exist'],
  ["enginee.threads=1", 'the key "enginee" does not exist. Did you mean "engine"?'],
  ["engine.thread=1", 'the key "thread" under engine does not exist. Did you mean "threads"?'],
  ["seed.x=1", "STUDY_INVALID --set seed.x=1: seed: "],
  ["study.x=1", '"study" is a value, not a group of keys'],
  ["seed=-1", "STUDY_INVALID --set seed=-1: seed: "],
  ["seed=*x", "USAGE --set seed=*x"],
  ["seed=[1", "USAGE --set seed=[1"],
  ["seed", "USAGE --set wants a.b=value"],
  ["=1", "USAGE --set wants a.b=value"],
  ["a..b=1", "USAGE --set wants a.b=value"],
])("%s is refused", (override, message) => {
  expect(refusal(override)).toContain(message);
});

test("the value that is there already may be set again", () => {
  expect(load("study=s", "tasks.0.task=numbers")).toEqual(load());
});

test("an entry behind an alias is changed alone", () => {
  const study = "study: s\nmodels: {m: {source: x}}\ntasks: [&t {task: numbers}, *t]\n";
  expect(parseStudy(study, "s.yaml", ["tasks.1.task=arithmetic"]).tasks.map(({ task }) => task)).toEqual([
    "numbers",
    "arithmetic",
  ]);
});
