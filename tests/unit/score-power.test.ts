/** How many strings a difference takes, the t interval and the scale of misses: against closed forms and laws. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { InwardError } from "../../src/errors.js";
import { clusterTInterval } from "../../src/score/interval.js";
import type { DifferenceRow } from "../../src/score/comparison/difference.js";
import { fitMatrix, onMissScale } from "../../src/score/matrix/fit.js";
import { powerOf, type PowerSettings, runDifferences } from "../../src/score/power-analysis.js";
import { studentCumulative, studentQuantile } from "../../src/score/probability.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const FIVE_POINTS: PowerSettings = { difference: 0.05, power: 0.9, confidence: 0.95, kind: "micro" };

/** One string for each list of its trials' differences. */
function rowsOf(strings: readonly (readonly number[])[], task = "animals"): DifferenceRow[] {
  return strings.flatMap((differences, at) =>
    differences.map((difference, property) => ({ task, item: `s${at}`, property: `p${property}`, difference })),
  );
}

const needed = (rows: readonly DifferenceRow[], settings: Partial<PowerSettings> = {}) => {
  const calculation = powerOf(rows, { ...FIVE_POINTS, ...settings });
  if (!calculation.ok) throw new Error(calculation.reason);
  return calculation;
};

describe("Student's t", () => {
  // Tables of the distribution, as in any textbook.
  test.each([
    [0.975, 1, 12.7062047364],
    [0.995, 2, 9.9248432009],
    [0.975, 5, 2.5705818366],
    [0.9, 10, 1.3721836411],
    [0.975, 30, 2.0422724563],
    [0.975, 1e7, 1.9599642],
  ])("quantile %s with %s degrees of freedom", (probability, degrees, t) => {
    expect(studentQuantile(probability, degrees)).toBeCloseTo(t, degrees > 1000 ? 5 : 8);
    expect(studentQuantile(1 - probability, degrees)).toBeCloseTo(-t, degrees > 1000 ? 5 : 8);
  });

  test("closed forms with 1 and 2 degrees of freedom", () => {
    fc.assert(
      fc.property(fc.double({ min: -50, max: 50, noNaN: true }), (t) => {
        expect(studentCumulative(t, 1)).toBeCloseTo(0.5 + Math.atan(t) / Math.PI, 10);
        expect(studentCumulative(t, 2)).toBeCloseTo(0.5 + t / (2 * Math.sqrt(2 + t ** 2)), 10);
      }),
    );
  });
});

describe("powerOf", () => {
  test("of many strings with one trial each: the textbook's number, (z + z)² s² ÷ x², and what the test's own scatter about zero and the pilot's uncertainty add", () => {
    const rows = rowsOf(Array.from({ length: 8000 }, (_, at) => [[1, 0, 0, -1][at % 4] as number]));
    const textbook = ((1.959964 + 1.281552) ** 2 * 0.5) / 0.05 ** 2;
    const { strings, pilot } = needed(rows);
    expect(strings).toBeGreaterThanOrEqual(textbook);
    expect(strings).toBeLessThan(textbook * 1.02);
    expect(pilot).toMatchObject({ difference: 0, trials: 8000, strings: 8000, tasks: 1, trialsPerString: 1 });
    expect(pilot.standardError).toBeCloseTo(Math.sqrt(0.5 / 8000), 6);
    // 8,000 strings are nearly four times what 0.9 takes.
    expect(pilot.power).toBeGreaterThan(0.999);
  });

  test("trials of one string that always agree count as one", () => {
    const apart = Array.from({ length: 400 }, (_, at) => [[1, 0, 0, -1][at % 4] as number]);
    const four = needed(rowsOf(apart.map(([one]) => [one, one, one, one] as number[])));
    expect(four.strings).toBe(needed(rowsOf(apart)).strings);
    expect(four.pilot.designEffect).toMatchObject({ ok: true, rowsPerString: 4 });
  });

  test("tasks keep their shares", () => {
    const strings = Array.from({ length: 90 }, (_, at) => [at % 3 === 0 ? 1 : at % 3 === 1 ? -1 : 0]);
    const { byTask, strings: all } = needed([...rowsOf(strings.slice(0, 60)), ...rowsOf(strings.slice(60), "words")]);
    const [animals, words] = byTask;
    expect(animals?.strings).toBeGreaterThanOrEqual(2 * (words?.strings ?? 0) - 2);
    expect(all).toBe((animals?.strings ?? 0) + (words?.strings ?? 0));
  });

  const pilots = fc
    .array(fc.array(fc.constantFrom(-1, 0, 1), { minLength: 1, maxLength: 4 }), { minLength: 5, maxLength: 40 })
    .map((strings) => rowsOf(strings))
    .filter((rows) => (["micro", "macro"] as const).every((kind) => powerOf(rows, { ...FIVE_POINTS, kind }).ok));

  test("a smaller difference, a greater power and a stricter level never take fewer strings", () => {
    fc.assert(
      fc.property(pilots, fc.constantFrom("micro" as const, "macro" as const), (rows, kind) => {
        const { strings } = needed(rows, { kind });
        expect(needed(rows, { kind, difference: 0.04 }).strings).toBeGreaterThanOrEqual(strings);
        expect(needed(rows, { kind, power: 0.95 }).strings).toBeGreaterThanOrEqual(strings);
        expect(needed(rows, { kind, confidence: 0.99 }).strings).toBeGreaterThanOrEqual(strings);
      }),
      { numRuns: 50 },
    );
  });

  test("the order of rows does not matter", () => {
    fc.assert(
      fc.property(pilots, (rows) => {
        expect(powerOf([...rows].reverse(), FIVE_POINTS)).toEqual(powerOf(rows, FIVE_POINTS));
      }),
      { numRuns: 50 },
    );
  });

  test("never fewer strings than the sign-flip test needs to reject at all", () => {
    const rows = rowsOf([[1], [1], [1], [1], [1], [0]]);
    expect(needed(rows, { difference: 1 }).strings).toBeGreaterThanOrEqual(6);
  });

  test.each([
    ["no trial", [], "no trial is paired"],
    ["one string", [[1, 0]], "one string only"],
    ["no scatter", [[1], [1], [1]], "do not scatter"],
  ])("%s: a reason", (_, strings, reason) => {
    const calculation = powerOf(rowsOf(strings as number[][]), FIVE_POINTS);
    expect(calculation).toMatchObject({ ok: false, reason: expect.stringContaining(reason) });
  });

  test.each([{ difference: 0 }, { difference: 1.2 }, { power: 0.5 }, { power: 1 }, { confidence: 1 }])(
    "%j is refused",
    (setting) => {
      expect(() => powerOf(rowsOf([[1], [0]]), { ...FIVE_POINTS, ...setting })).toThrow(InwardError);
    },
  );
});

