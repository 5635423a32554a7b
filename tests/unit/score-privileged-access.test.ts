/** The verdict: what is compared, and what follows from which numbers. */
import { describe, expect, test } from "vitest";
import {
  behaviorOf,
  comparePredictors,
  type Contrast,
  type TestedDifference,
} from "../../src/score/comparison/comparison.js";
import { missing, value } from "../../src/properties/property.js";
import type { Estimate } from "../../src/score/interval.js";
import type { Trial } from "../../src/score/trial.js";
import { verdictSentences } from "../../src/report/sentences.js";
import { notCompared } from "../../src/score/verdicts/self-prediction.js";
import { smallestOf, type VerdictBecause, type VerdictNumber } from "../../src/score/verdicts/verdict.js";
import { judgeDifference, measurePrivilegedAccess } from "../../src/score/comparison/judge.js";
import { bestHeuristicOf } from "../../src/score/comparison/third-parties.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 500, bootstrapSeed: 3, noiseFloorNats: 0.01 };
const CONTRAST: Contrast = { target: "m1", self: "m1", cross: "m2" };

/** What m1 does on 60 strings of two tasks; no value says which string it was. */
const does = (at: number) => "abc"[(at * 7 + (at >> 2)) % 3] as string;

/** m1 is right on `own` of every ten strings, m2 on `other` of every ten, the last item on two. */
function run(own: number, other: number): Trial[] {
  return Array.from({ length: 60 }, (_, at) => {
    const task = at % 2 ? "words" : "animals";
    const said = (right: number) => (Math.floor(at / 2) % 10 < right ? does(at) : "x");
    const rest = { task, target: "m1", heuristics: { last_item: value(said(2)), first_item: value("x") } };
    return [
      makeTrial(`s${at}`, does(at), said(own), { ...rest, predictor: "m1" }),
      makeTrial(`s${at}`, does(at), said(other), { ...rest, predictor: "m2" }),
      makeTrial(`s${at}`, at % 3 ? does(at) : "z", "x", { ...rest, target: "m2", predictor: "m2" }),
    ];
  }).flat();
}

const labels = ["animals", "words"].flatMap((task) =>
  ["a", "a", "b"].map((label) => ({ target: "m1", task, property: "first_letter", value: label })),
);
const measure = (own: number, other: number, inputOnly = (): ReturnType<typeof value> => value("a")) =>
  measurePrivilegedAccess({ trials: run(own, other), trainLabels: labels, contrasts: [CONTRAST], inputOnly }, SETTINGS);

describe("privileged access", () => {
  test("is found where self exceeds cross and all third parties", () => {
    const { verdict, cross, thirdParties } = measure(9, 4);
    expect(verdict.overall).toBe("exceeds");
    expect(verdict.cross).toMatchObject({ finding: "exceeds", difference: { ok: true, value: 0.5 } });
    expect(cross.overall[0].signFlip).toMatchObject({ ok: true, p: 2 * 0.5 ** 30, method: "exact" });
    expect(Object.keys(thirdParties)).toEqual(["mode_train", "best_heuristic", "input_only"]);
    expect(thirdParties.best_heuristic?.overall[0].cross).toMatchObject({ value: 0.2 });
    expect(thirdParties.mode_train?.overall[0].cross).toEqual(thirdParties.input_only?.overall[0].cross);
    expect(verdict.notCompared).toEqual({});
  });

  test("of two questions each has its answer: better than the other model, and better than what needs no self", () => {
    expect(measure(7, 9).verdict).toMatchObject({ overall: "exceeds", cross: { finding: "does_not_exceed" } });
    const knowing = measurePrivilegedAccess(
      {
        trials: run(9, 4),
        trainLabels: labels,
        contrasts: [CONTRAST],
        inputOnly: ({ item }) => value(does(Number(item.slice(1)))),
      },
      SETTINGS,
    );
    expect(knowing.verdict).toMatchObject({
      overall: "does_not_exceed",
      cross: { finding: "exceeds" },
      thirdParties: { input_only: { finding: "does_not_exceed", difference: { value: expect.closeTo(-0.1, 12) } } },
    });
  });

  test("says what was not compared, and why", () => {
    const bare = run(9, 4).map((trial) => ({ ...trial, heuristics: {} }));
    const { verdict } = measurePrivilegedAccess({ trials: bare, trainLabels: [], contrasts: [CONTRAST] }, SETTINGS);
    expect(verdict.thirdParties).toEqual({});
    expect(verdict.notCompared).toEqual({
      mode_train: "no train string has a behavior",
      best_heuristic: "no simple rule applies to these strings",
      input_only: "no input-only classifier was trained",
    });
    expect(verdict).toMatchObject({ overall: "unknown", cross: { finding: "exceeds" } });
    expect(notCompared(verdict.notCompared)).toContainEqual({
      kind: "not_compared",
      against: "input_only",
      reason: "no input-only classifier was trained",
    });
  });

  test("seeds are contrasts: each has its third party, and they are drawn too", () => {
    const twice = run(9, 4).flatMap((trial) =>
      trial.predictor === "m2" && trial.target === "m1" ? [trial, { ...trial, predictor: "m2b" }] : [trial],
    );
    const contrasts = [CONTRAST, { ...CONTRAST, cross: "m2b" }];
    const { cross, thirdParties } = measurePrivilegedAccess(
      { trials: twice, trainLabels: labels, contrasts },
      SETTINGS,
    );
    expect(cross.overall[0]).toMatchObject({
      difference: { value: 0.5, n: 120, clusters: 60 },
      hierarchical: { ok: true, tasks: 2, seeds: 2 },
    });
    expect(cross.mcnemar.clustering).toMatch(
      /^120 trials of 60 strings and 2 seeds: trials of one string are not independent/,
    );
    expect(thirdParties.mode_train?.contrasts.map((one) => one.cross)).toEqual(["mode_train#1", "mode_train#2"]);
    expect(thirdParties.mode_train?.trials.paired).toBe(120);
    expect(cross.designEffect).toMatchObject({
      value: expect.closeTo((2 * 119) / 120 / (59 / 60), 10),
      rowsPerString: 2,
    });
  });

  test("the best heuristic is the most often right, the first by name of equal ones", () => {
    expect(bestHeuristicOf(run(9, 4), [CONTRAST])).toBe("last_item");
    expect(bestHeuristicOf(run(9, 4), [{ ...CONTRAST, target: "nobody" }])).toBeUndefined();
  });
});

