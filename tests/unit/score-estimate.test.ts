/** The arithmetic of one estimate on replicates written by hand. */
import { describe, expect, test } from "vitest";
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
