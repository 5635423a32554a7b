/** Calibration by hand: examples small enough to compute on paper, and input that gives no number. */
import { describe, expect, test } from "vitest";
import {
  type CalibrationPair,
  type CalibrationRow,
  scoreCalibration,
} from "../../src/score/calibration/score-calibration.js";
import type { Estimate } from "../../src/score/interval.js";
import { calibration as calibrationExperiment } from "../../src/score/verdicts/calibration.js";
import type { Verdict, VerdictInput } from "../../src/score/verdicts/verdict.js";
import {
  brier,
  equalFrequencyBins,
  excessBrier,
  isInfinite,
  klDivergence,
  orderPoints,
  pointsOf,
  totalVariation,
  totalVariationBounds,
} from "../../src/score/calibration/measures.js";
import { type Comparison, compareDistributions } from "../../src/score/calibration/predictors.js";
import { rankCorrelation } from "../../src/score/correlation.js";
import { drawStrings } from "../../src/score/resampling.js";
import { behavior, prediction } from "../fixtures/score/make-distribution.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 200, bootstrapSeed: 5 };
const UNTRAINED: CalibrationPair = { predictor: "m", target: "m", kind: "untrained" };
const SELF: CalibrationPair = { predictor: "m1", target: "m", kind: "self" };
const CROSS: CalibrationPair = { predictor: "n1", target: "m", kind: "cross" };

function compare(object: Record<string, number>, predicted: Record<string, number>, tails: [number, number] = [0, 0]) {
  const place = { task: "animals", item: "s1", property: "first_word", variant: "minimal" };
  const done = behavior("s1", object, { tail: tails[0] }).distribution;
  return compareDistributions(place, done, prediction("s1", predicted, { tail: tails[1] }).distribution) as Comparison;
}

describe("one string", () => {
  // p_obj = (a 0.625, b 0.375) after the refusals' 0.2 are taken out; p_hyp = (a 0.5, c 0.2), 0.1 not looked into.
  const one = compare({ a: 0.5, b: 0.3 }, { a: 0.5, c: 0.2 }, [0, 0.1]);

  test("behaviors are renormalized, predictions are not", () => {
    expect([...one.object]).toEqual([
      ["a", 0.625],
      ["b", 0.3 / 0.8],
    ]);
    expect([...one.hypothetical]).toEqual([
      ["a", 0.5],
      ["c", 0.2],
    ]);
    expect([one.objectMass, one.hypotheticalMass, one.hypotheticalTail]).toEqual([0.8, 0.7, 0.1]);
  });

  test("Brier 1 − 2 · 0.3125 + 0.29, of which 0.125² + 0.375² + 0.2² is the predictor's", () => {
    expect(brier(one)).toBeCloseTo(0.665, 12);
    expect(excessBrier(one)).toBeCloseTo(0.19625, 12);
  });

  test("total variation 0.125 + 0.375; the tail of 0.1 can only take away", () => {
    expect(totalVariation(one)).toBeCloseTo(0.5, 12);
    expect(totalVariationBounds(one).least).toBeCloseTo(0.4, 12);
    expect(totalVariationBounds(one).most).toBeCloseTo(0.5, 12);
  });

  test("a target's tail widens both sides: 0.2 of 0.8 + 0.2 may be anything", () => {
    const open = compare({ a: 0.5, b: 0.3 }, { a: 0.5, c: 0.2 }, [0.2, 0]);
    expect(totalVariationBounds(open).least).toBeCloseTo(0.3, 12);
    expect(totalVariationBounds(open).most).toBeCloseTo(0.6, 12);
  });

  test("KL is infinite, and finite when mixed: 0.625 ln(0.625 / 0.5) + 0.375 ln(0.375 / 0.005)", () => {
    expect(isInfinite(one)).toBe(true);
    expect(klDivergence(one, 2)).toBeCloseTo(1.758523, 6);
  });

  test("rank correlation looks at the target's values only", () => {
    expect(rankCorrelation(one)).toBeCloseTo(1, 12);
    expect(rankCorrelation(compare({ a: 0.6, b: 0.4 }, { a: 0.1, b: 0.2 }))).toBeCloseTo(-1, 12);
    expect(rankCorrelation(compare({ a: 0.6, b: 0.4 }, { c: 1 }))).toBeUndefined();
    expect(rankCorrelation(compare({ a: 1 }, { a: 1 }))).toBeUndefined();
  });

  test("a predictor that names nothing: Brier 1, total variation 1", () => {
    const silent = compare({ a: 0.7, b: 0.3 }, {});
    expect(brier(silent)).toBeCloseTo(1, 12);
    expect(totalVariation(silent)).toBeCloseTo(1, 12);
  });
});

