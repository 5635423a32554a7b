/** The primary contrast is judged by its own rule, and every other verdict says that it is exploratory. */
import { describe, expect, test } from "vitest";
import { value } from "../../src/properties/property.js";
import { verdictSentences } from "../../src/report/sentences.js";
import { shownVerdicts, standingAnswer, standingText } from "../../src/report/standing.js";
import { glanceSection } from "../../src/report/sections/glance.js";
import { byId } from "../../src/report/state-names.js";
import { compareAll } from "../../src/run/score-stages.js";
import { planScopes } from "../../src/score/scope.js";
import { scoreTrials } from "../../src/score/scores.js";
import type { TrainLabel, Trial } from "../../src/score/trial.js";
import { type ExperimentResults, experimentResults } from "../../src/score/verdicts/experiments.js";
import type { Plan, PlannedPrimary } from "../../src/study/plan.js";
import { makePlan, makeTask } from "../fixtures/report/make-report-input.js";
import { makeTrial } from "../fixtures/score/make-trial.js";
import { DEFAULT_TRAINING_SETTINGS } from "../helpers/training-settings.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 300, bootstrapSeed: 3, noiseFloorNats: 0.01 };
const ADAPTER = { target: "m", examplesPerProperty: 50, settings: DEFAULT_TRAINING_SETTINGS };
const STRINGS = 400;

function studyOf(primary?: PlannedPrimary): Plan {
  const model = makePlan().models.tiny as Plan["models"][string];
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
    adapters: { "m-predicts-m": { ...ADAPTER, base: "m" }, "n-predicts-m": { ...ADAPTER, base: "n" } },
    predictions: [
      { predictor: "m-predicts-m", target: "m" },
      { predictor: "n-predicts-m", target: "m" },
    ],
    experiments: ["self_prediction", "cross_prediction"],
    primary,
  });
}

/** Self is right about eight strings of ten, cross about seven of these: 10 points, give or take 3. */
function trialsOf(): Trial[] {
  return ["animals", "words"].flatMap((task) =>
    Array.from({ length: STRINGS }, (_, at) => {
      const does = ["a", "b", "a", "c"][(at * 7 + (at >> 3)) % 4] as string;
      const said = (count: number) => (Math.floor(at / 4) % 10 < count ? does : "x");
      return [
        makeTrial(`s${at}`, does, said(8), { task, target: "m", predictor: "m-predicts-m" }),
        makeTrial(`s${at}`, does, said(7), { task, target: "m", predictor: "n-predicts-m" }),
      ];
    }).flat(),
  );
}

const LABELS: TrainLabel[] = ["animals", "words"].flatMap((task) =>
  ["a", "a", "b", "c"].map((label) => ({ target: "m", task, property: "first_letter", value: label })),
);

function judged(primary?: PlannedPrimary): ExperimentResults {
  const plan = studyOf(primary);
  const trials = trialsOf();
  const comparisons = compareAll(
    plan,
    { trials, trainLabels: LABELS },
    () => ({ inputOnly: () => value("a") }),
    SETTINGS,
  );
  const scores = scoreTrials(trials, LABELS, { ...SETTINGS, training: { states: [], scopes: planScopes(plan) } });
  return experimentResults({ plan, scores, comparisons });
}

const CROSS: PlannedPrimary = {
  experiment: "cross_prediction",
  self: "m-predicts-m",
  cross: "n-predicts-m",
  target: "m",
  scope: "held_out_tasks",
  average: "micro",
  smallestDifference: 0.02,
  strings: STRINGS,
};
const verdictsOf = ({ experiments }: ExperimentResults) => experiments.flatMap(({ verdicts }) => verdicts);
const primaryOf = (results: ExperimentResults) => {
  const found = verdictsOf(results).filter(({ status }) => status === "primary");
  expect(found).toHaveLength(1);
  return found[0] as (typeof found)[number];
};

