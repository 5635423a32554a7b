/** What must hold of every set of trials. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CellScore, type Scores, type ScoreSettings, scoreTrials } from "../../src/score/scores.js";
import type { Estimate } from "../../src/score/interval.js";
import type { TrainLabel, Trial } from "../../src/score/trial.js";
import { extraction, makeTrial } from "../fixtures/score/make-trial.js";

const SETTINGS: ScoreSettings = { confidence: 0.95, bootstrapReplicates: 60, bootstrapSeed: 3, noiseFloorNats: 0.3 };

const answer = fc.option(fc.constantFrom("a", "b", "c"), { nil: undefined, freq: 5 });

/** Trials with every key once: 2 predictors, 2 tasks, 2 properties, up to 8 strings; holes on every side. */
const someTrials: fc.Arbitrary<Trial[]> = fc
  .uniqueArray(
    fc.record({
      item: fc.integer({ min: 0, max: 7 }).map((index) => `s${index}`),
      task: fc.constantFrom("animals", "numbers"),
      property: fc.constantFrom("first_letter", "is_even"),
      predictor: fc.constantFrom("tiny", "big"),
      behavior: answer,
      prediction: answer,
      rule: answer,
      complies: fc.boolean(),
      minMargin: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined, freq: 20 }),
    }),
    { selector: (one) => `${one.item}/${one.task}/${one.property}/${one.predictor}`, maxLength: 50 },
  )
  .map((rows) =>
    rows.map(({ item, task, property, predictor, behavior, prediction, rule, complies, minMargin }): Trial => {
      const { minMargin: _, ...trial } = makeTrial(item, behavior, prediction, { task, property, predictor });
      return {
        ...trial,
        objectCompliance: complies || item < "s5" ? { ok: true } : { ok: false, reason: "refusal" },
        heuristics: rule === undefined ? {} : { last_item: extraction(rule) },
        ...(minMargin === undefined ? {} : { minMargin }),
      };
    }),
  );

const someLabels: fc.Arbitrary<TrainLabel[]> = fc.array(
  fc.record({
    target: fc.constant("tiny"),
    task: fc.constantFrom("animals", "numbers"),
    property: fc.constantFrom("first_letter", "is_even"),
    value: fc.constantFrom("a", "b", "c"),
  }),
  { maxLength: 8 },
);

function estimatesOf(scores: Scores): [string, Estimate][] {
  return [...scores.cells, ...scores.averages].flatMap((row) =>
    Object.entries({ ...row, ...row.heuristics }).filter(
      (entry): entry is [string, Estimate] => typeof entry[1] === "object" && "ok" in entry[1],
    ),
  );
}

function valuesOf(scores: Scores): unknown {
  return estimatesOf(scores).map(([name, estimate]) =>
    estimate.ok ? [name, estimate.value, estimate.n, estimate.clusters] : [name, estimate.reason],
  );
}

function law(title: string, holds: (trials: Trial[], labels: TrainLabel[]) => void): void {
  test(title, () => fc.assert(fc.property(someTrials, someLabels, holds), { numRuns: 150, seed: 20261124 }));
}

