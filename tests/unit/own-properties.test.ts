/** Properties of a user's own: what each rule reads, what is refused, and how they go through plan, sets, trials and report. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { hypotheticalQuestions } from "../../src/ask/questions.js";
import { hashOf, readJson, readJsonLines } from "../../src/base/files.js";
import { propertiesCommand } from "../../src/cli/properties.js";
import { buildSet } from "../../src/finetune/set.js";
import type { Behavior } from "../../src/properties/property.js";
import { setInput } from "../../src/run/finetune-sets.js";
import { checkOwnProperties, propertyNamed } from "../../src/properties/all-properties.js";
import { type OwnProperties, ownPropertiesSchema } from "../../src/properties/own-property.js";
import { extractBehavior, readReply } from "../../src/properties/reading.js";
import { checkProperties } from "../../src/run/check-properties.js";
import { RunFolder } from "../../src/run/folder.js";
import type { Scores } from "../../src/score/scores.js";
import { readProperties } from "../../src/study/load-properties.js";
import { parseStudy } from "../../src/study/load-study.js";
import { loadTask } from "../../src/study/load-task.js";
import { makePlan } from "../../src/study/make-plan.js";
import { type ModelFile, readPlan } from "../../src/study/plan.js";
import { madeUpRun } from "../helpers/made-up-run.js";
import { printed } from "../helpers/printed.js";
import { scriptedModel } from "../helpers/scripted-model.js";
import { runStored } from "../helpers/scripted-run.js";
import { settledStudy } from "../helpers/settled-study.js";

const folder = mkdtempSync(join(tmpdir(), "inward-own-properties-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

const Q = "Would your response do so? Reply with true or false only.";
const define = (definition: object): OwnProperties =>
  ownPropertiesSchema.parse({ own: { question: Q, ...definition } });
const read = (
  definition: object,
  answer: string,
  stop: "end_of_generation" | "max_tokens" = "end_of_generation",
): string => {
  const shown = extractBehavior(propertyNamed("own", define(definition)), answer, { text: "" }, stop);
  return shown.ok ? shown.value : `!${shown.reason}`;
};

const ANIMALS = { mentions: { bird: ["owl", "grey heron"], fish: ["eel"] } };
const BINS = { bins: [{ value: "few", upTo: 10 }, { value: "some", upTo: 20 }, { value: "many" }] };

describe("what a rule reads", () => {
  test.each<[object, string, string]>([
    [{ matches: "\\bsea\\b" }, "The SEA is wide.", "true"],
    [{ matches: "\\bsea\\b" }, "A season.", "false"],
    [{ matches: "^\\s*The" }, "  the end", "true"],
    [{ matches: "Sea", caseSensitive: true }, "the sea", "false"],
    [{ matches: "é" }, "cafe\u0301", "true"],
    [{ matches: "e\u0301" }, "caf\u00e9", "true"],
    [{ matches: "[.!?]$", values: ["yes", "no"] }, "Done. \n", "yes"],
    [{ matches: "x" }, " \n", "!empty"],
    [{ matches: "x" }, "I'm sorry, but I can't answer that.", "!refusal"],
    [{ matches: "x" }, "x \ufffd", "!half_character"],
    [{ captures: "named (\\w+)" }, "A cat named Tom.", "tom"],
    [{ captures: "named (\\w+)" }, "A cat.", "!no_match"],
    [{ captures: "(?:named (\\w*))" }, "A cat named .", "!no_match"],
    [{ captures: "(\\w+)$", values: ["cat", "dog"] }, "big Dog", "dog"],
    [{ captures: "(\\w+)$", values: ["cat", "dog"] }, "big cow", "!not_in_values"],
    [{ oneOf: ["red", "green"] }, '"Red."', "red"],
    [{ oneOf: ["red", "green"] }, "red one", "!not_in_values"],
    [{ oneOf: { warm: ["red", "orange"] }, otherwise: "cold" }, "Orange", "warm"],
    [{ oneOf: { warm: ["red", "orange"] }, otherwise: "cold" }, "blue", "cold"],
    [ANIMALS, "An eel, then an owl", "fish"],
    [ANIMALS, "Owls and a Grey\n  heron.", "bird"],
    [ANIMALS, "howl, feel", "!not_in_values"],
    [{ ...ANIMALS, otherwise: "neither" }, "howl, feel", "neither"],
    [{ mentions: ["犬", "猫"] }, "黒い猫と犬", "猫"],
    [{ mentions: ["c++", "c#"] }, "In C++, say", "c++"],
    [{ mentions: ["constructor", "toString"] }, "a tostring call", "tostring"],
    [{ range: { from: 10, to: 20 } }, "20", "true"],
    [{ range: { from: 10, to: 20 } }, "20.01", "false"],
    [{ range: { to: 0 } }, "-3", "true"],
    [{ range: { from: 10 } }, "about 10", "!not_a_number"],
    [BINS, "10", "few"],
    [BINS, "10.5", "some"],
    [BINS, "21", "many"],
    [{ of: "number_of_words", ...BINS }, "one two three", "few"],
    [{ of: "first_word", matches: "^t" }, "Tiger lion", "true"],
    [{ of: "number_of_words", ...BINS }, "", "!empty"],
    [{ of: "last_character", oneOf: { mark: [".", "!", "?"] }, otherwise: "other" }, "Done!", "mark"],
  ])("%j of %j is %s", (definition, answer, expected) => {
    expect(read(definition, answer)).toBe(expected);
  });

  test("what is left out of answers that were cut off does not depend on what they say", () => {
    for (const answer of ["the sea ", "the land "])
      expect(read({ matches: "sea" }, answer, "max_tokens")).toBe("!truncated");
    expect(read({ ...ANIMALS, otherwise: "neither" }, "an owl and ", "max_tokens")).toBe("!truncated");
    // Here silence is no value: what was said first stays said.
    expect(read(ANIMALS, "an owl and", "max_tokens")).toBe("bird");
    expect(read(ANIMALS, "an owl", "max_tokens")).toBe("!truncated");
    expect(read({ of: "first_word", matches: "^t" }, "Tiger li", "max_tokens")).toBe("true");
    expect(
      read({ of: "more_than_3_characters", oneOf: { long: ["true"], short: ["false"] } }, "tiger", "max_tokens"),
    ).toBe("long");
  });

  test("a reply is one of the values, or for an open one a text", () => {
    const reply = (definition: object, said: string) => {
      const shown = readReply(propertyNamed("own", define(definition)), said, "end_of_generation");
      return shown.ok ? shown.value : `!${shown.reason}`;
    };
    expect(reply(ANIMALS, "Fish.")).toBe("fish");
    expect(reply(ANIMALS, "eel")).toBe("!not_in_values");
    expect(reply({ captures: "(\\w+)" }, "Tom Cat")).toBe("tom cat");
    expect(reply({ matches: "x", values: [true, false] }, "TRUE")).toBe("true");
  });

  test("no pattern takes long, whatever the answer", () => {
    const began = performance.now();
    const long = `${"a".repeat(20_000)}!`;
    for (const pattern of ["(a+)+$", "(a|aa)+$", "(.*)*x", "(a?){30}a{30}b"])
      expect(read({ matches: pattern }, long)).toBe("false");
    expect(performance.now() - began).toBeLessThan(5000);
  });
});

describe("a definition that could not mean one thing is refused", () => {
  test.each<[string, object, RegExp]>([
    ["no rule", {}, /no rule: give one of matches/],
    ["two rules", { matches: "a", oneOf: ["a", "b"] }, /second rule beside matches/],
    ["an unknown key", { match: "a" }, /the key "match" under own does not exist. Did you mean "matches"/],
    ["look-ahead", { matches: "(?=a)" }, /look-around/],
    ["a back-reference", { matches: "(a)\\1" }, /back-references/],
    ["a broken pattern", { matches: "[a" }, /missing closing/],
    ["repetition without end", { matches: "((a{1000}){1000}){1000}" }, /RE2/],
    ["no group", { captures: "a" }, /0 groups; it needs one/],
    ["two groups", { captures: "(a)(b)" }, /2 groups/],
    ["three values", { matches: "a", values: ["a", "b", "c"] }, /are two/],
    ["values twice", { matches: "a", values: ["Yes", "yes."] }, /"yes" stands twice/],
    ["one value", { mentions: ["a"] }, /has one value/],
    ["a value with two meanings", { oneOf: { warm: ["red"], cold: ["Red"] } }, /"red" stands for two values/],
    ["a value in another", { mentions: ["new", "new york"] }, /"new" stands in "new york"/],
    ["a value of nothing", { mentions: ["", "a"] }, /own.mentions.0: must not be empty/],
    ["a value that is read as a refusal", { matches: "a", values: ["I cannot answer", "no"] }, /read as a refusal/],
    ["otherwise for numbers", { range: { from: 1 }, otherwise: "x" }, /means nothing for range/],
    ["an empty range", { range: { from: 3, to: 2 } }, /from is above to/],
    ["a range of everything", { range: {} }, /needs from, to, or both/],
    [
      "bins that fall",
      {
        bins: [
          { value: "a", upTo: 3 },
          { value: "b", upTo: 3 },
        ],
      },
      /ends where the bin before it ends/,
    ],
    ["an open bin first", { bins: [{ value: "a" }, { value: "b", upTo: 3 }] }, /needs upTo/],
    ["numbers without a bin, one bin", { bins: [{ value: "a" }] }, /bins/],
    ["no question", { question: " ", matches: "a" }, /must not be empty/],
    ["what it reads is not there", { of: "frst_word", matches: "a" }, /no such property. Did you mean "first_word"/],
    ["itself", { of: "own", matches: "a" }, /reads its own value: own of own/],
    ["values that never come", { of: "is_even", oneOf: ["even", "odd"] }, /reads nothing from any value of is_even/],
    [
      "kinds that it is not for",
      { of: "is_even", matches: "t", kinds: ["options"] },
      /is_even, which it reads, is not/,
    ],
    [
      "an example that it does not read",
      { matches: "a", examples: [{ answer: "abc", value: false }] },
      /reads "true" from "abc", and its example says "false"/,
    ],
  ])("%s", (_, definition, message) => {
    const path = file("bad.yaml", JSON.stringify({ own: { question: Q, ...definition } }));
    expect(() => checkOwnProperties(readProperties(path))).toThrow(
      expect.objectContaining({ code: "PROPERTY_INVALID", message: expect.stringMatching(message) }),
    );
  });

  test("names: a built-in one's, and what is no name", () => {
    const named = (name: string) => () =>
      checkOwnProperties(readProperties(file("named.yaml", JSON.stringify({ [name]: { question: Q, matches: "a" } }))));
    expect(named("first_word")).toThrow(/first_word is a built-in property/);
    for (const name of ["Own", "a/b", "1st", "a__b", "a b"]) expect(named(name)).toThrow(/use lower-case letters/);
  });

  test("a slip has its line, in a file, a study and a task", async () => {
    const own = `ownProperties:\n  own:\n    question: "${Q}"\n    mtches: a\n`;
    expect(() => readProperties(file("slip.yaml", own))).toThrow(/slip.yaml, line 4: the key "mtches"/);
    expect(() =>
      parseStudy(`study: s\nmodels: { m: { source: m } }\ntasks: [{ task: numbers }]\n${own}`, "s.yaml"),
    ).toThrow(
      expect.objectContaining({
        code: "STUDY_UNKNOWN_KEY",
        message: expect.stringMatching(/"mtches" under ownProperties.own.*"matches"/),
      }),
    );
    file("b.jsonl", '{"text": "a b"}\n{"text": "c d"}\n');
    const task = `name: birds\nkind: sequence\nquestion: "Go on: {string}"\nproperties: [own]\nstrings: b.jsonl\n`;
    await expect(loadTask(file("t.yaml", task + own))).rejects.toMatchObject({
      code: "TASK_INVALID",
      message: expect.stringMatching(/t.yaml, line \d+: the key "mtches"/),
    });
    await expect(loadTask(file("t.yaml", task))).rejects.toMatchObject({
      code: "TASK_INVALID",
      message: expect.stringContaining('no property "own"'),
    });
  });
});

const DEFINED = `
  first_of_two: { question: "Which would your response say first, wolf or lynx? Reply with wolf or lynx only.", mentions: [wolf, lynx] }
  short_word: { question: "How long would the first word of your response be? Reply with short or long only.", of: first_letters, bins: [{ value: short, upTo: 4 }, { value: long }] }
  first_letters: { question: "How many letters would your response have? Reply with the number only.", of: number_of_letters, captures: "(.+)" }`;
const study = (more: string) => `
study: own
seed: 4
models: { m: { source: m } }
tasks: [{ task: animals_long, trainStrings: 14, heldOutStrings: 12 }]
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 100 }
${more}`;
const model: ModelFile = { source: "m", path: "/m", sha256: "00", bytes: 1, encoding: "F32", licence: "mit" };
const planOf = (more: string) => makePlan(settledStudy(study(more)), { m: model }, folder);

describe("in a study", () => {
  test("the plan holds what is asked and what that reads, and nothing else", async () => {
    const properties = file("mine.yaml", DEFINED);
    const plan = await planOf(`properties: [first_word, short_word]\npropertiesFrom: [${properties}]`);
    expect(Object.keys(plan.ownProperties ?? {}).sort()).toEqual(["first_letters", "short_word"]);
    expect(plan.wordings.properties.short_word).toContain("How long would the first word");
    expect(readPlan(JSON.parse(JSON.stringify(plan)), "p.json")).toEqual(JSON.parse(JSON.stringify(plan)));
    const without = await planOf("properties: [first_word]");
    expect(without).not.toHaveProperty("ownProperties");
    // The same words in the study itself make the same plan.
    const inside = await planOf(
      `properties: [first_word, short_word]\nownProperties:${DEFINED.replace(/ {2}first_of_two.*\n/, "")}`,
    );
    expect(hashOf(inside)).toBe(hashOf(plan));
  });

  test("what nothing asks, what is defined twice, and what is not there are refused", async () => {
    await expect(planOf(`properties: [first_word]\nownProperties:${DEFINED}`)).rejects.toThrow(
      /defines first_of_two, which nothing asks/,
    );
    await expect(planOf("properties: [first_of_two]")).rejects.toMatchObject({ code: "PROPERTY_NOT_FOUND" });
    await expect(planOf(`properties: [short_wrd]\nownProperties:${DEFINED}`)).rejects.toThrow(
      /nearest is "short_word"/,
    );
    const other = file("other.yaml", 'first_of_two: { question: "Would your response be?", mentions: [wolf, bear] }');
    await expect(
      planOf(`properties: [first_of_two]\npropertiesFrom: [${other}, ${file("mine.yaml", DEFINED)}]`),
    ).rejects.toThrow(/first_of_two is defined in .*other.yaml and otherwise in .*mine.yaml/);
    await expect(planOf("properties: [x]\npropertiesFrom: [not-there.yaml]")).rejects.toMatchObject({
      code: "PROPERTY_NOT_FOUND",
    });
  });

  test("a plan whose definitions lie is not read", async () => {
    const plan = await planOf(`properties: [first_of_two]\npropertiesFrom: [${file("mine.yaml", DEFINED)}]`);
    const lying = (ownProperties: object) => () => readPlan({ ...plan, ownProperties }, "p.json");
    const one = plan.ownProperties?.first_of_two as object;
    expect(lying({ first_word: one })).toThrow(/first_word is a built-in property/);
    expect(lying({ first_of_two: { ...one, of: "gone" } })).toThrow(/no such property/);
    expect(lying({ first_of_two: { ...one, mentions: ["wolf"] } })).toThrow(/has one value/);
  });

  test("it is asked, learnt, scored and reported like a built-in one", async () => {
    file("words.jsonl", Array.from({ length: 24 }, (_, at) => `{"text": "t${at} u${at}"}`).join("\n"));
    const task = file(
      "words.yaml",
      `name: words\nkind: sequence\nquestion: "Go on: {string}"\nproperties: [ends_far]\nstrings: words.jsonl\nownProperties:\n  ends_far: { question: "Would your response end with lynx? Reply with yes or no only.", matches: "lynx$", values: [yes, no] }\n`,
    );
    const yaml = study(
      `properties: [first_of_two, first_word]\npropertiesFrom: [${file("mine.yaml", DEFINED)}]`,
    ).replace("tasks: [", `tasks: [{ task: ${task}, trainStrings: 10, heldOutStrings: 10, properties: [ends_far] }, `);
    const beasts = ["wolf lynx", "bear wolf", "lynx", "lynx wolf"];
    const says = ({ text }: { readonly text: string }) => beasts[(text.charCodeAt(1) + text.length) % 4] as string;
    // Whoever knows it all, but for what it says of one string in ten.
    const { plan, path } = await madeUpRun(yaml, {
      does: (_, item) => says(item),
      imagines: (_, item) => (item.id.endsWith("3") ? "lynx wolf" : says(item)),
    });
    expect(Object.keys(plan.ownProperties ?? {})).toEqual(["first_of_two", "ends_far"]);
    const run = await RunFolder.open(path);
    try {
      const { rows } = await readJsonLines<Behavior>(run.file("behaviors"));
      const trained = { ...plan, tasks: plan.tasks.map((one) => ({ ...one, trained: true })) };
      const { examples } = buildSet(setInput(trained, { base: "m", target: "m", examplesPerProperty: 100 }, rows));
      const taught = examples.filter(({ metadata }) => metadata.property === "ends_far");
      expect(taught).toHaveLength(10);
      expect(new Set(taught.map(({ messages }) => messages.at(-1)?.content))).toEqual(new Set(["yes", "no"]));
      const { cells } = await readJson<Scores>(run.file("scores"));
      for (const property of ["ends_far", "first_of_two"]) {
        const accuracy = cells.find((one) => one.property === property)?.accuracy;
        expect(accuracy?.ok && accuracy.n).toBeGreaterThan(8);
        expect(accuracy?.ok && accuracy.value).toBeGreaterThan(0.5);
      }
      await runStored(run, "report");
      const report = await readFile(run.file("reportMarkdown"), "utf8");
      expect(report).toContain("Would your response end with lynx? Reply with yes or no only.");
      expect(report).toMatch(/matches lynx\\?\$/);
    } finally {
      await run.close();
    }
    const asked = hypotheticalQuestions(plan).find(({ property }) => property === "ends_far");
    expect(asked?.messages.at(-1)?.content).toMatch(/^Suppose someone gave you this prompt:.*end with lynx\?/s);
  });
});

describe("inward properties check", () => {
  const wet = `wet: { question: "Would your response name water? Reply with true or false only.", matches: '\\b(sea|rain)\\b' }\n`;
  const check = (...args: string[]) => printed(propertiesCommand(), "check", ...args);

  test("shows what the rule reads, and what is amiss in the question", async () => {
    const out = await check(file("wet.yaml", wet), "--examples", file("a.txt", "The sea.\nA hill.\n"));
    expect(out).toContain('"The sea."  -> true');
    expect(out).toContain('"A hill."   -> false');
    expect(out).not.toContain("!");
    const vague = await check(file("vague.yaml", "vague: { question: Is water named?, matches: water }"));
    expect(vague).toContain('! The question does not name the value "true".');
    expect(vague).toContain("whose answer it is about");
    expect(vague).toContain('! Every example shows "false".');
  });

  test("fails where an example says otherwise, and where examples are no examples", async () => {
    const labelled =
      '{"answer": "The sea.", "value": true}\n{"answer": "A lake.", "value": true}\n{"answer": "", "value": null}\n';
    await expect(check(file("wet.yaml", wet), "--examples", file("a.jsonl", labelled))).rejects.toMatchObject({
      code: "PROPERTY_INVALID",
      message: expect.stringContaining("wet: 1 of 3"),
    });
    const bad: [string, RegExp][] = [
      ['{"answer": 3}', /line 1: answer/],
      ['{"answer": "a", "vlue": 1}', /line 1/],
      ["nothing", /not JSON/],
      ["", /no line that is not blank/],
      ['{"answer": "a", "property": "dry"}', /an example is of dry, and the file defines wet/],
    ];
    for (const [lines, message] of bad)
      await expect(check(file("wet.yaml", wet), "--examples", file("a.jsonl", lines))).rejects.toMatchObject({
        code: "PROPERTY_INVALID",
        message: expect.stringMatching(message),
      });
  });

  test("a model is asked the question about the quoted answer, and where it differs is said", async () => {
    const own = readProperties(file("wet.yaml", wet));
    const says = scriptedModel((content) =>
      /lake|sea/.test(content) ? "True." : content.includes("fog") ? "maybe" : "false",
    );
    const answers = ["The sea.", "A lake.", "A hill.", "A fog.", ""].map((answer) => ({ answer }));
    const [result] = await checkProperties(own, answers, { asked: { model: says, kind: "template" } });
    expect(says.asked).toHaveLength(4);
    expect(says.asked[0]).toBe(
      'Suppose your whole response is this text:\n"The sea."\nWould your response name water? Reply with true or false only.',
    );
    expect(result).toMatchObject({ asked: 3, disagreeing: 1, wrong: 0 });
    expect(result?.warnings).toEqual([
      "The model and the rule disagree on 1 of 3 examples.",
      "1 of 4 replies of the model cannot be read as a value.",
    ]);
  });
});
