import { beforeAll, describe, expect, test } from "vitest";
import type { MeasuredDistribution } from "../../src/ask/measure-distribution.js";
import {
  type CalibrationPair,
  type CalibrationRow,
  type CalibrationScores,
  scoreCalibration,
} from "../../src/score/calibration/score-calibration.js";
import { calibrationSentence, calibrationDifferenceSentence } from "../../src/report/sections/calibration-section.js";
import { makeReport, type MadeReport } from "../../src/report/make-report.js";
import { known, makeInput } from "../fixtures/report/make-report-input.js";
import { markdownTables, marksOf, plain, unbalanced } from "../fixtures/report/read-report.js";
import { behavior, prediction } from "../fixtures/score/make-distribution.js";

const HOSTILE = "<script>alert('&\"`|')</script>\n# x | y\u202eevil";
const SETTINGS = { confidence: 0.95, bootstrapReplicates: 100, bootstrapSeed: 1 };
const PROPERTIES = ["first_word", "second_character"];

/** Thirty strings whose probability of a rises; m1 follows it, m says a half, n1 says c. */
function makeScores(names = { m: "m", m1: "m1", n1: "n1" }, samples?: number): CalibrationScores {
  const lines = PROPERTIES.flatMap((property) =>
    Array.from({ length: 30 }, (_, at): MeasuredDistribution[] => {
      const [item, p] = [`s${at}`, (at + 1) / 32];
      return [
        behavior(item, { a: 0.9 * p, b: 0.9 * (1 - p) }, { property, state: names.m }),
        prediction(item, { a: p, b: 1 - p }, { property, state: names.m1 }),
        prediction(item, { a: 0.5, b: 0.5 }, { property, state: names.m, ...(samples ? { samples } : {}) }),
        prediction(item, { c: 0.7 }, { property, state: names.n1, tail: 0.1 }),
      ];
    }).flat(),
  );
  const pairs: CalibrationPair[] = [
    { predictor: names.m, target: names.m, kind: "untrained" },
    { predictor: names.m1, target: names.m, kind: "self" },
    { predictor: names.n1, target: names.m, kind: "cross" },
  ];
  return scoreCalibration(lines, pairs, SETTINGS);
}

const reportOf = (calibration?: CalibrationScores) =>
  makeReport({ ...makeInput(), ...(calibration === undefined ? {} : { calibration }) });

