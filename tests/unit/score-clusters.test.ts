/** A string that is asked in two forms, with the same outcome in both, teaches nothing more: every interval and test stays what it is. */
import { describe, expect, test } from "vitest";
import { scoreCalibration } from "../../src/score/calibration/score-calibration.js";
import { comparePredictors } from "../../src/score/comparison/comparison.js";
import type { DifferenceRow } from "../../src/score/comparison/difference.js";
import { scoreShift } from "../../src/score/comparison/shift.js";
import { trainClassifier } from "../../src/score/input-only/classifier.js";
import { inputOnlyPredictions } from "../../src/score/input-only/input-only-predictions.js";
import { matrixCells } from "../../src/score/matrix/cells.js";
import { songRegression } from "../../src/score/matrix/song.js";
import { powerOf } from "../../src/score/power-analysis.js";
import { scoreTrials } from "../../src/score/scores.js";
import type { Trial } from "../../src/score/trial.js";
import { behavior, prediction } from "../fixtures/score/make-distribution.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 300, bootstrapSeed: 3, noiseFloorNats: 0 };

/** Numbers that look drawn and are not. */
const draw = (...parts: readonly number[]) => {
  const x = Math.sin(parts.reduce((sum, part, at) => sum + part * (12.9898 + 7.233 * at), 1)) * 43758.5453;
  return x - Math.floor(x);
};
const letter = (...parts: readonly number[]) => "abc"[Math.floor(3 * draw(...parts))] as string;

const STRINGS = Array.from({ length: 30 }, (_, at) => `s${String(at).padStart(2, "0")}`);
const TRIALS: readonly Trial[] = STRINGS.flatMap((item, at) => {
  const does = [letter(1, at), letter(2, at)];
  return ["m", "n"].flatMap((predictor, i) =>
    ["m", "n"].map((target, j) =>
      makeTrial(item, does[j], draw(3, at, i, j) < 0.6 ? does[j] : letter(4, at, i), { predictor, target }),
    ),
  );
});

/** Each row once more, under an id of its own; the cluster has the first one's. */
function inTwoForms<Row extends { readonly item: string }>(
  rows: readonly Row[],
): (Row & { readonly cluster: string })[] {
  return rows.flatMap((row) => [
    { ...row, cluster: row.item },
    { ...row, item: `${row.item}-swapped`, cluster: row.item },
  ]);
}

/** Everything but how many rows there were. */
function withoutCounts(value: unknown): unknown {
  const counts = new Set(["n", "count", "of", "trials", "paired", "comparisons", "points", "both", "trialsPerString"]);
  return JSON.parse(JSON.stringify(value, (key, one: unknown) => (counts.has(key) ? undefined : one)));
}

