/** What must hold of every set of distributions. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { MeasuredDistribution } from "../../src/ask/measure-distribution.js";
import {
  type CalibrationPair,
  type CalibrationScores,
  scoreCalibration,
} from "../../src/score/calibration/score-calibration.js";
import type { Estimate } from "../../src/score/interval.js";
import { type Comparison, compareDistributions, compliantOnly } from "../../src/score/calibration/predictors.js";
import {
  brier,
  brierBounds,
  klBounds,
  klDivergence,
  totalVariation,
  totalVariationBounds,
} from "../../src/score/calibration/measures.js";
import { behavior, prediction } from "../fixtures/score/make-distribution.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 40, bootstrapSeed: 3 };
const PAIRS: CalibrationPair[] = [
  { predictor: "m1", target: "m", kind: "self" },
  { predictor: "m", target: "m", kind: "untrained" },
  { predictor: "n1", target: "m", kind: "cross" },
];
const VALUES = ["a", "b", "c", "d"];

/** Parts of 1: four values, then what does not comply, then the tail; whole numbers make ties and zeros common. */
const parts = fc
  .array(fc.integer({ min: 0, max: 5 }), { minLength: 6, maxLength: 6 })
  .filter((counts) => counts.some((count) => count > 0))
  .map((counts) => {
    const total = counts.reduce((sum, count) => sum + count, 0);
    const shares = counts.map((count) => count / total);
    const values = VALUES.flatMap((value, at): [string, number][] =>
      counts[at] ? [[value, shares[at] as number]] : [],
    );
    return { values: Object.fromEntries(values), tail: shares[5] as number };
  });

const place = fc.record({
  item: fc.constantFrom("s1", "s2", "s3", "s4", "s5"),
  task: fc.constantFrom("animals", "numbers"),
  property: fc.constantFrom("first_letter", "is_even"),
  state: fc.constantFrom("m", "m1", "n1"),
});
const someLines: fc.Arbitrary<MeasuredDistribution[]> = fc
  .tuple(
    fc.uniqueArray(fc.tuple(place, parts), {
      maxLength: 20,
      selector: ([at]) => JSON.stringify({ ...at, state: "m" }),
    }),
    fc.uniqueArray(fc.tuple(place, parts), { maxLength: 40, selector: ([at]) => JSON.stringify(at) }),
  )
  .map(([done, predicted]) => [
    ...done.map(([{ item, ...at }, { values, tail }]) => behavior(item, values, { ...at, state: "m", tail })),
    ...predicted.map(([{ item, ...at }, { values, tail }]) => prediction(item, values, { ...at, tail })),
  ]);

/** Every estimate of the scores, by where it stands. */
function estimatesOf(scores: CalibrationScores): [string, Estimate][] {
  const found: [string, Estimate][] = [];
  const walk = (path: string, node: unknown) => {
    if (typeof node !== "object" || node === null) return;
    if ("ok" in node) found.push([path, node as Estimate]);
    else for (const [name, inside] of Object.entries(node)) walk(`${path}/${name}`, inside);
  };
  walk("", { rows: scores.rows, differences: scores.differences });
  return found;
}