describe("a study that measured distributions", () => {
  let report: MadeReport;
  let section: string;
  beforeAll(async () => {
    report = await reportOf(makeScores());
    section = plain(report.markdown.split("## Calibration at temperature 1")[1]?.split("\n## ")[0] ?? "");
  });
  const linesOf = (beginning: string) => section.split("\n").filter((line) => line.startsWith(beginning));

  test("the section stands in both files, and the page stays whole", () => {
    expect(report.html).toContain('id="calibration"');
    expect(section).not.toBe("");
    expect(unbalanced(report.html)).toBeUndefined();
    const ids = [...report.html.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const rows of markdownTables(report.markdown)) expect(new Set(rows).size).toBe(1);
    for (const text of [report.html, report.markdown]) expect(text).not.toMatch(/NaN|undefined|\[object|Infinity/);
  });

  test("verdicts come first and are computed", () => {
    expect(linesOf("> ").map((line) => line.replaceAll("**", "").split("(total")[0]?.split(": pred")[0])).toEqual([
      "> m1 is nearer to what m does than m, which is untrained, is ",
      "> m1 is nearer to what m does than n1, which has other weights, is ",
      "> m about itself (untrained)",
      "> m1 about m (self)",
      "> n1 about m (cross)",
    ]);
    expect(section).toContain("knowing the string, it beats that constant predictor (Brier skill");
    expect(section).toContain("it is worse than that constant predictor (Brier skill");
  });

  test("the constant predictor's row stands below each predictor's, with n", () => {
    const rows = linesOf("| m1 about m self |");
    expect(rows[0]).toMatch(/^\| m1 about m self \| 0\.0 \\\[0\.0, \d+\.\d\\\] \|/);
    expect(rows[0]).toMatch(/\| 120 \/ 30 \|$/);
    // In three tables: the last counts only replies with a value.
    expect(linesOf("| … constant predictor |")).toHaveLength(9);
    expect(linesOf("| n1 about m cross |")[1]).toContain("| 60 / 30 |");
  });

  test("by property, differences, cost and what was left out", () => {
    for (const name of ["first word", "second character"]) {
      expect(linesOf(`| ${name} | m1 about m self |`)).toHaveLength(1);
      expect(linesOf(`| ${name} | m1 − n1, about m self minus cross |`)).toHaveLength(1);
    }
    expect(linesOf("| all properties | m1 − m, about m self minus untrained | −")).toHaveLength(1);
    expect(section).toContain("6,000 tokens for 60 expansions | 6,000 tokens for 60 expansions | none |");
    expect(linesOf("| n1 about m cross | 90.0 %")[0]).toContain("100.0 % (60 of 60)");
  });

  test("the figure: a line of bins per predictor, the diagonal, a histogram", () => {
    const figure = report.figures.find(({ name }) => name === "calibration");
    const svg = figure?.svg ?? "";
    expect(unbalanced(svg)).toBeUndefined();
    // Two rules would be two diagonals.
    expect(marksOf(svg, "diagonal")).toHaveLength(1);
    expect(marksOf(svg, "bins")).toHaveLength(30);
    expect(marksOf(svg, "histogram")).toHaveLength(30);
    for (const label of ["m, untrained", "m1, self", "n1, cross"]) expect(svg).toContain(`>${label}<`);
  });

  test("method and limits say what was chosen and what was not run", () => {
    expect(section).toContain("which is mixed with 1 % of a uniform distribution");
    expect(plain(report.markdown)).toMatch(
      /How intervals are made\n[^#]*95 % percentile cluster bootstrap by source string/,
    );
    expect(section).not.toContain("No cross-prediction was measured");
    expect(section).not.toContain("rest on samples");
  });
});

test("without distributions there is no section", async () => {
  const report = await reportOf();
  expect(report.markdown).not.toContain("Calibration");
  expect(report.figures.map(({ name }) => name)).not.toContain("calibration");
});

test("what was not run and what was sampled stand among the limits; a pair without data is a reason, not a figure", async () => {
  const untrained: CalibrationPair = { predictor: "m", target: "m", kind: "untrained" };
  const empty = await reportOf(scoreCalibration([], [untrained], SETTINGS));
  expect(empty.markdown).toContain("No cross-prediction was measured");
  expect(empty.html).toContain("there is no calibration to show (nothing to compare)");
  expect(empty.figures.map(({ name }) => name)).not.toContain("calibration");
  for (const text of [empty.html, empty.markdown]) expect(text).not.toMatch(/NaN|undefined|\[object|Infinity/);
  const sampled = await reportOf(makeScores(undefined, 200));
  expect(sampled.markdown).toContain("60 of 180 comparisons rest on samples");
});

test("hostile names are text everywhere", async () => {
  const report = await reportOf(makeScores({ m: `m${HOSTILE}`, m1: `m1${HOSTILE}`, n1: `n1${HOSTILE}` }));
  expect(report.html).not.toMatch(/<script/i);
  expect(report.html).not.toContain("\u202e");
  expect(unbalanced(report.html)).toBeUndefined();
  for (const rows of markdownTables(report.markdown)) expect(new Set(rows).size).toBe(1);
  expect(report.markdown).not.toMatch(/^# x/m);
});

describe("only an interval that excludes 0 makes a difference", () => {
  const [, row] = makeScores().rows.filter(({ property }) => property === undefined);
  const [difference] = makeScores().differences;
  test.each([
    [0.2, 0.1, 0.3, "it beats that constant predictor"],
    [0.2, -0.1, 0.3, "it is not shown to beat"],
    [-0.2, -0.3, -0.1, "it is worse than"],
  ])("skill %f [%f, %f]: %s", (value, low, high, words) => {
    expect(calibrationSentence({ ...(row as CalibrationRow), skill: known(value, low, high) })).toContain(words);
  });
  test.each([
    [-0.2, -0.3, -0.1, "is nearer to"],
    [-0.2, -0.3, 0.1, "is not shown to differ from"],
    [0.2, 0.1, 0.3, "is further from"],
  ])("total variation %f [%f, %f]: %s", (value, low, high, words) => {
    const one = difference as CalibrationScores["differences"][number];
    expect(calibrationDifferenceSentence({ ...one, totalVariation: known(value, low, high) })).toContain(words);
  });
});
