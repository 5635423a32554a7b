/** Two runs on the trials that both have: worked by hand, equal to the comparison of predictors where that applies, and blind to ids. */
import { describe, expect, test } from "vitest";
import { missing } from "../../src/properties/property.js";
import { compareRunTrials, type KeyedTrial, type SharedPair } from "../../src/score/comparison/between-runs.js";
import { comparePredictors } from "../../src/score/comparison/comparison.js";
import type { Trial } from "../../src/score/trial.js";
import { pick } from "../helpers/made-up-run.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 500, bootstrapSeed: 4 };
const keyed = (trials: readonly Trial[]): KeyedTrial[] => trials.map((trial) => ({ key: trial.item, trial }));
const pair = (first: readonly Trial[], second: readonly Trial[], more: Partial<SharedPair> = {}): SharedPair => ({
  predictor: "tiny",
  target: "tiny",
  scope: "all",
  first: keyed(first),
  second: keyed(second),
  ...more,
});
const one = (first: readonly Trial[], second: readonly Trial[]) => {
  const [compared] = compareRunTrials([pair(first, second)], SETTINGS);
  if (!compared) throw new Error("nothing was compared");
  return compared;
};

test("worked by hand: each prediction against the behavior of its own run, what only one run counts left out and counted", () => {
  const first = [
    makeTrial("a", "x", "x"), // right, then wrong since the target does otherwise
    makeTrial("b", "x", "y"), // wrong, then right
    makeTrial("c", "x", "y"), // wrong twice
    makeTrial("d", "x", "x"), // right twice
    makeTrial("e", "x", "y"), // wrong, then right
    makeTrial("f", undefined, "x"),
    makeTrial("g", "x", "x"),
    makeTrial("h", undefined, "x"),
    makeTrial("only", "x", "x"),
  ];
  const second = [
    makeTrial("a", "y", "x"),
    makeTrial("b", "x", "x"),
    makeTrial("c", "x", undefined),
    makeTrial("d", "x", "x"),
    makeTrial("e", "y", "y"),
    makeTrial("f", "x", "x"),
    makeTrial("g", "x", "x", { prediction: missing("engine_crashed") }),
    makeTrial("h", undefined, "y"),
  ];
  expect(one(first, second)).toMatchObject({
    trials: { paired: 5, firstOnly: 1, secondOnly: 1, neither: 1, notInSecond: 1, notInFirst: 0 },
    strings: 5,
    outcomes: { bothRight: 1, firstRight: 1, secondRight: 2, bothWrong: 1 },
    behaviorsDiffer: { count: 2, of: 6 },
    predictionsDiffer: { count: 3, of: 7 },
  });
  const [micro] = one(first, second).overall;
  expect(micro.first).toMatchObject({ value: 2 / 5, n: 5, clusters: 5 });
  expect(micro.second).toMatchObject({ value: 3 / 5 });
  expect(micro.difference).toMatchObject({ ok: true, value: 1 / 5 });
  // One task, property and wording: its cell is the whole.
  const { first: was, second: is, difference } = micro;
  expect(one(first, second).cells).toEqual([
    {
      task: first[0]?.task,
      property: first[0]?.property,
      variant: first[0]?.variant,
      paired: 5,
      first: was,
      second: is,
      difference,
    },
  ]);
  // Three strings differ, two of them upward: |sum| is at least 1 in all 8 patterns of signs.
  expect(micro.signFlip).toMatchObject({ ok: true, p: 1, informativeStrings: 3, method: "exact" });
});

const draw = (item: string, salt: number) => pick(["x", "y", "z"], item, salt);
const strings = Array.from({ length: 40 }, (_, at) => `${String.fromCharCode(97 + (at % 26))}${at}`);
const runOf = (salt: number, rest: (item: string) => Partial<Trial> = () => ({})) =>
  strings.flatMap((item) =>
    ["first_letter", "length"].map((property) =>
      makeTrial(item, draw(item, 1), draw(item, salt), { property, ...rest(item) }),
    ),
  );
const byProperty = (trials: readonly Trial[]): KeyedTrial[] =>
  trials.map((trial) => ({ key: `${trial.item}/${trial.property}`, trial }));

test("with equal behaviors it is the comparison of two predictors, value, interval and p", () => {
  const [first, second] = [runOf(2), runOf(3)];
  const [between] = compareRunTrials(
    [pair([], [], { first: byProperty(first), second: byProperty(second) })],
    SETTINGS,
  );
  const both = [
    ...first.map((trial) => ({ ...trial, predictor: "first" })),
    ...second.map((trial) => ({ ...trial, predictor: "second" })),
  ];
  const contrast = { target: "tiny", self: "second", cross: "first" };
  const { overall } = comparePredictors(both, [contrast], { ...SETTINGS, noiseFloorNats: 0 });
  expect(
    between?.overall.map(({ kind, first, second, difference, signFlip }) => [
      kind,
      first,
      second,
      difference,
      signFlip,
    ]),
  ).toEqual(overall.map(({ kind, self, cross, difference, signFlip }) => [kind, cross, self, difference, signFlip]));
});

