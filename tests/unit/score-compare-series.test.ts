/** Series: which states of a plan make one, and whether its last step still rises. */
import { describe, expect, test } from "vitest";
import type { ComparedSeries } from "../../src/score/comparison/comparisons.js";
import type { Plan } from "../../src/study/plan.js";
import type { Trial } from "../../src/score/trial.js";
import { plateauSentence } from "../../src/report/sentences.js";
import { plateauOf } from "../../src/score/verdicts/cross-prediction.js";
import { compareSeries, findSeries, type Series } from "../../src/score/comparison/contrasts.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 400, bootstrapSeed: 3, noiseFloorNats: 0.01 };
/** With fewer, even 0 of them different leaves room for two points. */
const STRINGS = 300;

/** Each predictor is right on so many of 60 strings, the same ones first. */
function trialsOf(right: Record<string, number>): Trial[] {
  return Array.from({ length: STRINGS }, (_, at) =>
    Object.entries(right).map(([predictor, count]) =>
      // 17 and 300 share no divisor: the right ones are spread over the strings.
      makeTrial(`s${at}`, "a", (at * 17) % STRINGS < 5 * count ? "a" : "b", {
        predictor,
        target: "m",
        task: "animals",
      }),
    ),
  ).flat();
}

const learnt = (sizes: readonly (readonly [number, number?])[]): Series => ({
  kind: "learnt",
  model: "n",
  target: "m",
  members: sizes.map(([size, seed = 7]) => ({ predictor: `n-${size}-${seed}`, size, seed })),
});
const lastOf = ({ steps }: ComparedSeries) => steps.at(-1);

describe("steps of a series", () => {
  test("each size against the one before it, and the last tells that it still rises", () => {
    const series = compareSeries(
      learnt([[10], [20], [40]]),
      trialsOf({ "n-10-7": 10, "n-20-7": 10, "n-40-7": 40 }),
      SETTINGS,
    );
    expect(series.steps.map((step) => [step.from, step.to, step.ok && step.judgement.finding])).toEqual([
      [10, 20, "does_not_exceed"],
      [20, 40, "exceeds"],
    ]);
    expect(lastOf(series)).toMatchObject({ micro: { difference: { ok: true, value: 0.5, n: 300 } }, seeds: 1 });
    expect(plateauSentence(plateauOf(series, 0.95))).toMatch(
      /^n learning from strings of m still rises, from 20 \(16\.7\s%\s.*right\) to 40 strings \(66\.7\s%\s.*: it has not reached its plateau\.$/,
    );
    expect(plateauOf(series, 0.95)).toMatchObject({ finding: "exceeds", from: { size: 20 }, to: { size: 40 } });
  });

  test("a last step that brings nothing, or less than nothing, is a plateau", () => {
    for (const last of [40, 20]) {
      const trials = trialsOf({ "n-10-7": 10, "n-20-7": 40, "n-40-7": last });
      const series = compareSeries(learnt([[10], [20], [40]]), trials, SETTINGS);
      expect(lastOf(series)).toMatchObject({ judgement: { finding: "does_not_exceed" } });
      expect(plateauSentence(plateauOf(series, 0.95))).toMatch(
        /has reached its plateau among these sizes: it no longer rises from 20 /,
      );
      expect(plateauOf(series, 0.95)).toMatchObject({ finding: "does_not_exceed", kind: "learnt", model: "n" });
    }
  });

  test("a small rise cannot be told from none", () => {
    const series = compareSeries(learnt([[10], [20]]), trialsOf({ "n-10-7": 30, "n-20-7": 30.8 }), SETTINGS);
    expect(lastOf(series)).toMatchObject({ judgement: { finding: "cannot_tell" } });
    expect(plateauSentence(plateauOf(series, 0.95))).toContain("cannot be told");
    expect(plateauOf(series, 0.95)).toMatchObject({
      finding: "cannot_tell",
      reasons: [{ kind: "test_disagrees" }],
    });
  });

  test("seeds are paired, one that has a single size is left out", () => {
    const members = learnt([[10], [10, 8], [40], [40, 8], [40, 9]]);
    const trials = trialsOf({ "n-10-7": 10, "n-10-8": 12, "n-40-7": 40, "n-40-8": 38, "n-40-9": 60 });
    const [step] = compareSeries(members, trials, SETTINGS).steps;
    expect(step).toMatchObject({ ok: true, seeds: 2, micro: { difference: { n: 600 } } });
    expect(step?.ok && step.micro.difference.ok && step.micro.difference.value).toBeCloseTo((30 + 26) / 120, 12);
  });

  test("without a seed that has both sizes, or without trials, there is a reason", () => {
    const apart = compareSeries(learnt([[10], [40, 8]]), trialsOf({ "n-10-7": 10, "n-40-8": 20 }), SETTINGS);
    expect(lastOf(apart)).toEqual({ from: 10, to: 40, ok: false, reason: expect.stringContaining("10 and 40") });
    expect(plateauSentence(plateauOf(apart, 0.95))).toMatch(/is not known: no seed of training has both sizes/);
    const empty = compareSeries(learnt([[10], [40]]), [], SETTINGS);
    expect(lastOf(empty)).toMatchObject({ judgement: { finding: "unknown" } });
    expect(plateauSentence(plateauOf(empty, 0.95))).toMatch(/is not known: ./);
  });
});

test("series of a plan: by kind, model and target; controls and other wordings are none", () => {
  const file = { source: "made", sha256: "1", bytes: 1, encoding: "F32", licence: "CC0-1.0" };
  const adapter = (examplesPerProperty: number, seed = 7, labels?: "scrambled") => ({
    base: "n",
    target: "m",
    examplesPerProperty,
    settings: { seed } as NonNullable<Plan["adapters"]>[string]["settings"],
    ...(labels ? { labels } : {}),
  });
  const trained = (name: string) => ({ model: "n", adapter: name });
  const predictors = ["n10", "n40", "n40b", "control", "asked", "shown4", "shown16", "m"];
  const series = findSeries({
    models: { m: file, n: { ...file, sha256: "2" } },
    states: {
      m: { model: "m" },
      n: { model: "n" },
      n10: trained("n10"),
      n40: trained("n40"),
      n40b: trained("n40b"),
      control: trained("control"),
      asked: { ...trained("n40"), wording: "bare" },
      shown4: { model: "n", shown: { pairs: 4, target: "m" } },
      shown16: { model: "n", shown: { pairs: 16, target: "m" } },
    },
    adapters: { n10: adapter(10), n40: adapter(40), n40b: adapter(40, 8), control: adapter(20, 7, "scrambled") },
    predictions: ["m", "n"].flatMap((target) => [...predictors].reverse().map((predictor) => ({ predictor, target }))),
  });
  expect(series).toEqual([
    {
      kind: "shown",
      model: "n",
      target: "m",
      members: [
        { predictor: "shown4", size: 4 },
        { predictor: "shown16", size: 16 },
      ],
    },
    {
      kind: "learnt",
      model: "n",
      target: "m",
      members: [
        { predictor: "n10", size: 10, seed: 7 },
        { predictor: "n40b", size: 40, seed: 8 },
        { predictor: "n40", size: 40, seed: 7 },
      ],
    },
  ]);
});
