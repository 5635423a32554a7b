/** Batches hold every example once, questions about one string stand together, and no watched string is learnt. */
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { orderExamples, packExamples, promptGroups, splitValidation } from "../../src/finetune/batches.js";
import type { EncodedExample } from "../../src/model/language-model.js";

const ids = (text: string) => [...text.matchAll(/\s?\w+|\s?\W/g)].flatMap(([word]) => idOf(word));
/** Words of up to five letters are a token, others two: neighbours in a vocabulary begin alike. */
const idOf = (word: string) => (word.length < 6 ? [hash(word)] : [hash(word.slice(0, 5)), hash(word.slice(5))]);
const hash = (text: string) => [...text].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 49_999, 7);

const INSTRUCTION = 'What is the next word in this list? Reply with that word only: "';
const QUESTIONS = [
  "What is the first character of your answer? Reply with that character only.",
  "What is the second character of your answer? Reply with that character only.",
  'Does your answer begin with a vowel? Reply with "true" or "false" only.',
];

const stringsOf = (task: string): string[] =>
  readFileSync(new URL(`../../datasets/${task}/train.jsonl`, import.meta.url), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).text);

interface Asked extends EncodedExample {
  readonly string: string;
}

/** Every string asked every question but those that `isLeftOut` says, in an order that has nothing to do with strings. */
function askedSet(strings: readonly string[], wording = "", isLeftOut = (_: number) => false): Asked[] {
  const all = strings.flatMap((string, at) =>
    QUESTIONS.map((question, which): Asked & { rank: number; isOut: boolean } => {
      const prompt = ids(`${wording}You were asked: "${INSTRUCTION}${string}" ${question}`);
      const number = at * QUESTIONS.length + which;
      return {
        tokenIds: [...prompt, number % 97, 2],
        answerStart: prompt.length,
        string,
        rank: (number * 7919) % 10_007,
        isOut: isLeftOut(number),
      };
    }),
  );
  return all
    .filter(({ isOut }) => !isOut)
    .sort((a, b) => a.rank - b.rank)
    .map(({ tokenIds, answerStart, string }) => ({ tokenIds, answerStart, string }));
}

const strings = (examples: readonly Asked[], indices: readonly number[]) =>
  new Set(indices.map((index) => (examples[index] as Asked).string));
const byNumber = (a: number, b: number) => a - b;

describe("promptGroups", () => {
  test.each(["animals_long", "english_words_long", "stories_sentences", "number_triplets", "wealth_seeking"])(
    "%s: a group is a string's questions",
    (task) => {
      const examples = askedSet(stringsOf(task).slice(0, 100));
      const groups = promptGroups(examples);
      expect(groups.flat().sort(byNumber)).toEqual([...examples.keys()]);
      for (const group of groups) {
        expect(strings(examples, group).size).toBe(1);
        expect(group.length).toBe(3);
      }
    },
  );

  test("strings whose questions were left out here and there stay whole too", () => {
    const examples = askedSet(stringsOf("animals_long").slice(0, 100), "", (number) => number % 7 === 0);
    const groups = promptGroups(examples);
    expect(groups.length).toBe(new Set(examples.map(({ string }) => string)).size);
    for (const group of groups) expect(strings(examples, group).size).toBe(1);
  });

  test("short lists of digits: no string is in two groups, and groups stay small", () => {
    const examples = askedSet([...new Set(stringsOf("numbers"))].slice(0, 200));
    const groups = promptGroups(examples);
    const seen = groups.flatMap((group) => [...strings(examples, group)]);
    expect(new Set(seen).size).toBe(seen.length);
    expect(Math.max(...groups.map((group) => group.length))).toBeLessThanOrEqual(25);
    expect(groups.length).toBeGreaterThan(60);
  });

  test("two wordings of all prompts are not two groups", () => {
    const some = stringsOf("animals_long").slice(0, 60);
    const examples = [...askedSet(some), ...askedSet(some, "Be brief. ")];
    expect(Math.max(...promptGroups(examples).map((group) => group.length))).toBeLessThanOrEqual(19);
  });

  test("with subjects a group is a subject, whatever the wording", () => {
    const some = stringsOf("animals_long").slice(0, 20);
    const examples = [...askedSet(some), ...askedSet(some, "Be brief. ")];
    const groups = promptGroups(
      examples,
      examples.map(({ string }) => string),
    );
    expect(groups.map((group) => [strings(examples, group).size, group.length])).toEqual(Array(20).fill([1, 6]));
  });

  test("unrelated prompts under a long instruction are alone; equal ones together", () => {
    const prompt = (tail: number[]) => ({
      tokenIds: [...Array(50).fill(5), ...tail, 9, 2],
      answerStart: 50 + tail.length,
    });
    const examples = [prompt([1, 2]), prompt([3, 4, 5]), prompt([1, 6]), prompt([3, 4, 5]), prompt([7])];
    expect(promptGroups(examples)).toEqual([[0], [2], [1, 3], [4]]);
  });
});