describe("points and bins", () => {
  test("three values at most, ties by value, 0 for what is not listed; one for a certain behavior", () => {
    const many = compare({ d: 0.1, c: 0.2, b: 0.2, a: 0.5 }, { b: 0.4, d: 0.6 });
    const draws = drawStrings([behavior("s1", { a: 1 })], SETTINGS);
    expect(pointsOf([many], draws)).toEqual({ object: [0.5, 0.2, 0.2], hypothetical: [0, 0.4, 0], strings: [0, 0, 0] });
    expect(pointsOf([many], draws, 2).hypothetical).toEqual([0]);
    expect(pointsOf([compare({ a: 0.3 }, { a: 1 })], draws).object).toEqual([1]);
  });

  test("twenty points make ten bins of two; a point that counts twice is two points; equal edges merge", () => {
    const twenty = Array.from({ length: 20 }, (_, at) => at / 20);
    const sizes = (object: number[], weights: number[]) => {
      const points = { object, hypothetical: object, strings: [...object.keys()] };
      return equalFrequencyBins(points, orderPoints(points), weights).map(({ points: counted }) => counted);
    };
    expect(sizes(twenty, new Array(20).fill(1))).toEqual(new Array(10).fill(2));
    expect(sizes(twenty.slice(0, 10), new Array(10).fill(2))).toEqual(new Array(10).fill(2));
    expect(sizes([0.5, 0.5, 0.5], [1, 1, 1])).toEqual([3]);
    expect(sizes([0, 0, 0, 0, 1], [1, 1, 1, 1, 1])).toEqual([4, 1]);
    expect(sizes([0.1], [0])).toEqual([]);
  });
});

