/** Song et al.'s regression: against numpy, and in worlds where the correlations are known in closed form. */
import { readFileSync } from "node:fs";
import { normal } from "../helpers/normal.js";
import { describe, expect, test } from "vitest";
import type { MatrixFit } from "../../src/score/matrix/fit.js";
import {
  directDifference,
  metaDifference,
  type SongModel,
  songRegression,
  type SongSettings,
} from "../../src/score/matrix/song.js";
import { pearson } from "../../src/score/correlation.js";

const { song: reference } = JSON.parse(
  readFileSync(new URL("../fixtures/score/fits.json", import.meta.url), "utf8"),
) as {
  song: {
    models: SongModel[];
    pairs: { judged: string; judge: string; type: string; r: number; d: number }[];
    names: string[];
    coefficients: number[];
    standardErrors: number[];
    withModelEffects: { names: string[]; coefficients: number[]; standardErrors: number[] };
    bootstrap: { replicates: number; limits: number[][]; monteCarloErrors: number[][] };
  };
};
const settings: SongSettings = {
  matchType: (a, b) => (a[0] === b[0] ? "same_family" : "other"),
  baseline: "other",
  replicates: 200,
  seed: 1,
  confidence: 0.95,
};
function coefficient(fit: MatrixFit, name: string) {
  if (!fit.ok) throw new Error(fit.reason);
  const found = fit.coefficients.find((one) => one.name === name);
  if (!found?.interval.ok || !found.standardError.ok) throw new Error(`no ${name}`);
  return { value: found.value, standardError: found.standardError.value, interval: found.interval };
}

describe("against numpy", () => {
  const { pairs, regression, withModelEffects } = songRegression(reference.models, settings);

  test.each(reference.pairs)("r and d of $judged by $judge", ({ judged, judge, type, r, d }) => {
    const pair = pairs.find((one) => one.judged === judged && one.judge === judge);
    expect(pair?.matchType).toBe(type);
    expect(pair?.agreement.ok && pair.agreement.value).toBeCloseTo(r, 12);
    expect(pair?.similarity.ok && pair.similarity.value).toBeCloseTo(d, 12);
  });

  test("coefficients and their errors", () => {
    for (const [fit, expected] of [
      [regression, reference],
      [withModelEffects, reference.withModelEffects],
    ] as const) {
      expected.names.forEach((name, index) => {
        const { value, standardError } = coefficient(fit, name);
        expect(value).toBeCloseTo(expected.coefficients[index] as number, 9);
        expect(standardError).toBeCloseTo(expected.standardErrors[index] as number, 9);
      });
    }
  });
});

test("bootstrap limits are numpy's, within what two sets of draws differ by", () => {
  const { replicates, limits, monteCarloErrors } = reference.bootstrap;
  const { regression } = songRegression(reference.models, { ...settings, replicates: replicates / 2 });
  reference.names.forEach((name, index) => {
    const { interval } = coefficient(regression, name);
    for (const [side, limit] of [interval.low, interval.high].entries()) {
      // Half as many draws have twice the variance; both sets err. Both seeds are fixed; the errors are known to a quarter, from ten batches.
      const allowed = 4.5 * Math.sqrt(1 + 2) * (monteCarloErrors[index]?.[side] as number);
      expect(Math.abs(limit - (limits[index]?.[side] as number)), `${name} ${side}`).toBeLessThan(allowed);
    }
  });
});

/**
 * ΔDirect_A = common + family_A + own_A, of variances 1, 1/2 and 1/2, so d = 1 (self), 3/4 (same family) or 1/2 (other).
 * ΔMeta_B = ΔDirect_B + insight · own_B + noise of a size that makes its variance 4: then r(A, B) = d / √2 · … for A ≠ B, linear
 * in d, and r(B, B) is higher by insight · (1/2) / (√2 · 2). That is the coefficient of `self`; similarity's is √2 / 2.
 */
function plant(insight: number, items: number, seed: number): SongModel[] {
  const draw = normal(seed);
  const column = (scale: number) => Array.from({ length: items }, () => scale * draw());
  const common = column(1);
  const families = { a: column(Math.SQRT1_2), b: column(Math.SQRT1_2), c: column(Math.SQRT1_2) };
  const varianceSaid = 2 + insight + insight ** 2 / 2;
  return ["a1", "a2", "b1", "b2", "c1", "c2"].map((name) => {
    const family = families[name[0] as "a"];
    const own = column(Math.SQRT1_2);
    const direct = common.map((value, item) => value + (family[item] as number) + (own[item] as number));
    const meta = [1, 2].map(() => {
      const noise = column(Math.sqrt(4 - varianceSaid));
      return direct.map((value, item) => value + insight * (own[item] as number) + (noise[item] as number));
    });
    return { name, direct, meta };
  });
}

