/** From trials to the matrix and γ's interval: planted access, planted skill and likeness without it, and a bootstrap made by hand. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { describe, expect, test } from "vitest";
import type { Trial } from "../../src/score/trial.js";
import { drawResamples } from "../../src/score/resampling.js";
import { behaviorSimilarity, matrixCells } from "../../src/score/matrix/cells.js";
import { fitMatrix } from "../../src/score/matrix/fit.js";
import { percentileInterval } from "../../src/score/interval.js";
import { extraction, makeTrial } from "../fixtures/score/make-trial.js";

interface World {
  states: number;
  strings: number;
  /** Chance that a prediction about itself is right by access, beyond what it would get anyway. */
  access: number;
  seed: number;
}

/**
 * Every string has a common value; a state follows it more or less (`conformity`), else does something of its own. A predictor
 * knows the common value as far as its skill goes, or says what it would do itself: so it is good about whoever resembles it.
 */
function plant({ states, strings, access, seed }: World): Trial[] {
  const random = xoroshiro128plus(seed);
  for (let skipped = 0; skipped < 64; skipped++) random.next();
  const chance = () => uniformFloat64(random);
  const pick = () => "abcdefgh"[Math.floor(8 * chance())] as string;
  const names = Array.from({ length: states }, (_, index) => `s${index}`);
  return Array.from({ length: strings }, (_, item) => `i${String(item).padStart(4, "0")}`).flatMap((item) =>
    ["first_letter", "last_letter"].flatMap((property) => {
      const common = pick();
      const clarity = chance();
      const does = names.map((_, index) => (chance() < 0.3 + 0.12 * index ? common : pick()));
      return names.flatMap((predictor, i) =>
        names.map((target, j) => {
          const skill = 0.15 + 0.1 * ((i * 3) % states);
          const guess = chance() < skill * 2 * clarity ? common : pick();
          const says = i === j && chance() < access ? (does[i] as string) : guess;
          return makeTrial(item, does[j], says, { predictor, target, property });
        }),
      );
    }),
  );
}

function gammaOf(trials: Trial[], replicates: number, similarity = true) {
  const { cells, clusters } = matrixCells(trials, { kind: "micro", replicates, seed: 1, similarity });
  const fit = fitMatrix(cells, { bootstrap: { replicates, clusters, confidence: 0.95 } });
  if (!fit.ok) throw new Error(fit.reason);
  const self = fit.coefficients.at(-1);
  if (!self?.interval.ok) throw new Error("no interval");
  return { fit, interval: self.interval, value: self.value };
}

/** A binomial of 60 at 0.05 reaches 9 once in 500. */
const WORLDS = 60;
const FEW = 9;

describe("planted truth", () => {
  test("skill and likeness alone are no access: γ's interval misses 0 in few worlds", () => {
    let missed = 0;
    for (let seed = 100; seed < 100 + WORLDS; seed++) {
      const { interval } = gammaOf(plant({ states: 4, strings: 80, access: 0, seed }), 200);
      if (interval.low > 0 || interval.high < 0) missed++;
    }
    expect(missed).toBeLessThan(FEW);
  });

  test("access is always found, and the interval misses what it adds in few worlds", () => {
    // What it adds: the chance of access times that of a wrong guess, which is 7/8 unless skill knows a value that is done.
    const wrong = [0, 1, 2, 3].map((index) => {
      const [knows, follows] = [0.15 + 0.1 * ((index * 3) % 4), 0.3 + 0.12 * index];
      return 7 / 8 - (7 / 8) * knows * follows;
    });
    const added = (0.5 * wrong.reduce((sum, share) => sum + share, 0)) / wrong.length;
    let missed = 0;
    for (let seed = 200; seed < 200 + WORLDS; seed++) {
      const { interval } = gammaOf(plant({ states: 4, strings: 80, access: 0.5, seed }), 200, false);
      expect(interval.low).toBeGreaterThan(0.2);
      if (interval.low > added || interval.high < added) missed++;
    }
    expect(missed).toBeLessThan(FEW);
  });
});