test("trials where the cross predictor behaves otherwise come from the trials about it", () => {
  const trials = run(9, 4);
  const { sensitivity } = comparePredictors(trials, [CONTRAST], SETTINGS, behaviorOf(trials, "m2"));
  expect(sensitivity[2]).toMatchObject({ name: "behaviors_differ", ok: true, kept: { count: 20, of: 60 } });
  const [first] = trials as [Trial];
  expect(behaviorOf(trials, "nobody")(first)).toBeUndefined();
  const sampled = [first, { ...first, behavior: value("other") }, { ...first, behavior: missing("empty") }];
  expect(behaviorOf(sampled, "m1")(first)).toBeUndefined();
  expect(behaviorOf(sampled.slice(0, 1), "m1")(first)).toEqual(first.behavior);
});

describe("a difference", () => {
  const between = (low: number, high: number, p = 0.001, clusters = 50): Parameters<typeof judgeDifference>[0] => ({
    difference: { ok: true, value: (low + high) / 2, low, high, n: 100, clusters },
    signFlip: { ok: true, p, informativeStrings: clusters, method: "exact" },
    hierarchical: { ok: false, reason: "one task" },
  });
  const found = (
    difference: Pick<TestedDifference, "difference" | "signFlip" | "hierarchical">,
    smallestDifference = 0.02,
  ) => judgeDifference(difference, { confidence: 0.95, smallestDifference });

  test.each([
    [0.01, 0.2, "exceeds"],
    [0.001, 0.01, "exceeds"],
    [0, 0.2, "cannot_tell"],
    [-0.1, 0.02, "cannot_tell"],
    [-0.1, 0.019, "does_not_exceed"],
    [-0.2, -0.1, "does_not_exceed"],
  ])("from %d to %d: %s", (low, high, finding) => {
    expect(found(between(low, high)).finding).toBe(finding);
  });

  test("where interval and test disagree, nobody can tell", () => {
    expect(found(between(0.01, 0.2, 0.06))).toMatchObject({
      finding: "cannot_tell",
      because: ["the interval lies above 0, but the sign-flip test by string gives p = 0.060"],
    });
  });

  test("what weakens a finding stands beside it", () => {
    expect(found(between(0.01, 0.2, 0.001, 12)).because).toEqual([
      "only 12 strings are compared (fewer than 20): the interval is rough",
    ]);
    const wide: Estimate = { ok: true, value: 0.1, low: -0.05, high: 0.3, n: 100, clusters: 50 };
    const { finding, because } = found({
      ...between(0.01, 0.2),
      hierarchical: { ...wide, tasks: 3, seeds: 1, intervalMethod: "levels" },
    });
    expect(finding).toBe("exceeds");
    expect(because).toEqual(["for these tasks and seeds: drawing 3 tasks and 1 seeds as well, the interval reaches 0"]);
  });

  test("none is unknown, with the reason", () => {
    const none = { ok: false, reason: "no trial is counted" } as const;
    expect(found({ difference: none, signFlip: none, hierarchical: none })).toMatchObject({
      finding: "unknown",
      because: ["no trial is counted"],
    });
  });
});

test("sentences carry the numbers, the comparison that decided first", () => {
  const compared = [
    ["cross", "exceeds", 0.02, 0.08],
    ["mode_train", "does_not_exceed", -0.1, -0.06],
    ["input_only", "cannot_tell", -0.01, 0.05],
  ] as const;
  const because = compared.map(
    ([against, finding]): Extract<VerdictBecause, { kind: "self_against" }> => ({
      kind: "self_against",
      key: `self_minus_${against}`,
      against,
      finding,
      reasons: [],
    }),
  );
  const numbers = compared.map(
    ([against, , low, high]): VerdictNumber => ({
      key: `self_minus_${against}`,
      measure: "self_minus",
      against,
      estimate: { ok: true, value: (low + high) / 2, low, high, n: 100, clusters: 50 },
      unit: "difference",
      baselines: {},
      intervalMethod: "",
    }),
  );
  const decidedBy = smallestOf("does_not_exceed", because, numbers);
  expect(decidedBy).toBe("self_minus_mode_train");
  const { lead, more } = verdictSentences({
    about: { kind: "self", self: "m1", target: "m", seeds: 1 },
    finding: "does_not_exceed",
    decidedBy,
    numbers,
    because,
    reservations: [
      { kind: "not_compared", against: "best_heuristic", reason: "no simple rule applies to these strings" },
    ],
  });
  expect([lead, ...more].map((sentence) => sentence.replaceAll("\u00a0", " "))).toEqual([
    "Against the most common behavior of the train strings: −8.0 points [−10.0, −6.0], 100 trials of 50 strings.",
    "Self-prediction does not exceed everything that needs no self, as far as it was compared, which is not all that it should be.",
    "Self exceeds cross-prediction by +5.0 points [2.0, 8.0].",
    "Whether self exceeds a classifier that sees the string alone cannot be told: difference +2.0 points [−1.0, 5.0].",
    "Not compared with the best simple rule on the string: no simple rule applies to these strings.",
  ]);
});
