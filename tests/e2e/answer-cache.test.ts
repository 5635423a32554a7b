/** What was asked before is not asked again, and nobody can tell by the results: real engines, real runs, a cache of the test's own. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { answersAlone } from "../../src/ask/answer-cache.js";
import type { StoreFaults } from "../../src/ask/answer-store.js";
import type { NoiseFloor } from "../../src/ask/noise-floor.js";
import type { AskRequest } from "../../src/model/language-model.js";
import { type AskFileOptions, askFile } from "../../src/run/ask-file.js";
import { openModel } from "../../src/run/open-model.js";
import { parsePrompts } from "../../src/run/prompt-lines.js";
import { type AuthoredStudy, planStudy, runStudy, type StudyOptions } from "../../src/run/run-study.js";
import { scoreFile } from "../../src/run/score-file.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;
const at = (...names: string[]) => join(folder, ...names);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-answer-cache-"));
  vi.stubEnv("INWARD_MODELS", at("models"));
  await writeTinyModel(at("floats.gguf"), { seed: 3, contextLength: 1024 });
  await writeTinyModel(at("integers.gguf"), { seed: 3, encoding: "Q8_0" });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

/** Tests one after the other have caches of their own. */
function emptyCache(name: string): string {
  vi.stubEnv("INWARD_ANSWER_CACHE", at("caches", name));
  return at("caches", name);
}

async function segments(cache: string): Promise<string[]> {
  const names = await readdir(cache, { recursive: true });
  return names.filter((name) => name.endsWith(".answers")).map((name) => join(cache, name));
}

const WORDS = ["cat dog", "a", "zebra lion", "one two three", "cat", "hen", "cow"];
const promptsOf = (words: readonly string[]) =>
  parsePrompts(Buffer.from(words.map((prompt) => JSON.stringify({ prompt })).join("\n")), "p.jsonl");
const text = (path: string) => readFile(path, "utf8");

describe("a reply that is kept by itself is the one that any company gives", () => {
  const requests: AskRequest[] = WORDS.map((content, index) => ({
    messages: [{ role: "user", content: `${content} `.repeat(1 + 7 * index).trim() }],
    maxTokens: 9,
    temperature: index % 2,
    ...(index % 2 === 1 ? { seed: String(index) } : {}),
    topTokens: 5,
    positions: 3,
  }));

  test.each([
    ["own forward pass", "floats.gguf", {}],
    ["own forward pass", "integers.gguf", {}],
    ["strict", "integers.gguf", { strict: true, forward: "llama.cpp" }],
    ["invariant", "integers.gguf", { invariant: true, forward: "llama.cpp" }],
  ] as const)("%s, %s", async (_, file, engine) => {
    await using model = await openModel(at(file), { device: "cpu", engine: { threads: 1, ...engine } });
    expect(answersAlone(model.manifest)).toBe(true);
    const together = await model.ask(requests);
    expect(await model.ask(requests.toReversed())).toEqual(together.toReversed());
    for (const [index, request] of requests.entries()) expect(await model.ask([request])).toEqual([together[index]]);
  });
});

