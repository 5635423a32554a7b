/** Inputs that tell little or nothing: every statistic has a value with an interval around it, or says why not, and nothing is NaN. */
import { describe, expect, test } from "vitest";
import type { Trial } from "../../src/score/trial.js";
import { scoreCalibration } from "../../src/score/calibration/score-calibration.js";
import { clusterTInterval } from "../../src/score/interval.js";
import { comparePredictors } from "../../src/score/comparison/comparison.js";
import { measurePrivilegedAccess } from "../../src/score/comparison/judge.js";
import { scoreShift } from "../../src/score/comparison/shift.js";
import type { DifferenceRow } from "../../src/score/comparison/difference.js";
import { fitMatrix, onMissScale } from "../../src/score/matrix/fit.js";
import { matrixCells } from "../../src/score/matrix/cells.js";
import { powerOf } from "../../src/score/power-analysis.js";
import { scoreTrials } from "../../src/score/scores.js";
import { songRegression } from "../../src/score/matrix/song.js";
import { behavior, prediction } from "../fixtures/score/make-distribution.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const SETTINGS = { confidence: 0.95, bootstrapReplicates: 50, bootstrapSeed: 3, noiseFloorNats: 0 };
const CONTRAST = { target: "m", self: "m", cross: "n" };

/** What m does, what m says of it, what n says of it; undefined where a text does not comply. */
type Row = readonly [string | undefined, string | undefined, string | undefined];

const WORLDS: Record<string, readonly Row[]> = {
  "no trial": [],
  "one string": [["a", "a", "b"]],
  "two strings": [
    ["a", "a", "b"],
    ["b", "a", "b"],
  ],
  "one class": times(6, () => ["a", "a", "a"]),
  "one class, never said": times(6, () => ["a", "b", "b"]),
  "no compliant behavior": times(6, () => [undefined, "a", "b"]),
  "no compliant reply": times(6, (at) => ["abc"[at % 3], undefined, undefined]),
  "nothing complies": times(6, () => [undefined, undefined, undefined]),
  "a predictor that always says the mode": times(9, (at) => ["aab"[at % 3], "a", "aab"[at % 3]]),
  "all ties": times(8, (at) => ["ab"[at % 2], "a", "a"]),
  "self always right, cross never": times(8, (at) => ["ab"[at % 2], "ab"[at % 2], "c"]),
  "every string a class of its own": times(7, (at) => [`v${at}`, `v${at}`, "v0"]),
};

function times(count: number, row: (at: number) => Row): Row[] {
  return Array.from({ length: count }, (_, at) => row(at));
}

/** Both predictors about both targets, so that the matrix is whole: n does what m does, and both say the same of it. */
function trialsOf(rows: readonly Row[]): Trial[] {
  return rows.flatMap(([did, self, cross], at) =>
    ["m", "n"].flatMap((target) => [
      makeTrial(`s${at}`, did, self, { predictor: "m", target }),
      makeTrial(`s${at}`, did, cross, { predictor: "n", target }),
    ]),
  );
}

const MEASURES: Record<string, (rows: readonly Row[]) => unknown> = {
  scores: (rows) => scoreTrials(trialsOf(rows), [], SETTINGS),
  comparison: (rows) => comparePredictors(trialsOf(rows), [CONTRAST], SETTINGS),
  "privileged access": (rows) =>
    measurePrivilegedAccess({ trials: trialsOf(rows), trainLabels: [], contrasts: [CONTRAST] }, SETTINGS),
  "t interval": (rows) => clusterTInterval(differencesOf(rows), "macro", 0.95),
  power: (rows) => powerOf(differencesOf(rows), { difference: 0.1, power: 0.9, confidence: 0.95, kind: "micro" }),
  matrix: (rows) => matrix(rows, false),
  "matrix of misses": (rows) => matrix(rows, true),
  "behavioral change": (rows) =>
    scoreShift(
      rows.flatMap(([was, said, is], at) => [
        makeTrial(`s${at}`, was, said, { predictor: "new", target: "old" }),
        makeTrial(`s${at}`, is, said, { predictor: "new", target: "new" }),
      ]),
      { predictor: "new", before: "old", after: "new" },
      SETTINGS,
    ),
  calibration: (rows) =>
    scoreCalibration(
      rows.flatMap(([did, said], at) => [
        behavior(`s${at}`, did === undefined ? {} : { [did]: 1 }),
        prediction(`s${at}`, said === undefined ? {} : { [said]: 1 }),
      ]),
      [
        { predictor: "m1", target: "m", kind: "self" },
        { predictor: "n1", target: "m", kind: "cross" },
      ],
      SETTINGS,
    ),
};

function differencesOf(rows: readonly Row[]): DifferenceRow[] {
  return rows.flatMap(([did, self, cross], at) =>
    did === undefined
      ? []
      : [{ task: "t", item: `s${at}`, property: "p", difference: Number(did === self) - Number(did === cross) }],
  );
}

function matrix(rows: readonly Row[], misses: boolean) {
  const bootstrap = { replicates: 50, confidence: 0.95 };
  const { cells, clusters, tasks } = matrixCells(trialsOf(rows), {
    kind: "micro",
    ...bootstrap,
    seed: 1,
    similarity: true,
  });
  const fitted = misses ? onMissScale(cells) : cells;
  const without = fitted.map(({ similarity: _, ...cell }) => cell);
  return [fitted, without].map((some) => fitMatrix(some, { bootstrap: { ...bootstrap, clusters, tasks } }));
}

/** Follows every number and reason of an answer. */
function check(node: unknown, path: string): void {
  if (typeof node === "number") expect(Number.isFinite(node), `${path} is ${node}`).toBe(true);
  if (typeof node !== "object" || node === null) return;
  const { ok, reason, value, low, high } = node as Record<string, unknown>;
  if (ok === false) expect(typeof reason === "string" && reason.length > 0, `${path} has no reason`).toBe(true);
  if (ok === true && [value, low, high].every((one) => typeof one === "number")) {
    const [at, from, to] = [value, low, high] as [number, number, number];
    expect(from <= at && at <= to, `${path}: ${at} in [${from}, ${to}]`).toBe(true);
  }
  for (const [name, inside] of Object.entries(node)) check(inside, `${path}/${name}`);
}

describe.each(Object.keys(WORLDS))("%s", (world) => {
  test.each(Object.keys(MEASURES))("%s: a value or a stated reason", (measure) => {
    const result = (MEASURES[measure] as (rows: readonly Row[]) => unknown)(WORLDS[world] as readonly Row[]);
    expect(result).toBeDefined();
    check(result, measure);
    expect(JSON.stringify(result)).not.toMatch(/NaN|Infinity|undefined/);
  });
});

test("Song's regression: one item, items that all tie, an answer that never changes", () => {
  const settings = { matchType: () => "other", baseline: "other", replicates: 30, seed: 1, confidence: 0.95 };
  const model = (name: string, direct: number[], meta: number[]) => ({ name, direct, meta: [meta] });
  for (const [direct, meta] of [
    [[1], [1]],
    [
      [2, 2, 2, 2],
      [1, 2, 3, 4],
    ],
    [
      [1, 2, 3, 4],
      [0, 0, 0, 0],
    ],
    [
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ],
  ] as const) {
    const models = ["a", "b", "c"].map((name) => model(name, [...direct], [...meta]));
    check(songRegression(models, settings), JSON.stringify([direct, meta]));
  }
});