test("the t interval of strings with one trial each is the ordinary one", () => {
  const interval = clusterTInterval(rowsOf([[1], [0], [0], [0], [-1], [1], [0], [0]]), "micro", 0.9);
  // Mean 1/8, s² = (3 − 8/64) / 7, t(0.95; 7) = 1.894578605.
  const error = Math.sqrt((3 - 8 / 64) / 7 / 8);
  expect(interval).toMatchObject({ ok: true, n: 8, clusters: 8 });
  if (!interval.ok) return;
  expect(interval.degreesOfFreedom).toBeCloseTo(7, 9);
  expect(interval.low).toBeCloseTo(0.125 - 1.894578605 * error, 8);
  expect(interval.high).toBeCloseTo(0.125 + 1.894578605 * error, 8);
});

test("skill and guessing that multiply leave no self effect on the scale of misses, and one on plain accuracies", () => {
  const skill = [0.3, 0.6];
  const guess = [0.6, 0.2];
  const cells = [0, 1].flatMap((predictor) =>
    [0, 1].map((target) => ({
      predictor: `m${predictor}`,
      target: `m${target}`,
      accuracy: {
        ok: true as const,
        value: 1 - (1 - (skill[predictor] as number)) * (1 - (guess[target] as number)),
      },
    })),
  );
  const gamma = (fit: ReturnType<typeof fitMatrix>) => (fit.ok ? fit.coefficients.at(-1)?.value : undefined);
  expect(gamma(fitMatrix(cells))).toBeCloseTo(((0.6 - 0.3) * (0.6 - 0.2)) / 2, 12);
  expect(gamma(fitMatrix(onMissScale(cells)))).toBeCloseTo(0, 12);
  const [cell] = onMissScale([{ predictor: "m", target: "m", accuracy: { ok: true, value: 1 } }]);
  expect(cell?.accuracy).toMatchObject({ ok: false, reason: expect.stringContaining("no miss") });
});

test("a run's differences: self beside other models trained alike, after beside before, all above the mode", () => {
  const predictions = [
    { target: "a", predictor: "a" },
    { target: "a", predictor: "a-predicts-a" },
    { target: "a", predictor: "b" },
    { target: "a", predictor: "b-predicts-a" },
    { target: "a-predicts-a", predictor: "a-predicts-a" },
  ];
  const trials = predictions.flatMap(({ target, predictor }) =>
    [0, 1, 2].map((at) => makeTrial(`s${at}`, "x", at === 0 && predictor === "b" ? "y" : "x", { target, predictor })),
  );
  const adapter = (base: string) => ({ base, target: "a" }) as never;
  const differences = runDifferences(
    { trials, trainLabels: [{ target: "a", task: "animals", property: "first_letter", value: "x" }] },
    {
      predictions,
      states: {
        a: { model: "a" },
        b: { model: "b" },
        "a-predicts-a": { model: "a", adapter: "a-predicts-a" },
        "b-predicts-a": { model: "b", adapter: "b-predicts-a" },
      },
      adapters: { "a-predicts-a": adapter("a"), "b-predicts-a": adapter("b") },
    },
  );
  expect(differences.map(({ name, contrast: { self, cross } }) => `${name}: ${self} − ${cross}`)).toEqual([
    "self_minus_cross: a − b",
    "self_minus_cross: a-predicts-a − b-predicts-a",
    "after_minus_before_training: a-predicts-a − a",
    "after_minus_before_training: b-predicts-a − b",
    "above_mode_baseline: a − mode_train",
    "above_mode_baseline: a-predicts-a − mode_train",
    "above_mode_baseline: b − mode_train",
    "above_mode_baseline: b-predicts-a − mode_train",
  ]);
  expect(differences[0]?.rows.map(({ difference }) => difference)).toEqual([1, 0, 0]);
});