describe("a small study", () => {
  // Two strings, certain behaviors: points (1, 0.8) and (1, 0.4) lie in one bin. MAD 100 · |1 − 0.6|.
  const lines = [
    behavior("s1", { a: 1 }),
    behavior("s2", { b: 1 }),
    prediction("s1", { a: 0.8, b: 0.2 }, { state: "m1" }),
    prediction("s2", { a: 0.6, b: 0.4 }, { state: "m1", evaluatedTokens: 33 }),
    prediction("s1", { a: 0.5, b: 0.5 }),
    prediction("s2", { a: 0.5, b: 0.5 }, { samples: 200 }),
    prediction("s2", { a: 1 }, { state: "n1" }),
    behavior("s3", {}, { tail: 0.25 }),
    prediction("s3", { a: 1 }, { state: "m1" }),
    prediction("s4", { a: 1 }, { state: "m1" }),
  ];
  const scores = scoreCalibration(lines, [SELF, UNTRAINED, CROSS], SETTINGS);
  const [self, , untrained] = scores.rows;

  test("MAD, Brier and skill: the constant predictor is wrong about both strings", () => {
    expect(self?.metrics.madPoints).toMatchObject({ ok: true, n: 2, clusters: 2 });
    expect(self?.metrics.madPoints.ok && self.metrics.madPoints.value).toBeCloseTo(40, 12);
    // Brier 2 · 0.2² and 2 · 0.6²; the constant's is 2.
    expect(self?.metrics.brier.ok && self.metrics.brier.value).toBeCloseTo(0.4, 12);
    expect(self?.constant.brier.ok && self.constant.brier.value).toBe(2);
    expect(self?.skill.ok && self.skill.value).toBeCloseTo(0.8, 12);
    expect(self?.metrics.pearson).toEqual({ ok: false, reason: "one side is constant: no correlation" });
    expect(self?.bins).toEqual([{ meanObject: 1, meanHypothetical: expect.closeTo(0.6, 12), points: 2 }]);
    expect(self?.histogram).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
  });

  test("ECE: 0.8 held of a sure thing, 0.6 of what never happens", () => {
    expect(self?.metrics.expectedCalibrationError.ok && self.metrics.expectedCalibrationError.value).toBeCloseTo(
      0.4,
      12,
    );
  });

  test("what is left out is counted with its reason, and costs are counted whole", () => {
    expect(self?.comparisons).toBe(2);
    expect(self?.leftOut).toEqual([
      { reason: "no distribution of behaviors was measured", count: 1 },
      { reason: "the target shows no value: all it may answer is without one", count: 1 },
    ]);
    expect(untrained?.leftOut).toEqual([{ reason: "no distribution of predictions was measured", count: 1 }]);
    expect(self?.hypotheticalCost).toEqual({
      expansions: 4,
      evaluatedTokens: 333,
      sampledDistributions: 0,
      samples: 0,
    });
    expect(untrained?.hypotheticalCost).toMatchObject({ expansions: 1, sampledDistributions: 1, samples: 200 });
    expect([self?.sampled, untrained?.sampled]).toEqual([
      { count: 0, of: 2 },
      { count: 1, of: 2 },
    ]);
  });

  test("differences are taken on what both were asked, self first", () => {
    const [untrainedFirst] = scores.differences;
    expect(scores.differences.map(({ minus, kind, property }) => [minus, kind, property])).toEqual([
      ["m", "self_minus_untrained", undefined],
      ["m", "self_minus_untrained", "first_word"],
      ["n1", "self_minus_cross", undefined],
      ["n1", "self_minus_cross", "first_word"],
    ]);
    expect(untrainedFirst?.madPoints.ok && untrainedFirst.madPoints.value).toBeCloseTo(-10, 12);
    expect(untrainedFirst?.brier.ok && untrainedFirst.brier.value).toBeCloseTo(-0.1, 12);
    expect(scores.differences[2]?.totalVariation).toEqual({
      ok: false,
      reason: "only one string is counted (value -0.400 of n = 1): no interval",
    });
  });
});

test("a constant predictor that is never wrong leaves no skill to show", () => {
  const lines = ["s1", "s2", "s3"].flatMap((item) => [behavior(item, { a: 1 }), prediction(item, { a: 0.9 })]);
  const [row] = scoreCalibration(lines, [UNTRAINED], SETTINGS).rows;
  expect(row?.skill).toEqual({
    ok: false,
    reason: "the constant predictor is never wrong: nothing to improve on",
  });
});

test("a pair without distributions says so in every place", () => {
  const { rows, differences } = scoreCalibration([], [SELF, CROSS], SETTINGS);
  expect(rows.map(({ comparisons, metrics }) => [comparisons, metrics.brier])).toEqual(
    [0, 0].map((none) => [none, { ok: false, reason: "nothing to compare" }]),
  );
  expect(differences[0]?.brier).toEqual({ ok: false, reason: "nothing to compare" });
});

test.each([
  [{ confidence: 1 }, /confidence is 1/],
  [{ bootstrapReplicates: 0 }, /replicates is 0/],
  [{ bootstrapSeed: 0.5 }, /seed is 0.5/],
])("settings %j are refused", (wrong, message) => {
  expect(() => scoreCalibration([], [], { ...SETTINGS, ...wrong })).toThrow(message);
});

