/** Linear probes are scikit-learn's, in coefficients and predictions. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fitProbe, probeLogprobs, type RowMatrix, RowSpace } from "../../src/probe/linear-probe.js";

interface Case {
  readonly c: number;
  readonly inputs: readonly (readonly number[])[];
  readonly labels: readonly string[];
  readonly heldOut: readonly (readonly number[])[];
  readonly weights: readonly (readonly number[])[];
  readonly intercepts: readonly number[];
  readonly probabilities: readonly (readonly number[])[];
}

const cases = JSON.parse(
  readFileSync(new URL("../fixtures/probe/fits.json", import.meta.url), "utf8"),
) as readonly Case[];

const matrix = (rows: readonly (readonly number[])[]): RowMatrix => {
  return { values: rows.flat(), width: rows[0]?.length as number };
};
/** What was promised; 1e-11 was seen. */
const NEAR = 1e-6;

describe.each(cases.map((one, at) => [at, one] as const))("case %i", (_, one) => {
  const probe = fitProbe(matrix(one.inputs), one.labels, one.c);

  test("coefficients", () => {
    const [first, second] = probe.weights as [Float64Array, Float64Array];
    const [low, high] = probe.intercepts as [number, number];
    const isBinary = probe.classes.length === 2;
    const weights = isBinary ? [second.map((weight, at) => weight - (first[at] as number))] : probe.weights;
    const intercepts = isBinary ? [high - low] : probe.intercepts;
    // What a score's intercepts have in common changes nothing.
    const mean = (all: readonly number[]) => (isBinary ? 0 : all.reduce((sum, value) => sum + value, 0) / all.length);
    expect(weights.length).toBe(one.weights.length);
    for (const [row, expected] of one.weights.entries()) {
      for (const [at, weight] of expected.entries()) {
        expect(Math.abs((weights[row]?.[at] as number) - weight)).toBeLessThan(NEAR);
      }
      const [ours, theirs] = [intercepts, one.intercepts].map((all) => (all[row] as number) - mean(all));
      expect(Math.abs((ours as number) - (theirs as number))).toBeLessThan(NEAR);
    }
  });

  test("predictions", () => {
    for (const [row, logprobs] of probeLogprobs(probe, matrix(one.heldOut)).entries()) {
      for (const [at, logprob] of logprobs.entries()) {
        expect(Math.abs(Math.exp(logprob) - (one.probabilities[row]?.[at] as number))).toBeLessThan(NEAR);
      }
    }
  });

  test("it ends where the gradient does", () => {
    expect(probe.gradient).toBeLessThan(1e-9);
  });
});

test("rows that lie in a plane have two places, and keep their distances", () => {
  const rows = [0, 1, 2, 3, 4, 5].map((t) => [t + 100, 2 * t - 7, t * t, 1, 0.5 * t * t]);
  const space = RowSpace.of(matrix(rows), [0, 1, 2, 3, 4, 5]);
  expect(space.size).toBe(2);
  const places = rows.map((_, row) => space.place(matrix(rows), row));
  for (const [a, one] of rows.entries()) {
    for (const [b, other] of rows.entries()) {
      const distance = Math.hypot(...one.map((value, at) => value - (other[at] as number)));
      const between = Math.hypot(...Array.from(places[a] as Float64Array, (v, at) => v - (places[b]?.[at] as number)));
      expect(between).toBeCloseTo(distance, 10);
    }
  }
});

test.each([
  [
    [
      [1, 2],
      [3, Number.NaN],
    ],
    ["a", "b"],
    1,
    /Row 1 has NaN at 1/,
  ],
  [
    [
      [1, 2],
      [3, 4],
    ],
    ["a", "a"],
    1,
    /all 2 rows are a/,
  ],
  [
    [
      [1, 2],
      [3, 4],
    ],
    ["a"],
    1,
    /2 rows have 1 labels/,
  ],
  [
    [
      [1, 2],
      [3, 4],
    ],
    ["a", "b"],
    0,
    /C is 0/,
  ],
])("refused: %j", (rows, labels, c, why) => {
  expect(() => fitProbe(matrix(rows), labels, c)).toThrow(why);
});

test("rows that are all alike: what is left is how often each class is", () => {
  const probe = fitProbe(matrix([[5], [5], [5], [5]]), ["a", "a", "a", "b"], 1);
  const [logprobs] = probeLogprobs(probe, matrix([[9]]));
  expect(Math.exp(logprobs?.[0] as number)).toBeCloseTo(0.75, 9);
});
