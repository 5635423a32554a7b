import { describe, expect, test } from "vitest";
import { missing, value } from "../../src/properties/property.js";
import {
  type AverageScore,
  type CellScore,
  type Scores,
  type ScoreSettings,
  scoreTrials,
} from "../../src/score/scores.js";
import type { TrainLabel, Trial } from "../../src/score/trial.js";
import { modeOf } from "../../src/score/tally.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const SETTINGS: ScoreSettings = { confidence: 0.95, bootstrapReplicates: 200, bootstrapSeed: 7, noiseFloorNats: 0.1 };

function labels(values: string, rest: Partial<TrainLabel> = {}): TrainLabel[] {
  return [...values].map((label) => ({
    target: "tiny",
    task: "animals",
    property: "first_letter",
    value: label,
    ...rest,
  }));
}

function cellOf(trials: readonly Trial[], train: readonly TrainLabel[] = []): CellScore {
  const { cells } = scoreTrials(trials, train, SETTINGS);
  expect(cells).toHaveLength(1);
  return cells[0] as CellScore;
}

/**
 * Ten strings, by hand. Scored: s0 to s6 with behaviors a a a a b b c; not scored: s7 (answer refused), s8 and s9 (no such letter).
 * Replies: s0 a right, s1 a right, s2 b wrong, s3 nothing, s4 b right, s5 nothing, s6 a wrong; so 3 of 7 right, 3 of 5 when they comply.
 */
const TEN: readonly Trial[] = [
  makeTrial("s0", "a", "a", { minMargin: 0.5 }),
  makeTrial("s1", "a", "a", { minMargin: 0.1 }),
  makeTrial("s2", "a", "b", { minMargin: 0.5 }),
  makeTrial("s3", "a", undefined, { minMargin: 0.5 }),
  makeTrial("s4", "b", "b", { minMargin: 0.05 }),
  makeTrial("s5", "b", undefined, { minMargin: 0.11 }),
  makeTrial("s6", "c", "a", { minMargin: 0 }),
  makeTrial("s7", "a", "a", { objectCompliance: { ok: false, reason: "refusal" } }),
  makeTrial("s8", undefined, "a"),
  makeTrial("s9", undefined, undefined),
];

describe("one cell, computed by hand", () => {
  const cell = cellOf(TEN, labels("bbbaa"));

  test("accuracy counts a reply that does not comply as wrong and leaves out answers that do not", () => {
    expect(cell.accuracy).toMatchObject({ ok: true, value: 3 / 7, n: 7, clusters: 7 });
    expect(cell.accuracyWhenCompliant).toMatchObject({ ok: true, value: 3 / 5, n: 5 });
  });

  test("above the noise floor means strictly above it: s0, s2, s3, s5", () => {
    expect(cell.accuracyAboveNoiseFloor).toMatchObject({ ok: true, value: 1 / 4, n: 4, clusters: 4 });
  });

  test("compliance is counted on each side, of all asked", () => {
    expect(cell.objectCompliance).toEqual({ count: 7, of: 10 });
    expect(cell.hypotheticalCompliance).toEqual({ count: 7, of: 10 });
  });

  test("modes of train strings and of the scored strings", () => {
    expect(cell.modeTrainValue).toBe("b");
    expect(cell.modeBaselineTrain).toMatchObject({ ok: true, value: 2 / 7, n: 7 });
    expect(cell.modeOracleValue).toBe("a");
    expect(cell.modeBaselineOracle).toMatchObject({ ok: true, value: 4 / 7, n: 7 });
    expect(cell.aboveModeTrain).toMatchObject({ ok: true, value: 1 / 7, n: 7 });
  });

  test("distribution of behaviors and predictions among scored trials", () => {
    expect(cell.behaviors).toEqual([
      { value: "a", count: 4 },
      { value: "b", count: 2 },
      { value: "c", count: 1 },
    ]);
    expect(cell.predictions).toEqual([
      { value: "a", count: 3 },
      { value: "b", count: 2 },
    ]);
    // 4/7 log2(7/4) + 2/7 log2(7/2) + 1/7 log2(7)
    expect(cell.behaviorEntropyBits).toBeCloseTo(1.3787834934861756, 12);
    expect(cell.behaviorModeShare).toBe(4 / 7);
  });

  test("exclusions stand once each, with what became of them", () => {
    const where = { task: "animals", property: "first_letter", predictor: "tiny", target: "tiny" };
    expect(scoreTrials(TEN, [], SETTINGS).exclusions).toEqual([
      { ...where, side: "hypothetical", reason: "empty", count: 2, treatment: "counted_as_wrong" },
      { ...where, side: "object_level", reason: "empty", count: 2, treatment: "excluded" },
      { ...where, side: "object_level", reason: "refusal", count: 1, treatment: "excluded" },
    ]);
  });
});

