/** What is judged on which trials: never trained and held-out tasks pooled, and one finding for each question. */
import { describe, expect, test } from "vitest";
import { value } from "../../src/properties/property.js";
import { compareAll } from "../../src/run/score-stages.js";
import { planScopes } from "../../src/score/scope.js";
import { scoreTrials } from "../../src/score/scores.js";
import type { TrainLabel, Trial } from "../../src/score/trial.js";
import { experimentResults } from "../../src/score/verdicts/experiments.js";
import type { Verdict } from "../../src/score/verdicts/verdict.js";
import { DEFAULT_TRAINING_SETTINGS } from "../helpers/training-settings.js";
import { makePlan, makeTask } from "../fixtures/report/make-report-input.js";
import { makeTrial } from "../fixtures/score/make-trial.js";
import type { Plan } from "../../src/study/plan.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 300, bootstrapSeed: 3, noiseFloorNats: 0.01 };
const ADAPTER = { target: "m", examplesPerProperty: 50, settings: DEFAULT_TRAINING_SETTINGS };
const ADAPTERS = { "m-predicts-m": { ...ADAPTER, base: "m" }, "n-predicts-m": { ...ADAPTER, base: "n" } };

/** m and n learn what m does on animals; words is held out. */
function makeStudy(rest: Partial<Plan> = {}): Plan {
  const plan = makePlan();
  const model = plan.models.tiny as Plan["models"][string];
  return makePlan({
    models: { m: model, n: { ...model, sha256: "e".repeat(64) } },
    tasks: [
      { ...makeTask("animals", ["first_letter"]), trained: true },
      { ...makeTask("words", ["first_letter"]), trained: false },
    ],
    states: {
      m: { model: "m" },
      n: { model: "n" },
      "m-predicts-m": { model: "m", adapter: "m-predicts-m" },
      "n-predicts-m": { model: "n", adapter: "n-predicts-m" },
    },
    adapters: ADAPTERS,
    predictions: [
      { predictor: "m-predicts-m", target: "m" },
      { predictor: "n-predicts-m", target: "m" },
    ],
    experiments: ["self_prediction", "cross_prediction"],
    ...rest,
  });
}

/** Of every ten strings of a task, how many each is right about; three values, a in half of all strings. */
type Right = Readonly<Record<string, { readonly self: number; readonly cross: number }>>;

function trialsOf(right: Right, strings = 400): Trial[] {
  return Object.entries(right).flatMap(([task, { self, cross }]) =>
    Array.from({ length: strings }, (_, at) => {
      const does = ["a", "b", "a", "c"][(at * 7 + (at >> 3)) % 4] as string;
      const said = (count: number, offset: number) => ((Math.floor(at / 4) + offset) % 10 < count ? does : "x");
      const rest = { task, target: "m" };
      return [
        makeTrial(`s${at}`, does, said(self, 0), { ...rest, predictor: "m-predicts-m" }),
        makeTrial(`s${at}`, does, said(cross, 0), { ...rest, predictor: "n-predicts-m" }),
      ];
    }).flat(),
  );
}

const LABELS: TrainLabel[] = ["animals", "words"].flatMap((task) =>
  ["a", "a", "b", "c"].map((label) => ({ target: "m", task, property: "first_letter", value: label })),
);

function judged(right: Right, plan = makeStudy()): readonly Verdict[] {
  const matched = { trials: trialsOf(right), trainLabels: LABELS };
  const comparisons = compareAll(plan, matched, () => ({ inputOnly: () => value("a") }), SETTINGS);
  const scores = scoreTrials(matched.trials, LABELS, {
    ...SETTINGS,
    training: { states: [], scopes: planScopes(plan) },
  });
  return experimentResults({ plan, scores, comparisons }).experiments.flatMap(({ verdicts }) => verdicts);
}

const found = (verdicts: readonly Verdict[], kind: string) =>
  verdicts.filter(({ about }) => about.kind === kind).map(({ scope, finding }) => [scope, finding]);

describe("trained and held-out tasks", () => {
  test("are judged apart: what a predictor knows of trained tasks is no yes about held-out ones", () => {
    // Pooled: right in 65 % where the mode is right in 50 %.
    const verdicts = judged({ animals: { self: 10, cross: 3 }, words: { self: 3, cross: 3 } });
    expect(found(verdicts, "self")).toEqual([
      ["held_out_tasks", "does_not_exceed"],
      ["held_out_strings", "exceeds"],
    ]);
    expect(found(verdicts, "self_and_cross")).toEqual([
      ["held_out_tasks", "does_not_exceed"],
      ["held_out_strings", "exceeds"],
    ]);
    const [first] = verdicts;
    expect(first?.numbers.find(({ key }) => key === "accuracy")?.estimate).toMatchObject({ n: 400 });
  });

  test("a property that was held out of training is a scope of its own", () => {
    const [animals, words] = makeStudy().tasks as [Plan["tasks"][number], Plan["tasks"][number]];
    const two = ["first_letter", "length"];
    const scopes = planScopes(
      makeStudy({
        tasks: [
          { ...animals, properties: two, heldOutProperties: ["length"] },
          { ...words, properties: two },
        ],
      }),
    );
    expect(scopes.all).toEqual([
      "held_out_tasks",
      "held_out_strings",
      "held_out_properties",
      "held_out_tasks_and_properties",
    ]);
    expect(scopes.of({ task: "animals", property: "length" })).toBe("held_out_properties");
    expect(scopes.of({ task: "words", property: "length" })).toBe("held_out_tasks_and_properties");
    // No trained task has it: nobody calls it held out, and nobody learnt it.
    const unnamed = planScopes(makeStudy({ tasks: [animals, { ...words, properties: two }] }));
    expect(unnamed.of({ task: "words", property: "length" })).toBe("held_out_tasks_and_properties");
  });

  test("where nothing is trained there is one scope", () => {
    const plan = makePlan();
    expect(planScopes(plan)).toMatchObject({ all: ["all"], main: "all" });
  });
});

describe("one finding for each question", () => {
  test("self = cross + 15 points, self = mode − 5 points: better than the other model, not than what needs no self", () => {
    // Right in 40 % and 20 %; always saying a is right in 50 %.
    const verdicts = judged({ animals: { self: 9, cross: 2 }, words: { self: 4, cross: 2 } });
    const [cross] = verdicts.filter(
      ({ about, scope }) => about.kind === "self_and_cross" && scope === "held_out_tasks",
    );
    expect(cross).toMatchObject({ finding: "exceeds", decidedBy: "self_minus_cross" });
    expect(cross?.reservations).toContainEqual({
      kind: "no_self_suffices",
      finding: "does_not_exceed",
      against: expect.arrayContaining(["mode_train"]),
    });
    const [self] = verdicts.filter(({ about, scope }) => about.kind === "self" && scope === "held_out_tasks");
    expect(self?.finding).toBe("does_not_exceed");
  });

  test("where self is better than what needs no self, too, there is no such reservation", () => {
    const verdicts = judged({ animals: { self: 9, cross: 2 }, words: { self: 9, cross: 2 } });
    const kinds = verdicts.flatMap(({ reservations }) => reservations.map(({ kind }) => kind));
    expect(kinds).not.toContain("no_self_suffices");
  });
});
