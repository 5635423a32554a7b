/** What a lens is scored by: own values beside those of other strings in the same prompts. */
import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.js";
import {
  type LensedString,
  lensDifference,
  type LensScore,
  type LensSettings,
  scoreLens,
} from "../../src/probe/lens-scores.js";
import { normal } from "../helpers/normal.js";

const SETTINGS: LensSettings = {
  confidence: 0.95,
  bootstrapReplicates: 200,
  bootstrapSeed: 0,
  permutations: 199,
  leastNats: 0.01,
};

function ok(score: LensScore): LensScore & { readonly ok: true } {
  if (!score.ok) throw new Error(score.reason);
  return score;
}

const read = (string: string, own: number, logprobs: readonly number[], given?: string): LensedString => ({
  string,
  own,
  ...(given === undefined ? {} : { given }),
  logprobs,
  ranks: logprobs.map((one) => 1 + logprobs.filter((other) => other > one).length),
  entropyNats: 1,
});

test("a worked example: own values, other strings' in the same prompts, and who leads", () => {
  const score = ok(
    scoreLens([read("a", 0, [-1, -2, -4]), read("b", 1, [-3, -2, -5]), read("c", 2, [-1, -2, -6])], 3, SETTINGS),
  );
  expect(score).toMatchObject({ compared: 3, alone: 0, medianRank: 1, otherMedianRank: 2 });
  expect(score.ownNats).toMatchObject({ ok: true, value: -3, n: 3, clusters: 3 });
  // Of a: (-2 - 4) / 2; of b: (-3 - 5) / 2; of c: (-1 - 2) / 2.
  expect(score.otherNats.ok && score.otherNats.value).toBeCloseTo((-3 - 4 - 1.5) / 3, 12);
  expect(score.gainNats.ok && score.gainNats.value).toBeCloseTo((2 + 2 - 4.5) / 3, 12);
  expect(score.first.ok && score.first.value).toBeCloseTo(2 / 3, 12);
  // In c's prompt a's value leads: one of the two others.
  expect(score.otherFirst.ok && score.otherFirst.value).toBeCloseTo(0.5 / 3, 12);
});

test("a word that is likely everywhere gives nothing", () => {
  const random = seededRandom("common words");
  const strings = Array.from({ length: 40 }, (_, at) =>
    read(`s${at}`, Math.abs(random.next()) % 4 === 0 ? 1 : 0, [-0.1, -7]),
  );
  const { gainNats, first, otherFirst, gainFirst } = ok(scoreLens(strings, 2, SETTINGS));
  // In no string's gain, so that no draw has any.
  expect(gainNats).toEqual({ ok: false, reason: "no draw of 40 strings changes it: no interval" });
  expect(first.ok && otherFirst.ok && Math.abs(first.value - otherFirst.value)).toBeLessThan(1e-12);
  expect(gainFirst.ok && gainFirst.low).toBeLessThanOrEqual(0);
});

test("how common a word is, and how much a prompt gives to all, do not widen the interval", () => {
  const draw = normal(9);
  const common = Array.from({ length: 8 }, (_, value) => -4 * value);
  const strings = (noise: number) =>
    Array.from({ length: 48 }, (_, at) => {
      const own = at % 8;
      const level = 3 * draw();
      return read(
        `s${at}`,
        own,
        common.map((one, value) => one + level + noise * draw() + (value === own ? 1 : 0)),
      );
    });
  const { gainNats, ownNats } = ok(scoreLens(strings(0.2), 8, SETTINGS));
  if (!gainNats.ok || !ownNats.ok) throw new Error("no interval");
  expect(gainNats.low).toBeGreaterThan(0.7);
  expect(gainNats.high).toBeLessThan(1.1);
  expect(ownNats.high - ownNats.low).toBeGreaterThan(4);
});

test("beyond what is given: only strings of which the same is known are compared", () => {
  const strings = [
    read("a", 0, [-1, -3, -9, -9], "yes"),
    read("b", 1, [-4, -1, -9, -9], "yes"),
    read("e", 1, [-2, -2.5, -9, -9], "yes"),
    read("c", 2, [-9, -9, -1, -9], "no"),
    read("d", 2, [-9, -9, -1, -9], "no"),
  ];
  const score = ok(scoreLens(strings, 4, SETTINGS));
  expect(score).toMatchObject({ compared: 3, alone: 2 });
  // Own: (-1 - 1 - 2.5) / 3. Others: a gives -3 and -3, b -4 and -1, e -2 and -2.5.
  expect(score.gainNats.ok && score.gainNats.value).toBeCloseTo(-1.5 + (3 + 2.5 + 2.25) / 3, 12);
  expect(scoreLens(strings.slice(3), 4, SETTINGS)).toEqual({
    ok: false,
    reason: "all strings of one kind have one value",
  });
  expect(scoreLens([], 4, SETTINGS)).toEqual({ ok: false, reason: "no string has a value that a lens can read" });
});

test("what leads by less than the least nats does not lead", () => {
  const strings = [read("a", 0, [-1, -1.001]), read("b", 1, [-1.001, -1])];
  expect(ok(scoreLens(strings, 2, SETTINGS)).first).toMatchObject({ value: 0 });
  expect(ok(scoreLens(strings, 2, { ...SETTINGS, leastNats: 1e-4 })).first).toMatchObject({ value: 1 });
});

describe("on made-up readings", () => {
  const made = (seed: number, signal: number) => {
    const draw = normal(seed);
    return Array.from({ length: 30 }, (_, at) => {
      const own = at % 5;
      return read(
        `s${at}`,
        own,
        Array.from({ length: 5 }, (_, value) => draw() - 2 * value + (value === own ? signal : 0)),
      );
    });
  };

  test("where nothing is, the test rejects as often as its level says", () => {
    let rejected = 0;
    for (let seed = 1; seed <= 400; seed++) {
      const { test: found } = ok(
        scoreLens(made(seed, 0), 5, { ...SETTINGS, bootstrapReplicates: 20, bootstrapSeed: seed }),
      );
      if (found.ok && found.p <= 0.05) rejected++;
    }
    // 20 expected; a binomial's spread is 4.4.
    expect(rejected).toBeGreaterThanOrEqual(8);
    expect(rejected).toBeLessThanOrEqual(34);
  });

  test("what is planted is found, and how much of it", () => {
    const { test: found, gainNats } = ok(scoreLens(made(3, 1.5), 5, SETTINGS));
    expect(found.ok && found.p).toBeLessThan(0.01);
    expect(gainNats.ok && gainNats.low < 1.5 && gainNats.high > 1.5).toBe(true);
  });

  test("the difference of two states is on the same strings, or says that it is not", () => {
    const [one, other] = [scoreLens(made(3, 2), 5, SETTINGS), scoreLens(made(4, 0), 5, SETTINGS)];
    const difference = lensDifference(one, other, SETTINGS);
    const gain = (score: LensScore) => (ok(score).gainNats as { value: number }).value;
    expect(difference.ok && difference.value).toBeCloseTo(gain(one) - gain(other), 12);
    expect(lensDifference(one, scoreLens(made(4, 0).slice(1), 5, SETTINGS), SETTINGS).ok).toBe(false);
  });
});
