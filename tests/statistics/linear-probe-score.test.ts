/** Probes on made-up states: what is there is found, what is not there is not, as often as the level says. */
import { describe, expect, test } from "vitest";
import {
  bagOfTokens,
  compareProbes,
  controlTask,
  holmOverSites,
  PROBE_SETTINGS,
  type ProbeExample,
  type ProbeScore,
  type ProbeSettings,
  scoreProbe,
  withShuffledLabels,
} from "../../src/probe/linear-probe-score.js";
import { seededRandom } from "../../src/base/random.js";
import { shareOfRows } from "../../src/probe/string-estimates.js";
import { normal as normalFrom } from "../helpers/normal.js";

const FEW: ProbeSettings = {
  ...PROBE_SETTINGS,
  cs: [0.1, 10],
  folds: 3,
  permutations: 199,
  bootstrapReplicates: 200,
};

function ok(score: ProbeScore): ProbeScore & { readonly ok: true } {
  if (!score.ok) throw new Error(score.reason);
  return score;
}

/** @param signal how far the states of one class lie from those of another, in standard deviations */
function made(seed: number, { strings = 48, width = 6, classes = 2, signal = 0, rowsEach = 1 } = {}) {
  const normal = normalFrom(seed);
  const values: number[] = [];
  const examples: ProbeExample[] = [];
  for (let string = 0; string < strings; string++) {
    const label = string % classes;
    const own = Array.from({ length: width }, normal);
    for (let row = 0; row < rowsEach; row++) {
      for (let at = 0; at < width; at++) {
        values.push((own[at] as number) + 0.1 * normal() + (at === label ? signal : 0));
      }
      // Sides alternate in twos, so that both have all classes.
      const split = Math.floor(string / classes) % 2 === 0 ? "train" : "held_out";
      examples.push({ string: `string ${string}`, split, label: `class ${label}` });
    }
  }
  return { states: { values: Float32Array.from(values), width }, examples };
}

describe("nulls", () => {
  const NULLS = 400;
  test("5 % of them are rejected, rows of one string or of three", () => {
    for (const rowsEach of [1, 3]) {
      let rejected = 0;
      for (let seed = 0; seed < NULLS; seed++) {
        const { states, examples } = made(seed, { strings: rowsEach === 1 ? 48 : 24, width: 4, rowsEach });
        const { test: result } = ok(scoreProbe(states, examples, { ...FEW, bootstrapReplicates: 10, folds: 2 }));
        if (result.ok && result.p <= 0.05) rejected++;
      }
      // 3 to 7 in a hundred: two standard errors and more to either side of 20.
      expect(rejected).toBeGreaterThanOrEqual(0.03 * NULLS);
      expect(rejected).toBeLessThanOrEqual(0.07 * NULLS);
    }
  });

  test("after Holm over five sites no more than 5 % of studies name one", () => {
    let studies = 0;
    for (let seed = 0; seed < 60; seed++) {
      const sites = Array.from({ length: 5 }, (_, site) => {
        const { states, examples } = made(1000 + 5 * seed + site, { strings: 24, width: 3 });
        return scoreProbe(states, examples, { ...FEW, bootstrapReplicates: 10, folds: 2 });
      });
      if (holmOverSites(sites).some((one) => one.ok && one.p <= 0.05)) studies++;
    }
    // Of 60, 3 are expected at most; 8 or more have a chance below 1 %.
    expect(studies).toBeLessThan(8);
  });

  test("shuffled labels are a null of their own", () => {
    const { states, examples } = made(3, { signal: 4, strings: 96 });
    const real = ok(scoreProbe(states, examples, FEW));
    const nothing = ok(scoreProbe(states, withShuffledLabels(examples, 1), FEW));
    expect(real.accuracy).toMatchObject({ ok: true, value: expect.any(Number) });
    if (real.accuracy.ok) expect(real.accuracy.low).toBeGreaterThan(0.9);
    expect(real.test).toMatchObject({ ok: true, p: 1 / 200 });
    if (nothing.gainNats.ok) expect(nothing.gainNats.low).toBeLessThan(0);
    expect(nothing.test.ok && nothing.test.p).toBeGreaterThan(0.05);
  });
});

test("states that hold the answer only beside what is given add nothing to it", () => {
  const { states, examples } = made(5, { signal: 6, strings: 96, classes: 3 });
  const known = examples.map((one) => ({ ...one, given: one.label }));
  const score = ok(scoreProbe(states, known, FEW));
  expect(score.baseAccuracy).toMatchObject({ ok: true, value: 1 });
  expect(score.gainAccuracy).toMatchObject({ ok: true, value: 0 });
  expect(score.test).toMatchObject({ ok: false });
  const coarse = examples.map((one) => ({ ...one, given: one.label === "class 0" ? "zero" : "more" }));
  const added = ok(scoreProbe(states, coarse, FEW));
  // The third class is told from the second, which the given leaves open.
  expect(added.baseAccuracy.ok && added.baseAccuracy.value).toBeCloseTo(2 / 3, 1);
  expect(added.accuracy.ok && added.accuracy.value).toBeGreaterThan(0.95);
  expect(added.test).toMatchObject({ ok: true, p: 1 / 200 });
});

