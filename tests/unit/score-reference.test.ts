/** Agreement with numpy and scipy; tests/fixtures/score/README.md says how the expected values were made. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { scoreTrials } from "../../src/score/scores.js";
import { type Estimate, percentileInterval, unanimousInterval } from "../../src/score/interval.js";
import { entropyBits } from "../../src/score/tally.js";
import { wilsonInterval } from "../helpers/wilson.js";
import { extraction, makeTrial } from "../fixtures/score/make-trial.js";

type Limits = { low: number; high: number };
type Expected = Limits & { value: number; n: number; clusters: number; standardError: number };
type Row = [string, string, string, boolean, string | null, string | null, string | null, number];
interface Reference {
  confidence: number;
  replicates: number;
  noiseFloorNats: number;
  entropy: { counts: number[]; bits: number }[];
  wilson: (Limits & { count: number; of: number; confidence: number })[];
  unanimous: (Limits & { clusters: number; confidence: number })[];
  percentile: (Limits & { numbers: number[]; confidence: number })[];
  rows: Row[];
  labels: [string, string, string][];
  scores: {
    cells: (Expected & { task: string; property: string; measure: string })[];
    micro: Record<string, Expected>;
    macro: Record<string, Expected>;
  };
}

const reference: Reference = JSON.parse(
  readFileSync(new URL("../fixtures/score/reference.json", import.meta.url), "utf8"),
);

describe("closed forms agree to rounding", () => {
  test.each(reference.entropy)("entropy of $counts", ({ counts, bits }) => {
    expect(entropyBits(counts)).toBeCloseTo(bits, 12);
  });

  test.each(reference.wilson)(
    "Wilson interval of $count of $of at $confidence",
    ({ count, of, confidence, low, high }) => {
      const interval = wilsonInterval({ count, of }, confidence);
      expect(interval.low).toBeCloseTo(low, 12);
      expect(interval.high).toBeCloseTo(high, 12);
    },
  );

  test.each(reference.unanimous)(
    "Clopper-Pearson bound of $clusters alike at $confidence",
    ({ clusters, confidence, low, high }) => {
      const interval = unanimousInterval(1, clusters, { least: 0, most: 1 }, confidence);
      expect(interval.low).toBeCloseTo(low, 12);
      expect(interval.high).toBeCloseTo(high, 12);
    },
  );

  test.each(reference.percentile)("percentiles of $numbers at $confidence", ({ numbers, confidence, low, high }) => {
    const interval = percentileInterval(Float64Array.from(numbers), confidence);
    expect(interval.low).toBeCloseTo(low, 12);
    expect(interval.high).toBeCloseTo(high, 12);
  });
});

describe("scores of the synthetic trials", () => {
  const trials = reference.rows.map(([task, item, property, complies, behavior, prediction, lastItem, minMargin]) =>
    makeTrial(item, behavior ?? undefined, prediction ?? undefined, {
      task,
      property,
      objectCompliance: complies ? { ok: true } : { ok: false, reason: "refusal" },
      heuristics: { last_item: extraction(lastItem ?? undefined) },
      minMargin,
    }),
  );
  const labels = reference.labels.map(([task, property, value]) => ({ target: "tiny", task, property, value }));
  const scores = scoreTrials(trials, labels, {
    confidence: reference.confidence,
    bootstrapReplicates: reference.replicates,
    bootstrapSeed: 1,
    noiseFloorNats: reference.noiseFloorNats,
  });

  test.each(reference.scores.cells)("$task, $property: $measure", ({ task, property, measure, ...expected }) => {
    const cell = scores.cells.find((one) => one.task === task && one.property === property);
    // A cell's replicates lie on a grid of about 1/n, and either side of a quantile may fall on the next point of it.
    agree(estimateNamed(cell, measure), expected, 1 / expected.n);
  });

  for (const kind of ["micro", "macro"] as const) {
    test.each(Object.entries(reference.scores[kind]))(`${kind} average: %s`, (measure, expected) => {
      agree(
        estimateNamed(
          scores.averages.find((average) => average.kind === kind),
          measure,
        ),
        expected,
        0,
      );
    });
  }

  /**
   * The Monte Carlo error of the 2.5 % quantile of B replicates is √(0.025 · 0.975 / B) / φ(1.96) = 2.67 / √B standard errors if
   * they are about normal. Both sides have it, hence √2; five times that is passed by chance once in two million.
   */
  function agree(actual: Estimate | undefined, expected: Expected, grid: number): void {
    if (!actual?.ok) throw new Error(`no estimate: ${actual?.reason}`);
    expect(actual.value).toBeCloseTo(expected.value, 12);
    expect([actual.n, actual.clusters]).toEqual([expected.n, expected.clusters]);
    const tolerance = ((5 * Math.SQRT2 * 2.67) / Math.sqrt(reference.replicates)) * expected.standardError + grid;
    expect(Math.abs(actual.low - expected.low)).toBeLessThan(tolerance);
    expect(Math.abs(actual.high - expected.high)).toBeLessThan(tolerance);
  }
});

function estimateNamed(score: object | undefined, measure: string): Estimate | undefined {
  const estimates = score as (Record<string, Estimate> & { heuristics: Record<string, Estimate> }) | undefined;
  return measure === "last_item" ? estimates?.heuristics.last_item : estimates?.[measure];
}
