/** Better than the other model: because it is itself, or because it is better at predicting anybody? */
import { describe, expect, test } from "vitest";
import { verdictSentences } from "../../src/report/sentences.js";
import { compareAll } from "../../src/run/score-stages.js";
import { judgeNetOfSkill } from "../../src/score/comparison/net-of-skill.js";
import { scoreTrials } from "../../src/score/scores.js";
import type { Trial } from "../../src/score/trial.js";
import { experimentResults } from "../../src/score/verdicts/experiments.js";
import type { Verdict } from "../../src/score/verdicts/verdict.js";
import type { Plan } from "../../src/study/plan.js";
import { type PlantedState, plantedState, plantedWorld, simulateStudy } from "../../validation/planted-truth.mjs";
import { makePlan, makeTask } from "../fixtures/report/make-report-input.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 300, bootstrapSeed: 3, noiseFloorNats: 0.01 };

function makeStudy(predictions: Plan["predictions"]): Plan {
  const plan = makePlan();
  const model = plan.models.tiny as Plan["models"][string];
  return makePlan({
    models: { m1: model, m2: { ...model, sha256: "e".repeat(64) } },
    tasks: [makeTask("task0", ["p0", "p1", "p2", "p3"]), makeTask("task1", ["p0", "p1", "p2", "p3"])],
    predictions,
    experiments: ["cross_prediction"],
  });
}

const ALL = ["m1", "m2"].flatMap((predictor) => ["m1", "m2"].map((target) => ({ predictor, target })));

function judged(states: readonly PlantedState[], predictions = ALL, seed = 11): readonly Verdict[] {
  const world = plantedWorld({ states, strings: [100, 100] });
  const trials = (simulateStudy(world, seed) as Trial[]).filter(({ predictor, target }) =>
    predictions.some((pair) => pair.predictor === predictor && pair.target === target),
  );
  const plan = makeStudy(predictions);
  const labels = trials
    .filter(({ predictor, target, item }) => predictor === target && Number(item.slice(1)) % 2)
    .flatMap(({ target, task, property, behavior }) =>
      behavior.ok ? [{ target, task, property, value: behavior.value }] : [],
    );
  const comparisons = compareAll(plan, { trials, trainLabels: labels }, () => ({}), SETTINGS);
  const scores = scoreTrials(trials, labels, SETTINGS);
  return experimentResults({ plan, scores, comparisons }).experiments.flatMap(({ verdicts }) => verdicts);
}

const about = (verdicts: readonly Verdict[], kind: string, self = "m1") =>
  verdicts.find((one) => one.about.kind === kind && "self" in one.about && one.about.self === self);

describe("where skill alone differs", () => {
  const verdicts = judged([plantedState("m1", { skill: 0.5 }), plantedState("m2", { skill: 0.3 })]);

  test("self is better than the other model, and the verdict says that skill may be why", () => {
    const cross = about(verdicts, "self_and_cross");
    expect(cross?.finding).toBe("exceeds");
    expect(cross?.reservations.map(({ kind }) => kind)).toContain("skill_not_ruled_out");
    expect(cross && verdictSentences(cross).more.join(" ")).toMatch(/skill alone gave a yes in 94\.5 %/);
  });

  test("nothing is left once skill is taken out", () => {
    expect(about(verdicts, "net_of_skill")?.finding).not.toBe("exceeds");
  });
});

test("of two models as strong as each other, each knowing itself, the double difference is above 0", () => {
  const verdicts = judged([
    plantedState("m1", { skill: 0.3, access: 0.3 }),
    plantedState("m2", { skill: 0.3, access: 0.3 }),
  ]);
  const cross = about(verdicts, "self_and_cross");
  expect(cross?.finding).toBe("exceeds");
  expect(about(verdicts, "net_of_skill")).toMatchObject({ finding: "exceeds", decidedBy: "net_of_skill" });
});

test("a stronger other model rules skill out", () => {
  const verdicts = judged([
    plantedState("m1", { skill: 0.3, access: 0.4 }),
    plantedState("m2", { skill: 0.5, access: 0.4 }),
  ]);
  const kinds = about(verdicts, "self_and_cross")?.reservations.map(({ kind }) => kind);
  expect(kinds).not.toContain("skill_not_ruled_out");
});

test("without all four predictions there is no such verdict, and the reservation names those that would make it", () => {
  const verdicts = judged(
    [plantedState("m1", { skill: 0.5 }), plantedState("m2", { skill: 0.3 })],
    [
      { predictor: "m1", target: "m1" },
      { predictor: "m2", target: "m1" },
    ],
  );
  expect(about(verdicts, "net_of_skill")).toBeUndefined();
  const cross = about(verdicts, "self_and_cross");
  expect(cross && verdictSentences(cross).more.join(" ")).toContain(
    "{ predictor: m2, target: m2 } and { predictor: m1, target: m2 }",
  );
});

test("both scales must agree on a yes", () => {
  const interval = (low: number, high: number) => ({
    ok: true as const,
    value: (low + high) / 2,
    low,
    high,
    n: 90,
    clusters: 30,
  });
  const signFlip = { ok: true as const, p: 0.001, informativeStrings: 30, method: "exact" as const };
  const found = (plain: ReturnType<typeof interval>, misses: ReturnType<typeof interval>) =>
    judgeNetOfSkill({ difference: plain, signFlip }, misses, { confidence: 0.95 }).finding;
  expect(found(interval(0.02, 0.2), interval(0.1, 0.4))).toBe("exceeds");
  expect(found(interval(0.02, 0.2), interval(-0.1, 0.4))).toBe("cannot_tell");
  expect(found(interval(-0.2, 0.01), interval(0.1, 0.4))).toBe("cannot_tell");
  expect(found(interval(-0.2, 0.01), interval(-0.1, 0.4))).toBe("does_not_exceed");
});