describe("selectivity", () => {
  /** States that tell which of eight words a string has, and nothing else. */
  const words = (labelOf: (word: number, string: number) => string) => {
    const examples: ProbeExample[] = [];
    const values: number[] = [];
    for (let string = 0; string < 64; string++) {
      const word = string % 8;
      for (let at = 0; at < 8; at++) values.push(Number(at === word) + 0.01 * ((string * (at + 3)) % 7));
      examples.push({ string: `s${string}`, split: string < 32 ? "train" : "held_out", label: labelOf(word, string) });
    }
    return { states: { values, width: 8 }, examples, keys: examples.map((_, at) => `word ${at % 8}`) };
  };

  test("is 0 where the labels are the words' own: learnt by heart, both", () => {
    const { states, examples, keys } = words((word) => (word % 3 === 0 ? "yes" : "no"));
    const control = controlTask(examples, keys, 2);
    expect(control.sharedKeys).toBe(32);
    expect(new Set(control.examples.map(({ label }) => label)).size).toBe(2);
    const [own, other] = [scoreProbe(states, examples, FEW), scoreProbe(states, control.examples, FEW)].map(ok);
    const { difference, test: result } = compareProbes(own as never, other as never, FEW);
    expect(difference).toMatchObject({ ok: true, value: 0 });
    expect(result).toMatchObject({ ok: true, p: 1 });
  });

  test("of words that no train string has nothing is learnt by heart, and that is told", () => {
    const { examples } = words((word) => (word % 2 === 0 ? "yes" : "no"));
    expect(
      controlTask(
        examples,
        examples.map(({ string }) => string),
        1,
      ).sharedKeys,
    ).toBe(0);
  });
});

test("a dose lies in its interval as often as that claims, over 1,000 made-up studies", () => {
  const settings = { confidence: 0.95, bootstrapReplicates: 400, bootstrapSeed: 0 };
  let held = 0;
  for (let study = 0; study < 1000; study++) {
    const dose = [0.1, 0.25, 0.5, 0.9][study % 4] as number;
    const random = seededRandom(`made-up dose/${study}`);
    const rows = Array.from({ length: 60 }, (_, string) => {
      return { string: `s${string}`, isSo: (random.next() >>> 0) / 2 ** 32 < dose };
    });
    const share = shareOfRows(rows, { ...settings, bootstrapSeed: study });
    if (share.ok && share.low <= dose && dose <= share.high) held++;
  }
  // Percentiles of a proportion of 60 keep a little less, or more, by where the steps of 1/60 fall.
  expect(held).toBeGreaterThanOrEqual(930);
  expect(held).toBeLessThanOrEqual(980);
});

test("a bag of tokens knows the tokens of train strings alone", () => {
  const examples: ProbeExample[] = [
    { string: "a", split: "train", label: "x" },
    { string: "b", split: "held_out", label: "y" },
  ];
  const bag = bagOfTokens(
    [
      [5, 3, 5],
      [3, 9],
    ],
    examples,
  );
  expect(bag).toEqual({ width: 2, values: Float32Array.from([1, 2, 1, 0]) });
});

test("what cannot be probed says why; what is wrong is refused", () => {
  const { states, examples } = made(1);
  const alike = examples.map((one) => ({ ...one, label: "same" }));
  expect(scoreProbe(states, alike, FEW)).toEqual({ ok: false, reason: "all train strings have one label (same)" });
  const few = { ...FEW, folds: 40 };
  expect(scoreProbe(states, examples, few)).toMatchObject({ ok: false, reason: expect.stringMatching(/too few/) });
  const flat = { values: new Float32Array(states.values.length).fill(2), width: states.width };
  expect(scoreProbe(flat, examples, FEW)).toMatchObject({ ok: false, reason: expect.stringMatching(/are the same/) });
  const both = examples.map((one, at) => (at === 1 ? { ...one, string: "string 3" } : one));
  expect(() => scoreProbe(states, both, FEW)).toThrow(/both sides/);
  expect(() => scoreProbe(states, examples.slice(1), FEW)).toThrow(/rows of states have/);
  const partly = examples.map((one, at) => (at === 0 ? { ...one, given: "x" } : one));
  expect(() => scoreProbe(states, partly, FEW)).toThrow(/something given/);
  const mixed = examples.map((one) => ({ ...one, string: one.split }));
  expect(
    ok(
      scoreProbe(
        states,
        [...mixed.keys()].map((at) => ({ ...(examples[at] as ProbeExample) })),
        FEW,
      ),
    ).unseen,
  ).toBe(0);
});

test("a label that no train string has is wrong, and counted", () => {
  const { states, examples } = made(2, { signal: 5 });
  const last = examples.length - 1;
  const rare = examples.map((one, at) => (at === last ? { ...one, label: "other" } : one));
  const score = ok(scoreProbe(states, rare, FEW));
  expect(score.unseen).toBe(1);
  expect(score.strings.find(({ string }) => string === `string ${last}`)).toMatchObject({ right: 0, gainRows: 0 });
});