test("every number is finite, in its interval and in its range, or there is a reason; the order of lines changes nothing", () => {
  fc.assert(
    fc.property(
      someLines.chain((lines) => fc.tuple(fc.constant(lines), fc.shuffledSubarray(lines, { minLength: lines.length }))),
      ([lines, shuffled]) => {
        const scores = scoreCalibration(lines, PAIRS, SETTINGS);
        expect(scoreCalibration(shuffled, PAIRS, SETTINGS)).toEqual(scores);
        // JSON has no NaN and no infinity: both would come back as null.
        expect(JSON.parse(JSON.stringify(scores))).toEqual(scores);
        for (const [path, estimate] of estimatesOf(scores)) {
          if (!estimate.ok) {
            expect(estimate.reason).not.toBe("");
            continue;
          }
          const { value, low, high, n, clusters } = estimate;
          expect(low <= value && value <= high, path).toBe(true);
          expect(clusters >= 2 && clusters <= n, path).toBe(true);
          const [least, most] = rangeOf(path);
          expect(value >= least && value <= most, `${path}: ${value}`).toBe(true);
        }
        for (const { skill, skillAtBounds } of scores.rows.flatMap((row) => [row, row.compliant])) {
          const { least, most } = skillAtBounds;
          if (!skill.ok || !least.ok || !most.ok) continue;
          expect(least.value).toBeLessThanOrEqual(skill.value + 1e-9);
          expect(most.value).toBeGreaterThanOrEqual(skill.value - 1e-9);
        }
      },
    ),
    { numRuns: 120 },
  );
});

function rangeOf(path: string): [number, number] {
  const isDifference = path.includes("/differences/");
  const most = /madPoints|madByRank|mad20/i.test(path)
    ? 100
    : /brier/i.test(path)
      ? 2
      : /klNats/.test(path)
        ? Math.log(400)
        : 1;
  if (/\/skill(AtBounds\/\w+)?$/.test(path)) return [Number.NEGATIVE_INFINITY, 1];
  return [isDifference ? -most : /pearson|spearman|rankCorrelation/.test(path) ? -1 : 0, most + 1e-12];
}

test("a perfect predictor is off by nothing", () => {
  const many = fc.array(parts, { minLength: 2, maxLength: 8 });
  fc.assert(
    fc.property(many, (rows) => {
      const whole = rows.flatMap(({ values }) => {
        const mass = Object.values(values).reduce((sum, probability) => sum + probability, 0);
        return mass === 0 ? [] : [Object.fromEntries(Object.entries(values).map(([value, p]) => [value, p / mass]))];
      });
      fc.pre(whole.length >= 2);
      const lines = whole.flatMap((values, at) => [behavior(`s${at}`, values), prediction(`s${at}`, values)]);
      const [row] = scoreCalibration(lines, [{ predictor: "m", target: "m", kind: "untrained" }], SETTINGS).rows;
      for (const name of ["madPoints", "excessBrier", "totalVariation", "expectedCalibrationError"] as const) {
        const estimate = row?.metrics[name];
        expect(estimate?.ok && estimate.value, name).toBeCloseTo(0, 12);
      }
      // Mixing alone costs at most −ln(1 − 0.01).
      expect(row?.metrics.klNats.ok && row.metrics.klNats.value).toBeLessThanOrEqual(-Math.log(0.99) + 1e-12);
      expect(row?.klInfinite.count).toBe(0);
      const { pearson, rankCorrelation } = row?.metrics ?? {};
      for (const correlation of [pearson, rankCorrelation]) {
        if (correlation?.ok) expect(correlation.value).toBeCloseTo(1, 12);
      }
    }),
    { numRuns: 100 },
  );
});

/** A distribution over four values and "no value", and how much of each part was looked into. */
const partlySeen = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.double({ min: 0, max: 1, noNaN: true })), {
    minLength: 5,
    maxLength: 5,
  })
  .filter((rows) => rows.some(([count]) => count > 0))
  .map((rows) => {
    const total = rows.reduce((sum, [count]) => sum + count, 0);
    const truth = rows.map(([count]) => count / total);
    const seen = rows.map(([count, share]) => (count / total) * share);
    const named = (shares: number[]) =>
      Object.fromEntries(VALUES.map((value, at) => [value, shares[at] as number]).filter(([, share]) => share !== 0));
    return { truth: named(truth), seen: named(seen), tail: 1 - seen.reduce((sum, share) => sum + share, 0) };
  });

