/** Behavioral change: what a study's changes plan, what is refused, and what the arms come to. */
import { describe, expect, test } from "vitest";
import type { Trial } from "../../src/score/trial.js";
import { verdictSentences } from "../../src/report/sentences.js";
import { judgeChange } from "../../src/score/comparison/judge-change.js";
import { changeVerdicts } from "../../src/score/verdicts/behavioral-change.js";
import type { ChangeShifts } from "../../src/score/comparison/shift.js";
import type { Verdict } from "../../src/score/verdicts/verdict.js";
import { type ShiftRole, statesOf } from "../../src/study/states.js";
import { planTraining } from "../../src/study/make-states.js";
import { parseStudy } from "../../src/study/load-study.js";
import { makeEverythingPlan } from "../fixtures/report/make-experiments-input.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const { tasks } = makeEverythingPlan();
const planned = (changes: string, predictions = "{ predictor: n, target: m }, { predictor: n, target: m, seed: 9 }") =>
  planTraining(
    parseStudy(
      `
study: changes
models: { m: { source: ./m.gguf }, n: { source: ./n.gguf } }
tasks: [{ task: animals_long }, { task: numbers }]
predictions: [{ predictor: m, target: m }, ${predictions}]
changes: [${changes}]
lora: {}
`,
      "study.yaml",
    ),
    tasks,
  );
const LAST = "{ name: last, model: m, answers: { policy: last_item }, alsoTeach: [n] }";

describe("the plan of a change", () => {
  test("a cross-predictor that is given the same change goes on from its own adapter, and is asked about both sides", () => {
    const { adapters, states, predictions } = planned(LAST);
    const [self, after] = ["m-predicts-m", "m-predicts-m-changed-last"];
    const also = "n-predicts-m-seed-9-changed-last";
    expect(states?.[also]).toEqual({ model: "n", adapter: also });
    const { base: _, change, ...taught } = adapters?.[after] ?? {};
    expect(adapters?.[also]).toEqual({
      ...taught,
      base: "n",
      change: { ...change, from: "n-predicts-m-seed-9", alongside: after },
    });
    expect(adapters?.[also]?.round).toBe(2);
    const asked = predictions.filter(({ predictor }) => predictor === also).map(({ target }) => target);
    expect(asked).toEqual([self, after]);
    expect(predictions.some(({ target }) => target === also)).toBe(false);
    const plan = makeEverythingPlan({ adapters: adapters ?? {}, states: states ?? {}, predictions });
    expect(statesOf(plan).changes).toMatchObject([
      {
        after,
        predictors: [
          { predictor: self, role: "unchanged" },
          { predictor: "n-predicts-m", role: "cross" },
          { predictor: "n-predicts-m-seed-9", role: "cross" },
          { predictor: after, role: "changed" },
          { predictor: also, role: "cross_changed" },
        ].sort(byPlan(predictions, after)),
      },
    ]);
  });

  test("of a series, the cross-predictor that learnt most is taught, whatever order the study lists it in", () => {
    for (const sizes of ["[10, 40]", "[40, 10]"]) {
      const { states } = planned(LAST, `{ predictor: n, target: m, examplesPerProperty: ${sizes} }`);
      const taught = Object.keys(states ?? {}).filter(
        (name) => name.startsWith("n-") && name.endsWith("-changed-last"),
      );
      expect(taught).toEqual(["n-predicts-m-from-40-changed-last"]);
    }
  });

  test.each([
    [
      "of a model that does not predict itself",
      "{ name: x, model: n, answers: { policy: last_item } }",
      /does not predict itself/,
    ],
    ["to its own answers", "{ name: x, model: m, answers: { model: m } }", /would teach m what it does already/],
    [
      "on a task that is none",
      "{ name: x, model: m, answers: { policy: last_item }, tasks: [nmbers] }",
      /Did you mean "numbers"/,
    ],
    ["also to itself", LAST.replace("[n]", "[m]"), /also to be taught to m, which is no cross-predictor of m/],
    ["also to no model", LAST.replace("[n]", "[k]"), /also to be taught to k, which is no cross-predictor of m/],
    [
      "also to whose answers it has",
      LAST.replace("policy: last_item", "model: n"),
      /would teach n what it does already/,
    ],
  ])("a change %s is refused", (_, change, words) => {
    expect(() => planned(change)).toThrow(words);
  });
});

/** As a plan lists them. */
function byPlan(predictions: readonly { predictor: string; target: string }[], after: string) {
  const order = predictions.filter(({ target }) => target === after).map(({ predictor }) => predictor);
  return (a: { predictor: string }, b: { predictor: string }) =>
    order.indexOf(a.predictor) - order.indexOf(b.predictor);
}

