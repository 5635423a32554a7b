import { describe, expect, test } from "vitest";
import { chooseSamples, sampleOutcome } from "../../src/report/sections/samples.js";
import { makeTrial, makeTrials } from "../fixtures/report/make-report-input.js";

const texts = () => ({ objectQuestion: "q", objectAnswer: "a", hypotheticalQuestion: "h", hypotheticalReply: "r" });

test.each([
  ["right", {}],
  ["wrong", { prediction: { ok: true, value: "the" } }],
  ["not_compliant", { prediction: { ok: false, reason: "empty" } }],
  ["excluded", { behavior: { ok: false, reason: "too_short" } }],
  ["excluded", { objectCompliance: { ok: false, reason: "refusal" } }],
] as const)("outcome %s of %j", (outcome, rest) => {
  expect(sampleOutcome(makeTrial(rest))).toBe(outcome);
});

describe("the choice", () => {
  test("shows every outcome and every cell before any twice", () => {
    const chosen = chooseSamples(makeTrials(), texts, 8);
    expect(chosen.map(({ trial }) => sampleOutcome(trial))).toEqual([
      "right",
      "right",
      "wrong",
      "wrong",
      "not_compliant",
      "not_compliant",
      "excluded",
      "excluded",
    ]);
    const shown = new Map<string, number>();
    for (const { trial } of chosen) shown.set(trial.property, (shown.get(trial.property) ?? 0) + 1);
    expect(shown.size).toBe(5);
    expect(Math.max(...shown.values())).toBe(2);
    expect(new Set(chosen.map(({ correct }) => correct))).toEqual(new Set([true, false, "excluded"]));
  });

  test("does not depend on the order of trials", () => {
    expect(chooseSamples(makeTrials().reverse(), texts)).toEqual(chooseSamples(makeTrials(), texts));
  });

  test("takes what there is when an outcome runs out, and no trial twice", () => {
    const chosen = chooseSamples(makeTrials(), texts, 100);
    expect(chosen).toHaveLength(25);
    expect(new Set(chosen.map(({ trial }) => `${trial.property}/${trial.item}`)).size).toBe(25);
    expect(chooseSamples([], texts)).toEqual([]);
  });
});