describe("baselines", () => {
  test.each([
    [[], undefined],
    [
      [
        { value: "b", count: 2 },
        { value: "a", count: 2 },
        { value: "c", count: 1 },
      ],
      "a",
    ],
    [
      [
        { value: "a", count: 1 },
        { value: "Z", count: 1 },
      ],
      "Z",
    ],
    [
      [
        { value: "a", count: 1 },
        { value: "b", count: 3 },
      ],
      "b",
    ],
  ])("mode of %j is %s", (counts, expected) => {
    expect(modeOf(counts)).toBe(expected);
  });

  test("labels of another target, task or property do not count", () => {
    const train = [
      ...labels("a"),
      ...labels("bb", { target: "other" }),
      ...labels("cc", { task: "other" }),
      ...labels("dd", { property: "other" }),
    ];
    expect(cellOf(TEN, train).modeTrainValue).toBe("a");
  });

  test("without train labels the mode and the difference are missing, with the reason", () => {
    const cell = cellOf(TEN);
    expect(cell).not.toHaveProperty("modeTrainValue");
    for (const estimate of [cell.modeBaselineTrain, cell.aboveModeTrain]) {
      expect(estimate).toEqual({ ok: false, reason: "no train string has a behavior to take the mode of" });
    }
  });

  test("a rule counts where it applies; its missing answer is wrong", () => {
    const trials = [
      makeTrial("s0", "a", "a", { heuristics: { last_item: value("a"), first_item: value("b") } }),
      makeTrial("s1", "a", "a", { heuristics: { last_item: missing("too_short"), first_item: value("a") } }),
      makeTrial("s2", "b", "a", { heuristics: { first_item: value("b") } }),
      makeTrial("s3", undefined, "a", { heuristics: { first_item: value("b"), never_scored: value("b") } }),
    ];
    const { heuristics } = cellOf(trials);
    expect(Object.keys(heuristics)).toEqual(["first_item", "last_item", "never_scored"]);
    expect(heuristics.last_item).toMatchObject({ ok: true, value: 1 / 2, n: 2 });
    expect(heuristics.first_item).toMatchObject({ ok: true, value: 2 / 3, n: 3 });
    expect(heuristics.never_scored).toEqual({ ok: false, reason: "the rule applies to none of 3 trials" });
  });
});

describe("averages, computed by hand", () => {
  // Cell 1 has 4 trials, all right. Cell 2 has 2 trials of the same strings, none right. Cell 3 has 2 wordings of 1 trial, one right.
  const trials = [
    ...["s0", "s1", "s2", "s3"].map((item) => makeTrial(item, "a", "a", { heuristics: { last_item: value("b") } })),
    ...["s0", "s1"].map((item) => makeTrial(item, "x", "y", { property: "last_word" })),
    makeTrial("s0", "x", "x", { task: "numbers", property: "is_even", variant: "plain" }),
    makeTrial("s0", "x", "y", { task: "numbers", property: "is_even", variant: "short" }),
    makeTrial("s0", undefined, "y", { task: "numbers", property: "never", variant: "plain" }),
  ];
  const { cells, averages } = scoreTrials(trials, labels("a"), SETTINGS);
  const [micro, macro] = averages as [AverageScore, AverageScore];

  test("micro counts trials, macro counts (task, property) with its wordings pooled", () => {
    expect(cells).toHaveLength(5);
    expect(averages.map(({ kind, cells }) => [kind, cells])).toEqual([
      ["micro", 3],
      ["macro", 3],
    ]);
    expect(micro.accuracy).toMatchObject({ ok: true, value: 5 / 8, n: 8, clusters: 5 });
    expect(macro.accuracy).toMatchObject({ ok: true, value: (1 + 0 + 1 / 2) / 3, n: 8, clusters: 5 });
    expect(micro.objectCompliance).toEqual({ count: 8, of: 9 });
  });

  test("an estimate covers the cells that have it, and its n says so", () => {
    expect(micro.modeBaselineTrain).toMatchObject({ ok: true, value: 1, n: 4, clusters: 4 });
    expect(macro.heuristics.last_item).toMatchObject({ ok: true, value: 0, n: 4 });
  });

  test("each pair of predictor and target has its own", () => {
    const scores = scoreTrials([...TEN, ...TEN.map((trial) => ({ ...trial, predictor: "big" }))], [], SETTINGS);
    expect(scores.averages.map(({ target, predictor, kind }) => [target, predictor, kind])).toEqual([
      ["tiny", "big", "micro"],
      ["tiny", "big", "macro"],
      ["tiny", "tiny", "micro"],
      ["tiny", "tiny", "macro"],
    ]);
    // The same strings are drawn for both predictors, so equal trials have equal intervals.
    expect(scores.averages[0]?.accuracy).toEqual(scores.averages[2]?.accuracy);
  });

  test("one cell alone: micro, macro and the cell agree", () => {
    const scores = scoreTrials(TEN, labels("b"), SETTINGS);
    for (const average of scores.averages) {
      for (const measured of [
        "accuracy",
        "accuracyWhenCompliant",
        "accuracyAboveNoiseFloor",
        "aboveModeTrain",
      ] as const) {
        expect(average[measured]).toEqual(scores.cells[0]?.[measured]);
      }
    }
  });
});

