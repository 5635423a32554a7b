/** Numbers that stand in print: other people's worked examples. More of them are in score-comparison-reference and score-matrix-fit. */
import { describe, expect, test } from "vitest";
import { clopperPearsonInterval } from "../../src/score/probability.js";
import { wilsonInterval } from "../helpers/wilson.js";
import { clusterTInterval } from "../../src/score/interval.js";
import { holmAdjusted, signFlipTest } from "../../src/score/comparison/tests.js";

describe("R. G. Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, 95 %", () => {
  test.each([
    { count: 81, of: 263, wilson: [0.2553, 0.3662], exact: [0.2527, 0.3676] },
    { count: 15, of: 148, wilson: [0.0624, 0.1605], exact: [0.0578, 0.1617] },
    { count: 0, of: 20, wilson: [0, 0.1611], exact: [0, 0.1684] },
    { count: 1, of: 29, wilson: [0.0061, 0.1718], exact: [0.0009, 0.1776] },
  ])("$count of $of: Wilson's score interval and Clopper and Pearson's", ({ count, of, wilson, exact }) => {
    const rounded = ({ low, high }: { low: number; high: number }) =>
      [low, high].map((limit) => Number(limit.toFixed(4)));
    expect(rounded(wilsonInterval({ count, of }, 0.95))).toEqual(wilson);
    expect(rounded(clopperPearsonInterval({ count, of }, 0.95))).toEqual(exact);
  });
});

describe("Darwin's maize, crossed minus self-fertilized, eighths of an inch (R. A. Fisher 1935, The Design of Experiments, §17 and §21)", () => {
  const differences = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48];

  test("of the 32,768 sign patterns 863 give as great a sum, and as many as small a one", () => {
    expect(signFlipTest(differences, { draws: 1, seed: 1 })).toMatchObject({
      ok: true,
      method: "exact",
      p: expect.closeTo((2 * 863) / 2 ** 15, 14),
    });
  });

  test("t = 2.148 with 14 degrees of freedom", () => {
    const rows = differences.map((one, at) => ({
      task: "maize",
      item: `p${at}`,
      property: "p",
      difference: one / 100,
    }));
    const interval = clusterTInterval(rows, "micro", 0.95);
    if (!interval.ok) throw new Error(interval.reason);
    expect((interval.value / interval.standardError).toFixed(3)).toBe("2.148");
    expect(interval.degreesOfFreedom).toBeCloseTo(14, 9);
    // 20.93 ± 2.145 · 9.75
    expect([interval.low, interval.high].map((limit) => (100 * limit).toFixed(2))).toEqual(["0.03", "41.84"]);
  });
});

test("S. Holm's stepwise method by hand: 4 · 0.005, 3 · 0.01, 2 · 0.03, and 0.04 no less than what comes before it", () => {
  expect(holmAdjusted([0.01, 0.04, 0.03, 0.005])).toEqual([0.03, 0.06, 0.06, 0.02].map((p) => expect.closeTo(p, 14)));
});
