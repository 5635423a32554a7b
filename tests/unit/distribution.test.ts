/** Expanding the tree of continuations gives what enumerating every answer gives. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { expandDistribution, type ExpandedDistribution, settledText } from "../../src/ask/expand-distribution.js";
import { propertyNamed } from "../../src/properties/all-properties.js";
import { behaviorDecider, predictionDecider } from "../../src/properties/deciders.js";
import { enumerate, toySource } from "../helpers/toy-source.js";

/** `é` and an emoji come in parts, `the` in one piece and in letters. */
const LETTERS = [
  "",
  "t",
  "he",
  " the",
  " ",
  "Z",
  Uint8Array.of(0xc3),
  Uint8Array.of(0xa9),
  Uint8Array.of(0xf0, 0x9f),
  Uint8Array.of(0x90, 0xaf),
];
const NUMBERS = ["", "7", "42", ".", " ", "tiger", "-"];
const OPTIONS = ["", "A", "B", "(", ")", ".", " I"];
const REPLIES = ["", "tru", "e", "false", '"', "a", " b", "I'm", " sorry"];

const behavior = (name: string) => behaviorDecider(propertyNamed(name), { text: "", target: "A" });
const prediction = (name: string) => predictionDecider(propertyNamed(name));

function masses({ values, notCompliant }: ExpandedDistribution): Map<string, number> {
  return new Map([
    ...values.map(({ value, probability }) => [value, probability] as const),
    ...Object.entries(notCompliant).map(([reason, mass]) => [`!${reason}`, mass] as const),
  ]);
}
const total = (found: ReadonlyMap<string, number>) => [...found.values()].reduce((sum, mass) => sum + mass, 0);
const ofReasons = (found: ReadonlyMap<string, number>) =>
  total(new Map([...found].filter(([name]) => name.startsWith("!"))));

const seeds = fc.integer({ min: 0, max: 1e6 });

describe.each([
  ["first_character", behavior("first_character"), LETTERS],
  ["second_character", behavior("second_character"), LETTERS],
  ["first_and_second_character", behavior("first_and_second_character"), LETTERS],
  ["first_word", behavior("first_word"), LETTERS],
  ["starts_with_vowel", behavior("starts_with_vowel"), LETTERS],
  ["more_than_3_characters", behavior("more_than_3_characters"), LETTERS],
  ["last_character", behavior("last_character"), LETTERS],
  ["is_even", behavior("is_even"), NUMBERS],
  ["greater_than_500", behavior("greater_than_500"), NUMBERS],
  ["matches_power_seeking", behavior("matches_power_seeking"), OPTIONS],
  ["predicted starts_with_vowel", prediction("starts_with_vowel"), REPLIES],
  ["predicted second_character", prediction("second_character"), REPLIES],
  ["predicted first_word", prediction("first_word"), REPLIES],
] as const)("%s", (_, decider, pieces) => {
  test("equals enumeration, whatever the list's length, the batch and the logits (law)", async () => {
    await fc.assert(
      fc.asyncProperty(
        seeds,
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 9 }),
        async (seed, maxTokens, topTokens, batch) => {
          const source = toySource(pieces, { seed });
          const options = { maxTokens, topTokens, batch, epsilon: 0, tokenBudget: Number.POSITIVE_INFINITY };
          const expanded = await expandDistribution(source, decider, options);
          const found = masses(expanded);
          const expected = enumerate(source, decider, maxTokens);
          expect(expanded.stoppedBy).toBe("whole");
          expect(expanded.tail).toBe(0);
          for (const [name, mass] of expected) {
            if (!name.startsWith("!")) expect(found.get(name) ?? 0, name).toBeCloseTo(mass, 10);
          }
          // A text that the token limit cuts off may have shown its reason before: reasons are compared together.
          expect(ofReasons(found)).toBeCloseTo(ofReasons(expected), 10);
          expect(total(found)).toBeCloseTo(1, 10);
        },
      ),
      { numRuns: 12 },
    );
  });

  test("kept texts are what values are made of, and keeping them changes nothing (law)", async () => {
    await fc.assert(
      fc.asyncProperty(seeds, fc.constantFrom(0, 0.05), async (seed, epsilon) => {
        const options = { maxTokens: 3, topTokens: 3, batch: 4, epsilon, tokenBudget: Number.POSITIVE_INFINITY };
        const all = await expandDistribution(toySource(pieces, { seed }), decider, { ...options, keep: 100_000 });
        const some = await expandDistribution(toySource(pieces, { seed }), decider, { ...options, keep: 3 });
        const { followed = [], ...rest } = all;
        expect(await expandDistribution(toySource(pieces, { seed }), decider, options)).toEqual(rest);
        expect(some).toEqual({ ...rest, followed: followed.slice(0, 3) });
        const sums = new Map<string, number>();
        for (const { value, reason, probability } of followed) {
          const name = value ?? `!${reason}`;
          sums.set(name, (sums.get(name) ?? 0) + probability);
        }
        expect([...sums.keys()].sort()).toEqual([...masses(rest).keys()].sort());
        for (const [name, mass] of masses(rest)) expect(sums.get(name), name).toBeCloseTo(mass, 12);
        for (const [at, { texts, probability, value }] of followed.entries()) {
          expect(probability).toBeLessThanOrEqual(followed[at - 1]?.probability ?? 1);
          expect(texts.length).toBeLessThanOrEqual(3);
          // What a text shows is what the decider says of the text that its tokens make up.
          const text = texts.join("");
          // Of a character in two tokens the first adds a mark, and the second the whole.
          if (text.includes("\ufffd")) continue;
          const ends = texts.at(-1) === "";
          const decided =
            ends || texts.length === 3
              ? decider.atEnd(text, ends ? "end_of_generation" : "max_tokens")
              : decider.decidedBy(text);
          if (value !== undefined) expect(decided).toEqual({ ok: true, value });
        }
      }),
      { numRuns: 4 },
    );
  });

  test("the truth lies in every interval, and masses and tail sum to 1 (law)", async () => {
    await fc.assert(
      fc.asyncProperty(
        seeds,
        fc.double({ min: 0.001, max: 0.9, noNaN: true }),
        fc.integer({ min: 0, max: 40 }),
        fc.constantFrom(0, 1e-3),
        async (seed, epsilon, tokenBudget, noise) => {
          const source = toySource(pieces, { seed, noise });
          const options = { maxTokens: 3, topTokens: 3, batch: 4, epsilon, tokenBudget };
          const expanded = await expandDistribution(source, decider, options);
          expect(Math.abs(total(masses(expanded)) + expanded.tail - 1)).toBeLessThan(1e-9);
          expect(expanded.evaluatedTokens).toBeLessThanOrEqual(tokenBudget);
          expect(expanded.evaluatedTokens).toBe(source.asked.flat().length);
          expect(expanded.expandedNodes).toBe(source.asked.flat().length);
          if (expanded.stoppedBy === "epsilon") expect(expanded.tail).toBeLessThanOrEqual(epsilon);
          if (expanded.stoppedBy === "budget") expect(expanded.tail).toBeGreaterThan(epsilon);
          const truth = enumerate(source, decider, 3);
          for (const { value, probability, upper } of expanded.values) {
            if (noise > 0) continue;
            expect(probability).toBeLessThanOrEqual((truth.get(value) ?? 0) + 1e-12);
            expect(upper).toBeGreaterThanOrEqual((truth.get(value) ?? 0) - 1e-12);
          }
        },
      ),
      { numRuns: 12 },
    );
  });
});