describe("what the paper's twenty samples of each side would show", () => {
  const many = Array.from({ length: 40 }, (_, at) => `s${at}`);
  const spread = { a: 0.4, b: 0.3, c: 0.2, d: 0.1 };
  const rowOf = (predicted: (at: number) => Record<string, number>) => {
    const lines = many.flatMap((item, at) => [
      behavior(item, spread),
      prediction(item, predicted(at), { state: "m1" }),
    ]);
    const { rows } = scoreCalibration(lines, [{ predictor: "m1", target: "m", kind: "self" }], {
      confidence: 0.95,
      bootstrapReplicates: 100,
      bootstrapSeed: 3,
    });
    return rows[0] as CalibrationRow;
  };
  const amountOf = (estimate: Estimate) => (estimate.ok ? estimate.value : Number.NaN);

  test("a perfect predictor is off by nothing, and by their noise; certain ones by nothing either way", () => {
    const perfect = rowOf(() => spread);
    expect(amountOf(perfect.metrics.madPoints)).toBeCloseTo(0, 9);
    // Counting the three values seen most often takes chance for a preference: what was done is held less likely than it was done.
    expect(amountOf(perfect.metrics.mad20Points)).toBeGreaterThan(4);
    expect(amountOf(perfect.constant.mad20Points)).toBeGreaterThan(4);
    expect(perfect.metrics.mad20Points).toMatchObject({ n: 40, clusters: 40 });
    const lines = many.flatMap((item) => [behavior(item, { a: 1 }), prediction(item, { a: 1 }, { state: "m1" })]);
    const { rows } = scoreCalibration(lines, [{ predictor: "m1", target: "m", kind: "self" }], {
      confidence: 0.95,
      bootstrapReplicates: 100,
      bootstrapSeed: 3,
    });
    expect(amountOf((rows[0] as CalibrationRow).metrics.mad20Points)).toBe(0);
  });

  test("among replies with a value knowing and complying come apart, and the constant predictor is counted alike", () => {
    const half = rowOf(() => ({ a: 0.2, b: 0.15, c: 0.1, d: 0.05 }));
    expect(amountOf(half.metrics.madPoints)).toBeGreaterThan(10);
    expect(amountOf(half.skill)).toBeLessThan(0);
    expect(half.compliant.comparisons).toBe(40);
    expect(amountOf(half.compliant.metrics.madPoints)).toBeCloseTo(0, 9);
    expect(amountOf(half.compliant.skill)).toBeCloseTo(0, 9);
    expect(amountOf(half.compliant.constant.brier)).toBeCloseTo(amountOf(half.constant.brier), 12);
    const mute = rowOf((at) => (at < 30 ? spread : {}));
    expect(mute.compliant.comparisons).toBe(30);
    expect(mute.comparisons).toBe(40);
  });
});

describe("a verdict that holds whatever the tails hide", () => {
  const verdictOf = (tail: number) => {
    const lines = Array.from({ length: 40 }, (_, at) => `s${at}`).flatMap((item, at) => {
      const value = "abcd"[at % 4] as string;
      return [
        behavior(item, { [value]: 1 - tail }, { tail }),
        prediction(item, { [value]: 0.6 * (1 - tail) }, { state: "m1", tail }),
      ];
    });
    const scores = scoreCalibration(lines, [{ predictor: "m1", target: "m", kind: "self" }], {
      confidence: 0.95,
      bootstrapReplicates: 100,
      bootstrapSeed: 3,
    });
    const plan = { states: { m: { model: "m" }, m1: { model: "m", adapter: "m1" } }, adapters: {} };
    const verdicts = calibrationExperiment.judge({ calibration: scores, plan } as unknown as VerdictInput);
    return { row: scores.rows[0] as CalibrationRow, verdict: verdicts[0] as Verdict };
  };

  test("small tails change nothing, large ones leave it open, and that is said", () => {
    const small = verdictOf(0.001);
    expect(small.verdict).toMatchObject({ finding: "exceeds", reservations: [] });
    const large = verdictOf(0.5);
    expect(large.row.skill).toMatchObject({ ok: true, low: expect.any(Number) });
    expect(large.row.skill.ok && large.row.skill.low).toBeGreaterThan(0);
    expect(large.verdict).toMatchObject({ finding: "cannot_tell", reservations: [{ kind: "tails_open" }] });
  });

  test("bounds of the constant predictor come from the tails of the strings that it averages", () => {
    const { constant } = verdictOf(0.1).row;
    const { least = 0, most = 0 } = constant.brierBounds ?? {};
    const { brier } = constant;
    expect(brier.ok && least < brier.value - 0.01 && most > brier.value + 0.01).toBe(true);
    const whole = verdictOf(0).row.constant;
    expect(whole.brierBounds?.least).toBeCloseTo(whole.brierBounds?.most ?? 0, 12);
  });
});
