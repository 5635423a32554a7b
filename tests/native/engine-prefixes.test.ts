/** Proof 2: sharing, batching and order change nothing but rounding; strict mode not even that; draws nothing at all. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine, NativeEngineOptions } from "../../native/index.js";
import { uniformDraw } from "../../src/model/engines/engine.js";
import { type Answered, answer, type Item, openEngine, FORWARDS, workOf } from "../helpers/native-engine.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

/** F32 weights, F32 keys and values: only the order of sums is left to differ. */
const ROUNDING_NATS = 2e-5;
const MAX_TOKENS = 5;

const path = join(mkdtempSync(join(tmpdir(), "inward-prefixes-")), "tiny.gguf");
describe.each(FORWARDS)("forward %s", (forward) => {
  const opened: Engine[] = [];
  async function open(options: Partial<NativeEngineOptions> = {}): Promise<Engine> {
    const engine = await openEngine(path, { forward, ...options });
    opened.push(engine);
    return engine;
  }

  /** 60 prompts over a tree: a common beginning, six strings, ten endings of several lengths; some are equal, some a part of others. */
  const items: Item[] = Array.from({ length: 60 }, (_, index) => ({
    ids: [
      ...[1, 80, 90, 100, 110, 120, 2],
      ...[70 + Math.floor(index / 10), 71, 72],
      ...Array.from({ length: index % 10 }, (_, at) => 60 + ((index * 7 + at * (index % 4)) % 9)),
    ],
    maxTokens: MAX_TOKENS,
    draws: index % 3 === 0 ? Array.from({ length: MAX_TOKENS }, (_, at) => uniformDraw(`7/${index}`, at)) : [],
  }));
  const shuffled = items
    .map((item, index) => ({ item, index }))
    .sort((a, b) => ((a.index * 37) % 60) - ((b.index * 37) % 60));

  let shared: Answered[];
  let alone: Answered[];
  beforeAll(async () => {
    await writeTinyModel(path, { seed: 5 });
    shared = answer(await open(), workOf(items, { topTokens: 8 })).answers;
    alone = answer(await open({ strict: true }), workOf(items, { topTokens: 8 })).answers;
  });
  afterAll(() => {
    for (const engine of opened) engine.dispose();
  });

  function expectSame(answers: readonly Answered[], others: readonly Answered[]): void {
    expect(answers.map(({ tokenIds }) => tokenIds)).toEqual(others.map(({ tokenIds }) => tokenIds));
    const numbers = (one: Answered) => [
      ...one.logprobs,
      ...one.margins,
      ...one.entropies,
      one.logSumExp,
      ...one.topLogprobs,
    ];
    answers.forEach((one, index) => {
      const theirs = numbers(others[index] as Answered);
      numbers(one).forEach((value, at) => {
        expect(Math.abs(value - (theirs[at] as number))).toBeLessThan(ROUNDING_NATS);
      });
    });
  }

  test("shared beginnings give what each item gives alone", () => expectSame(shared, alone));

  test.each<[string, Partial<NativeEngineOptions>]>([
    ["one sequence", { sequences: 1 }],
    ["many sequences", { sequences: 60, batchTokens: 512 }],
    ["batches of 5 tokens", { batchTokens: 5 }],
    ["a cache for little more than one item", { mostCells: 30 }],
  ])("%s: the same answers, drawn ones too", async (_, options) => {
    const engine = await open(options);
    const { answers, counts } = answer(engine, workOf(items, { topTokens: 8 }));
    expectSame(answers, alone);
    expect(counts.mostSequences).toBeLessThanOrEqual(options.sequences ?? 4);
  });

  test("in another order: the same answers", async () => {
    const { answers } = answer(
      await open(),
      workOf(
        shuffled.map(({ item }) => item),
        { topTokens: 8 },
      ),
    );
    expectSame(
      shuffled.map(({ index }) => shared[index] as Answered),
      answers,
    );
  });

  test("a group asked again has the same bytes, on a new engine and after other groups", async () => {
    const engine = await open();
    const work = workOf(items, { topTokens: 8 });
    answer(engine, workOf([{ ids: Array.from({ length: 100 }, (_, at) => 60 + (at % 30)), maxTokens: 50 }]));
    const [again, still] = [answer(engine, work).answers, answer(engine, work).answers];
    expect(JSON.stringify(again)).toBe(JSON.stringify(shared));
    expect(JSON.stringify(still)).toBe(JSON.stringify(shared));
  });

  test("strict: every item has the same bytes in any order and company", async () => {
    const engine = await open({ strict: true });
    const { answers, counts } = answer(
      engine,
      workOf(
        shuffled.map(({ item }) => item),
        { topTokens: 8 },
      ),
    );
    expect(JSON.stringify(answers)).toBe(JSON.stringify(shuffled.map(({ index }) => alone[index])));
    expect(counts.mostSequences).toBe(1);
    const [single] = answer(engine, workOf([items[17] as Item], { topTokens: 8 })).answers;
    expect(single).toEqual(alone[17]);
  });

  describe("what is evaluated", () => {
    test.each([2, 4, 16])("is the tree's distinct tokens, with %i sequences", async (sequences) => {
      const { counts } = answer(await open({ sequences }), workOf(items));
      const prefixes = new Set(items.flatMap(({ ids }) => ids.map((_, at) => ids.slice(0, at + 1).join(","))));
      // Generated tokens are evaluated but for each answer's last.
      const generated = shared.reduce((sum, { tokenIds }) => sum + tokenIds.length - 1, 0);
      expect(counts.evaluatedTokens / (prefixes.size + generated)).toBeLessThanOrEqual(1.05);
      expect(counts.evaluatedTokens).toBeGreaterThanOrEqual(prefixes.size);
    });

    test("alone, every item's own tokens", async () => {
      const { counts } = answer(await open({ strict: true }), workOf(items));
      const own = items.reduce((sum, { ids }) => sum + ids.length, 0);
      const generated = alone.reduce((sum, { tokenIds }) => sum + tokenIds.length - 1, 0);
      expect(counts.evaluatedTokens).toBe(own + generated);
    });
  });

  test("any group, any settings: tokens and scores as alone", async () => {
    const strict = await open({ strict: true });
    const item = fc.record({
      ids: fc.array(fc.integer({ min: 60, max: 62 }), { minLength: 1, maxLength: 12 }),
      maxTokens: fc.integer({ min: 0, max: 4 }),
      scored: fc.nat(11),
    });
    const settings = fc.record({
      sequences: fc.integer({ min: 1, max: 6 }),
      batchTokens: fc.integer({ min: 6, max: 40 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(item, { minLength: 1, maxLength: 14 }), settings, async (made, options) => {
        const group = made.map(({ ids, maxTokens, scored }) => ({
          ids,
          maxTokens,
          scoreFrom: Math.min(ids.length, 1 + scored),
        }));
        const engine = await openEngine(path, { forward, ...options });
        const { answers } = answer(engine, workOf(group, { topTokens: 2 }));
        engine.dispose();
        const { answers: own } = answer(strict, workOf(group, { topTokens: 2 }));
        expectSame(answers, own);
        answers.forEach(({ scores }, index) => {
          const { ids, scoreFrom } = group[index] as (typeof group)[number];
          expect(scores).toHaveLength(ids.length - scoreFrom);
          scores.forEach((score, at) => {
            expect(Math.abs(score - (own[index]?.scores[at] as number))).toBeLessThan(ROUNDING_NATS);
          });
        });
      }),
      { numRuns: 60, seed: 7 },
    );
  });
});
