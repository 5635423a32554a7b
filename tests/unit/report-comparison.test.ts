import { beforeAll, describe, expect, test } from "vitest";
import type { ComparedPair, Comparisons, CrossBehaviorSource } from "../../src/score/comparison/comparisons.js";
import { value } from "../../src/properties/property.js";
import type { Trial } from "../../src/score/trial.js";
import { formatP } from "../../src/report/sections/comparison-cells.js";
import { makeReport, type MadeReport } from "../../src/report/make-report.js";
import { behaviorOf } from "../../src/score/comparison/comparison.js";
import { measurePrivilegedAccess } from "../../src/score/comparison/judge.js";
import { INPUT_ONLY } from "../../src/score/input-only/input-only-predictions.js";
import { known, makeAverage, makeInput, makeScores } from "../fixtures/report/make-report-input.js";
import { makeTrainedInput } from "../fixtures/report/make-trained-input.js";
import { markdownTables, plain, unbalanced } from "../fixtures/report/read-report.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const HOSTILE = "<script>alert('&\"`|')</script>\n# x | y\u202eevil";
const SETTINGS = { confidence: 0.95, bootstrapReplicates: 200, bootstrapSeed: 3, noiseFloorNats: 0.01 };
const does = (at: number) => "abc"[(at * 7 + (at >> 2)) % 3] as string;

/** 60 strings of two tasks; self is right on `own` of every ten, cross on `other` of every ten, the last item on two. */
function trialsOf(target: string, self: string, cross: string, own: number, other: number): Trial[] {
  return Array.from({ length: 60 }, (_, at) => {
    const said = (right: number) => (Math.floor(at / 2) % 10 < right ? does(at) : "x");
    const rest = { task: at % 2 ? "words" : "animals_long", target, heuristics: { last_item: value(said(2)) } };
    return [
      makeTrial(`s${at}`, does(at), said(own), { ...rest, predictor: self }),
      makeTrial(`s${at}`, does(at), said(other), { ...rest, predictor: cross }),
      makeTrial(`s${at}`, at % 3 ? does(at) : "z", "x", { ...rest, target: cross, predictor: cross }),
    ];
  }).flat();
}

function made(own: number, other: number, rest: Partial<ComparedPair> = {}, source?: CrossBehaviorSource): Comparisons {
  const pair = {
    target: "m",
    self: "m1",
    cross: "n1",
    trained: { self: true, cross: true },
    sameWeights: false,
    ...rest,
  };
  const { target, self, cross } = pair;
  const trials = trialsOf(target, self, cross, own, other);
  const trainLabels = ["animals_long", "words"].map((task) => ({ target, task, property: "first_letter", value: "a" }));
  const measured = measurePrivilegedAccess(
    {
      trials,
      trainLabels,
      contrasts: [{ target, self, cross }],
      crossBehavior: behaviorOf(trials, cross),
      inputOnly: () => value("b"),
    },
    SETTINGS,
  );
  const { cross: comparison, thirdParties, verdict } = measured;
  const crossBehavior = source ?? { ok: true, state: cross };
  return {
    comparisonsVersion: 2,
    ...SETTINGS,
    netOfSkill: [],
    untrained: [],
    selfPredictions: [],
    series: [],
    comparisons: [{ scope: "all", ...pair, crossBehavior, comparison, thirdParties, verdict, strength: NOT_MEASURED }],
  };
}

const NOT_MEASURED = { ok: false as const, reason: "n was not asked about itself" };

const sectionOf = ({ markdown }: MadeReport) =>
  plain(markdown.split("## Self against cross")[1]?.split("\n## ")[0] ?? "");

