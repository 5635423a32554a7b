/** About a trained target: knowing what it did before is no self-knowledge, however often it is right. */
import { describe, expect, test } from "vitest";
import { compareAll } from "../../src/run/score-stages.js";
import { planScopes } from "../../src/score/scope.js";
import { scoreTrials } from "../../src/score/scores.js";
import type { Trial } from "../../src/score/trial.js";
import { experimentResults } from "../../src/score/verdicts/experiments.js";
import type { Plan } from "../../src/study/plan.js";
import { DEFAULT_TRAINING_SETTINGS } from "../helpers/training-settings.js";
import { makePlan, makeTask } from "../fixtures/report/make-report-input.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 300, bootstrapSeed: 3, noiseFloorNats: 0.01 };
const M1 = "m-predicts-m";

function makeStudy(rest: Partial<Plan> = {}): Plan {
  const plan = makePlan();
  return makePlan({
    models: { m: plan.models.tiny as Plan["models"][string] },
    tasks: [{ ...makeTask("animals", ["first_letter"]), trained: true }],
    states: { m: { model: "m" }, [M1]: { model: "m", adapter: M1 } },
    adapters: { [M1]: { base: "m", target: "m", examplesPerProperty: 50, settings: DEFAULT_TRAINING_SETTINGS } },
    predictions: [
      { predictor: "m", target: "m" },
      { predictor: M1, target: "m" },
      { predictor: M1, target: M1 },
      { predictor: "m", target: M1 },
    ],
    experiments: ["self_prediction"],
    ...rest,
  });
}

const VALUES = ["a", "b", "c", "d", "e"];
const old = (at: number, values = VALUES) => values[(at * 7 + (at >> 3)) % values.length] as string;
const isMoved = (at: number, share: number) => (at * 13) % 100 < share;
const now = (at: number, share: number, values = VALUES) =>
  isMoved(at, share)
    ? (values[(values.indexOf(old(at, values)) + 1 + (at % (values.length - 1))) % values.length] as string)
    : old(at, values);

/** @param says what the trained model says of itself @param share of strings whose behavior training moved, in hundredths */
function verdictOf(
  says: (at: number) => string,
  share: number,
  rest: Partial<Plan> = {},
  values = VALUES,
  ofBase: readonly string[] = values,
) {
  const trials = Array.from({ length: 300 }, (_, at): Trial[] => [
    makeTrial(`s${at}`, old(at, values), "x", { predictor: "m", target: "m" }),
    makeTrial(`s${at}`, old(at, values), old(at, values), { predictor: M1, target: "m" }),
    makeTrial(`s${at}`, now(at, share, values), says(at), { predictor: M1, target: M1 }),
    makeTrial(`s${at}`, now(at, share, values), "x", { predictor: "m", target: M1 }),
  ]).flat();
  const labels = ["m", M1].flatMap((target) =>
    (target === "m" ? ofBase : values).map((value) => ({ target, task: "animals", property: "first_letter", value })),
  );
  const plan = makeStudy(rest);
  const comparisons = compareAll(plan, { trials, trainLabels: labels }, () => ({}), SETTINGS);
  const scores = scoreTrials(trials, labels, { ...SETTINGS, training: { states: [], scopes: planScopes(plan) } });
  const verdicts = experimentResults({ plan, scores, comparisons }).experiments.flatMap((one) => one.verdicts);
  return verdicts.find(({ about }) => about.kind === "self" && about.target === M1);
}

const kindsOf = (verdict: ReturnType<typeof verdictOf>) => verdict?.reservations.map(({ kind }) => kind);

describe("a trained model about itself", () => {
  test("who knows what it did before is right in 70 %, and gets no yes", () => {
    const verdict = verdictOf((at) => old(at), 30, { freshLabels: true });
    expect(verdict?.numbers.find(({ key }) => key === "accuracy")?.estimate).toMatchObject({ value: 0.7 });
    expect(verdict?.finding).toBe("does_not_exceed");
    expect(verdict?.decidedBy).toBe("self_minus_mode_moved_moved");
    expect(verdict?.numbers.find(({ key }) => key === "accuracy_moved")?.estimate).toMatchObject({ value: 0, n: 90 });
    expect(verdict?.numbers.find(({ key }) => key === "accuracy_unmoved")?.estimate).toMatchObject({
      value: 1,
      n: 210,
    });
    expect(
      verdict?.because.find(
        ({ kind, ...one }) => kind === "self_against" && "against" in one && one.against === "untrained",
      ),
    ).toMatchObject({ finding: "exceeds" });
  });

  test("who knows what it does now is found", () => {
    const verdict = verdictOf((at) => (at % 5 === 0 ? "x" : now(at, 30)), 30, { freshLabels: true });
    expect(verdict?.finding).toBe("exceeds");
    expect(kindsOf(verdict)).not.toContain("too_few_moved");
    expect(kindsOf(verdict)).not.toContain("stale_labels");
  });

  test("where three strings in a hundred moved, the finding rests on all trials, and says so", () => {
    const verdict = verdictOf((at) => old(at), 3);
    expect(verdict?.finding).toBe("exceeds");
    expect(verdict?.reservations).toContainEqual({ kind: "too_few_moved", strings: 9, fewest: 10 });
    // The plan is an old one: its labels are those of before.
    expect(verdict?.reservations).toContainEqual({ kind: "stale_labels", source: "m" });
  });

  test("what a base does that hardly varies is compared for nobody, and tells all the same what moved", () => {
    const verdict = verdictOf((at) => old(at), 30, { freshLabels: true }, VALUES, Array(40).fill("a"));
    expect(verdict?.numbers.find(({ key }) => key === "accuracy_moved")?.estimate).toMatchObject({ value: 0, n: 90 });
    expect(kindsOf(verdict)).not.toContain("too_few_moved");
    expect(verdict?.finding).toBe("does_not_exceed");
  });

  test("a property of two values: who says what it did not do before is right on all moved trials, and gets no yes", () => {
    const two = ["a", "b"];
    const verdict = verdictOf((at) => two[1 - two.indexOf(old(at, two))] as string, 30, { freshLabels: true }, two);
    expect(verdict?.numbers.find(({ key }) => key === "accuracy_moved")?.estimate).toMatchObject({ value: 1 });
    expect(verdict?.numbers.find(({ key }) => key === "accuracy_unmoved")?.estimate).toMatchObject({ value: 0 });
    expect(verdict?.finding).toBe("does_not_exceed");
  });
});
