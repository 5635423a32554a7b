/** The normal distribution, Student's t, expanded percentiles, the t interval and power, against scipy and pandas (tests/fixtures/score). */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { clusterTInterval, expandedTail } from "../../src/score/interval.js";
import type { DifferenceRow } from "../../src/score/comparison/difference.js";
import { normalCumulative, normalQuantile, studentCumulative, studentQuantile } from "../../src/score/probability.js";
import { powerOf } from "../../src/score/power-analysis.js";

interface Distributions {
  confidence: number;
  normal: { z: number; below: number }[];
  normalQuantile: { probability: number; z: number }[];
  student: { t: number; degreesOfFreedom: number; below: number }[];
  studentQuantile: { probability: number; degreesOfFreedom: number; t: number }[];
  expandedTail: { clusters: number; tasks: number; tail: number }[];
}

interface Comparison {
  confidence: number;
  rows: [string, string, string, string | null, string | null, string | null][];
  tAndPower: Record<
    "micro" | "macro",
    Record<
      "value" | "low" | "high" | "standardError" | "degreesOfFreedom" | "difference" | "asked" | "pilotPower",
      number
    > & {
      strings: Record<string, number>;
    }
  >;
}

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../fixtures/score/${name}.json`, import.meta.url), "utf8"));
const reference: Distributions = read("reference");
const comparison: Comparison = read("comparison");

const relatively = (actual: number, expected: number) =>
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(1e-9 * Math.abs(expected));

describe("distributions", () => {
  test.each(reference.normal)("normal, below $z", ({ z, below }) => relatively(normalCumulative(z), below));

  test.each(reference.normalQuantile)("normal quantile of $probability", ({ probability, z }) => {
    expect(normalQuantile(probability)).toBeCloseTo(z, 9);
  });

  test.each(reference.student)("Student's t with $degreesOfFreedom, below $t", ({ t, degreesOfFreedom, below }) => {
    expect(studentCumulative(t, degreesOfFreedom)).toBeCloseTo(below, 11);
  });

  test.each(reference.studentQuantile)(
    "Student's t with $degreesOfFreedom, quantile of $probability",
    ({ probability, degreesOfFreedom, t }) => {
      expect(studentQuantile(probability, degreesOfFreedom)).toBeCloseTo(t, 8);
    },
  );

  test.each(reference.expandedTail)("tail for $clusters strings of $tasks tasks", ({ clusters, tasks, tail }) => {
    expect(expandedTail(reference.confidence, { clusters, tasks })).toBeCloseTo(tail, 10);
  });
});

describe.each(["micro", "macro"] as const)("the paired difference of the synthetic trials, %s", (kind) => {
  const expected = comparison.tAndPower[kind];
  const rows = comparison.rows.flatMap(([task, item, property, behavior, self, cross]): DifferenceRow[] =>
    behavior === null
      ? []
      : [{ task, item, property, difference: Number(self === behavior) - Number(cross === behavior) }],
  );

  test("its t interval", () => {
    const interval = clusterTInterval(rows, kind, comparison.confidence);
    if (!interval.ok) throw new Error(interval.reason);
    for (const key of ["value", "low", "high", "standardError", "degreesOfFreedom"] as const) {
      expect(interval[key], key).toBeCloseTo(expected[key], 8);
    }
  });

  test("the strings that a difference takes; Wilson and Hilferty's limit is within 0.1 % of chi-square's", () => {
    const { difference, asked: power } = expected;
    const calculation = powerOf(rows, { difference, power, confidence: comparison.confidence, kind });
    if (!calculation.ok) throw new Error(calculation.reason);
    for (const { task, strings } of calculation.byTask) {
      const exact = expected.strings[task] as number;
      expect(strings, task).toBeGreaterThanOrEqual(Math.ceil(exact * 0.999));
      expect(strings, task).toBeLessThanOrEqual(Math.ceil(exact * 1.001));
    }
    expect(calculation.pilot.power).toBeCloseTo(expected.pilotPower, 3);
  });
});