describe("self against cross in the report", () => {
  let report: MadeReport;
  let section: string;
  beforeAll(async () => {
    report = await makeReport(makeInput({ comparisons: made(9, 4) }));
    section = sectionOf(report);
  });
  const linesOf = (beginning: string) => section.split("\n").filter((line) => line.startsWith(beginning));

  test("stands in both files, and the page stays whole", () => {
    expect(report.html).toContain('id="comparison"');
    expect(unbalanced(report.html)).toBeUndefined();
    const ids = [...report.html.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const rows of markdownTables(report.markdown)) expect(new Set(rows).size).toBe(1);
    for (const text of [report.html, report.markdown]) expect(text).not.toMatch(/NaN|undefined|\[object|Infinity/);
    expect(report.figures.map(({ name }) => name)).toContain("comparison");
    expect(report.markdown).toContain("(figures/comparison.svg)");
  });

  test("the verdict is computed from the numbers, and names each comparison", () => {
    const verdict = linesOf(">").join("\n");
    expect(verdict).toMatch(
      /^> \*\*Yes, with reservations — m1 against n1, about m\*\* \(`m1`, `n1`, `m`\)\n>\n> Against cross-prediction: \+50\.0 points/,
    );
    expect(verdict).toMatch(/Against cross-prediction: \+50\.0 points .*, 60 trials of 60 strings/);
    // What needs no self is another question.
    expect(verdict).not.toContain("the best simple rule on the string");
  });

  test("every difference has its sides, its baseline, an interval, a test and its n", () => {
    const [micro] = linesOf("| Micro |");
    expect(micro).toMatch(/\| 90\.0 % \\\[.*\| 40\.0 % \\\[.*\| \+50\.0 \\\[/);
    expect(micro).toMatch(/\| &lt; 0\.0001 exact, 30 strings \| 60 60 strings \|$/);
    expect(linesOf("| Macro |")).toHaveLength(1);
    expect(linesOf("| animals long |")[0]).toMatch(/of 2 \| 30 30 strings \|$/);
    expect(section).toContain("both 24, self alone 30, cross alone 0, neither 6");
    expect(section).toContain("every string has one trial, as the test assumes");
  });

  test("sensitivity rows and third parties stand beside", () => {
    expect(linesOf("| Both replies comply |")[0]).toContain("100.0 % (60 of 60)");
    expect(linesOf("| The two behave differently |")[0]).toContain("33.3 % (20 of 60)");
    expect(linesOf("| All behaviors weigh the same worth")).toHaveLength(1);
    for (const name of [
      "cross-prediction",
      "mode of the train strings",
      "best rule on the string",
      "input-only classifier",
    ]) {
      expect(linesOf(`| ${name} |`)[0]).toMatch(/self exceeds it \|$/);
    }
  });

  test("limits say what was not run, and no longer that nothing was computed", async () => {
    expect(section).toContain("whether it has reached its plateau is not known");
    expect(section).toContain("Self was compared with n1 about m only");
    const trained = await makeReport(makeTrainedInput({ comparisons: made(9, 4) }));
    expect(trained.markdown).toContain("Privileged access is judged under “Self against cross”");
    expect(trained.markdown).not.toContain("is not computed here");
  });

  test("the same input gives the same bytes", async () => {
    expect(await makeReport(makeInput({ comparisons: made(9, 4) }))).toEqual(report);
  });
});

describe("what weakens a comparison is said", () => {
  test("self that does not exceed cross", async () => {
    const section = sectionOf(await makeReport(makeInput({ comparisons: made(4, 9) })));
    expect(section).toContain("**No — m1 against n1, about m**");
    expect(section).toContain("Against cross-prediction: −50.0 points");
  });

  test("unequal training, equal weights, an unasked cross predictor", async () => {
    const reason = "what n1 does on these strings was not asked";
    const trained = { self: false, cross: true };
    const whole = made(5, 5, { trained, sameWeights: true }, { ok: true, state: "n" });
    const section = sectionOf(await makeReport(makeInput({ comparisons: whole })));
    expect(section).toContain("n1 was trained to predict and m1 was not");
    expect(section).toContain("it is another training, not another model");
    expect(section).toContain("the answers of n, without the adapter, stand for it");
    const [one] = made(5, 5).comparisons;
    const bare = {
      ...whole,
      comparisons: [one, one].flatMap((same) =>
        same
          ? [
              {
                ...same,
                crossBehavior: { ok: false as const, reason },
                comparison: {
                  ...same.comparison,
                  sensitivity: same.comparison.sensitivity.map((row) =>
                    row.name === "behaviors_differ"
                      ? { name: row.name, kept: row.kept, ok: false as const, reason }
                      : row,
                  ),
                },
              },
            ]
          : [],
      ),
    };
    const twice = await makeReport(makeInput({ comparisons: bare }));
    expect(sectionOf(twice)).toContain(`— (${reason})`);
    expect(twice.figures.map(({ name }) => name)).toEqual(expect.arrayContaining(["comparison-1", "comparison-2"]));
  });

  test("hostile names are text", async () => {
    const report = await makeReport(makeInput({ comparisons: made(6, 5, { cross: HOSTILE, self: `${HOSTILE}1` }) }));
    expect(report.html).not.toContain("<script");
    expect(unbalanced(report.html)).toBeUndefined();
    for (const rows of markdownTables(report.markdown)) expect(new Set(rows).size).toBe(1);
  });
});

describe("the classifier of strings in a report", () => {
  const heuristics = { last_item: known(0.2, 0.1, 0.3), [INPUT_ONLY]: known(0.4, 0.3, 0.5) };
  const scores = makeScores({ averages: [makeAverage({ heuristics }), makeAverage({ kind: "macro", heuristics })] });

  test("is among the rules, in the method, and in place of the old limit", async () => {
    const { markdown } = await makeReport(makeInput({ scores }));
    expect(markdown).toContain("Best rule on the string: last item (of 1)");
    expect(plain(markdown)).toMatch(/\| Input-only classifier \| 40\.0 % \\\[30\.0, 50\.0\\\]/);
    expect(markdown).toContain("Input-only classifier.");
    expect(markdown).toContain("one classifier of words and letters");
    expect(markdown).not.toContain("no classifier was trained on the strings");
  });

  test("where there is none the reason stands in the limits", async () => {
    const cell = {
      task: "numbers",
      property: "is_even",
      ok: false as const,
      reason: "only 4 train strings teach it",
    };
    const { markdown } = await makeReport(makeInput({ inputOnly: { tiny: [cell, cell] } }));
    expect(plain(markdown)).toContain(
      "No classifier of strings was trained for is even in numbers, as tiny answers (only 4 train strings teach it), and for 1 more.",
    );
    expect(markdown).toContain("no classifier was trained on the strings");
  });
});

test("p-values never read 0", () => {
  expect([1, 0.0312, 0.00042, 1e-300].map(formatP)).toEqual(["1.000", "0.031", "0.0004", "< 0.0001"]);
});
