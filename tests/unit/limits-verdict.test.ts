/** Better than the mode is no reach: a rule on the string, or a classifier of strings, may do as well without any model. */
import { expect, test } from "vitest";
import { verdictSentences } from "../../src/report/sentences.js";
import { INPUT_ONLY } from "../../src/score/input-only/input-only-predictions.js";
import { scoreTrials } from "../../src/score/scores.js";
import { limits } from "../../src/score/verdicts/limits.js";
import type { Verdict, VerdictInput } from "../../src/score/verdicts/verdict.js";
import { makeScopes } from "../fixtures/score/make-scopes.js";
import { extraction, makeTrial } from "../fixtures/score/make-trial.js";

const VALUES = ["a", "b", "c", "d"];
const SETTINGS = { confidence: 0.95, bootstrapReplicates: 200, bootstrapSeed: 3, noiseFloorNats: 0 };
const LABELS = ["a", "a", "b"].map((value) => ({ target: "m", task: "stories", property: "sentiment", value }));

/** Right on so many of 60 strings, like the rule and the classifier on as many of their own. */
function verdictOf(right: number, rule: number, classifier?: number): Verdict {
  const said = (at: number, count: number, value: string) => extraction((at * 7) % 60 < count ? value : "z");
  const trials = Array.from({ length: 60 }, (_, at) => {
    const value = VALUES[at % 4] as string;
    return makeTrial(`s${at}`, value, undefined, {
      target: "m",
      predictor: "m",
      task: "stories",
      property: "sentiment",
      prediction: said(at, right, value),
      heuristics: {
        first_item: said(at, 3, value),
        last_item: said(at, rule, value),
        ...(classifier === undefined ? {} : { [INPUT_ONLY]: said(at, classifier, value) }),
      },
    });
  });
  const plan = { states: { m: { model: "m" } }, predictions: [{ predictor: "m", target: "m" }] };
  const scores = scoreTrials(trials, LABELS, SETTINGS);
  const [verdict] = limits.judge({ scores, plan } as unknown as VerdictInput) as readonly Verdict[];
  if (!verdict) throw new Error("there is a verdict");
  return verdict;
}

test("above the mode, and no better than a rule on the string: no yes", () => {
  const verdict = verdictOf(45, 50);
  expect(verdict).toMatchObject({ finding: "does_not_exceed", decidedBy: "above_rule/last_item" });
  expect(verdict.because).toMatchObject([
    { kind: "beats_mode", finding: "exceeds" },
    { kind: "beats_rule", against: "last_item", finding: "does_not_exceed" },
  ]);
  expect(verdictSentences(verdict).lead).toMatch(
    /^It falls short of the best simple rule on the string \(last item\): 75\.0\s% .* against 83\.3\s%/,
  );
});

test("no better than a classifier that sees the string alone: no yes", () => {
  expect(verdictOf(45, 5, 45)).toMatchObject({ finding: "cannot_tell", decidedBy: "above_rule/input_only" });
});

test("about a trained target, right where training did not move it and wrong where it did: both are told apart", () => {
  const trials = Array.from({ length: 60 }, (_, at) => {
    const before = VALUES[at % 4] as string;
    const now = at < 20 ? "e" : before;
    const rest = { task: "stories", property: "sentiment", prediction: extraction(before), predictor: "m1" };
    return [
      makeTrial(`s${at}`, before, undefined, { ...rest, target: "m" }),
      makeTrial(`s${at}`, now, undefined, { ...rest, target: "m1" }),
    ];
  }).flat();
  const training = {
    states: [{ before: "m", after: "m1", target: "m" }],
    scopes: makeScopes(["stories"], [], ["sentiment"]),
  };
  const plan = {
    states: { m: { model: "m" }, m1: { model: "m", adapter: "m1" } },
    adapters: { m1: { base: "m", target: "m", settings: { seed: 0 } } },
    predictions: [{ predictor: "m1", target: "m1" }],
  };
  const scores = scoreTrials(trials, LABELS, { ...SETTINGS, training });
  const [verdict] = limits.judge({ scores, plan } as unknown as VerdictInput) as readonly Verdict[];
  const of = (key: string) => verdict?.numbers.find((number) => number.key === key)?.estimate;
  expect(of("accuracy_moved")).toMatchObject({ value: 0, n: 20, clusters: 20 });
  expect(of("accuracy_unmoved")).toMatchObject({ value: 1, n: 40, clusters: 40 });
  expect(scores.cellsByDrift?.map(({ base, target }) => [base, target])).toEqual([["m", "m1"]]);
});

test("behaviors that hardly vary on the train strings are judged by no verdict", () => {
  const trials = Array.from({ length: 40 }, (_, at) =>
    makeTrial(`s${at}`, at < 38 ? "a" : "b", undefined, {
      target: "m",
      predictor: "m",
      task: "stories",
      property: "sentiment",
      prediction: extraction("a"),
    }),
  );
  const labels = Array.from({ length: 20 }, () => ({
    target: "m",
    task: "stories",
    property: "sentiment",
    value: "a",
  }));
  const plan = { states: { m: { model: "m" } }, predictions: [{ predictor: "m", target: "m" }] };
  const judged = (trained: typeof labels) =>
    limits.judge({ scores: scoreTrials(trials, trained, SETTINGS), plan } as unknown as VerdictInput);
  expect(judged(labels)).toBe("nothing_to_judge");
  expect(judged(LABELS)).toHaveLength(1);
});

test("above all of them: yes, with each difference paired on the same trials", () => {
  const verdict = verdictOf(55, 10, 20);
  expect(verdict.finding).toBe("exceeds");
  const above = verdict.numbers.find(({ key }) => key === "above_rule/input_only");
  expect(above?.estimate).toMatchObject({ value: 35 / 60, n: 60, clusters: 60 });
});