describe("a file of prompts", () => {
  const engine = { threads: 1, groupQuestions: 4 } as const;
  const ask = (name: string, words: readonly string[], file: string, more: Partial<AskFileOptions> = {}) =>
    askFile(promptsOf(words), at(file), { out: at(name), device: "cpu", engine, maxTokens: 5, top: 3, ...more });

  test("asked before is not asked again: the same bytes; what changed is asked, and off is off", async () => {
    const cache = emptyCache("floats");
    expect(await ask("one", WORDS, "floats.gguf")).toMatchObject({ lines: 7, fromCache: 0 });
    expect(JSON.parse(await text(at("one.manifest.json"))).fromCache).toBeUndefined();
    expect(await ask("two", WORDS, "floats.gguf")).toMatchObject({ lines: 7, fromCache: 7 });
    expect(await text(at("two"))).toBe(await text(at("one")));
    const { fromCache, ...manifest } = JSON.parse(await text(at("two.manifest.json")));
    expect(fromCache).toMatchObject({ 0: { answers: 4 }, 1: { answers: 3 } });
    expect(fromCache[0].oldest).toMatch(/^2\d{3}-.*Z$/);
    expect(manifest).toEqual(JSON.parse(await text(at("one.manifest.json"))));
    // Two that are new, and in another order: those alone are asked.
    expect(await ask("three", ["cow", "fox", "cat", "owl", "hen"], "floats.gguf")).toMatchObject({ fromCache: 3 });
    expect(await ask("four", WORDS, "floats.gguf", { maxTokens: 6 })).toMatchObject({ fromCache: 0 });
    const size = (await Promise.all((await segments(cache)).map(text))).join("").length;
    expect(await ask("six", WORDS, "floats.gguf", { engine: { ...engine, cache: false } })).toMatchObject({
      fromCache: 0,
    });
    expect(await text(at("six"))).toBe(await text(at("one")));
    expect((await Promise.all((await segments(cache)).map(text))).join("")).toHaveLength(size);
  });

  test.each([
    ["llama.cpp", { forward: "llama.cpp" }],
    ["node-llama-cpp", { engine: "node-llama-cpp" }],
  ] as const)(
    "of an engine whose answers depend on each other (%s): group by group, in its order",
    async (name, more) => {
      emptyCache(name);
      const own = { engine: { ...engine, ...more } };
      expect(await ask(`${name}-one`, WORDS, "integers.gguf", own)).toMatchObject({ fromCache: 0 });
      expect(await ask(`${name}-two`, WORDS, "integers.gguf", own)).toMatchObject({ fromCache: 7 });
      expect(await text(at(`${name}-two`))).toBe(await text(at(`${name}-one`)));
      const other = [...WORDS.slice(0, 4), "hen", "cat", "cow"];
      expect(await ask(`${name}-three`, other, "integers.gguf", own)).toMatchObject({ fromCache: 4 });
    },
  );

  test("scores are kept too", async () => {
    emptyCache("scores");
    const lines = WORDS.map((content, index) => ({
      id: String(index),
      messages: [{ role: "user" as const, content }],
      continuations: ["cat", " dog"],
    }));
    const score = (name: string) =>
      scoreFile(lines, at("floats.gguf"), { out: at(name), device: "cpu", engine: { ...engine } });
    expect(await score("scores-one")).toMatchObject({ fromCache: 0 });
    expect(await score("scores-two")).toMatchObject({ fromCache: 7 });
    expect(await text(at("scores-two"))).toBe(await text(at("scores-one")));
  });

  test("interrupted in the middle of a group: the message says what is kept, and that is not asked again", async () => {
    emptyCache("interrupted");
    const many = Array.from({ length: 40 }, (_, index) => `cat ${"dog ".repeat(index)}`);
    const stop = new AbortController();
    let answered = 0;
    const asking = ask("stopped", many, "floats.gguf", {
      engine: { threads: 1, groupQuestions: 40, sequences: 2 },
      maxTokens: 40,
      signal: stop.signal,
      onProgress: ({ stage, done }) => {
        if (stage !== "answers" || done < 5) return;
        answered = done;
        stop.abort();
      },
    });
    const said = await asking.catch((error) => error);
    expect(said.code).toBe("INTERRUPTED");
    const [, kept] =
      /0 of 40 questions are kept; the (\d+) answered in the group under way are in the answer cache\./.exec(
        said.message,
      ) as RegExpExecArray;
    expect(Number(kept)).toBeGreaterThanOrEqual(answered);
    expect(Number(kept)).toBeLessThan(40);
    const done = await ask("stopped", many, "floats.gguf", {
      engine: { threads: 1, groupQuestions: 40, sequences: 2 },
      maxTokens: 40,
    });
    expect(done.fromCache).toBeGreaterThanOrEqual(Number(kept));
    expect(done.fromCache).toBeLessThan(40);
    vi.stubEnv("INWARD_ANSWER_CACHE", "off");
    await ask("undisturbed", many, "floats.gguf", {
      engine: { threads: 1, groupQuestions: 40, sequences: 2 },
      maxTokens: 40,
    });
    expect(await text(at("stopped"))).toBe(await text(at("undisturbed")));
  });
});

