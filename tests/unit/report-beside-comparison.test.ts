import { beforeAll, describe, expect, test } from "vitest";
import { makeReport, type MadeReport } from "../../src/report/make-report.js";
import { compareAll } from "../../src/run/score-stages.js";
import type { Comparisons } from "../../src/score/comparison/comparisons.js";
import type { Trial } from "../../src/score/trial.js";
import type { Plan, PlannedPrimary } from "../../src/study/plan.js";
import { plantedState, plantedWorld, simulateStudy } from "../../validation/planted-truth.mjs";
import { makeInput, makePlan, makeTask } from "../fixtures/report/make-report-input.js";
import { markdownTables, plain, unbalanced } from "../fixtures/report/read-report.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 200, bootstrapSeed: 3, noiseFloorNats: 0.01 };
const PRIMARY: PlannedPrimary = {
  experiment: "cross_prediction",
  self: "m1",
  cross: "m2",
  target: "m1",
  scope: "all",
  average: "micro",
  smallestDifference: 0.02,
  strings: 120,
};

function madePlan(primary?: PlannedPrimary): Plan {
  const plan = makePlan();
  const model = plan.models.tiny as Plan["models"][string];
  return makePlan({
    models: { m1: model, m2: { ...model, sha256: "e".repeat(64) } },
    tasks: [makeTask("task0", ["p0", "p1", "p2", "p3"]), makeTask("task1", ["p0", "p1", "p2", "p3"])],
    predictions: ["m1", "m2"].flatMap((predictor) => ["m1", "m2"].map((target) => ({ predictor, target }))),
    experiments: ["cross_prediction"],
    primary,
  });
}

/** Two models that know themselves, beside each other; self against cross stands for the models as they came, too. */
function madeComparisons(plan: Plan): Comparisons {
  const states = ["m1", "m2"].map((name) => plantedState(name, { skill: 0.3, access: 0.3 }));
  const trials = simulateStudy(plantedWorld({ states, strings: [60, 60] }), 11) as Trial[];
  const made = compareAll(plan, { trials, trainLabels: [] }, () => ({}), SETTINGS);
  const [one] = made.comparisons;
  if (!one) throw new Error("nothing was compared");
  const { scope, target, cross, comparison, verdict } = one;
  return { ...made, untrained: [{ scope, target, cross, comparison, judgement: verdict.cross }] };
}

const sectionOf = ({ markdown }: MadeReport) =>
  plain(markdown.split("## Self against cross")[1]?.split("\n## ")[0] ?? "");

describe("what stands beside self against cross", () => {
  let report: MadeReport;
  let section: string;
  let made: Comparisons;
  beforeAll(async () => {
    const plan = madePlan();
    made = madeComparisons(plan);
    report = await makeReport(makeInput({ plan, comparisons: made }));
    section = sectionOf(report);
  });

  test("skill taken out: the finding, four accuracies, the sum, a test and the n", () => {
    const net = section.split("### With skill and predictability taken out")[1]?.split("\n### ")[0] ?? "";
    const { trials, strings } = made.netOfSkill[0] as Comparisons["netOfSkill"][number];
    expect(net).toMatch(/\*\*Yes — m1 and m2 about themselves against each other, skill taken out\*\*/);
    expect(net).toContain("the two together predict themselves better than each other: +");
    expect(net).toContain(`${trials} trials of ${strings} strings`);
    expect(net).toContain("| m1 about m1 | m2 about m1 | m2 about m2 | m1 about m2 | Sum | Sign-flip p | n |");
    for (const average of ["Micro", "Macro"]) {
      const [row] = net.split("\n").filter((line) => line.startsWith(`| ${average} |`));
      expect(row).toMatch(/^\| \w+ (\| [\d.]+ % \\\[[^\]]*\] ){4}\| \+[\d.]+ \\\[/);
      expect(row).toMatch(new RegExp(`\\| ${trials} ${strings} strings \\|$`));
    }
    expect(net).toMatch(/The same sum of −log\(1 − accuracy\): \d\.\d{3}/);
  });

  test("models as they came: both sides, the mode, and the finding", () => {
    const before = section.split("### Before any training")[1]?.split("\n### ")[0] ?? "";
    expect(before).toContain("m1 against m2, about m1, where both reply in form");
    const [micro] = before.split("\n").filter((line) => line.startsWith("| Micro |"));
    expect(micro).toMatch(/(\| [\d.]+ % \\\[[^\]]*\] ){2}\| \+/);
    expect(micro).toMatch(/% \\\[[^\]]*\] \| self exceeds it \|$/);
  });

  test("is exploratory where the study has a primary contrast, and the page stays whole", async () => {
    const plan = madePlan(PRIMARY);
    const judged = await makeReport(makeInput({ plan, comparisons: madeComparisons(plan) }));
    expect(sectionOf(judged)).toContain("**Exploratory: yes — m1 and m2 about themselves against each other");
    expect(sectionOf(judged)).toMatch(/\*\*Exploratory: yes[^*]* — m1 against m2, about m1, where both reply in form/);
    for (const { html, markdown } of [report, judged]) {
      expect(unbalanced(html)).toBeUndefined();
      for (const rows of markdownTables(markdown)) expect(new Set(rows).size).toBe(1);
      for (const text of [html, markdown]) expect(text).not.toMatch(/NaN|undefined|\[object|Infinity/);
    }
  });

  test("stands nowhere when it was not compared", async () => {
    const bare = await makeReport(makeInput({ comparisons: { ...made, netOfSkill: [], untrained: [] } }));
    expect(sectionOf(bare)).not.toMatch(/With skill and predictability taken out|Before any training/);
  });
});