describe("laws", () => {
  law("a value lies in its range and in its interval, and a reason is never empty", (trials, labels) => {
    for (const [name, estimate] of estimatesOf(scoreTrials(trials, labels, SETTINGS))) {
      if (!estimate.ok) {
        expect(estimate.reason).not.toBe("");
        continue;
      }
      expect(estimate.low).toBeGreaterThanOrEqual(name === "aboveModeTrain" ? -1 : 0);
      expect(estimate.low).toBeLessThanOrEqual(estimate.value);
      expect(estimate.value).toBeLessThanOrEqual(estimate.high);
      expect(estimate.high).toBeLessThanOrEqual(1);
      expect(estimate.low).toBeLessThan(estimate.high);
      expect(estimate.clusters).toBeGreaterThan(1);
      expect(estimate.n).toBeGreaterThanOrEqual(estimate.clusters);
    }
  });

  test("the order of trials and labels changes nothing, to the byte", () => {
    const shuffled = someTrials.chain((trials) =>
      fc.tuple(fc.constant(trials), fc.shuffledSubarray(trials, { minLength: trials.length })),
    );
    fc.assert(
      fc.property(shuffled, someLabels, ([trials, others], labels) => {
        const bytes = JSON.stringify(scoreTrials(trials, labels, SETTINGS));
        expect(JSON.stringify(scoreTrials(others, labels.toReversed(), SETTINGS))).toBe(bytes);
      }),
      { numRuns: 150, seed: 20261124 },
    );
  });

  law("other names for the strings change no value", (trials, labels) => {
    const renamed = trials.map((trial) => ({ ...trial, item: `${7 - Number(trial.item.slice(1))}-renamed` }));
    expect(valuesOf(scoreTrials(renamed, labels, SETTINGS))).toEqual(valuesOf(scoreTrials(trials, labels, SETTINGS)));
  });

  law("names that keep the order of the strings change nothing at all", (trials, labels) => {
    const renamed = trials.map((trial) => ({ ...trial, item: `t${trial.item}` }));
    expect(scoreTrials(renamed, labels, SETTINGS)).toEqual(scoreTrials(trials, labels, SETTINGS));
  });

  law("what another task holds changes no number of a cell", (trials, labels) => {
    const alone = trials.filter((trial) => trial.task === "animals");
    const cells = scoreTrials(trials, labels, SETTINGS).cells.filter((cell) => cell.task === "animals");
    expect(scoreTrials(alone, labels, SETTINGS).cells).toEqual(cells);
  });

  law("every trial asked is right, wrong or excluded", (trials, labels) => {
    const { cells, exclusions } = scoreTrials(trials, labels, SETTINGS);
    const scored = cells.reduce((sum, cell) => sum + cell.objectCompliance.count, 0);
    const left = exclusions.reduce((sum, one) => sum + (one.treatment === "excluded" ? one.count : 0), 0);
    expect(scored + left).toBe(trials.length);
    const predicted = cells.reduce((sum, cell) => sum + cell.predictions.reduce((all, one) => all + one.count, 0), 0);
    const wrong = exclusions.reduce((sum, one) => sum + (one.treatment === "counted_as_wrong" ? one.count : 0), 0);
    expect(predicted + wrong).toBe(scored);
  });

  law("no baseline that always says the same beats the oracle mode", (trials, labels) => {
    for (const { modeBaselineTrain, modeBaselineOracle } of scoreTrials(trials, labels, SETTINGS).cells) {
      if (modeBaselineTrain.ok && modeBaselineOracle.ok) {
        expect(modeBaselineTrain.value).toBeLessThanOrEqual(modeBaselineOracle.value);
      }
    }
  });

  law("the difference is the difference of the two values", (trials, labels) => {
    for (const { accuracy, modeBaselineTrain, aboveModeTrain } of scoreTrials(trials, labels, SETTINGS).cells) {
      if (accuracy.ok && modeBaselineTrain.ok && aboveModeTrain.ok) {
        expect(aboveModeTrain.value).toBeCloseTo(accuracy.value - modeBaselineTrain.value, 12);
      }
    }
  });

  law("a predictor that repeats the train mode stands exactly at the baseline, string by string", (trials, labels) => {
    const { cells } = scoreTrials(trials, labels, SETTINGS);
    const modes = new Map(cells.map((cell) => [`${cell.task}/${cell.property}`, cell.modeTrainValue]));
    const parrot = trials.map((trial) => ({
      ...trial,
      prediction: extraction(modes.get(`${trial.task}/${trial.property}`)),
    }));
    for (const cell of scoreTrials(parrot, labels, SETTINGS).cells) {
      if (!cell.modeBaselineTrain.ok || !cell.aboveModeTrain.ok) continue;
      expect(cell.accuracy).toEqual(cell.modeBaselineTrain);
      expect(cell.aboveModeTrain.value).toBe(0);
      expect(cell.aboveModeTrain.low).toBeCloseTo(-cell.aboveModeTrain.high, 12);
    }
  });
});

describe("strings and seeds", () => {
  const trials = Array.from({ length: 60 }, (_, index) => makeTrial(`s${index}`, "a", index % 3 === 0 ? "a" : "b"));
  const accuracyOf = (rows: readonly Trial[], settings: Partial<ScoreSettings> = {}) => {
    const { accuracy } = scoreTrials(rows, [], { ...SETTINGS, bootstrapReplicates: 2000, ...settings })
      .cells[0] as CellScore;
    if (!accuracy.ok) throw new Error(accuracy.reason);
    return accuracy;
  };
  const width = ({ low, high }: { low: number; high: number }) => high - low;

  test("the same seed gives the same bytes, another seed other limits", () => {
    expect(JSON.stringify(accuracyOf(trials))).toBe(JSON.stringify(accuracyOf(trials)));
    const limits = [3, 4, 5, 2 ** 32 + 3, -3].map((bootstrapSeed) => {
      const { averages } = scoreTrials(uneven, [], { ...SETTINGS, bootstrapSeed });
      return JSON.stringify(averages[1]?.accuracy);
    });
    expect(new Set(limits).size).toBe(limits.length);
  });

  test("more strings narrow the interval; more wordings of the same strings do not", () => {
    const alone = accuracyOf(trials);
    const doubled = accuracyOf([...trials, ...trials.map((trial) => ({ ...trial, item: `${trial.item}-again` }))]);
    expect(doubled.value).toBe(alone.value);
    expect(width(doubled)).toBeLessThan(0.85 * width(alone));
    const repeated = scoreTrials([...trials, ...trials.map((trial) => ({ ...trial, variant: "short" }))], [], {
      ...SETTINGS,
      bootstrapReplicates: 2000,
    }).averages[0]?.accuracy;
    expect(repeated).toEqual({ ...alone, n: 120 });
  });

  test("an interval at higher confidence holds one at lower confidence", () => {
    const wide = accuracyOf(trials, { confidence: 0.99 });
    const narrow = accuracyOf(trials, { confidence: 0.8 });
    expect(wide.low).toBeLessThan(narrow.low);
    expect(wide.high).toBeGreaterThan(narrow.high);
  });
});

/** Strings with unequal numbers of rows, so that replicates take many values. */
const uneven = Array.from({ length: 40 }, (_, index) =>
  ["p", "q", "r", "s"]
    .slice(0, 1 + (index % 4))
    .map((property) => makeTrial(`s${index}`, "a", (index * 7) % 5 < 2 ? "a" : "b", { property })),
).flat();