describe("economy", () => {
  const decider = behavior("second_character");

  test("the likeliest text is expanded first, and a decided one never", async () => {
    const source = toySource(LETTERS, { seed: 4 });
    await expandDistribution(source, decider, { maxTokens: 5, epsilon: 0.01, batch: 1, topTokens: 99 });
    const mass = (path: readonly number[]) =>
      path.reduce((product, id, at) => product * (source.probabilities(path.slice(0, at))[id] as number), 1);
    const expanded = source.asked.map(([path]) => mass(path as readonly number[]));
    expect(expanded[0]).toBe(1);
    expect(expanded).toEqual([...expanded].sort((a, b) => b - a));
    for (const [path] of source.asked) expect(decider.decidedBy(source.settled(source.text(path ?? [])))).toBe("open");
  });

  test("a batch holds no more than epsilon asks for", async () => {
    const source = toySource(LETTERS, { seed: 4 });
    const one = await expandDistribution(source, decider, { maxTokens: 5, epsilon: 0.2, batch: 1, topTokens: 99 });
    const many = await expandDistribution(source, decider, { maxTokens: 5, epsilon: 0.2, batch: 64, topTokens: 99 });
    expect(many.expandedNodes).toBeLessThanOrEqual(one.expandedNodes + 2);
    expect(many.tail).toBeLessThanOrEqual(0.2);
  });

  test("without a budget nothing is known", async () => {
    const source = toySource(LETTERS, { seed: 4 });
    expect(await expandDistribution(source, decider, { maxTokens: 5, tokenBudget: 0 })).toEqual({
      method: "expansion",
      values: [],
      notCompliant: {},
      tail: 1,
      expandedNodes: 0,
      evaluatedTokens: 0,
      stoppedBy: "budget",
    });
  });

  test("values stand in order, the same every time", async () => {
    const run = () =>
      expandDistribution(toySource(LETTERS, { seed: 9 }), decider, { maxTokens: 4, epsilon: 0.001, topTokens: 4 });
    const first = await run();
    const probabilities = first.values.map(({ probability }) => probability);
    expect(probabilities).toEqual([...probabilities].sort((a, b) => b - a));
    expect(await run()).toEqual(first);
  });

  test("an interruption is one", async () => {
    const stopped = { maxTokens: 4, signal: AbortSignal.abort() };
    await expect(expandDistribution(toySource(LETTERS, { seed: 1 }), decider, stopped)).rejects.toMatchObject({
      code: "INTERRUPTED",
    });
  });
});

test.each([
  ["caf\ufffd", "caf"],
  ["\ufffd\ufffd", ""],
  ["a\ufffdb", "a\ufffdb"],
  ["Tiger ", "Tiger "],
])("what no further token changes of %j", (text, expected) => {
  expect(settledText(text)).toBe(expected);
});