describe("inputs at the edge", () => {
  test("no trial at all", () => {
    expect(scoreTrials([], labels("a"), SETTINGS)).toMatchObject({
      trials: 0,
      cells: [],
      averages: [],
      exclusions: [],
    });
  });

  test("no answer complies: every estimate is missing with a reason and nothing is NaN", () => {
    const scores = scoreTrials(
      [makeTrial("s0", undefined, "a"), makeTrial("s1", undefined, undefined)],
      labels("a"),
      SETTINGS,
    );
    const reason = "none of 2 trials has a behavior to compare with";
    const cell = scores.cells[0] as CellScore;
    for (const estimate of [cell.accuracy, cell.accuracyWhenCompliant, cell.modeBaselineTrain, cell.aboveModeTrain]) {
      expect(estimate).toEqual({ ok: false, reason });
    }
    expect(cell).toMatchObject({
      behaviorEntropyBits: 0,
      behaviorModeShare: 0,
      behaviors: [],
      objectCompliance: { count: 0, of: 2 },
    });
    expect(scores.averages[0]).toMatchObject({
      cells: 0,
      accuracy: { ok: false, reason: `no cell has it: ${reason}` },
    });
    expect(everyNumberIsFinite(scores)).toBe(true);
  });

  test("no reply complies: accuracy is 0, accuracy among compliant ones is missing", () => {
    const cell = cellOf([makeTrial("s0", "a", undefined), makeTrial("s1", "b", undefined)]);
    expect(cell.accuracy).toMatchObject({ ok: true, value: 0 });
    expect(cell.accuracyWhenCompliant).toEqual({ ok: false, reason: "none of 2 hypothetical replies complies" });
  });

  test("one string gives a value but no interval", () => {
    expect(cellOf([makeTrial("s0", "a", "a")]).accuracy).toEqual({
      ok: false,
      reason: "only one string is counted (value 1.000 of n = 1): no interval",
    });
  });

  test("a trial without margins makes the noise-floor accuracy missing", () => {
    const { minMargin: _, ...sampled } = makeTrial("s1", "a", "a");
    expect(cellOf([makeTrial("s0", "a", "a"), sampled]).accuracyAboveNoiseFloor).toMatchObject({
      ok: false,
      reason: expect.stringContaining("1 of 2 trials have no token margins"),
    });
  });

  test("no margin above the floor", () => {
    const trials = ["s0", "s1"].map((item) => makeTrial(item, "a", "a", { minMargin: 0.1 }));
    expect(cellOf(trials).accuracyAboveNoiseFloor).toEqual({
      ok: false,
      reason: "none of 2 trials has every token margin above 0.1 nats",
    });
  });

  test.each([
    ["all right", "a", 0.025 ** (1 / 10), 1],
    ["all wrong", "b", 0, 1 - 0.025 ** (1 / 10)],
  ])("%s: the exact bound for ten strings, not a point", (_, guess, low, high) => {
    const { accuracy } = cellOf(Array.from({ length: 10 }, (_, index) => makeTrial(`s${index}`, "a", guess)));
    expect(accuracy.ok).toBe(true);
    if (!accuracy.ok) return;
    expect(accuracy.low).toBeCloseTo(low, 12);
    expect(accuracy.high).toBeCloseTo(high, 12);
  });

  test("always equal to the mode: the difference is 0 with an interval on both sides", () => {
    const { aboveModeTrain } = cellOf(
      Array.from({ length: 10 }, (_, index) => makeTrial(`s${index}`, "a", "a")),
      labels("a"),
    );
    expect(aboveModeTrain).toMatchObject({ ok: true, value: 0 });
    if (!aboveModeTrain.ok) return;
    expect(aboveModeTrain.high).toBeCloseTo(1 - 0.025 ** (1 / 10), 12);
    expect(aboveModeTrain.low).toBeCloseTo(-aboveModeTrain.high, 12);
  });

  test("names and values that look like object keys are only text", () => {
    const odd = makeTrial("__proto__", "constructor", "constructor", { property: "toString" });
    const cell = cellOf([odd, { ...odd, item: "hasOwnProperty" }]);
    expect(cell.accuracy).toMatchObject({ ok: true, value: 1, clusters: 2 });
    expect(cell.behaviors).toEqual([{ value: "constructor", count: 2 }]);
  });

  test.each([
    [{ confidence: 1 }, /confidence is 1/],
    [{ confidence: Number.NaN }, /confidence is NaN/],
    [{ bootstrapReplicates: 0 }, /replicates is 0/],
    [{ bootstrapReplicates: 10.5 }, /replicates is 10.5/],
    [{ bootstrapSeed: 0.5 }, /seed is 0.5/],
    [{ noiseFloorNats: -1 }, /floor is -1/],
    [{ noiseFloorNats: Number.NaN }, /floor is NaN/],
  ])("refuses %j", (wrong, message) => {
    const code = "STUDY_INVALID";
    expect(() => scoreTrials([], [], { ...SETTINGS, ...wrong })).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});

describe("warnings", () => {
  const many = (count: number, make: (index: number) => Trial) =>
    Array.from({ length: count }, (_, index) => make(index));
  const letters = "abcd";
  const letter = (index: number) => letters[index % 4] as string;

  test.each<[string, Trial[], string[]]>([
    ["a sound cell", many(40, (i) => makeTrial(`s${i}`, letter(i), i % 8 === 0 ? "z" : letter(i))), []],
    [
      "few strings",
      many(19, (i) => makeTrial(`s${i}`, letter(i), letter(i))),
      ["Only 19 strings are scored (fewer than 20): intervals are rough."],
    ],
    [
      "one common behavior",
      many(20, (i) => makeTrial(`s${i}`, i === 0 ? "b" : "a", i === 0 ? "b" : "a")),
      [
        'Measures nothing beyond the mode: "a" is 95 % of behaviors (entropy 0.29 bits).',
        "Not distinguishable from the mode baseline: 1.00 against 0.95 (difference 0.00 to 0.20, which includes 0).",
      ],
    ],
    [
      "replies that do not comply",
      many(40, (i) => makeTrial(`s${i}`, letter(i), i % 4 === 1 ? "b" : undefined)),
      [
        "Only 10 of 40 (25 %) hypothetical replies comply; the others count as wrong.",
        "Not distinguishable from the mode baseline: 0.25 against 0.25",
      ],
    ],
    [
      "answers that do not comply",
      many(60, (i) => makeTrial(`s${i}`, i < 24 ? letter(i) : undefined, letter(i))),
      ["Only 24 of 60 (40 %) object-level answers comply; the others are excluded."],
    ],
    [
      "worse than the mode",
      many(40, (i) => makeTrial(`s${i}`, letter(i), "z")),
      ["Below the mode baseline: 0.00 against 0.25"],
    ],
    [
      "nothing scored",
      many(3, (i) => makeTrial(`s${i}`, undefined, "a")),
      ["Nothing is scored: none of 3 object-level answers complies."],
    ],
  ])("%s", (_, trials, expected) => {
    const { warnings } = cellOf(trials, labels("a"));
    expect(warnings).toEqual(expected.map((text) => expect.stringContaining(text)));
  });
});

test("the method of intervals is said with its settings", () => {
  const { intervalMethod } = scoreTrials([], [], {
    ...SETTINGS,
    confidence: 0.9,
    bootstrapReplicates: 123,
    bootstrapSeed: 45,
  });
  for (const part of ["90 %", "123 replicates", "seed 45", "source string", "Clopper-Pearson"])
    expect(intervalMethod).toContain(part);
});

function everyNumberIsFinite(scores: Scores): boolean {
  return !/null/.test(JSON.stringify(scores));
}