test("the interval is the one of fits to trials drawn by hand", () => {
  const replicates = 60;
  const trials = plant({ states: 4, strings: 12, access: 0.5, seed: 8 });
  const items = [...new Set(trials.map(({ item }) => item))].sort();
  const { draws } = drawResamples("animals", items.length, replicates, 1);
  const gammas: number[] = [];
  for (let replicate = 0; replicate < replicates; replicate++) {
    const drawn = items.flatMap((item, place) =>
      Array.from({ length: draws[replicate * items.length + place] as number }, (_, copy) =>
        trials.filter((trial) => trial.item === item).map((trial) => ({ ...trial, item: `${item}/${copy}` })),
      ).flat(),
    );
    const { cells } = matrixCells(drawn, { kind: "micro", replicates: 1, seed: 1, similarity: true });
    const fit = fitMatrix(cells);
    if (fit.ok) gammas.push(fit.coefficients.at(-1)?.value as number);
  }
  const { fit, interval } = gammaOf(trials, replicates);
  const { low, high } = percentileInterval(Float64Array.from(gammas), 0.95, { clusters: items.length, tasks: 1 });
  expect(interval.low).toBeCloseTo(low, 10);
  expect(interval.high).toBeCloseTo(high, 10);
  expect(fit.coefficients[1]?.interval).toMatchObject({ clusters: 12, replicates: gammas.length });
});

test("replicates that lose a cell are fitted without it; those that lose the diagonal are counted", () => {
  // Of s0 about itself only the first string is scored: about a third of the draws lack it.
  const trials = plant({ states: 3, strings: 10, access: 0.5, seed: 5 }).map((trial) =>
    trial.target === "s0" && trial.item !== "i0000"
      ? { ...trial, objectCompliance: { ok: false, reason: "refusal" } as const }
      : trial,
  );
  const { fit, interval } = gammaOf(trials, 300, false);
  expect(fit.cells).toBe(9);
  expect(interval).toMatchObject({ replicates: 300, leftOut: 0 });
  const pair = trials.filter(({ predictor, target }) => predictor !== "s2" && target !== "s2");
  const { cells, clusters } = matrixCells(pair, { kind: "micro", replicates: 300, seed: 1, similarity: false });
  const small = fitMatrix(cells, { bootstrap: { replicates: 300, clusters, confidence: 0.95 } });
  const rest = small.ok ? small.coefficients[0]?.interval : undefined;
  if (!rest?.ok) throw new Error("no interval");
  expect(rest.leftOut).toBeGreaterThan(60);
  expect(rest.leftOut + rest.replicates).toBe(300);
});

test("macro weighs every property the same; the order of trials never shows", () => {
  const trials = plant({ states: 3, strings: 8, access: 0.2, seed: 2 });
  const uneven = trials.filter(({ property, item }) => property === "first_letter" || item < "i0003");
  const settings = { kind: "macro", replicates: 50, seed: 1, similarity: true } as const;
  const { cells } = matrixCells(uneven, settings);
  const about = uneven.filter(({ predictor, target }) => predictor === "s1" && target === "s2");
  const share = (property: string) => {
    const some = about.filter((trial) => trial.property === property);
    const right = some.filter(
      ({ behavior, prediction }) => behavior.ok && prediction.ok && behavior.value === prediction.value,
    );
    return right.length / some.length;
  };
  const cell = cells.find(({ predictor, target }) => predictor === "s1" && target === "s2");
  expect(cell?.accuracy).toMatchObject({ ok: true, n: 11 });
  expect(cell?.accuracy.ok && cell.accuracy.value).toBeCloseTo((share("first_letter") + share("last_letter")) / 2, 12);
  const bootstrap = { replicates: 50, clusters: 8, confidence: 0.9 };
  expect(fitMatrix(matrixCells([...uneven].reverse(), settings).cells, { bootstrap })).toEqual(
    fitMatrix(cells, { bootstrap }),
  );
});

