/** Agreement with numpy, scipy and pandas; tests/fixtures/score/README.md says how the expected values were made. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { MeasuredDistribution } from "../../src/ask/measure-distribution.js";
import {
  type CalibrationMetrics,
  type CalibrationPair,
  type CalibrationRow,
  scoreCalibration,
} from "../../src/score/calibration/score-calibration.js";
import type { Estimate } from "../../src/score/interval.js";
import { behavior, prediction } from "../fixtures/score/make-distribution.js";

type Bounds = "totalVariationBounds" | "klNatsBounds" | "brierBounds";
type Measure = Exclude<keyof CalibrationMetrics, "madByRankPoints" | "mad20Points" | Bounds>;
type Limits = { low: number; high: number; standardError: number };
/** The mean over so many procedures of twenty samples, which scatter so much. */
type Procedures = { value: number; standardDeviation: number; procedures: number };
interface Reference {
  confidence: number;
  replicates: number;
  klMixing: number;
  lines: ["object_level" | "hypothetical", string, string, string, string, Record<string, number>, number][];
  pairs: CalibrationPair[];
  rows: {
    predictor: string;
    property: string | null;
    comparisons: number;
    points: number;
    strings: number;
    metrics: Record<Measure, number>;
    constant: Record<Measure, number>;
    madByRankPoints: [number, number];
    skill: number;
    objectCompliantMass: number;
    mad20: Procedures;
    constantMad20: Procedures;
    compliant: {
      comparisons: number;
      madPoints: number;
      brier: number;
      totalVariation: number;
      skill: number;
      mad20: Procedures;
    };
    bootstrap: Record<string, Limits>;
  }[];
  differences: {
    minus: string;
    comparisons: number;
    madPoints: number;
    brier: number;
    totalVariation: number;
    bootstrap: Record<string, Limits>;
  }[];
}

const reference: Reference = JSON.parse(
  readFileSync(new URL("../fixtures/score/calibration-reference.json", import.meta.url), "utf8"),
);
const distributions = reference.lines.map(
  ([side, state, task, item, property, values, tail]): MeasuredDistribution =>
    (side === "object_level" ? behavior : prediction)(item, values, { state, task, property, tail }),
);
const scores = scoreCalibration(distributions, reference.pairs, {
  confidence: reference.confidence,
  bootstrapReplicates: reference.replicates,
  bootstrapSeed: 7,
});

const known = (estimate: Estimate) => {
  if (!estimate.ok) throw new Error(estimate.reason);
  return estimate;
};
const rowOf = (predictor: string, property: string | null) =>
  scores.rows.find((row) => row.predictor === predictor && (row.property ?? null) === property) as CalibrationRow;

/** Within Monte Carlo error of two sets of draws; limits are compared before they are widened to hold the value. */
function expectLimits(estimate: ReturnType<typeof known>, { low, high, standardError }: Limits): void {
  expect(Math.abs(estimate.low - Math.min(low, estimate.value))).toBeLessThan(0.4 * standardError);
  expect(Math.abs(estimate.high - Math.max(high, estimate.value))).toBeLessThan(0.4 * standardError);
}

test("the mixing of KL is the one that the reference used", () => {
  expect(scores.klMixing).toBe(reference.klMixing);
  expect(scores.rows).toHaveLength(reference.rows.length);
});

describe.each(reference.rows)("$predictor, $property", (expected) => {
  const row = rowOf(expected.predictor, expected.property);

  test("counts", () => {
    expect([row.comparisons, row.points, row.strings]).toEqual([
      expected.comparisons,
      expected.points,
      expected.strings,
    ]);
    expect(row.bins.reduce((sum, { points }) => sum + points, 0)).toBe(expected.points);
    expect(row.histogram.reduce((sum, points) => sum + points, 0)).toBe(expected.points);
  });

  test.each(Object.keys(expected.metrics) as Measure[])("%s, and that of the constant predictor", (measure) => {
    expect(known(row.metrics[measure]).value).toBeCloseTo(expected.metrics[measure], 9);
    expect(known(row.constant[measure]).value).toBeCloseTo(expected.constant[measure], 9);
  });

  test("MAD by rank, skill, compliant mass", () => {
    const [first, second] = row.metrics.madByRankPoints;
    expect(known(first).value).toBeCloseTo(expected.madByRankPoints[0], 9);
    expect(known(second).value).toBeCloseTo(expected.madByRankPoints[1], 9);
    expect(known(row.skill).value).toBeCloseTo(expected.skill, 9);
    expect(known(row.objectCompliantMass).value).toBeCloseTo(expected.objectCompliantMass, 9);
  });

  test("MAD of twenty samples, within Monte Carlo error of two simulations", () => {
    for (const [estimate, { value, standardDeviation, procedures }] of [
      [row.metrics.mad20Points, expected.mad20],
      [row.constant.mad20Points, expected.constantMad20],
      [row.compliant.metrics.mad20Points, expected.compliant.mad20],
    ] as const) {
      const error = standardDeviation * Math.sqrt(1 / procedures + 1 / 200);
      expect(Math.abs(known(estimate).value - value)).toBeLessThan(4 * error);
    }
  });

  test("among replies with a value", () => {
    const { comparisons, metrics, skill } = row.compliant;
    expect(comparisons).toBe(expected.compliant.comparisons);
    for (const measure of ["madPoints", "brier", "totalVariation"] as const) {
      expect(known(metrics[measure]).value).toBeCloseTo(expected.compliant[measure], 9);
    }
    expect(known(skill).value).toBeCloseTo(expected.compliant.skill, 9);
  });

  // Limits of 1,500 replicates each: the standard error of a 2.5 % quantile is about 0.07 standard deviations, of the
  // difference of two independent ones 0.1; 0.4 is four of those.
  test.each(Object.keys(expected.bootstrap))("interval of %s within Monte Carlo error", (name) => {
    expectLimits(
      known(name === "skill" ? row.skill : row.metrics[name as Measure]),
      expected.bootstrap[name] as Limits,
    );
  });
});

test.each(reference.differences)("m1 minus $minus on what both were asked", (expected) => {
  const found = scores.differences.find(({ minus, property }) => minus === expected.minus && property === undefined);
  if (!found) throw new Error("no such difference");
  expect(found.kind).toBe(expected.minus === "m" ? "self_minus_untrained" : "self_minus_cross");
  expect(known(found.brier).n).toBe(expected.comparisons);
  for (const measure of ["madPoints", "brier", "totalVariation"] as const) {
    expect(known(found[measure]).value).toBeCloseTo(expected[measure], 9);
    expectLimits(known(found[measure]), expected.bootstrap[measure] as Limits);
  }
});
