/** Distributions that are measured together, each with something else written inside, are those measured alone, to the bit; and what was written arrived. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NativeAnswers, NativeWork } from "../../native/index.js";
import { type MeasuredTogether, measureDistribution, measureTogether } from "../../src/ask/measure-distribution.js";
import { runGroup } from "../../src/model/engines/engine.js";
import { type NativeModel, openNativeEngine } from "../../src/model/engines/native.js";
import { startEngine } from "../../src/model/engines/start-engine.js";
import type { Intervention } from "../../src/model/interventions.js";
import { stateShapeOf } from "../../src/model/sites.js";
import { propertyNamed } from "../../src/properties/all-properties.js";
import { behaviorDecider } from "../../src/properties/deciders.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import type { ChatMessage } from "../../src/tasks/answer.js";
import { readGguf } from "../../src/gguf/read-gguf.js";
import { byId, intervenedWork, logprobsApart, someValues } from "../helpers/intervened.js";
import { answer, openEngine, workOf } from "../helpers/native-engine.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-together-"));
const path = join(folder, "tiny.gguf");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const settings = { ...DEFAULT_ENGINE, engine: "native", device: "cpu", threads: 1, sequences: 8 } as const;
const chat = (content: string): ChatMessage[] => [
  { role: "system", content: "" },
  { role: "user", content },
];
const WIDTH = 64;
const at = (layer: number, token: number, more: Partial<Intervention> = {}): Intervention => ({
  site: { part: "residual_after", layer },
  tokens: [token],
  operation: "replace",
  values: someValues(WIDTH, 10 * layer + token),
  ...more,
});

/** Sites × tokens × strings, none, samples, and a budget that is too small for some. */
function questions(): MeasuredTogether[] {
  const written: (Intervention[] | undefined)[] = [
    undefined,
    [at(0, 3)],
    [at(1, 3)],
    [at(0, 6)],
    [at(0, 3), at(1, 6)],
    [at(1, 4, { tokens: { from: 4 }, operation: "add" })],
  ];
  const property = (name: string) => behaviorDecider(propertyNamed(name), { text: "" });
  return ["the cat and the dog", "the cat and a zebra"].flatMap((text) =>
    written.map((interventions, index) => ({
      messages: chat(text),
      decider: property(index % 2 === 0 ? "second_character" : "first_character"),
      decidedLate: index === 5,
      maxTokens: 2,
      seed: `${text}/${index}`,
      ...(interventions ? { interventions } : {}),
    })),
  );
}
const options = { epsilon: 0.02, tokenBudget: 150, mostTail: 0.5, samples: 5, batch: 8, topTokens: 32 };

let model: NativeModel;
beforeAll(async () => {
  await writeTinyModel(path, { seed: 9, blocks: 3 });
  model = await openNativeEngine(path, { ...settings, forward: "own" });
});
afterAll(() => model.dispose());

const alone = async (asked: readonly MeasuredTogether[], using = model) => {
  const found = [];
  for (const { maxTokens, seed, ...question } of asked) {
    found.push(await measureDistribution(using, question, { ...options, maxTokens, seed }));
  }
  return found;
};

test("together as alone, to the bit, in any order and company, with little room too", async () => {
  const asked = questions();
  const expected = await alone(asked);
  expect(new Set(expected.map(({ method }) => method))).toEqual(new Set(["expansion", "samples"]));
  expect(expected.some((one) => one.method === "expansion" && one.stoppedBy === "budget")).toBe(true);
  expect(new Set(expected.map((one) => JSON.stringify(one.values))).size).toBe(asked.length);
  expect(await measureTogether(model, asked, options)).toEqual(expected);
  expect(await measureTogether(model, asked.toReversed(), options)).toEqual(expected.toReversed());
  expect(await measureTogether(model, asked.slice(2, 5), options)).toEqual(expected.slice(2, 5));
  const small = await openNativeEngine(path, { ...settings, forward: "own", sequences: 2 }, { mostCells: 160 });
  expect(await measureTogether(small, asked, options)).toEqual(expected);
  await small.dispose();
});

test("where numbers depend on company, one is measured after the other", async () => {
  const asked = questions().slice(0, 2);
  const theirs = await openNativeEngine(path, { ...settings, forward: "llama.cpp" });
  expect(theirs.nextTokensTogether).toBeUndefined();
  const expected = await alone(asked, theirs);
  await theirs.evaluator.run(workOf([{ ids: [1, 70] }], { topTokens: 1 }), () => {});
  expect(await measureTogether(theirs, asked, options)).toEqual(expected);
  await theirs.dispose();
});

