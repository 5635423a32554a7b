import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Trial } from "../../src/score/trial.js";
import { scoreShift } from "../../src/score/comparison/shift.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 300, bootstrapSeed: 3, noiseFloorNats: 0 };
const SIDES = { predictor: "new", before: "old", after: "new" };

/** What the target did, does now, and what the predictor says of it. */
function asked(
  item: string,
  was: string | undefined,
  is: string | undefined,
  said: string | undefined,
  rest: Partial<Trial> = {},
): Trial[] {
  return [
    makeTrial(item, was, said, { predictor: "new", target: "old", ...rest }),
    makeTrial(item, is, said, { predictor: "new", target: "new", ...rest }),
  ];
}

describe("a changed behavior", () => {
  // Six trials with both behaviors, four of which changed: three predictions follow the new one, one the old.
  const scores = scoreShift(
    [
      ...asked("1", "a", "b", "b"),
      ...asked("2", "a", "b", "b"),
      ...asked("3", "a", "c", "a"),
      ...asked("4", "a", "a", "a"),
      ...asked("5", "b", "b", undefined),
      ...asked("6", "d", "a", "a", { task: "words" }),
      ...asked("7", "a", undefined, "a"),
      ...asked("8", undefined, "a", "a"),
      ...asked("9", undefined, undefined, "a"),
      ...asked("10", "a", "b", "b").slice(0, 1),
    ],
    SIDES,
    SETTINGS,
  );

  test("is counted on every side", () => {
    expect(scores.trials).toEqual({ both: 6, beforeOnly: 1, afterOnly: 1, neither: 1, unpaired: 1 });
    expect(scores.shifted).toMatchObject({ ok: true, value: 4 / 6, n: 6, clusters: 6 });
    expect(scores.hypotheticalCompliance).toEqual({ count: 4, of: 4 });
  });

  test("is scored where it changed: about old and new, each with its own mode", () => {
    const [micro, macro] = scores.overall;
    expect(micro).toMatchObject({
      aboutOld: { value: 1 / 4 },
      aboutNew: { value: 3 / 4 },
      difference: { value: 1 / 2, n: 4, clusters: 4 },
      modeOld: { value: 1 },
      modeNew: { value: 3 / 4 },
      signFlip: { ok: true, p: 10 / 16 },
      aboveModeNew: { value: 0 },
      aboveModeSignFlip: { ok: true, p: 1 },
    });
    expect(macro).toMatchObject({ aboutOld: { value: 1 / 6 }, aboutNew: { value: expect.closeTo(5 / 6, 12) } });
    expect(micro.estimand).toContain("accuracy of new about what new does minus its accuracy about what old did");
  });

  test("has cells, with the number of values that say whether old and new exclude each other", () => {
    expect(scores.cells.map(({ task, values, shifted }) => [task, values, shifted])).toEqual([
      ["animals", 3, { count: 3, of: 5 }],
      ["words", 2, { count: 1, of: 1 }],
    ]);
    expect(scores.cells[1]?.difference).toMatchObject({
      ok: false,
      reason: expect.stringContaining("only one string"),
    });
  });

  test("without a value on both sides has nothing to match", () => {
    expect(scores.entropyMatched[0].difference).toEqual({ ok: false, reason: "no trial is counted" });
  });
});

test("matched histograms take away what the mode explains", () => {
  // Everything moves to b but for two strings that move to a; the predictor always says b: right about the new mode alone.
  const trials = Array.from({ length: 20 }, (_, at) =>
    at < 2 ? asked(String(at), "b", "a", "b") : asked(String(at), "a", "b", "b"),
  ).flat();
  const { overall, entropyMatched } = scoreShift(trials, SIDES, SETTINGS);
  expect(overall[0].difference).toMatchObject({ value: (18 - 2) / 20 });
  // Two of each value on either side: about old, both b's are right; about new, both b's as well.
  expect(entropyMatched[0]).toMatchObject({
    aboutOld: { value: 1 / 2, n: 4 },
    aboutNew: { value: 1 / 2 },
    difference: { value: 0 },
    modeOld: { value: 1 / 2 },
    modeNew: { value: 1 / 2 },
  });
});

test("a predictor that never saw the change follows the old behavior, and the sign turns with the sides", () => {
  const answer = fc.constantFrom("a", "b", "c");
  const rows = fc.uniqueArray(fc.record({ item: fc.nat(30), was: answer, is: answer, said: answer }), {
    selector: ({ item }) => item,
    minLength: 1,
  });
  fc.assert(
    fc.property(rows, (some) => {
      const trials = some.flatMap(({ item, was, is, said }) => asked(`s${item}`, was, is, said));
      const forth = scoreShift(trials, SIDES, SETTINGS);
      const back = scoreShift(trials, { predictor: "new", before: "new", after: "old" }, SETTINGS);
      for (const [one, other] of [
        [forth.overall[0], back.overall[0]],
        [forth.entropyMatched[1], back.entropyMatched[1]],
      ] as const) {
        if (one.difference.ok && other.difference.ok) {
          expect(one.difference.value).toBeCloseTo(-other.difference.value, 12);
          expect(one.difference.low).toBeCloseTo(-other.difference.high, 12);
        } else expect(one.difference.ok).toBe(other.difference.ok);
        if (one.modeOld.ok && other.modeNew.ok) expect(one.modeOld.value).toBeCloseTo(other.modeNew.value, 12);
      }
      expect(forth.overall[0].signFlip).toEqual(back.overall[0].signFlip);
    }),
    { numRuns: 60, seed: 20261125 },
  );
  const loyal = Array.from({ length: 30 }, (_, at) =>
    asked(String(at), "abc"[at % 3], "bca"[at % 3], "abc"[at % 3]),
  ).flat();
  expect(scoreShift(loyal, SIDES, SETTINGS).overall[0]).toMatchObject({
    aboutOld: { value: 1 },
    aboutNew: { value: 0 },
    difference: { value: -1 },
  });
});

test("nothing changed, nothing asked, several samples", () => {
  const same = scoreShift([...asked("1", "a", "a", "a"), ...asked("2", "b", "b", "b")], SIDES, SETTINGS);
  expect(same.shifted).toMatchObject({ ok: true, value: 0, low: 0 });
  expect(same.overall[0]).toMatchObject({
    difference: { ok: false, reason: "no trial is counted" },
    signFlip: { ok: false, reason: "no string has a paired trial" },
  });
  expect(scoreShift([], SIDES, SETTINGS).shifted).toEqual({ ok: false, reason: "no trial is counted" });
  expect(() => scoreShift([...asked("1", "a", "b", "a"), ...asked("1", "c", "b", "a")], SIDES, SETTINGS)).toThrow(
    expect.objectContaining({ code: "STUDY_INVALID" }),
  );
});
