/** The arithmetic of one estimate on replicates written by hand. */
import { describe, expect, test } from "vitest";
import { estimate, unanimousInterval } from "../../src/score/interval.js";
import { drawResamples, resampledSums } from "../../src/score/resampling.js";
import { estimateMean } from "../../src/score/tally.js";
import { PROPORTION, type Tally } from "../../src/score/tally.js";

function tally(
  points: number[],
  trials: number[],
  resampledPoints: number[],
  resampledTrials: number[],
  task = "t",
): Tally {
  return {
    task,
    points: Int32Array.from(points),
    trials: Int32Array.from(trials),
    resampledPoints: Int32Array.from(resampledPoints),
    resampledTrials: Int32Array.from(resampledTrials),
  };
}

describe("estimateMean", () => {
  test("a replicate that drew none of the strings is left out", () => {
    // Replicates 1/2, none, 0/1, 2/2 -> sorted 0, 0.5, 1. Two strings of one task: one degree of freedom, whose third quartile is 1, times
    // √2, and below −√2 lies Φ(−√2) = 0.0786 of the normal distribution.
    const cell = tally([1, 0], [1, 1], [1, 0, 0, 2], [2, 0, 1, 2]);
    expect(estimateMean([[cell]], PROPORTION, 0.5)).toEqual({
      ok: true,
      value: 0.5,
      low: expect.closeTo(0.0786496035, 9),
      high: expect.closeTo(1 - 0.0786496035, 9),
      n: 2,
      clusters: 2,
    });
  });

  test("a macro average leaves out the unit that a replicate did not draw, not the replicate", () => {
    const first = tally([1, 0], [1, 1], [0, 1, 2], [2, 2, 2]);
    const second = tally([1, 1], [1, 1], [2, 0, 2], [2, 0, 2], "u");
    // (0 + 1) / 2, 0.5 alone, (1 + 1) / 2
    expect(estimateMean([[first], [second]], PROPORTION, 0.999)).toMatchObject({
      value: 0.75,
      low: 0.5,
      n: 4,
      clusters: 4,
    });
  });

  test("a micro average adds up before it divides", () => {
    const first = tally([1, 0], [1, 1], [0, 1], [2, 2]);
    const second = tally([4, 2], [4, 4], [8, 4], [8, 8], "u");
    expect(estimateMean([[first, second]], PROPORTION, 0.999)).toMatchObject({ value: 0.7, n: 10, clusters: 4 });
    const { low, high } = estimateMean([[first, second]], PROPORTION, 0.5) as { low: number; high: number };
    // Replicates 8/10 and 5/10; 4 strings of 2 tasks: 2 degrees of freedom, third quartile √(2/3), times √2: Φ(−2 ÷ √3) = 0.1241.
    const tail = 0.1241065395;
    expect([low, high]).toEqual([expect.closeTo(0.5 + 0.3 * tail, 9), expect.closeTo(0.8 - 0.3 * tail, 9)]);
  });

  test("the interval is widened to hold its value", () => {
    const above = tally([1, 0], [1, 1], [3, 4], [4, 4]);
    expect(estimateMean([[above]], PROPORTION, 0.9)).toMatchObject({ value: 0.5, low: 0.5 });
    const below = tally([1, 0], [1, 1], [0, 1], [4, 4]);
    expect(estimateMean([[below]], PROPORTION, 0.9)).toMatchObject({ value: 0.5, high: 0.5 });
  });

  test("no replicate drew anything", () => {
    expect(estimateMean([[tally([1, 0], [1, 1], [0], [0])]], PROPORTION, 0.95)).toEqual({
      ok: false,
      reason: "no replicate drew any of 2 strings (value 0.500 of n = 2)",
    });
  });
});

describe("where rules differ, the option decides", () => {
  const statistic = { value: 0.5, n: 10, clusters: 5, tasks: 1, range: PROPORTION };
  const moving = [0.2, 0.4, 0.6, 0.8];

  test("plain percentiles lie farther in than those expanded for few strings", () => {
    const wide = estimate(statistic, moving, { confidence: 0.5 });
    const plain = estimate(statistic, moving, { confidence: 0.5, percentiles: "plain" });
    expect(plain).toMatchObject({ low: expect.closeTo(0.35, 12), high: expect.closeTo(0.65, 12) });
    expect(wide.ok && plain.ok && wide.low < plain.low && wide.high > plain.high).toBe(true);
  });

  test("replicates that differ by rounding alone do not move it: a bound, a refusal, or the value itself", () => {
    const still = [0.5, 0.5 + 1e-16, 0.5 - 1e-16, 0.5];
    const bound = unanimousInterval(0.5, 5, PROPORTION, 0.95);
    expect(estimate(statistic, still, { confidence: 0.95 })).toMatchObject(bound);
    expect(estimate(statistic, still, { confidence: 0.95, unmoved: "refuse" })).toEqual({
      ok: false,
      reason: "no draw of 5 strings changes it: no interval",
    });
    const drawn = estimate(statistic, still, { confidence: 0.95, unmoved: "as_drawn" });
    expect(drawn.ok && drawn.high - drawn.low).toBeLessThan(1e-12);
  });

  test("half the replicates undefined: left out, or no interval", () => {
    const half = [0.2, undefined, 0.8, undefined];
    expect(estimate(statistic, half, { confidence: 0.95 })).toMatchObject({ ok: true, value: 0.5, n: 10, clusters: 5 });
    expect(estimate(statistic, half, { confidence: 0.95, undefinedReplicates: "refuse_half" })).toEqual({
      ok: false,
      reason: "defined in only 2 of 4 replicates (value 0.500 of n = 10): no interval",
    });
  });

  test("no value, and one string, have no interval", () => {
    const none = { ...statistic, value: undefined, undefinedBecause: "one side is constant" };
    expect(estimate(none, [], { confidence: 0.95 })).toEqual({ ok: false, reason: "one side is constant" });
    expect(estimate({ ...statistic, clusters: 1 }, moving, { confidence: 0.95, unmoved: "as_drawn" })).toEqual({
      ok: false,
      reason: "only one string is counted (value 0.500 of n = 10): no interval",
    });
  });
});

describe("drawResamples", () => {
  test("every replicate draws as many strings as there are", () => {
    const resamples = drawResamples("t", 13, 50, 1);
    expect([...resampledSums(new Int32Array(13).fill(1), resamples)]).toEqual(new Array(50).fill(13));
  });

  test("every string is drawn equally often, within five standard errors, at neighbouring seeds too", () => {
    const totals = new Float64Array(20);
    for (let seed = 0; seed < 500; seed++) {
      drawResamples("t", 20, 10, seed).draws.forEach((count, index) => {
        totals[index % 20] = (totals[index % 20] as number) + count;
      });
    }
    // 5,000 replicates of 20 draws with chance 1/20 each: mean 5,000, standard deviation √(100,000 · 1/20 · 19/20) = 69.
    for (const total of totals) expect(Math.abs(total - 5000)).toBeLessThan(345);
  });
});
