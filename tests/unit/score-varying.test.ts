/** Behaviors that hardly vary are shown and not averaged: by train strings alone, for every predictor of a target alike. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runDifferences } from "../../src/score/power-analysis.js";
import { scoreTrials } from "../../src/score/scores.js";
import type { TrainLabel, Trial } from "../../src/score/trial.js";
import { hardlyVarying, varyingTrials } from "../../src/score/varying.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 100, bootstrapSeed: 3, noiseFloorNats: 0 };

function labelsOf(property: string, values: Readonly<Record<string, number>>, target = "tiny"): TrainLabel[] {
  return Object.entries(values).flatMap(([value, count]) =>
    Array.from({ length: count }, () => ({ target, task: "animals", property, value })),
  );
}

// A vowel hardly ever, a word of three; held-out strings show the reverse, which must not matter.
const LABELS = [...labelsOf("vowel", { no: 39, yes: 1 }), ...labelsOf("word", { cat: 20, cow: 10, dog: 10 })];
const TRIALS: readonly Trial[] = ["tiny", "other"].flatMap((predictor, at) =>
  Array.from({ length: 30 }, (_, item) => [
    makeTrial(`s${item}`, item % 2 === 0 ? "no" : "yes", "no", { predictor, property: "vowel" }),
    makeTrial(`s${item}`, "cat", (item + at) % 3 === 0 ? "cat" : "cow", { predictor, property: "word" }),
  ]).flat(),
);

describe("what hardly varies", () => {
  test("is told by train labels, with the numbers", () => {
    expect(hardlyVarying(LABELS)).toEqual([
      {
        target: "tiny",
        task: "animals",
        property: "vowel",
        labels: 40,
        value: "no",
        modeShare: 39 / 40,
        entropyBits: expect.closeTo(0.1687, 4),
      },
    ]);
  });

  test.each<[string, Record<string, number>, boolean]>([
    ["one value of 20", { a: 20 }, true],
    ["one value of 19: too few to know", { a: 19 }, false],
    ["90 %, and spread over enough others", { a: 18, b: 1, c: 1 }, false],
    ["90 % of two values: below half a bit", { a: 18, b: 2 }, true],
    ["above 90 %, though the others are many", { a: 91, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1 }, true],
    ["nothing", {}, false],
  ])("%s", (_, values, isLeft) => {
    expect(hardlyVarying(labelsOf("p", values))).toHaveLength(Number(isLeft));
  });

  test("of one target says nothing of another", () => {
    const both = [...labelsOf("p", { a: 30 }, "one"), ...labelsOf("p", { a: 15, b: 15 }, "other")];
    expect(hardlyVarying(both).map(({ target }) => target)).toEqual(["one"]);
  });
});

describe("scores", () => {
  const scores = scoreTrials(TRIALS, LABELS, SETTINGS);

  test("show its cells, with the reason, and average the others: for every predictor the same", () => {
    const cells = scores.cells.filter(({ property }) => property === "vowel");
    expect(cells).toHaveLength(2);
    for (const { accuracy, warnings } of cells) {
      expect(accuracy).toMatchObject({ ok: true, value: 0.5, n: 30 });
      expect(warnings[0]).toBe('Shown, not averaged: hardly varies: "no" on 98 % of 40 train strings (0.17 bits).');
    }
    const words = scoreTrials(
      TRIALS.filter(({ property }) => property === "word"),
      LABELS,
      SETTINGS,
    );
    const estimates = ({ averages }: typeof scores) =>
      averages.map(({ accuracy, aboveModeTrain }) => [accuracy, aboveModeTrain]);
    expect(estimates(scores)).toEqual(estimates(words));
    expect(scores.averages.map(({ cells: count }) => count)).toEqual([1, 1, 1, 1]);
    expect(scores.notAveraged).toEqual(hardlyVarying(LABELS));
  });

  test("without train labels leave nothing out", () => {
    const { averages, notAveraged } = scoreTrials(TRIALS, [], SETTINGS);
    expect(notAveraged).toEqual([]);
    expect(averages.map(({ cells: count, accuracy }) => [count, accuracy.ok && accuracy.n])).toEqual(
      Array(4).fill([2, 60]),
    );
  });

  test("say why where nothing is left to average", () => {
    const vowels = TRIALS.filter(({ property }) => property === "vowel");
    const { averages } = scoreTrials(vowels, LABELS, SETTINGS);
    for (const { accuracy } of averages) {
      expect(accuracy).toEqual({
        ok: false,
        reason: expect.stringMatching(/no cell has it: hardly varies: "no" on 98 %/),
      });
    }
  });
});

test("whatever held-out strings show and predictors say, the same is left out", () => {
  const value = fc.constantFrom("no", "yes", "maybe");
  fc.assert(
    fc.property(fc.array(fc.tuple(value, value), { minLength: 1, maxLength: 20 }), (rows) => {
      const trials = rows.flatMap(([does, says], at) =>
        ["vowel", "word"].map((property) => makeTrial(`s${at}`, does, says, { property })),
      );
      expect(varyingTrials(trials, LABELS).map(({ property }) => property)).toEqual(rows.map(() => "word"));
    }),
  );
});

test("a power calculation is of what is compared", () => {
  const plan = {
    models: { tiny: {}, other: {} },
    predictions: [
      { predictor: "tiny", target: "tiny" },
      { predictor: "other", target: "tiny" },
    ],
  } as unknown as Parameters<typeof runDifferences>[1];
  const differences = runDifferences({ trials: TRIALS, trainLabels: LABELS }, plan);
  expect(differences.map(({ name }) => name)).toContain("above_mode_baseline");
  for (const { rows } of differences) expect(new Set(rows.map(({ property }) => property))).toEqual(new Set(["word"]));
});
