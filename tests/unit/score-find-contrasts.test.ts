/** Who is compared with whom: read off a plan. */
import { describe, expect, test } from "vitest";
import type { Plan } from "../../src/study/plan.js";
import { findContrasts } from "../../src/score/comparison/contrasts.js";

type Input = Pick<Plan, "models" | "states" | "predictions">;
const file = (sha256: string) => ({ source: "made", sha256, bytes: 1, encoding: "F32", licence: "CC0-1.0" });
const pair = (predictor: string, target: string) => ({ predictor, target });
const brief = (plan: Input) => findContrasts(plan).map(({ target, self, cross }) => [target, self, cross]);

const MODELS = { a: file("1"), b: file("2"), c: file("1") };
const TRAINED: Input = {
  models: MODELS,
  states: {
    a: { model: "a" },
    b: { model: "b" },
    c: { model: "c" },
    "a-predicts-a": { model: "a", adapter: "a-predicts-a" },
    "b-predicts-a": { model: "b", adapter: "b-predicts-a" },
  },
  predictions: [
    pair("a", "a"),
    pair("a-predicts-a", "a"),
    pair("a-predicts-a", "a-predicts-a"),
    pair("b", "a"),
    pair("b-predicts-a", "a"),
  ],
};

describe("contrasts of a plan", () => {
  test("trained stands against trained, and a target without a cross predictor is left out", () => {
    expect(findContrasts(TRAINED)).toEqual([
      {
        target: "a",
        self: "a-predicts-a",
        cross: "b-predicts-a",
        trained: { self: true, cross: true },
        sameWeights: false,
        contrasts: [{ target: "a", self: "a-predicts-a", cross: "b-predicts-a" }],
      },
    ]);
  });

  test("untrained models: the target itself, in both directions, each other model once", () => {
    const both = [pair("a", "a"), pair("b", "b"), pair("a", "b"), pair("b", "a"), pair("c", "a")];
    expect(brief({ models: MODELS, predictions: both })).toEqual([
      ["a", "a", "b"],
      ["a", "a", "c"],
      ["b", "b", "a"],
    ]);
  });

  test("says where only one side was trained, and where weights are the same under another name", () => {
    const predictions = [...TRAINED.predictions.slice(0, 4), pair("c", "a")];
    expect(findContrasts({ ...TRAINED, predictions })).toMatchObject([
      { cross: "b", trained: { self: true, cross: false }, sameWeights: false },
      { cross: "c", trained: { self: true, cross: false }, sameWeights: true },
    ]);
  });

  test("nothing without a self or without a cross predictor", () => {
    expect(brief({ models: MODELS, predictions: [pair("a", "a"), pair("b", "b")] })).toEqual([]);
    expect(brief({ models: MODELS, predictions: [pair("b", "a"), pair("c", "a")] })).toEqual([]);
  });
});
