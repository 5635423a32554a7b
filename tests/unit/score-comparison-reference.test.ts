/** Agreement with numpy, scipy, statsmodels and published examples; tests/fixtures/score/README-comparison.md has the command. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { comparePredictors, type Sensitivity } from "../../src/score/comparison/comparison.js";
import type { Estimate } from "../../src/score/interval.js";
import { binomialFrom, binomialMass, binomialUpTo, clopperPearsonInterval } from "../../src/score/probability.js";
import { holmAdjusted, mcNemarTest, signFlipTest } from "../../src/score/comparison/tests.js";
import { scoreShift } from "../../src/score/comparison/shift.js";
import { extraction, makeTrial } from "../fixtures/score/make-trial.js";

type Text = string | null;
type Expected = { value: number; low: number; high: number; n: number; clusters: number; standardError: number };
type Kind = "micro" | "macro";
interface Reference {
  confidence: number;
  replicates: number;
  seeds: number;
  binomial: { count: number; of: number; probability: number; upTo: number; mass: number }[];
  clopperPearson: { count: number; of: number; confidence: number; low: number; high: number }[];
  mcnemar: { first: number; second: number; exactP: number; midP: number }[];
  holm: { p: number[]; adjusted: number[] }[];
  signFlip: { contributions: number[]; p: number }[];
  fractions: { contributions: number[]; p: number }[];
  designEffect: { one: number; all: number };
  rows: [string, string, string, ...Text[]][];
  difference: Record<Kind, Record<string, Expected>>;
  balancedByDrawing: { value: number; standardError: number };
  shifts: [string, string, string, Text, Text, Text][];
  shiftScores: {
    shifted: number;
    micro: Record<"old" | "new" | "modeOld" | "modeNew", number>;
    macro: Record<"old" | "new", number>;
    matched: { n: number; old: number; new: number; standardError: [number, number] };
  };
}

const reference: Reference = JSON.parse(
  readFileSync(new URL("../fixtures/score/comparison.json", import.meta.url), "utf8"),
);
const SETTINGS = {
  confidence: reference.confidence,
  bootstrapReplicates: reference.replicates,
  bootstrapSeed: 5,
  noiseFloorNats: 0,
};
const relatively = (actual: number, expected: number) =>
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(1e-10 * Math.abs(expected));

describe("tails", () => {
  test.each(reference.binomial)(
    "of $of trials at $probability, up to $count",
    ({ count, of, probability, upTo, mass }) => {
      relatively(binomialUpTo(count, of, probability), upTo);
      relatively(binomialMass(count, of, probability), mass);
      expect(binomialFrom(count + 1, of, probability)).toBeCloseTo(1 - upTo, 12);
    },
  );

  test.each(reference.clopperPearson)(
    "Clopper-Pearson interval of $count of $of at $confidence",
    ({ count, of, confidence, low, high }) => {
      const interval = clopperPearsonInterval({ count, of }, confidence);
      expect(interval.low).toBeCloseTo(low, 10);
      expect(interval.high).toBeCloseTo(high, 10);
    },
  );
});

describe("tests", () => {
  test.each(reference.mcnemar)("McNemar, discordant $first and $second", ({ first, second, exactP, midP }) => {
    const p = mcNemarTest(first, second);
    relatively(p.exactP, exactP);
    relatively(p.midP, midP);
  });

  test("McNemar by hand, on the tables that Fagerland, Lydersen and Laake 2013 work through (Bentur 2009: 1 and 7; Cavo 2012: 6 and 16)", () => {
    // 2 · (1 + 8) / 256 and, less the mass of the observed table, 2 · 9 / 256 − 8 / 256.
    expect(mcNemarTest(1, 7)).toEqual({ exactP: expect.closeTo(18 / 256, 14), midP: expect.closeTo(10 / 256, 14) });
    // Σ C(22, k) for k up to 6 is 110,056, C(22, 6) is 74,613.
    expect(mcNemarTest(6, 16).exactP).toBeCloseTo((2 * 110_056) / 2 ** 22, 14);
    expect(mcNemarTest(6, 16).midP).toBeCloseTo((2 * 110_056 - 74_613) / 2 ** 22, 14);
  });

  test.each(reference.holm)("Holm over $p", ({ p, adjusted }) => {
    const ours = holmAdjusted(p);
    ours.forEach((value, at) => {
      expect(value).toBeCloseTo(adjusted[at] as number, 14);
    });
  });

  test.each(reference.signFlip)("sign flips of $contributions", ({ contributions, p }) => {
    expect(signFlipTest(contributions, { draws: 10, seed: 1 })).toMatchObject({
      ok: true,
      method: "exact",
      informativeStrings: contributions.filter((one) => one !== 0).length,
    });
    relatively(pOf(signFlipTest(contributions, { draws: 10, seed: 1 })), p);
  });

  test.each(reference.fractions)("sign flips of fractions $contributions", ({ contributions, p }) => {
    const result = signFlipTest(contributions, { draws: 10, seed: 1 });
    expect(result).toMatchObject({ method: "exact" });
    expect(pOf(result)).toBe(p);
  });

  test("drawn signs agree with listing all patterns", () => {
    // Twice the same twelve fractions and a bit: too many to list, so drawn; the exact value by whole thousandths.
    const fractions = (reference.fractions[1] as { contributions: number[] }).contributions.flatMap((one) => [
      one,
      -one / 2,
    ]);
    const exact = pOf(
      signFlipTest(
        fractions.map((one) => Math.round(one * 2000)),
        { draws: 1, seed: 1 },
      ),
    );
    const drawn = signFlipTest(fractions, { draws: 10_000, seed: 3 });
    expect(drawn).toMatchObject({ method: "drawn", draws: 10_000 });
    expect(Math.abs(pOf(drawn) - exact)).toBeLessThan(5 * Math.sqrt((exact * (1 - exact)) / 10_000) + 1e-4);
  });
});

function pOf(result: ReturnType<typeof signFlipTest>): number {
  if (!result.ok) throw new Error(result.reason);
  return result.p;
}

/**
 * The Monte Carlo error of the 2.5 % quantile of B replicates is about 2.67 / √B standard errors on each side, hence √2; five times
 * that, and the two nearest points of a grid of 1 / n.
 */
