/** What a study may not ask for: it is refused before anything is asked, with the line, the key and the value that is there. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { loadStudy } from "../../src/study/load-study.js";
import { makePlan } from "../../src/study/make-plan.js";
import type { ModelFile } from "../../src/study/plan.js";
import { studySchema } from "../../src/study/schema.js";
import { settledStudy } from "../helpers/settled-study.js";

const STUDY = `study: tiny
models: { m: { source: some-model } }
tasks: [{ task: animals_long, trainStrings: 3, heldOutStrings: 4, properties: [first_word] }]
`;
const lora = (setting: string) => `${STUDY}lora: { ${setting} }\n`;
const named = (length: number, letter = "m") => letter.repeat(length);
const invalid = (words: RegExp) =>
  expect.objectContaining({ code: "STUDY_INVALID", message: expect.stringMatching(words) });

const FILE: ModelFile = { source: "a", path: "/a", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-bounds-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function load(yaml: string) {
  const path = join(folder, "study.yaml");
  await writeFile(path, yaml);
  return loadStudy(path);
}

describe("a value that may have several forms says which, or what is wrong in the one that was meant", () => {
  const subgroups = (by: string) => `${STUDY}subgroups: { by: [${by}] }\n`;
  const change = (answers: string) => `${STUDY}lora: {}\nchanges: [{ name: c, model: m, answers: ${answers} }]\n`;
  const elsewhere = (answers: string) => `${STUDY}elsewhere: { api: { answers: ${answers} } }\n`;
  test.each([
    [subgroups("3"), /line 4: subgroups\.by\.0: must be a text or a mapping, found 3/],
    [subgroups("{ column: a, edges: [2, 1] }"), /subgroups\.by\.0\.edges: must rise/],
    [
      change("{ polcy: last_item }"),
      /answers: must be a mapping with policy, a mapping with model, a mapping with prefix or a mapping with shuffled, found/,
    ],
    [change("{ policy: last }"), /changes\.0\.answers\.policy: .*last_item.*found "last"/],
    [change("last_item"), /answers: must be a mapping, found "last_item"/],
    [elsewhere("5"), /elsewhere\.api\.answers: must be a text, a mapping or a list, found 5/],
    [elsewhere("[{ file: a, id: x }]"), /elsewhere\.api\.answers\.0\.id: must hold \{item\}/],
    [
      `${STUDY}predictions: [{ predictor: m, target: m, shown: many }]\n`,
      /predictions\.0\.shown: must be a number or a list, found "many"/,
    ],
    [`${STUDY}predictions: [{ predictor: m, target: m, shown: 0 }]\n`, /predictions\.0\.shown: .*>=1.*found 0/],
    [`${STUDY}hypothetical: { wordings: { plainly: { txt: a } } }\n`, /./],
    [`${STUDY}engine: cpu\n`, /engine: must be a mapping, found "cpu"/],
    // What is missing is there under another name.
    [
      "study: s\nmodels: { m: { source: x.gguf } }\ntask: [{ task: numbers }]\n",
      /the key "task" .*Did you mean "tasks"/,
    ],
  ])("%s", async (yaml, words) => {
    await expect(load(yaml)).rejects.toThrow(
      expect.objectContaining({ message: expect.stringMatching(words) && expect.not.stringMatching(/Invalid input/) }),
    );
    await expect(load(yaml)).rejects.toThrow(words);
  });

  test("a key written wrong inside one of them is named, with the nearest", async () => {
    await expect(load(elsewhere("{ fil: a.eval }"))).rejects.toThrow(
      expect.objectContaining({
        code: "STUDY_UNKNOWN_KEY",
        message: expect.stringMatching(/"fil" under elsewhere\.api\.answers.*Did you mean "file"/),
      }),
    );
  });
});

describe("a setting of training out of all reason is refused with its value", () => {
  test.each([
    ["alpha: 1e300", /line 4: lora\.alpha: .*found 1e\+300/],
    ["alpha: 1e-300", /lora\.alpha: .*found 1e-300/],
    ["alpha: .inf", /lora\.alpha/],
    ["learningRate: 1e300", /lora\.learningRate: .*found 1e\+300/],
    ["learningRate: 0", /lora\.learningRate: .*found 0/],
    ["weightDecay: 1e30", /lora\.weightDecay: .*found 1e\+30/],
    ["epsilon: 1e300", /lora\.epsilon: .*found 1e\+300/],
    ["epsilon: 1e-300", /lora\.epsilon: .*found 1e-300/],
    ["maxGradientNorm: 1e300", /lora\.maxGradientNorm: .*found 1e\+300/],
    ["beta2: 1", /lora\.beta2: .*found 1/],
    ["seed: 9007199254740993", /lora\.seed: .*found 9007199254740992/],
    ["maxSteps: 1e12", /lora\.maxSteps: .*found 1000000000000/],
  ])("%s", async (setting, words) => {
    await expect(load(lora(setting))).rejects.toThrow(invalid(words));
  });

  test("a change's too", async () => {
    const change = "{ name: c, model: m, answers: { policy: last_item }, learningRate: 1e300 }";
    await expect(load(`${STUDY}lora: {}\nchanges: [${change}]\n`)).rejects.toThrow(
      invalid(/changes\.0\.learningRate: .*found 1e\+300/),
    );
  });
});

describe("names become parts of file names", () => {
  test("a study's has at most 100 characters", async () => {
    await expect(load(STUDY.replace("tiny", named(101)))).rejects.toThrow(
      invalid(/line 1: study: .*<=100.*found "mmm/),
    );
    expect((await load(STUDY.replace("tiny", named(100)))).study).toHaveLength(100);
  });

  test("a model's has at most 100 characters", async () => {
    await expect(load(STUDY.replace("m:", `${named(300)}:`))).rejects.toThrow(
      invalid(/models: the name "mmm.*…: .*<=100/),
    );
  });

  test("a state's, which is made of them, at most 200: known when it is planned", async () => {
    const target = named(95);
    const planOf = (predictor: string) => {
      const models = STUDY.replace("m:", `${target}: { source: a }, ${predictor}:`);
      const yaml = `${models}predictions: [{ predictor: ${predictor}, target: ${target} }]\nlora: {}\n`;
      return makePlan(settledStudy(yaml), { [target]: FILE, [predictor]: FILE }, ".");
    };
    const longest = named(95, "n");
    expect(Object.keys((await planOf(longest)).adapters ?? {})).toEqual([`${longest}-predicts-${target}`]);
    await expect(planOf(named(96, "n"))).rejects.toThrow(
      invalid(/"n+-predicts-m+" would have a name of 201 characters, and 200/),
    );
  });
});

describe("what stands twice would be asked, learnt or counted twice", () => {
  test.each([
    [
      "a wording",
      `${STUDY}hypothetical: { variants: [minimal, minimal] }\n`,
      /line 4: hypothetical\.variants: .*"minimal" stands twice/,
    ],
    [
      "another wording",
      `${STUDY}controls: { wordings: [bare, past, bare] }\n`,
      /controls\.wordings: .*"bare" stands twice/,
    ],
    ["an experiment", `${STUDY}experiments: [limits, limits]\n`, /experiments: .*"limits" stands twice/],
  ])("%s", async (_, yaml, words) => {
    await expect(load(yaml)).rejects.toThrow(invalid(words));
  });

  test.each([
    [
      "a prediction",
      "predictions: [{ predictor: m, target: m }, { predictor: m, target: m }]",
      /prediction of m by m stands twice/,
    ],
    ["a wording that everybody is asked in", "controls: { wordings: [minimal] }", /controls\.wordings names "minimal"/],
  ])("%s, when it is planned", async (_, section, words) => {
    await expect(makePlan(settledStudy(`${STUDY}${section}\n`), { m: FILE }, ".")).rejects.toThrow(invalid(words));
  });

  test("shown examples of two numbers are two predictions", async () => {
    const section = "predictions: [{ predictor: m, target: m, shown: [2, 4] }, { predictor: m, target: m }]";
    const { predictions } = await makePlan(settledStudy(`${STUDY}${section}\n`), { m: FILE }, ".");
    expect(predictions.map(({ predictor }) => predictor)).toEqual(["m-shown-2-of-m", "m-shown-4-of-m", "m"]);
  });
});

describe("a text that no model can read is refused", () => {
  const change = (prefix: string) =>
    `${STUDY}lora: {}\nchanges: [{ name: c, model: m, answers: { prefix: ${prefix} } }]\n`;
  test.each([
    ["NUL in the system message", `${STUDY}system: "a\\0b"\n`],
    ["a lone surrogate there", `${STUDY}system: "a\\uD800b"\n`],
    ["NUL in a prefix", change('"a\\0b"')],
    ["a lone surrogate there", change('"a\\uDFFFb"')],
  ])("%s", async (_, yaml) => {
    await expect(load(yaml)).rejects.toThrow(invalid(/line [45]: .*NUL or a lone surrogate/));
  });

  test("by the schema itself, whoever reads the study", () => {
    for (const system of ["a\0b", "a\ud800b"]) {
      const parsed = studySchema.safeParse({
        study: "s",
        models: { m: { source: "a" } },
        tasks: [{ task: "t" }],
        system,
      });
      expect(parsed.error?.issues[0]?.path).toEqual(["system"]);
    }
  });
});

describe("more than a study has is refused at once", () => {
  const many = (count: number, entry: (at: number) => string) =>
    Array.from({ length: count }, (_, at) => entry(at)).join("\n");
  test.each([
    [
      "100,000 models",
      `study: s\nmodels:\n${many(100_000, (at) => `  m${at}: { source: a }`)}\ntasks: [{ task: animals_long }]\n`,
      "STUDY_NOT_FOUND",
    ],
    [
      "1,001 models",
      `study: s\nmodels:\n${many(1001, (at) => `  m${at}: { source: a }`)}\ntasks: [{ task: animals_long }]\n`,
      "STUDY_INVALID",
    ],
    [
      "1,001 tasks",
      `study: s\nmodels: { m: { source: a } }\ntasks:\n${many(1001, () => "  - { task: animals_long }")}\n`,
      "STUDY_INVALID",
    ],
    [
      "10,001 predictions",
      `${STUDY}predictions: [${Array(10_001).fill("{predictor: m,target: m}").join()}]\n`,
      "STUDY_INVALID",
    ],
    [
      "series that multiply",
      `${STUDY}predictions:\n${many(170, () => `  - { predictor: m, target: m, shown: [${Array.from({ length: 60 }, (_, at) => at + 1)}] }`)}\n`,
      "STUDY_INVALID",
    ],
  ])("%s", async (_, yaml, code) => {
    const began = performance.now();
    await expect(load(yaml)).rejects.toThrow(expect.objectContaining({ code }));
    expect(performance.now() - began).toBeLessThan(5000);
  });
});

describe("every key of the schema", () => {
  interface Node {
    readonly description?: string;
    readonly properties?: Readonly<Record<string, Node>>;
    readonly additionalProperties?: Node | boolean;
    readonly items?: Node;
    readonly anyOf?: readonly Node[];
  }
  const keysOf = (node: Node, path: string): [string, Node][] => [
    ...Object.entries(node.properties ?? {}).flatMap(([key, one]): [string, Node][] => [
      [`${path}${key}`, one],
      ...keysOf(one, `${path}${key}.`),
    ]),
    ...(typeof node.additionalProperties === "object" ? keysOf(node.additionalProperties, `${path}*.`) : []),
    ...(node.items ? keysOf(node.items, `${path}[].`) : []),
    ...(node.anyOf ?? []).flatMap((one) => keysOf(one, path)),
  ];
  const keys = keysOf(z.toJSONSchema(studySchema, { io: "input" }) as Node, "");

  test("is described, in a sentence", () => {
    expect(keys.length).toBeGreaterThan(90);
    expect(
      keys.filter(([, { description }]) => !/^\S.{10,}[.?]$/s.test(description ?? "")).map(([key]) => key),
    ).toEqual([]);
  });

  test("dropLayers says what is done: a block of layers side by side in the middle", () => {
    const [, node] = keys.find(([key]) => key === "models.*.dropLayers") ?? [];
    expect(node?.description).toMatch(/side by side in the middle/);
  });
});