describe("planted truth", () => {
  // Being of one family is what makes d vary here; as a match type beside d it would leave d only chance to go by.
  const blind = { ...settings, matchType: () => "other", replicates: 150 };

  test.each([
    ["saying what is likely for anyone alike is no self-knowledge", 0],
    ["knowing its own share better than likeness tells is", 0.8],
  ])("%s", (_, insight) => {
    const truth = (insight * 0.5) / (Math.SQRT2 * 2);
    const { pairs, regression, withModelEffects } = songRegression(plant(insight, 2000, 11), blind);
    // Without the control for similarity, self would always seem to win: r is d / √2 at least.
    const mean = (self: boolean) => {
      const some = pairs.filter(({ matchType }) => (matchType === "self") === self);
      return some.reduce((sum, { agreement }) => sum + (agreement.ok ? agreement.value : 0), 0) / some.length;
    };
    expect(mean(true) - mean(false)).toBeGreaterThan(0.2);
    for (const fit of [regression, withModelEffects]) {
      const self = coefficient(fit, "self");
      expect(self.interval.low).toBeLessThanOrEqual(truth);
      expect(self.interval.high).toBeGreaterThanOrEqual(truth);
      expect(Math.abs(self.value - truth)).toBeLessThan(0.05);
      if (insight > 0) expect(self.interval.low).toBeGreaterThan(0);
    }
    const similarity = coefficient(regression, "similarity");
    expect(similarity.interval.low).toBeLessThanOrEqual(Math.SQRT1_2);
    expect(similarity.interval.high).toBeGreaterThanOrEqual(Math.SQRT1_2);
  });

  test("the same seed gives the same numbers", () => {
    const models = plant(0.3, 50, 4);
    expect(songRegression(models, settings)).toEqual(songRegression(models, settings));
  });
});

describe("what cannot be compared has a reason", () => {
  const models = plant(0, 20, 5);
  const change = (name: string, to: Partial<SongModel>) =>
    models.map((model) => (model.name === name ? { ...model, ...to } : model));

  test("a logprob of −∞, and a model that always says the same", () => {
    const direct = models[0]?.direct.map((value, item) => (item === 3 ? Number.NEGATIVE_INFINITY : value)) as number[];
    const { pairs, regression } = songRegression(change("a1", { direct }), settings);
    expect(pairs.find(({ judged }) => judged === "a1")?.agreement).toEqual({
      ok: false,
      reason: "item 3 of a1 has a difference of -Infinity",
    });
    expect(regression.ok && regression.missing).toHaveLength(11);
    const constant = songRegression(change("b1", { meta: [Array(20).fill(1), Array(20).fill(1)] }), settings);
    expect(constant.pairs.find(({ judge }) => judge === "b1")?.agreement).toEqual({
      ok: false,
      reason: "all items of b1 have the same difference",
    });
    expect(constant.regression.ok && constant.regression.cells).toBe(30);
  });

  test("too few items, too few models, unequal models", () => {
    const two = models.map(({ name, direct, meta }) => ({
      name,
      direct: direct.slice(0, 2),
      meta: meta.map((one) => one.slice(0, 2)),
    }));
    expect(songRegression(two, settings).regression).toMatchObject({
      ok: false,
      reason: "none of 36 cells has a value",
    });
    expect(songRegression(models.slice(0, 1), settings).regression.ok).toBe(false);
    expect(() => songRegression(change("a2", { direct: [1] }), settings)).toThrow(
      "a2 has 1 items and 2 prompts of 20, 20",
    );
    expect(() => songRegression([], settings)).toThrow("No item or no prompt");
  });
});

describe("the differences", () => {
  test("a liking for the first or the second option falls out", () => {
    expect(directDifference({ first: -12, second: -15 })).toBe(3);
    expect(metaDifference({ one: -1, two: -3 }, { one: -2, two: -1 })).toBe(1.5);
    expect(metaDifference({ one: -0.1, two: -4 }, { one: -0.1, two: -4 })).toBe(0);
  });

  test("a weight is as often as a row stands there", () => {
    const rows = (take: number[]) =>
      [
        Float64Array.from(take.map((k) => [3, 1, 4, 1.5][k] as number)),
        Float64Array.from(take.map((k) => [2, 7, 1, 8][k] as number)),
      ] as const;
    const counts = [2, 0, 3, 1];
    expect(pearson(...rows([0, 1, 2, 3]), (row) => counts[row] as number)).toBeCloseTo(
      pearson(...rows([0, 0, 2, 2, 2, 3])) as number,
      12,
    );
    expect(pearson(...rows([1, 1, 1]))).toBeUndefined();
  });
});