const drawn = fc.array(
  fc
    .array(fc.nat(3), { minLength: 2, maxLength: 7 })
    .map((tokenIds): EncodedExample => ({ tokenIds, answerStart: tokenIds.length - 1 })),
  { maxLength: 40 },
);
const settings = fc.record({
  batchExamples: fc.integer({ min: 1, max: 9 }),
  order: fc.constantFrom("by_prompt" as const, "shuffled" as const),
  seed: fc.nat(),
  epoch: fc.integer({ min: 1, max: 5 }),
});

describe("orderExamples", () => {
  test("every example once, full batches but the last, and the same order again", () => {
    fc.assert(
      fc.property(drawn, settings, (examples, chosen) => {
        const batches = orderExamples(examples, chosen);
        expect(batches.flat().sort(byNumber)).toEqual([...examples.keys()]);
        expect(batches.slice(0, -1).every((batch) => batch.length === chosen.batchExamples)).toBe(true);
        expect(batches.length).toBe(Math.ceil(examples.length / chosen.batchExamples));
        expect(orderExamples(examples, chosen)).toEqual(batches);
      }),
    );
  });

  test("by_prompt keeps groups together, and epochs and seeds differ", () => {
    const examples = askedSet(stringsOf("animals_long").slice(0, 50));
    const order = (chosen: object) =>
      orderExamples(examples, { batchExamples: 6, order: "by_prompt", seed: 1, epoch: 1, ...chosen });
    for (const batch of order({})) expect(strings(examples, batch).size).toBe(2);
    expect(order({ epoch: 2 })).not.toEqual(order({}));
    expect(order({ seed: 2 })).not.toEqual(order({}));
  });

  test("by_prompt lets packing evaluate less than half of what it is without", () => {
    const examples = askedSet(stringsOf("animals_long").slice(0, 100));
    const evaluated = (order: "by_prompt" | "shuffled", treePacking: boolean) =>
      orderExamples(examples, { batchExamples: 16, order, seed: 1, epoch: 1 })
        .flatMap((batch) =>
          packExamples(
            batch.map((index) => examples[index] as Asked),
            { microbatchTokens: 512, treePacking },
          ),
        )
        .reduce((sum, { evaluatedTokens }) => sum + evaluatedTokens, 0);
    expect(evaluated("by_prompt", true)).toBeLessThan(evaluated("shuffled", true));
    expect(evaluated("by_prompt", true) * 2).toBeLessThan(evaluated("by_prompt", false));
  });

  test("a shuffle of three is every order about equally often", () => {
    const three = [1, 2, 3].map((id) => ({ tokenIds: [id, id], answerStart: 1 }));
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 1200; seed++) {
      const key = orderExamples(three, { batchExamples: 3, order: "shuffled", seed, epoch: 1 }).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    // 200 each, standard deviation 13.
    expect([...counts.values()].every((count) => count > 140 && count < 260) && counts.size).toBe(6);
  });
});

describe("splitValidation", () => {
  test("both sides together are the set in its order, and no group is on both", () => {
    fc.assert(
      fc.property(drawn, fc.double({ min: 0, max: 0.99, noNaN: true }), fc.nat(), (examples, share, seed) => {
        const { training, validation } = splitValidation(examples, share, seed);
        const side = new Map<EncodedExample, number>([
          ...training.map((each) => [each, 0] as const),
          ...validation.map((each) => [each, 1] as const),
        ]);
        expect(side.size).toBe(examples.length);
        expect([training, validation].map((part) => part.map((each) => examples.indexOf(each)))).toEqual(
          [0, 1].map((which) =>
            [...examples.keys()].filter((at) => side.get(examples[at] as EncodedExample) === which),
          ),
        );
        const groups = promptGroups(examples);
        for (const group of groups)
          expect(new Set(group.map((at) => side.get(examples[at] as EncodedExample))).size).toBe(1);
        expect(validation.length > 0).toBe(share > 0 && groups.length > 1);
        if (examples.length > 0) expect(training.length).toBeGreaterThan(0);
      }),
    );
  });

  test("a share of the examples, whole strings of them, by seed", () => {
    const examples = askedSet(stringsOf("animals_long").slice(0, 100));
    const { training, validation } = splitValidation(examples, 0.1, 5);
    expect(validation.length).toBe(30);
    const watched = new Set((validation as Asked[]).map(({ string }) => string));
    expect(watched.size).toBe(10);
    expect((training as Asked[]).some(({ string }) => watched.has(string))).toBe(false);
    expect(splitValidation(examples, 0.1, 5)).toEqual({ training, validation });
    expect(splitValidation(examples, 0.1, 6).validation).not.toEqual(validation);
  });

  test("subjects follow their examples, and a subject under two wordings is on one side", () => {
    const some = stringsOf("animals_long").slice(0, 20);
    const examples = [...askedSet(some), ...askedSet(some, "Be brief. ")];
    const split = splitValidation(
      examples,
      0.2,
      5,
      examples.map(({ string }) => string),
    );
    expect(split.validation.length).toBe(24);
    expect(split.trainingSubjects).toEqual((split.training as Asked[]).map(({ string }) => string));
    const watched = new Set((split.validation as Asked[]).map(({ string }) => string));
    expect(split.trainingSubjects?.some((subject) => watched.has(subject))).toBe(false);
  });
});