describe("laws", () => {
  test("a cell is what its trials alone come to, and cells add up to their pair", () => {
    const [first, second] = [byProperty(runOf(2)), byProperty(runOf(3))];
    const [both] = compareRunTrials([pair([], [], { first, second })], SETTINGS);
    const of = (property: string, all: readonly KeyedTrial[]) => all.filter(({ trial }) => trial.property === property);
    expect(both?.cells.map(({ property }) => property)).toEqual(["first_letter", "length"]);
    let sum = 0;
    for (const { property, paired, difference, first: was, second: is } of both?.cells ?? []) {
      const [alone] = compareRunTrials(
        [pair([], [], { first: of(property, first), second: of(property, second) })],
        SETTINGS,
      );
      const [micro] = alone?.overall ?? [];
      expect([paired, was, is, difference]).toEqual([
        alone?.trials.paired,
        micro?.first,
        micro?.second,
        micro?.difference,
      ]);
      sum += difference.ok ? paired * difference.value : Number.NaN;
    }
    const [micro] = both?.overall ?? [];
    expect(micro?.difference.ok && micro.difference.value).toBeCloseTo(sum / (both?.trials.paired ?? 0), 12);
  });

  test("a cell that no trial of counts in both has the reason in the place of numbers", () => {
    const none = one([makeTrial("a", undefined, "x")], [makeTrial("a", "x", "x")]);
    expect(none.cells).toMatchObject([{ paired: 0, difference: { ok: false, reason: expect.stringMatching(/./) } }]);
  });

  test("the other way round has the other sign", () => {
    const [first, second] = [byProperty(runOf(2)), byProperty(runOf(3))];
    const [there] = compareRunTrials([pair([], [], { first, second })], SETTINGS);
    const [back] = compareRunTrials([pair([], [], { first: second, second: first })], SETTINGS);
    const [one, other] = [there, back].map((compared) => compared?.overall[0].difference);
    if (!one?.ok || !other?.ok) throw new Error("no difference");
    expect(one.value).not.toBe(0);
    expect([other.value, other.low, other.high]).toEqual([
      -one.value,
      expect.closeTo(-one.high, 12),
      expect.closeTo(-one.low, 12),
    ]);
  });

  test("ids and order of the second run never show", () => {
    const second = runOf(3);
    const renamed = byProperty(second).map(({ key, trial }) => ({
      key,
      trial: { ...trial, item: `other-${trial.item}` },
    }));
    const first = byProperty(runOf(2));
    const [plain] = compareRunTrials([pair([], [], { first, second: byProperty(second) })], SETTINGS);
    expect(compareRunTrials([pair([], [], { first, second: renamed.reverse() })], SETTINGS)[0]).toEqual(plain);
  });

  test("a run against itself has no difference, bounded by its number of strings, and p = 1", () => {
    const [{ difference, signFlip }] = one(keyedTrials(), keyedTrials()).overall;
    expect(difference).toMatchObject({ ok: true, value: 0 });
    if (difference.ok) expect(difference.high).toBeGreaterThan(0);
    expect(signFlip).toMatchObject({ ok: true, p: 1, informativeStrings: 0 });
  });

  test("strings of one cluster move together", () => {
    const cluster = (item: string) => ({ cluster: item.slice(0, 1) });
    const [compared] = compareRunTrials(
      [pair([], [], { first: byProperty(runOf(2, cluster)), second: byProperty(runOf(3)) })],
      SETTINGS,
    );
    expect(compared?.overall[0].difference).toMatchObject({ clusters: 26, n: 80 });
  });

  test("p-values are adjusted over all pairs that have one; a pair without a shared trial has a reason", () => {
    const first = byProperty(runOf(2));
    const second = byProperty(runOf(3));
    const compared = compareRunTrials(
      [
        pair([], [], { first, second }),
        pair([], [], { first, second, predictor: "b" }),
        pair([], [makeTrial("a", "x", "x")]),
      ],
      SETTINGS,
    );
    const [one, , none] = compared;
    const p = one?.overall[0].signFlip;
    if (!p?.ok) throw new Error("no p");
    expect(one?.holmP).toEqual({ ok: true, p: Math.min(1, 2 * p.p), of: 2 });
    expect(none?.overall[0].difference).toMatchObject({ ok: false, reason: expect.any(String) });
    expect(none?.holmP).toMatchObject({ ok: false });
    expect(none?.trials).toMatchObject({ paired: 0, notInFirst: 1 });
  });
});

function keyedTrials(): Trial[] {
  return strings.map((item) => makeTrial(item, draw(item, 1), draw(item, 2)));
}