describe("a study", () => {
  const study: AuthoredStudy = {
    study: "cached",
    models: { tiny: { source: "" } },
    tasks: [
      { task: "animals_long", trainStrings: 6, heldOutStrings: 8, properties: ["first_word", "second_character"] },
    ],
    engine: { device: "cpu", threads: 1, groupQuestions: 6 },
    noiseFloor: { questions: 8 },
    score: { bootstrapReplicates: 100 },
  };
  const run = (name: string, set: readonly string[] = [], more: StudyOptions = {}) =>
    runStudy({ ...study, models: { tiny: { source: at("floats.gguf") } } }, { out: at(name), set, ...more });
  const events = async (name: string) =>
    (await text(at(name, "events.jsonl")))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
      .filter(({ event }) => event === "group_asked");
  const RESULTS = [
    "02-object-level.jsonl",
    "07-hypothetical.jsonl",
    "07-noise-floor.json",
    "08-trials.jsonl",
    "08-scores.json",
  ];
  const countsOf = async (name: string) => {
    const all = await events(name);
    return {
      questions: all.reduce((sum, { questions }) => sum + questions, 0),
      fromCache: all.reduce((sum, { fromCache = 0 }) => sum + fromCache, 0),
    };
  };

  test("run again in another folder asks nothing but the noise floor, which tells a planted lie", async () => {
    const cache = emptyCache("study");
    await run("first");
    const { questions, fromCache } = await countsOf("first");
    expect(questions).toBeGreaterThan(25);
    expect(fromCache).toBe(0);
    await run("second");
    expect(await countsOf("second")).toEqual({ questions, fromCache: questions });
    for (const name of RESULTS) expect(await text(at("second", name)), name).toBe(await text(at("first", name)));
    const [setUp] = JSON.parse(await text(at("second", "manifest.json"))).tiny;
    const counted = Object.values(setUp.fromCache as Record<string, Record<string, { answers: number }>>);
    const groups = counted.flatMap((file) => Object.values(file));
    expect(groups.reduce((sum, { answers }) => sum + answers, 0)).toBe(questions);
    const report = await text(at("second", "09-report.md"));
    expect(report).toContain(`${questions} answers of this run came from the answer cache`);
    expect(await text(at("first", "09-report.md"))).not.toContain("answer cache");

    // One setting: what it is about is asked again, and nothing else.
    await run("third", ["hypothetical.maxTokens=5"]);
    const third = await events("third");
    const hypothetical = third.filter(({ stage }) => stage === "hypothetical");
    expect(hypothetical.every((one) => one.fromCache === undefined)).toBe(true);
    expect(third.filter(({ stage }) => stage !== "hypothetical").every((one) => one.fromCache === one.questions)).toBe(
      true,
    );
    expect(hypothetical.length).toBeLessThan(third.length);
    // Off: the plan is the same one, and so is the folder.
    const authored = { ...study, models: { tiny: { source: at("floats.gguf") } } };
    const [on, off] = [await planStudy(authored), await planStudy(authored, { set: ["engine.cache=false"] })];
    expect([on.cache, off.cache, off.planHash]).toEqual([true, false, on.planHash]);

    // One record is spoilt: asked again, and said. The others somebody has moved by a quarter of a nat, and signed: what is really
    // asked finds just that.
    const [first = "", ...others] = (await Promise.all((await segments(cache)).map(text)))
      .join("")
      .trimEnd()
      .split("\n");
    const [place = ""] = await segments(cache);
    for (const path of await segments(cache)) await rm(path);
    const lies = [first.replace('"text":"', '"text":"x'), ...others.map(moved)];
    await writeFile(join(dirname(place), "lies_1073741824.answers"), `${lies.join("\n")}\n`);
    const faults: unknown[] = [];
    await run("fourth", [], { onCacheFaults: (one) => faults.push(one) });
    expect(faults).toEqual([{ torn: 0, refused: 1 }]);
    const asked = await countsOf("fourth");
    expect(asked.questions - asked.fromCache).toBe(1);
    expect(await text(at("fourth", "events.jsonl"))).toMatch(/"answer_cache_faults","torn":0,"refused":1}/);
    const [floor] = JSON.parse(await text(at("fourth", "07-noise-floor.json"))) as [NoiseFloor];
    expect(floor.maxLogprobDifference).toBeCloseTo(0.25, 12);
    const [honest] = JSON.parse(await text(at("second", "07-noise-floor.json"))) as [NoiseFloor];
    expect(honest.maxLogprobDifference).toBe(0);
  });

  test.each([
    ["its folder is a file", "no-folder", /ENOTDIR|EEXIST|cannot be written/],
    // Node's own recursive mkdir never ends there.
    ...(process.platform === "linux" ? ([["no folder can be made", "/proc/inward/answers", /ENOENT/]] as const) : []),
  ] as const)("a cache that cannot be written is said, and changes nothing: %s", async (_, place, why) => {
    await writeFile(at("no-folder"), "a file");
    vi.stubEnv("INWARD_ANSWER_CACHE", place.startsWith("/") ? place : at(place));
    const faults: StoreFaults[] = [];
    const name = `without ${place.replaceAll("/", "-")}`;
    await run(name, [], { onCacheFaults: (one) => faults.push(one) });
    expect(faults).toEqual([{ torn: 0, refused: 0, unwritable: expect.stringMatching(why) }]);
    vi.stubEnv("INWARD_ANSWER_CACHE", "off");
    await run(`${name}, off`);
    for (const file of RESULTS) expect(await text(at(name, file)), file).toBe(await text(at(`${name}, off`, file)));
  });

  function moved(line: string): string {
    const [key = "", , asked = ""] = line.split(" ", 3);
    const value = JSON.parse(line.slice(key.length + 1 + 64 + 1 + asked.length + 1));
    value.logprobs = value.logprobs.map((one: number) => one - 0.25);
    const json = JSON.stringify(value);
    const sha256 = createHash("sha256").update(`${key} ${asked} ${json}`).digest("hex");
    return `${key} ${sha256} ${asked} ${json}`;
  }
});