describe("the primary contrast", () => {
  test.each([
    [0.02, "exceeds", /^Against .*: \+10\.0/],
    [0.1, "cannot_tell", /not above 10 points, which a yes needs here/],
    [0.2, "does_not_exceed", /ends below 20 points/],
  ])("with a smallest difference of %s is judged by it: %s", (smallestDifference, finding, why) => {
    const verdict = primaryOf(judged({ ...CROSS, smallestDifference }));
    expect(verdict).toMatchObject({ finding, scope: "held_out_tasks", about: { kind: "self_and_cross" } });
    expect(verdictSentences(verdict).lead).toMatch(why);
  });

  test("is one verdict; the same question on another scope is judged as all others are, and says that it is exploratory", () => {
    const results = judged({ ...CROSS, smallestDifference: 0.2 });
    const others = verdictsOf(results).filter(({ status }) => status !== "primary");
    expect(others.map(({ status }) => status)).toEqual(others.map(() => "exploratory"));
    const same = others.find(({ about, scope }) => about.kind === "self_and_cross" && scope === "held_out_strings");
    expect(same?.finding).toBe("exceeds");
    expect(results.primary).toEqual({ ...CROSS, smallestDifference: 0.2 });
  });

  test("of a self-prediction needs every third party beyond the smallest difference", () => {
    const self = { ...CROSS, experiment: "self_prediction" as const, cross: undefined };
    expect(primaryOf(judged(self)).finding).toBe("exceeds");
    const verdict = primaryOf(judged({ ...self, smallestDifference: 0.32 }));
    // The mode is right in half: 30 points below.
    expect(verdict.finding).not.toBe("exceeds");
    expect(verdict.because.map((one) => "against" in one && one.against)).toContain("mode_train");
  });

  test("says by which average it is judged", () => {
    const [verdict] = [primaryOf(judged({ ...CROSS, average: "macro" }))];
    const plan = studyOf({ ...CROSS, average: "macro" });
    const comparisons = compareAll(plan, { trials: trialsOf(), trainLabels: LABELS }, () => ({}), SETTINGS);
    const judgedBy = comparisons.comparisons.map((one) => one.judgedBy);
    expect(judgedBy).toEqual([{ judged: "macro", smallestDifference: 0.02, yesAbove: 0.02 }, undefined]);
    expect(comparisons.comparisons[0]?.verdict.crossRule).toContain("Judged by the macro average");
    expect(verdict.numbers[0]?.estimate).toEqual(comparisons.comparisons[0]?.comparison.overall[1].difference);
  });

  test("says where fewer strings were compared than were promised", () => {
    const verdict = primaryOf(judged({ ...CROSS, strings: 450 }));
    expect(verdict.reservations).toContainEqual({ kind: "fewer_strings", compared: 400, promised: 450 });
    expect(verdictSentences(verdict).more.join(" ")).toContain(
      "The study promises 450 strings, and 400 could be compared",
    );
  });
});

describe("in words", () => {
  test("the primary comes first and its standing is said", () => {
    const results = judged(CROSS);
    const markdown = JSON.stringify(glanceSection(results, undefined, byId));
    expect(markdown.indexOf("Primary: yes")).toBeLessThan(markdown.indexOf("Exploratory: "));
    expect(markdown).toContain(
      "The primary contrast was settled in the plan: self against others, m-predicts-m against n-predicts-m, about m",
    );
    expect(
      verdictsOf(results)
        .map(standingAnswer)
        .filter((one) => one.startsWith("Primary")),
    ).toHaveLength(1);
  });

  test("a study without one says once that everything is exploratory", () => {
    const results = judged();
    expect(results.primary).toBeUndefined();
    expect(verdictsOf(results).every(({ status }) => status === "exploratory")).toBe(true);
    expect(standingText(results)).toContain(
      "names no primary contrast (the key primary), so every answer is exploratory",
    );
    const shown = results.experiments.flatMap(({ verdicts }) => shownVerdicts(results, verdicts).map(standingAnswer));
    expect(shown.filter((one) => one.includes("xploratory"))).toEqual([]);
    expect(JSON.stringify(glanceSection(results, undefined, byId)).match(/xploratory/g)).toHaveLength(1);
  });

  test("one of which nothing was scored is said to have no verdict", () => {
    const results = judged({ ...CROSS, scope: "held_out_properties" });
    expect(standingText(results)).toContain("It has no verdict, because nothing of it was scored");
  });
});