describe("two forms of each string give what one gives", () => {
  test("accuracies, modes and their averages", () => {
    const labels = ["m", "n"].map((target) => ({ target, task: "animals", property: "first_letter", value: "a" }));
    const of = (trials: readonly Trial[]) => {
      const { cells, averages } = scoreTrials(trials, labels, SETTINGS);
      return withoutCounts([cells, averages]);
    };
    expect(of(inTwoForms(TRIALS))).toEqual(of(TRIALS));
  });

  test("a paired comparison, its sign-flip test and its levels", () => {
    const of = (trials: readonly Trial[]) => {
      const compared = comparePredictors(trials, [{ target: "m", self: "m", cross: "n" }], SETTINGS);
      const { overall, strings } = compared;
      return withoutCounts([overall, strings]);
    };
    expect(of(inTwoForms(TRIALS))).toEqual(of(TRIALS));
  });

  test("a change of behavior", () => {
    const sides = { predictor: "n", before: "m", after: "n" };
    const of = (trials: readonly Trial[]) => {
      const { shifted, overall } = scoreShift(trials, sides, SETTINGS);
      return withoutCounts([shifted, overall]);
    };
    expect(of(inTwoForms(TRIALS))).toEqual(of(TRIALS));
  });

  test("the matrix and how alike two models behave", () => {
    const of = (trials: readonly Trial[]) => {
      const { cells, clusters } = matrixCells(trials, { kind: "micro", replicates: 50, seed: 1, similarity: true });
      const drawn = (mean: (typeof cells)[number]["accuracy"] | undefined) =>
        mean?.ok ? [mean.value, Array.from({ length: 50 }, (_, at) => mean.inReplicate?.(at))] : mean;
      return [clusters, cells.map(({ accuracy, similarity }) => [drawn(accuracy), drawn(similarity)])];
    };
    expect(of(inTwoForms(TRIALS))).toEqual(of(TRIALS));
  });

  test("calibration, and the constant predictor that knows the other strings only", () => {
    const rows = STRINGS.flatMap((item, at) => {
      const p = 0.2 + 0.6 * draw(5, at);
      return [behavior(item, { a: p, b: 1 - p }), prediction(item, { a: 0.5 * p + 0.2, b: 0.7 - 0.5 * p })];
    });
    const of = (distributions: typeof rows) => {
      const [row] = scoreCalibration(
        distributions,
        [{ predictor: "m", target: "m", kind: "untrained" }],
        SETTINGS,
      ).rows;
      return withoutCounts([
        row?.strings,
        row?.metrics.brier,
        row?.metrics.totalVariation,
        row?.skill,
        row?.constant.brier,
      ]);
    };
    const [twice, once] = [of(inTwoForms(rows)), of(rows)];
    expect(JSON.stringify(twice, rounded)).toBe(JSON.stringify(once, rounded));
  });

  test("Song's correlations", () => {
    const column = (name: number) => STRINGS.map((_, at) => draw(name, at) + 0.5 * draw(9, at));
    const models = ["a1", "a2"].map((name, at) => ({ name, direct: column(10 + at), meta: [column(20 + at)] }));
    const twice = <Value>(values: readonly Value[]) => values.flatMap((value) => [value, value]);
    const settings = { matchType: () => "other", baseline: "other", replicates: 100, seed: 1, confidence: 0.95 };
    const once = songRegression(models, settings);
    const both = songRegression(
      models.map(({ name, direct, meta }) => ({ name, direct: twice(direct), meta: meta.map(twice) })),
      { ...settings, clusters: twice(STRINGS) },
    );
    const of = ({ pairs, regression }: typeof once) => JSON.stringify(withoutCounts([pairs, regression]), rounded);
    expect(of(both)).toBe(of(once));
  });

  test("how many strings a difference takes", () => {
    const rows = STRINGS.flatMap((item, at): DifferenceRow[] =>
      ["p", "q"].map((property, place) => ({
        task: "animals",
        item,
        property,
        difference: Math.floor(3 * draw(6, at, place)) - 1,
      })),
    );
    const of = (some: readonly DifferenceRow[]) => {
      const power = powerOf(some, { difference: 0.05, power: 0.9, confidence: 0.95, kind: "micro" });
      return power.ok ? [power.strings, power.pilot.strings, power.pilot.standardError.toFixed(12)] : power.reason;
    };
    expect(of(inTwoForms(rows))).toEqual(of(rows));
  });
});

describe("the classifier of strings", () => {
  // The value is the pair's alone: only who has seen the other form knows it.
  const pairs = Array.from({ length: 40 }, (_, at) => ({ pair: `pair${at}`, value: letter(7, at) })).flatMap(
    ({ pair, value }) => [
      { text: `${pair} left`, value, cluster: pair },
      { text: `${pair} right`, value, cluster: pair },
    ],
  );

  test("is not cross-validated on another form of what it learnt", () => {
    const apart = trainClassifier(pairs).fitted?.crossValidated.count as number;
    const leaked = trainClassifier(pairs.map(({ text, value }) => ({ text, value }))).fitted?.crossValidated.count;
    expect(leaked).toBeGreaterThan(60);
    expect(apart).toBeLessThan(50);
  });

  test("the same through the third party, where clusters have their names within a task", () => {
    const examples = pairs.map(({ text, ...rest }) => ({ ...rest, text, item: text, task: "t", property: "p" }));
    const [cell] = inputOnlyPredictions(examples, [{ task: "t", item: "q", property: "p", text: "pair1 left" }]).cells;
    expect(cell?.ok && cell.crossValidated?.count).toBeLessThan(50);
  });
});

function rounded(_: string, value: unknown): unknown {
  return typeof value === "number" ? Number(value.toPrecision(9)) : value;
}
