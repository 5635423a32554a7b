/** Distances of whole distributions: 0 of the same, the definition's numbers, and bounds that hold whatever the open parts hide. */
import { describe, expect, test } from "vitest";
import type { Distribution } from "../../src/ask/expand-distribution.js";
import type { DistributionRow } from "../../src/ask/measure-distribution.js";
import { scoreDistances } from "../../src/quantize/behavior-distances.js";

const RESAMPLING = { confidence: 0.95, bootstrapReplicates: 100, bootstrapSeed: 1 };
type Shares = Readonly<Record<string, number>>;

function expanded(shares: Shares, tail = 0, none = 0): Distribution {
  const values = Object.entries(shares).map(([value, probability]) => ({
    value,
    probability,
    upper: Math.min(1, probability + tail),
  }));
  const notCompliant = none > 0 ? { empty: none } : {};
  return {
    method: "expansion",
    values,
    notCompliant,
    tail,
    expandedNodes: 1,
    evaluatedTokens: 1,
    stoppedBy: "epsilon",
  };
}

function drawn(shares: Shares, samples: number): Distribution {
  const values = Object.entries(shares).map(([value, probability]) => ({ value, probability, standardError: 0 }));
  return { method: "samples", because: "tail", values, notCompliant: {}, samples };
}

function rows(pairs: readonly (readonly [Distribution, Distribution])[]): DistributionRow[] {
  return pairs.flatMap(([source, file], at) =>
    [
      ["source", source],
      ["q4", file],
    ].map(([state, distribution]) => ({
      key: `object_level/${state}/t/s${at}/p`,
      side: "object_level" as const,
      state: state as string,
      task: "t",
      item: `s${at}`,
      property: "p",
      distribution: distribution as Distribution,
    })),
  );
}

function scored(...pairs: readonly (readonly [Distribution, Distribution])[]) {
  const scores = scoreDistances({ source: "source", variant: "q4", distributions: rows(pairs) }, RESAMPLING);
  if (!scores?.totalVariation.ok || !scores.klNats.ok) throw new Error("nothing was scored");
  return { ...scores, distance: scores.totalVariation.value, kl: scores.klNats.value };
}

/** KL of both mixed with a hundredth of a uniform one, from its definition. */
function klOf(source: Shares, file: Shares): number {
  const values = [...new Set([...Object.keys(source), ...Object.keys(file)])];
  const mixed = (shares: Shares, value: string) => 0.99 * (shares[value] ?? 0) + 0.01 / values.length;
  return values.reduce((sum, one) => sum + mixed(source, one) * Math.log(mixed(source, one) / mixed(file, one)), 0);
}

describe("distances of distributions", () => {
  test("of the same are 0 to the bit, tails and answers without a value and all", () => {
    const one = expanded({ a: 0.3, b: 0.1, c: 0.07 }, 0.003, 0.527);
    const two = expanded({ a: 1 / 3, b: 1 / 7 }, 0, 1 - 1 / 3 - 1 / 7);
    expect(scored([one, one], [two, two])).toMatchObject({ distance: 0, kl: 0, sampled: 0, drawnFloor: 0 });
  });

  test("are those of the definition", () => {
    const [source, file] = [
      { a: 0.5, b: 0.5 },
      { a: 0.1, b: 0.6, c: 0.3 },
    ];
    const { distance, kl, totalVariationBounds, klNatsBounds } = scored(
      [expanded(source), expanded(file)],
      [expanded(source), expanded(file)],
    );
    expect(distance).toBeCloseTo(0.4, 12);
    expect(kl).toBeCloseTo(klOf(source, file), 12);
    expect([totalVariationBounds, klNatsBounds]).toEqual([null, null]);
  });

  test("an answer without a value is a value of its own", () => {
    const { distance } = scored(
      [expanded({ a: 1 }), expanded({ a: 0.5 }, 0, 0.5)],
      [expanded({ a: 1 }), expanded({ a: 0.5 }, 0, 0.5)],
    );
    expect(distance).toBeCloseTo(0.5, 12);
  });

  test("bounds hold the truth, wherever what was left open lies", () => {
    let state = 7;
    const draw = () => {
      state = (state * 1664525 + 1013904223) % 4294967296;
      return state / 4294967296;
    };
    const VALUES = ["a", "b", "c", "d"];
    const random = (): Record<string, number> => {
      const raw = VALUES.map(() => draw() ** 3);
      const sum = raw.reduce((all, one) => all + one, 0);
      return Object.fromEntries(VALUES.map((value, at) => [value, (raw[at] as number) / sum]));
    };
    // A part of each value is hidden in the tail.
    const hide = (truth: Shares, most: number) => {
      const seen = Object.fromEntries(
        Object.entries(truth).map(([value, share]) => [value, share * (1 - most * draw())]),
      );
      return expanded(seen, 1 - Object.values(seen).reduce((sum, one) => sum + one, 0));
    };
    for (let world = 0; world < 300; world++) {
      const most = world % 2 === 0 ? 0.05 : 0.6;
      const truths = Array.from({ length: 2 }, () => [random(), random()] as const);
      const scores = scored(...truths.map(([was, now]) => [hide(was, most), hide(now, most)] as const));
      const distance =
        truths.reduce(
          (sum, [was, now]) =>
            sum + VALUES.reduce((all, one) => all + Math.abs((was[one] as number) - (now[one] as number)) / 2, 0),
          0,
        ) / 2;
      const kl = truths.reduce((sum, [was, now]) => sum + klOf(was, now), 0) / 2;
      expect(scores.totalVariationBounds?.least).toBeLessThanOrEqual(distance + 1e-12);
      expect(scores.totalVariationBounds?.most).toBeGreaterThanOrEqual(distance - 1e-12);
      expect(scores.klNatsBounds?.least).toBeLessThanOrEqual(kl + 1e-12);
      expect(scores.klNatsBounds?.most).toBeGreaterThanOrEqual(kl - 1e-12);
    }
  });

  test("the floor of drawing is what two draws of one distribution differ by", () => {
    let state = 11;
    const shares = [0.5, 0.3, 0.2];
    const draws = (): Distribution => {
      const counts = [0, 0, 0];
      for (let at = 0; at < 50; at++) {
        state = (state * 1664525 + 1013904223) % 4294967296;
        const place = state / 4294967296;
        const value = place < 0.5 ? 0 : place < 0.8 ? 1 : 2;
        counts[value] = (counts[value] as number) + 1;
      }
      return drawn(Object.fromEntries(["a", "b", "c"].map((value, at) => [value, (counts[at] as number) / 50])), 50);
    };
    expect(shares.reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 12);
    const { distance, drawnFloor, sampled } = scored(...Array.from({ length: 400 }, () => [draws(), draws()] as const));
    expect(sampled).toBe(400);
    // Normal shares are an approximation, within a tenth at 50 draws; 400 means have a standard error of 2 %.
    expect(Math.abs(distance / drawnFloor - 1)).toBeLessThan(0.1);
  });

  test("nothing measured of both is nothing, and no 0", () => {
    const [only] = rows([[expanded({ a: 1 }), expanded({ a: 1 })]]);
    expect(
      scoreDistances({ source: "source", variant: "q4", distributions: only ? [only] : [] }, RESAMPLING),
    ).toBeUndefined();
  });
});