function agree(actual: Estimate | undefined, expected: Expected): void {
  if (!actual?.ok) throw new Error(`no estimate: ${actual?.reason}`);
  expect(actual.value).toBeCloseTo(expected.value, 12);
  expect([actual.n, actual.clusters]).toEqual([expected.n, expected.clusters]);
  const tolerance =
    ((5 * Math.SQRT2 * 2.67) / Math.sqrt(reference.replicates)) * expected.standardError + 1 / expected.n;
  expect(Math.abs(actual.low - expected.low)).toBeLessThan(tolerance);
  expect(Math.abs(actual.high - expected.high)).toBeLessThan(tolerance);
}

const text = (one: Text | undefined) => one ?? undefined;
const trials = reference.rows.flatMap(([task, item, property, behavior, self, ...crosses]) =>
  [self, ...crosses.slice(0, reference.seeds)].map((said, at) =>
    makeTrial(item, text(behavior), text(said), { task, property, predictor: at === 0 ? "tiny" : `other${at}` }),
  ),
);
const crossDoes = new Map(reference.rows.map((row) => [JSON.stringify(row.slice(0, 3)), extraction(text(row.at(-1)))]));
const contrasts = Array.from({ length: reference.seeds }, (_, at) => ({
  target: "tiny",
  self: "tiny",
  cross: `other${at + 1}`,
}));