describe("missing cells have their reason", () => {
  test("nobody asked; nothing in common; nothing scored", () => {
    const trials = [
      makeTrial("x", "a", "a", { predictor: "m", target: "m" }),
      makeTrial("x", "a", "b", { predictor: "n", target: "m" }),
      makeTrial("y", undefined, "b", { predictor: "n", target: "n" }),
    ];
    const { cells, clusters } = matrixCells(trials, { kind: "micro", replicates: 10, seed: 1, similarity: true });
    expect(clusters).toBe(1);
    expect(
      cells.map(({ predictor, target, accuracy, similarity }) => [predictor, target, accuracy, similarity]),
    ).toEqual([
      ["m", "m", expect.objectContaining({ ok: true, value: 1, n: 1 }), expect.objectContaining({ value: 1 })],
      ["m", "n", { ok: false, reason: "it was not asked about this target" }, NOTHING_IN_COMMON],
      ["n", "m", expect.objectContaining({ ok: true, value: 0, n: 1 }), NOTHING_IN_COMMON],
      ["n", "n", { ok: false, reason: "none of 1 trials has a behavior to compare with" }, NOTHING_IN_COMMON],
    ]);
  });

  test("predictors of a target are compared on the questions that all were asked", () => {
    const trials = [
      makeTrial("x", "a", "a", { predictor: "m", target: "m" }),
      makeTrial("y", "a", "a", { predictor: "m", target: "m" }),
      makeTrial("y", "a", "b", { predictor: "n", target: "m" }),
      makeTrial("z", "a", "a", { predictor: "n", target: "m" }),
    ];
    const { cells } = matrixCells(trials, { kind: "micro", replicates: 10, seed: 1, similarity: false });
    expect(cells.map(({ accuracy }) => accuracy.ok && [accuracy.value, accuracy.n])).toEqual([
      [1, 1],
      [0, 1],
    ]);
  });

  test("one string gives no interval", () => {
    const trials = plant({ states: 3, strings: 1, access: 0.5, seed: 1 });
    const { cells, clusters } = matrixCells(trials, { kind: "micro", replicates: 10, seed: 1, similarity: false });
    const fit = fitMatrix(cells, { bootstrap: { replicates: 10, clusters, confidence: 0.95 } });
    expect(fit.ok && fit.coefficients[0]?.interval).toEqual({
      ok: false,
      reason: "only 1 string is counted: no interval",
    });
  });

  test("everybody always right: no draw changes anything", () => {
    const trials = plant({ states: 3, strings: 5, access: 1, seed: 1 }).map((trial) => ({
      ...trial,
      prediction: trial.behavior,
    }));
    const { cells, clusters } = matrixCells(trials, { kind: "micro", replicates: 20, seed: 1, similarity: false });
    const fit = fitMatrix(cells, { bootstrap: { replicates: 20, clusters, confidence: 0.95 } });
    expect(fit.ok && fit.coefficients[0]).toMatchObject({
      interval: { ok: false, reason: "no draw of 5 strings changes it: no interval" },
    });
  });
});

const NOTHING_IN_COMMON = { ok: false, reason: "no task, string and property has a behavior of both" };

describe("similarity of behaviors", () => {
  const behavior = (item: string, value: string | undefined, property = "first_letter", complies = true) => ({
    task: "animals",
    item,
    property,
    extraction: extraction(value),
    compliance: complies ? ({ ok: true } as const) : ({ ok: false, reason: "refusal" } as const),
  });

  test("the share of equal values where both have one", () => {
    const first = [behavior("x", "a"), behavior("y", "b"), behavior("z", undefined), behavior("w", "a", "other")];
    const second = [behavior("y", "b"), behavior("x", "c"), behavior("z", "a"), behavior("w", "a", "other", false)];
    expect(behaviorSimilarity(first, second)).toEqual({
      ok: true,
      value: 1 / 2,
      n: 2,
      clusters: 2,
      strings: [
        { task: "animals", cluster: "x", equal: 0, compared: 1 },
        { task: "animals", cluster: "y", equal: 1, compared: 1 },
      ],
    });
    expect(behaviorSimilarity(first, first)).toMatchObject({ value: 1, n: 3 });
    expect(behaviorSimilarity(first, [])).toEqual(NOTHING_IN_COMMON);
  });

  test("samples are compared each with each", () => {
    const samples = [behavior("x", "a"), behavior("x", "a"), behavior("x", "b")];
    expect(behaviorSimilarity(samples, [behavior("x", "a")])).toMatchObject({ value: 2 / 3, n: 3, clusters: 1 });
    expect(behaviorSimilarity(samples, samples)).toMatchObject({ value: 5 / 9, n: 9 });
  });
});
