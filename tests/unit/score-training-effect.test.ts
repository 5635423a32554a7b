import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Scores, scoreTrials, type Training } from "../../src/score/scores.js";
import type { Trial } from "../../src/score/trial.js";
import { makeScopes } from "../fixtures/score/make-scopes.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 400, bootstrapSeed: 7, noiseFloorNats: 0.01 };
const TRAINING: Training = {
  states: [{ before: "m", after: "m+", target: "m" }],
  scopes: makeScopes(["animals"], ["words"]),
};
const score = (trials: readonly Trial[], training: Training | undefined = TRAINING): Scores =>
  scoreTrials(trials, [], { ...SETTINGS, ...(training ? { training } : {}) });

/** The three trials that one string gives: untrained about m, trained about m, trained about itself. */
function triple(
  item: string,
  did: { readonly m: string | undefined; readonly trained: string | undefined },
  said: { readonly before: string; readonly after: string },
  rest: Partial<Trial> = {},
): Trial[] {
  return [
    makeTrial(item, did.m, said.before, { predictor: "m", target: "m", ...rest }),
    makeTrial(item, did.m, said.after, { predictor: "m+", target: "m", ...rest }),
    makeTrial(item, did.trained, said.after, { predictor: "m+", target: "m+", ...rest }),
  ];
}

// Four strings of a trained task and two of a held-out one; before training one of six is right, afterwards four are.
const TRIALS = [
  ...triple("1", { m: "a", trained: "a" }, { before: "x", after: "a" }),
  ...triple("2", { m: "b", trained: "c" }, { before: "x", after: "b" }),
  ...triple("3", { m: "b", trained: "c" }, { before: "b", after: "b" }),
  ...triple("4", { m: undefined, trained: "a" }, { before: "x", after: "a" }),
  ...triple("5", { m: "d", trained: "d" }, { before: "x", after: "d" }, { task: "words" }),
  ...triple("6", { m: "d", trained: undefined }, { before: "x", after: "e" }, { task: "words" }),
];

describe("what training changed", () => {
  const scores = score(TRIALS);
  const change = (scope: string, kind: string) =>
    scores.changes?.find((one) => one.scope === scope && one.kind === kind);

  test("is the accuracy about the same target, before and after, on the same trials", () => {
    expect(change("all", "micro")).toMatchObject({
      target: "m",
      before: "m",
      after: "m+",
      accuracyBefore: { ok: true, value: 1 / 5, n: 5, clusters: 5 },
      accuracyAfter: { ok: true, value: 4 / 5 },
      change: { ok: true, value: 3 / 5, n: 5, clusters: 5 },
      // About itself: right on 1, 4 and 5, wrong on 2 and 3; string 6 has no behavior there.
      accuracyAboutItself: { ok: true, value: 3 / 5, n: 5 },
    });
  });

  test("is split by what was trained on", () => {
    expect(change("held_out_strings", "micro")).toMatchObject({ change: { value: 2 / 3, n: 3 } });
    expect(change("held_out_tasks", "micro")).toMatchObject({
      accuracyBefore: { value: 0 },
      accuracyAfter: { value: 1 / 2 },
      change: { value: 1 / 2, n: 2 },
    });
    expect(change("all", "macro")).toMatchObject({ change: { value: (2 / 3 + 1 / 2) / 2 } });
  });

  test("has averages by scope that agree with it, for every pair", () => {
    const average = scores.scopedAverages?.find(
      (one) => one.scope === "held_out_tasks" && one.predictor === "m+" && one.target === "m" && one.kind === "micro",
    );
    expect(average?.accuracy).toEqual(change("held_out_tasks", "micro")?.accuracyAfter);
    expect(scores.scopedAverages).toHaveLength(3 * 2 * 2);
  });

  test("is a tighter interval than two unpaired ones when trials move together", () => {
    const many = Array.from({ length: 60 }, (_, at) =>
      triple(
        String(at),
        { m: "a", trained: "a" },
        { before: at % 2 ? "a" : "x", after: at % 2 || at % 10 ? "a" : "x" },
      ),
    ).flat();
    const paired = score(many).changes?.find((one) => one.scope === "all" && one.kind === "micro");
    if (!paired?.change.ok || !paired.accuracyBefore.ok || !paired.accuracyAfter.ok) throw new Error("no estimate");
    const width = ({ low, high }: { low: number; high: number }) => high - low;
    expect(width(paired.change)).toBeLessThan(Math.hypot(width(paired.accuracyBefore), width(paired.accuracyAfter)));
    expect(paired.change.low).toBeGreaterThan(0);
  });

  test("leaves out trials that only one of the two has, and says nothing of what was not asked", () => {
    const lacking = TRIALS.filter((trial) => !(trial.predictor === "m" && trial.item === "1"));
    const one = score(lacking).changes?.find(({ scope, kind }) => scope === "all" && kind === "micro");
    expect(one?.change).toMatchObject({ n: 4, value: 2 / 4 });
    const cross = score(TRIALS.filter(({ target }) => target === "m"));
    expect(cross.drift).toEqual([]);
    expect(cross.changes?.every((entry) => entry.accuracyAboutItself === undefined)).toBe(true);
    expect(score(TRIALS.filter(({ predictor }) => predictor === "m")).changes).toEqual([]);
  });

  test("does not stand in the scores of a study that trained nothing, whose other numbers stay the same", () => {
    const { scopedAverages, changes, drift, cellsByDrift, ...rest } = scores;
    expect(scoreTrials(TRIALS, [], SETTINGS)).toEqual(rest);
  });
});

describe("drift", () => {
  test("is the share of other behaviors where both states have one, overall and by task and property", () => {
    expect(score(TRIALS).drift).toMatchObject([
      {
        before: "m",
        after: "m+",
        differ: { ok: true, value: 2 / 4, n: 4 },
        both: 4,
        beforeOnly: 1,
        afterOnly: 1,
        neither: 0,
      },
      { task: "animals", property: "first_letter", differ: { value: 2 / 3 }, both: 3, afterOnly: 1 },
      {
        task: "words",
        differ: { ok: false, reason: expect.stringContaining("only one string") },
        both: 1,
        beforeOnly: 1,
      },
    ]);
  });

  test("counts a string once, however many wordings asked about it", () => {
    const twice = TRIALS.flatMap((trial) => [trial, { ...trial, variant: "past" }]);
    expect(score(twice).drift?.map(({ both }) => both)).toEqual(score(TRIALS).drift?.map(({ both }) => both));
  });
});

test("the order of trials never shows (law)", () => {
  const whole = JSON.stringify(score(TRIALS));
  fc.assert(
    fc.property(fc.shuffledSubarray(TRIALS, { minLength: TRIALS.length }), (shuffled) => {
      expect(JSON.stringify(score(shuffled))).toBe(whole);
    }),
    { numRuns: 20 },
  );
});