test("bounds by the tails hold the distance of the whole distributions", () => {
  const at = { task: "animals", item: "s1", property: "first_letter", variant: "minimal" };
  const compare = (done: Record<string, number>, held: Record<string, number>, tails: [number, number]) =>
    compareDistributions(
      at,
      behavior("s1", done, { tail: tails[0] }).distribution,
      prediction("s1", held, { tail: tails[1] }).distribution,
    ) as Comparison | undefined;
  fc.assert(
    fc.property(partlySeen, partlySeen, (target, predictor) => {
      const truth = compare(target.truth, predictor.truth, [0, 0]);
      const seen = compare(target.seen, predictor.seen, [target.tail, predictor.tail]);
      fc.pre(truth !== undefined && seen !== undefined);
      const variation = totalVariationBounds(seen);
      expect(totalVariation(truth)).toBeGreaterThanOrEqual(variation.least - 1e-9);
      expect(totalVariation(truth)).toBeLessThanOrEqual(variation.most + 1e-9);
      const score = brierBounds(seen);
      expect(brier(truth)).toBeGreaterThanOrEqual(score.least - 1e-9);
      expect(brier(truth)).toBeLessThanOrEqual(score.most + 1e-9);
      const [whole, part] = [compliantOnly(truth), compliantOnly(seen)];
      if (whole && part) {
        for (const [score, bounds] of [
          [brier, brierBounds],
          [totalVariation, totalVariationBounds],
        ] as const) {
          expect(score(whole)).toBeGreaterThanOrEqual(bounds(part).least - 1e-9);
          expect(score(whole)).toBeLessThanOrEqual(bounds(part).most + 1e-9);
        }
      }
      const divergence = klBounds(seen, VALUES.length);
      expect(klDivergence(truth, VALUES.length)).toBeGreaterThanOrEqual(divergence.least - 1e-9);
      expect(klDivergence(truth, VALUES.length)).toBeLessThanOrEqual(divergence.most + 1e-9);
    }),
    { numRuns: 500 },
  );
});

test("Brier's bounds are reached where the target hides nothing", () => {
  const at = { task: "animals", item: "s1", property: "first_letter", variant: "minimal" };
  const with_ = (values: Record<string, number>, tail: number) =>
    compareDistributions(
      at,
      behavior("s1", { a: 0.6, b: 0.3, c: 0.1 }).distribution,
      prediction("s1", values, { tail }).distribution,
    ) as Comparison;
  fc.assert(
    fc.property(
      fc
        .array(fc.integer({ min: 0, max: 8 }), { minLength: 5, maxLength: 5 })
        .filter((counts) => counts.some((count) => count > 0)),
      (counts) => {
        const total = counts.reduce((sum, count) => sum + count, 0);
        const [a = 0, b = 0, c = 0, d = 0, tail = 0] = counts.map((count) => count / total);
        const shares = { a, b, c, d };
        const { least, most } = brierBounds(with_(shares, tail));
        const steps = 12;
        let [lowest, highest] = [2, 0];
        // Every way to deal the tail out in twelfths, a fifth part to nothing.
        for (let i = 0; i <= steps; i++)
          for (let j = 0; i + j <= steps; j++)
            for (let k = 0; i + j + k <= steps; k++)
              for (let l = 0; i + j + k + l <= steps; l++) {
                const to = (share: number, part: number) => share + (tail * part) / steps;
                const score = brier(with_({ a: to(a, i), b: to(b, j), c: to(c, k), d: to(d, l) }, 0));
                lowest = Math.min(lowest, score);
                highest = Math.max(highest, score);
              }
        expect(lowest).toBeGreaterThanOrEqual(least - 1e-9);
        expect(highest).toBeLessThanOrEqual(most + 1e-9);
        expect(lowest - least).toBeLessThan(4 * (tail / steps) ** 2 + 1e-9);
        // The most may lie on a value that nobody else has.
        const unseen = brier(with_({ ...shares, e: tail }, 0));
        expect(Math.max(highest, unseen)).toBeCloseTo(most, 9);
      },
    ),
    { numRuns: 40 },
  );
});