describe("two predictors on synthetic trials", () => {
  const one = comparePredictors(trials, contrasts.slice(0, 1), SETTINGS, ({ task, item, property }) =>
    crossDoes.get(JSON.stringify([task, item, property])),
  );
  const all = comparePredictors(trials, contrasts, SETTINGS);
  const sensitivity = (name: Sensitivity["name"], at: number) => {
    const found = one.sensitivity.find((each) => each.name === name);
    if (!found?.ok) throw new Error(found?.reason);
    return found.differences[at]?.difference;
  };

  (["micro", "macro"] as const).forEach((kind, at) => {
    const expected = (name: string) => reference.difference[kind][name] as Expected;
    test(`${kind}: one seed`, () => agree(one.overall[at]?.difference, expected("one")));
    test(`${kind}: all seeds`, () => agree(all.overall[at]?.difference, expected("all")));
    test(`${kind}: drawing tasks as well`, () => agree(one.overall[at]?.hierarchical, expected("oneLevels")));
    test(`${kind}: drawing tasks and seeds as well`, () => agree(all.overall[at]?.hierarchical, expected("allLevels")));
    test(`${kind}: behaviors balanced`, () => agree(sensitivity("mode_balanced", at), expected("balanced")));
    test(`${kind}: compliant only`, () => agree(sensitivity("compliant_only", at), expected("compliant")));
    test(`${kind}: where the cross predictor behaves otherwise`, () =>
      agree(sensitivity("behaviors_differ", at), expected("differ")));
  });

  test("design effects", () => {
    expect(one.designEffect.ok && one.designEffect.value).toBeCloseTo(reference.designEffect.one, 10);
    expect(all.designEffect.ok && all.designEffect.value).toBeCloseTo(reference.designEffect.all, 10);
  });

  test("balancing by weights is what balancing by random draws gives on average", () => {
    const cell = trials.filter(({ task, property }) => task === "words" && property === "first_letter");
    const balanced = comparePredictors(cell, contrasts.slice(0, 1), { ...SETTINGS, bootstrapReplicates: 10 })
      .sensitivity[3];
    if (!balanced?.ok) throw new Error(balanced?.reason);
    const [micro] = balanced.differences;
    const { value, standardError } = reference.balancedByDrawing;
    expect(micro?.difference.ok && Math.abs(micro.difference.value - value)).toBeLessThan(5 * standardError);
    expect(balanced.effectiveTrials).toBeGreaterThan(0);
    expect(balanced.effectiveTrials).toBeLessThan(balanced.kept.count);
  });
});

describe("a changed behavior on synthetic trials", () => {
  const sides = { predictor: "changed", before: "was", after: "changed" };
  const scores = scoreShift(
    reference.shifts.flatMap(([task, item, property, before, after, said]) =>
      [before, after].map((did, at) =>
        makeTrial(item, text(did), text(said), {
          task,
          property,
          predictor: "changed",
          target: at === 0 ? "was" : "changed",
        }),
      ),
    ),
    sides,
    { ...SETTINGS, bootstrapReplicates: 200 },
  );
  const { micro, macro, matched, shifted } = reference.shiftScores;
  const value = (estimate: Estimate | undefined) => (estimate?.ok ? estimate.value : Number.NaN);

  test("both accuracies and their modes", () => {
    const [ours, ourMacro] = scores.overall;
    expect(ours.difference).toMatchObject({ ok: true, n: shifted });
    expect(value(ours.aboutOld)).toBeCloseTo(micro.old, 12);
    expect(value(ours.aboutNew)).toBeCloseTo(micro.new, 12);
    expect(value(ours.modeOld)).toBeCloseTo(micro.modeOld, 12);
    expect(value(ours.modeNew)).toBeCloseTo(micro.modeNew, 12);
    expect(value(ourMacro.aboutOld)).toBeCloseTo(macro.old, 12);
    expect(value(ourMacro.aboutNew)).toBeCloseTo(macro.new, 12);
  });

  test("matching by weights is what matching by random draws gives on average, and both sides have one mode baseline", () => {
    const [ours] = scores.entropyMatched;
    expect(ours.difference).toMatchObject({ ok: true, n: matched.n });
    expect(Math.abs(value(ours.aboutOld) - matched.old)).toBeLessThan(5 * matched.standardError[0]);
    expect(Math.abs(value(ours.aboutNew) - matched.new)).toBeLessThan(5 * matched.standardError[1]);
    expect(value(ours.modeOld)).toBeCloseTo(value(ours.modeNew), 12);
  });
});