describe("the verdict on a change", () => {
  const SETTINGS = { confidence: 0.95, bootstrapReplicates: 300, bootstrapSeed: 3, noiseFloorNats: 0 };
  const CHANGE = {
    name: "last",
    from: "old",
    answers: { policy: "last_item" },
    tasks: ["animals"],
    examples: 9,
  } as const;
  type Arm = [predictor: string, role: ShiftRole, says: (was: string, is: string, at: number) => string];
  const VALUES = ["a", "b", "c", "d"];
  const NEXT: Record<string, string> = { a: "b", b: "c", c: "d", d: "a" };

  /** Sixty strings of a task; a third does what it did, the others the next value (or what `moves` says). */
  function trialsOf(arms: readonly Arm[], task: string, moves = (was: string) => NEXT[was] as string): Trial[] {
    return Array.from({ length: 60 }, (_, at) => at).flatMap((at) => {
      const was = VALUES[(7 * at) % 4] as string;
      const is = at % 3 === 0 ? was : moves(was);
      return arms.flatMap(([predictor, , says]) =>
        [
          ["old", was],
          ["new", is],
        ].map(([target, does]) => makeTrial(`s${at}`, does, says(was, is, at), { target, predictor, task })),
      );
    });
  }
  const judge = (arms: readonly Arm[], trials: readonly Trial[], planted?: true, name = "last") =>
    judgeChange(
      trials,
      {
        after: "new",
        change: { ...CHANGE, name, planted },
        predictors: arms.map(([predictor, role]) => ({ predictor, role })),
      },
      SETTINGS,
    );
  const shifts = (...changes: readonly ChangeShifts[]) => ({ changes, confidence: 0.95 });
  const knows: Arm[2] = (was, is, at) => (at % 10 === 1 ? was : is);
  const stays: Arm[2] = (was) => was;
  const ALL: readonly Arm[] = [
    ["new", "changed", knows],
    ["old", "unchanged", stays],
    ["also", "cross_changed", (was, is, at) => (at % 5 === 1 ? is : was)],
  ];
  const elsewhere = (arms: readonly Arm[], moves?: (was: string) => string) =>
    judge(arms, trialsOf(arms, "numbers", moves));
  const findingsOf = (change: ChangeShifts) =>
    Object.fromEntries(
      (changeVerdicts(change, shifts(change))[0] as Verdict).because.flatMap((one) =>
        "key" in one && "finding" in one ? [[one.key, one.finding]] : [],
      ),
    );

  test("as the primary contrast takes every condition beyond the smallest difference, in its scope alone", () => {
    const withRule = (smallestDifference: number, scope: "elsewhere" | "taught") => {
      const rule = { scope, smallestDifference, yesAbove: smallestDifference };
      const who = ALL.map(([predictor, role]) => ({ predictor, role }));
      const change = judgeChange(
        trialsOf(ALL, "numbers"),
        { after: "new", change: CHANGE, predictors: who },
        SETTINGS,
        rule,
      );
      const [verdict] = changeVerdicts(change, shifts(change)) as [Verdict];
      expect(change.conclusions[0]?.finding).toBe(verdict.finding);
      return [verdict.finding, verdict.status];
    };
    expect(withRule(0.02, "elsewhere")).toEqual(["exceeds", "primary"]);
    // The changed model knows all but 4 of 40, and the next best 12 of 40: 60 points more, give or take 17.
    expect(withRule(0.6, "elsewhere")).toEqual(["cannot_tell", "primary"]);
    expect(withRule(0.6, "taught")).toEqual(["exceeds", undefined]);
  });

  test("a yes takes four things of the changed model, each with its number", () => {
    const change = elsewhere(ALL);
    expect(change.conclusions).toEqual([{ scope: "elsewhere", finding: "exceeds", because: [] }]);
    const [verdict] = changeVerdicts(change, shifts(change)) as [Verdict];
    expect(findingsOf(change)).toEqual({
      "new_minus_old/new": "exceeds",
      "above_mode_new/new": "exceeds",
      "new_minus_old_matched/new": "exceeds",
      "changed_minus/old": "exceeds",
      "changed_minus/also": "exceeds",
      "new_minus_old/old": "does_not_exceed",
      "new_minus_old/also": "does_not_exceed",
    });
    for (const key of Object.keys(findingsOf(change))) {
      expect(verdict.numbers.find((one) => one.key === key)?.estimate.ok).toBe(true);
    }
    // A third of the sixty did not shift and is not compared.
    expect(change.arms[2]?.scopes.elsewhere?.changedMinusThis?.difference).toMatchObject({ n: 40, clusters: 40 });
    expect(verdict.about).toMatchObject({ scope: "elsewhere" });
    const { more } = verdictSentences(verdict);
    expect(more.find((text) => text.includes("than also"))).toMatch(
      /^The changed model knows more of it than also, a cross-predictor given the same change: .* minus it \+/,
    );
  });

  test("all behavior falls to one value and so do predictions: new minus old says yes, the mode and equal numbers do not", () => {
    const collapsed: readonly Arm[] = [["new", "changed", () => "a"], ...ALL.slice(1)];
    const change = elsewhere(collapsed, (was) => (was === "a" ? "b" : "a"));
    const { "new_minus_old/new": alone, "above_mode_new/new": mode } = findingsOf(change);
    expect([alone, mode]).toEqual(["exceeds", "cannot_tell"]);
    expect(change.conclusions[0]?.finding).not.toBe("exceeds");
    const [verdict] = changeVerdicts(change, shifts(change)) as [Verdict];
    expect(verdict.decidedBy).toMatch(/^(above_mode_new|new_minus_old_matched)\/new$/);
  });

  test("another that was taught the same and knows as much: never a yes", () => {
    const alike: readonly Arm[] = [...ALL.slice(0, 2), ["also", "cross_changed", knows]];
    const change = elsewhere(alike);
    // Not one trial apart: so many strings still leave a difference open.
    expect(change.conclusions[0]?.finding).toBe("cannot_tell");
    expect(findingsOf(change)["changed_minus/also"]).toBe("cannot_tell");
    const better: readonly Arm[] = [...ALL.slice(0, 2), ["also", "cross_changed", (_, is) => is]];
    expect(elsewhere(better).conclusions[0]?.finding).toBe("does_not_exceed");
  });

  test("somebody follows who never saw the change: the strings may give it away", () => {
    const bystander: Arm = ["cross", "cross", (_, is, at) => (at % 5 < 2 ? "z" : is)];
    const change = elsewhere([...ALL, bystander]);
    expect(findingsOf(change)).toMatchObject({ "changed_minus/cross": "exceeds", "new_minus_old/cross": "exceeds" });
    expect(change.conclusions[0]).toMatchObject({
      finding: "cannot_tell",
      because: [expect.stringContaining("cross, which never saw the change, follows")],
    });
    expect(changeVerdicts(change, shifts(change))[0]).toMatchObject({ decidedBy: "new_minus_old/cross" });
  });

  test("a yes takes somebody beside it", () => {
    expect(elsewhere(ALL.slice(0, 1)).conclusions[0]).toMatchObject({
      finding: "cannot_tell",
      because: [
        expect.stringContaining("nobody who never saw the change"),
        expect.stringContaining("no cross-predictor learnt the same"),
      ],
    });
    expect(elsewhere(ALL.slice(1)).conclusions[0]).toMatchObject({ finding: "unknown" });
  });

  test("what was taught and what was not are judged apart, the latter first; where all was taught, that is said", () => {
    const blind: readonly Arm[] = [["new", "changed", stays], ...ALL.slice(1)];
    const both = judge(ALL, [...trialsOf(ALL, "animals"), ...trialsOf(blind, "numbers")]);
    expect(both.conclusions.map(({ scope, finding }) => [scope, finding])).toEqual([
      ["elsewhere", "does_not_exceed"],
      ["taught", "exceeds"],
    ]);
    expect(both.arms[0]?.scopes.taught?.overall[0].difference).toMatchObject({ n: 40 });
    const taught = judge(ALL, trialsOf(ALL, "animals"));
    expect(changeVerdicts(taught, shifts(taught)).map(({ finding, reservations }) => [finding, reservations])).toEqual([
      ["exceeds", [{ kind: "all_taught" }]],
    ]);
  });

  test("a planted change that is not found weakens what is said of the others", () => {
    const blind: readonly Arm[] = [["new", "changed", stays], ...ALL.slice(1)];
    const found = judge(ALL, trialsOf(ALL, "numbers"), true, "control");
    const missed = judge(blind, trialsOf(blind, "numbers"), true, "control");
    const change = judge(ALL, trialsOf(ALL, "numbers"));
    const reservationsOf = (control: ChangeShifts, of: ChangeShifts) =>
      changeVerdicts(of, shifts(control, change))[0]?.reservations;
    expect(reservationsOf(found, change)).toEqual([]);
    expect(reservationsOf(missed, change)).toEqual([{ kind: "control_not_found", change: "control" }]);
    expect(reservationsOf(missed, missed)).toEqual([{ kind: "planted" }]);
  });
});