test("prompts stay evaluated side by side, each with what is written into it; what begins alike is evaluated once", async () => {
  const engine = await openEngine(path, { forward: "own" });
  const shape = stateShapeOf(await readGguf(path), path);
  const prompt = [1, 70, 80, 90, 60, 75, 65, 66];
  const next = (some: readonly (readonly [Intervention[], readonly number[]])[]) => {
    const items = some.map(([interventions, after]) => ({ ids: [...prompt, ...after], interventions }));
    const keeps = Int32Array.from(items, () => prompt.length);
    return answer(engine, intervenedWork(items, shape, { topTokens: 5, keeps }));
  };
  const [one, other, third] = [[at(0, 5)], [at(1, 5)], [at(0, 6)]];
  // Five tokens before the first that differs, and three of each after it.
  expect(
    next([
      [one, []],
      [other, []],
      [third, []],
    ]).counts.evaluatedTokens,
  ).toBe(5 + 3 + 3 + 3);
  const again = next([
    [other, [40]],
    [other, [41]],
    [one, [40, 42]],
    [third, []],
  ]);
  expect(again.counts.evaluatedTokens).toBe(2 + 2 + 1);
  // One that was left out is given up; one that comes back is evaluated again from where it differs, and the other goes on.
  expect(next([[one, [43]]]).counts.evaluatedTokens).toBe(1);
  expect(
    next([
      [one, [44]],
      [other, [44]],
    ]).counts.evaluatedTokens,
  ).toBe(1 + 3 + 1);
  const whole = answer(
    engine,
    intervenedWork([{ ids: [...prompt, 40, 42], interventions: one }], shape, { topTokens: 5 }),
  );
  expect(whole.answers[0]).toEqual(again.answers[2]);
  // After another group nothing is there.
  expect(next([[one, [44]]]).counts.evaluatedTokens).toBe(9);
  engine.dispose();
});

test("llama.cpp keeps one prompt alone", async () => {
  const engine = await openEngine(path);
  expect(() => engine.begin(workOf([{ ids: [1, 70] }], { topTokens: 1, keeps: Int32Array.of(2) }))).toThrow(
    expect.objectContaining({ code: "TRAIN_SHAPE" }),
  );
  engine.dispose();
});

describe("an engine that passes over what is to be written is refused", () => {
  const PROMPT = [1, 70, 80, 90, 60, 75];
  const wanted = async (): Promise<NativeWork> => {
    const shape = stateShapeOf(await readGguf(path), path);
    const items = [
      { ids: PROMPT, interventions: [at(0, 3), at(1, 4, { tokens: { from: 4 }, operation: "add" })], maxTokens: 3 },
      { ids: PROMPT },
    ];
    return intervenedWork(items, shape, { topTokens: 265 });
  };
  /** The engine behind something that changes what it is given, or what it says. */
  const through = async (change: {
    begin?: (work: NativeWork) => NativeWork;
    take?: (answers: NativeAnswers) => NativeAnswers;
  }) => {
    const engine = await openEngine(path, { forward: "own" });
    const { begin = (work: NativeWork) => work, take = (answers: NativeAnswers) => answers } = change;
    const changed = new Proxy(engine, {
      get: (target, name) => {
        if (name === "begin") return (work: NativeWork) => target.begin(begin(work));
        if (name === "take") return () => take(target.take());
        const value = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    return async () => {
      const all: NativeAnswers[] = [];
      await runGroup(changed, await wanted(), (answers) => all.push(answers)).finally(() => engine.dispose());
      return all;
    };
  };
  const without = ({ interventions: _, ...work }: NativeWork): NativeWork => work;
  const oneFewer = (work: NativeWork): NativeWork => {
    const table = work.interventions as NonNullable<NativeWork["interventions"]>;
    const tokenSets = table.tokenSets.slice();
    tokenSets[3] = -1;
    return { ...work, interventions: { ...table, tokenSets } };
  };
  const notInAnswers = (work: NativeWork): NativeWork => {
    const table = work.interventions as NonNullable<NativeWork["interventions"]>;
    return { ...work, interventions: { ...table, answerSets: new Int32Array(2).fill(-1) } };
  };

  test("as it is, it writes, and numbers move", async () => {
    const answers = await (await through({}))();
    expect(answers.length).toBeGreaterThan(0);
    const engine = await openEngine(path, { forward: "own" });
    const both = answer(engine, await wanted()).answers.map(byId);
    expect(logprobsApart(both[0] as Float64Array, both[1] as Float64Array)).toBeGreaterThan(0.1);
    engine.dispose();
  });

  test.each([
    ["drops them all", { begin: without }, "INTERNAL", /wrote 0 times into the states of question 1/],
    ["drops one token's", { begin: oneFewer }, "INTERNAL", /wrote \d+ times/],
    ["drops those of answers", { begin: notInAnswers }, "INTERNAL", /wrote \d+ times/],
    [
      "was built before it counted",
      { take: ({ editsDone: _, ...rest }: NativeAnswers) => rest },
      "ENGINE_UNAVAILABLE",
      /build it again/,
    ],
  ] as const)("one that %s", async (_, change, code, message) => {
    await expect((await through(change))()).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test("a process whose engine does not know them is asked nothing", async () => {
    const process = await startEngine(path, { ...DEFAULT_ENGINE, engine: "node-llama-cpp", device: "cpu", threads: 1 });
    const asked = { messages: chat("the cat"), interventions: [at(0, 1)] };
    const request = { ...asked, maxTokens: 1, temperature: 0, topTokens: 1 };
    for (const refused of [
      () => process.ask([request]),
      () => process.check([request]),
      () => process.score([{ ...asked, continuations: ["a"] }]),
      () => process.nextTokens(asked.messages, [[]], 1, asked),
    ])
      await expect(refused()).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE", message: /Interventions need/ });
    await process.dispose();
  });
});
