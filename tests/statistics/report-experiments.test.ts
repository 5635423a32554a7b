import { beforeAll, describe, expect, test } from "vitest";
import { stateNames } from "../../src/report/state-names.js";
import { makeReport, type MadeReport, type ReportInput } from "../../src/report/make-report.js";
import { makeEverythingInput, makeEverythingPlan } from "../fixtures/report/make-experiments-input.js";
import { markdownTables, marksOf, plain, unbalanced } from "../fixtures/report/read-report.js";

const HOSTILE = "<script>alert('&\"`|')</script>\n# x | y\u202eevil";

describe("a report of every experiment, with every kind of state", () => {
  let input: ReportInput;
  let report: MadeReport;
  const sectionOf = (title: string) => plain(report.markdown.split(`\n## ${title}\n`)[1]?.split("\n## ")[0] ?? "");
  const rowsOf = (section: string, beginning: string) =>
    section.split("\n").filter((line) => line.startsWith(`| ${beginning}`));

  beforeAll(async () => {
    input = makeEverythingInput();
    report = await makeReport(input);
  });

  test("answers come first, then what they rest on, samples, method, files, limits", () => {
    expect([...report.markdown.matchAll(/^## (.*)$/gm)].map(([, title]) => title)).toEqual([
      "At a glance",
      "What training changed",
      "What was trained",
      "How far the behavior moved",
      "Each predictor about each target",
      "Self against controls",
      "Self against cross",
      "Behavioral change",
      "Every number of the experiments",
      "In pictures",
      "Every task and property",
      "Noise floor",
      "Some trials to read",
      "Exclusions",
      "How it was asked and scored",
      "How intervals are made",
      "Files, engine and settings",
      "Assumptions and limits",
    ]);
  });

  test("the page is whole in both renderings", () => {
    expect(unbalanced(report.html)).toBeUndefined();
    const ids = [...report.html.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const rows of markdownTables(report.markdown)) expect(new Set(rows).size).toBe(1);
    for (const text of [report.html, report.markdown]) expect(text).not.toMatch(/NaN|undefined|\[object|Infinity/);
    for (const { name, svg } of report.figures) {
      expect(unbalanced(svg)).toBeUndefined();
      expect(report.markdown).toContain(`(figures/${name}.svg)`);
    }
  });

  test("the first page has each answer, its number with interval, baselines and n, and the words explained", () => {
    const page = sectionOf("At a glance");
    const [self] = rowsOf(page, "Self-prediction: asked beforehand");
    expect(self).toMatch(
      /\| small after training, about small before training, 2 seeds, on held-out tasks \(`small-predicts-small`, `small`\) \| \*\*Yes, with reservations\*\* \|/,
    );
    expect(self).toMatch(/\d points \\\[.*mode of the train strings .*\d \/ \d+ \|$/);
    expect(rowsOf(page, "Self against others").length).toBeLessThanOrEqual(4);
    // Two changes, on tasks that were taught and on others.
    expect(rowsOf(page, "Behavioral change")).toHaveLength(4);
    expect(page).toContain("**Yes:** in every comparison that the question needs");
    expect(page).toContain("[How intervals are made](#intervals)");
  });

  test("the glance table becomes cards: each cell of a row carries its column's name", () => {
    const [, table = ""] = report.html.split('<table class="cards">');
    const [first = ""] = table.split("</tbody>")[0]?.match(/<tr><th scope="row".*?<\/tr>/s) ?? [];
    expect([...first.matchAll(/data-label="([^"]*)"/g)].map(([, label]) => label)).toEqual([
      "Answer",
      "Decided by",
      "Value",
      "Beside it",
      "Trials / strings",
    ]);
    expect(first).toContain('<span class="ids"><code>small-predicts-small</code> <code>small</code></span>');
  });

  test("every state of the plan has a name of its own", () => {
    const names = stateNames(input.plan);
    const all = Object.keys(input.plan.states ?? {}).map(names);
    expect(new Set(all).size).toBe(all.length);
    expect(names("small")).toBe("small before training");
    expect(names("small-predicts-small")).toBe("small after training");
    expect(names("small-predicts-small-seed-8")).toBe("small after training, seed 8");
    expect(names("shallow-predicts-small-from-30")).toBe("shallow trained on small, 30 strings");
    expect(names("shallow-shown-8-of-small")).toBe("shallow shown 8 behaviors of small");
    expect(names("small-predicts-small-asked-bare")).toBe("small after training, asked in the wording “bare”");
    expect(names("nobody")).toBe("nobody");
  });

  test("the figure of the first experiment moves to the first page, and its section says so", () => {
    const page = sectionOf("At a glance");
    expect(page).toContain("(figures/self-prediction-1.svg)");
    for (const name of ["self-prediction-1", "comparison-1", "shift-1"]) {
      expect(report.markdown.split(`(figures/${name}.svg)`)).toHaveLength(2);
    }
    expect(sectionOf("Self against controls")).toContain("stands under [At a glance](#experiments)");
  });

  test("self stands beside its controls, other wordings and series", () => {
    const section = sectionOf("Self against controls");
    for (const name of ["itself untrained", "control: scrambled labels", "control: format only"]) {
      expect(rowsOf(section, name)[0]).toMatch(/self exceeds it \|$/);
    }
    // About two targets, on each of two scopes.
    expect(rowsOf(section, "bare")).toHaveLength(4);
    expect(rowsOf(section, "shallow shown behaviors of small").map((line) => line.split(" | ")[2])).toEqual(["2", "8"]);
    expect(rowsOf(section, "shallow learning from strings of small")).toHaveLength(2);
    const series = report.figures.find(({ name }) => name === "series")?.svg ?? "";
    expect(marksOf(series, "points")).toHaveLength(4);
    expect(section).toMatch(/- (Whether )?shallow learning from strings of small .* from 10 \(.* to 30 strings \(/);
    expect(section).toMatch(/- (Whether )?shallow shown behaviors of small .* from 2 \(.* to 8 behaviors \(/);
    const [, limits = ""] = sectionOf("Self against cross").split("What the comparison does not show");
    expect(limits).toMatch(/shallow learning from strings of small .* from 10 /);
    expect(limits).not.toContain("No series of training amounts");
  });

  test("a change says what was taught, and sets old and new beside their modes for everybody asked", () => {
    const section = sectionOf("Behavioral change");
    expect(section).toContain(
      "learnt to answer train strings of animals long with what a rule on the string gives (last item)",
    );
    expect(section).toContain("its own answers under the system message “Answer in capital letters only.”");
    const changed = rowsOf(section, "small-predicts-small-changed-last, the changed model");
    expect(changed.map((line) => line.split(" | ")[1])).toEqual(
      expect.arrayContaining(["taught tasks", "tasks that were not taught"]),
    );
    expect(section).toContain("follows the new behavior: new minus old +");
    const besides = rowsOf(
      section,
      "shallow-predicts-small-from-30-changed-last, a cross-predictor given the same change",
    );
    expect(besides.length).toBeGreaterThan(1);
    expect(section).toMatch(
      /The changed model knows more of it than .*: about the new behavior, on the same trials, .* minus it \+/,
    );
    expect(plain(report.markdown)).toContain(
      "goes on from shallow-predicts-small-from-30; learnt the same answers as small-predicts-small-changed-last",
    );
    const svg = report.figures.find(({ name }) => name === "shift-1")?.svg ?? "";
    const arms = input.shifts?.changes[0]?.arms.length ?? 0;
    expect(marksOf(svg, "bars")).toHaveLength(2 * arms);
    expect(marksOf(svg, "marks")).toHaveLength(2 * arms);
  });

  test("twenty predictors: the main ones in full, the others a row each", () => {
    const section = sectionOf("Each predictor about each target");
    const [full = "", others = ""] = section.split("### Other seeds, series, controls");
    // A row for each scope.
    const inFull = rowsOf(full, "about ").map((line) => line.split(" | ")[1]?.replace(/ on held-out .*/, ""));
    expect(inFull).not.toContain("small-predicts-small-scrambled");
    expect(inFull).toContain("shallow-predicts-small-from-30");
    expect(inFull).not.toContain("shallow-predicts-small-from-10");
    expect(full).toContain("- On held-out tasks: small predicts its own behavior right in ");
    expect(section).toMatch(
      /\| about small \| small-predicts-small-scrambled control: learnt the labels of other strings; on held-out tasks \|/,
    );
    expect(rowsOf(others, "about ").length + inFull.length).toBe(2 * input.plan.predictions.length);
    expect(report.figures.filter(({ name }) => name.startsWith("loss"))).toHaveLength(3);
  });

  test("adapters that are not told in full say what they learnt and from whom they go on", () => {
    const section = sectionOf("What was trained");
    expect(section).toContain("goes on from small-predicts-small; learnt to answer animals long with what a rule");
    expect(section).toContain("control: learnt to read properties off quoted answers");
    expect(sectionOf("How it was asked and scored")).toContain("Change stern.");
  });

  test("files say what was rounded and which layers are gone", () => {
    const section = sectionOf("Files, engine and settings");
    expect(section).toContain("to the grid of Q4\\_0");
    expect(section).toContain("3 of 30 (numbers 3, 8, 12)");
    expect(rowsOf(section, "`small-predicts-small-asked-bare`")[0]).toContain("asked in the wording “bare”");
  });

  test("assumptions and limits follow from what was run", () => {
    const section = sectionOf("Assumptions and limits");
    for (const words of [
      "scored also about what they do since",
      "Questions say “you” to everybody",
      "shallow had no such examples",
      "without 3 of its 30 layers",
      "Trainings had at most 2 seeds",
      "Not judged: calibration.",
    ]) {
      expect(section).toContain(words);
    }
    expect(section).not.toMatch(/no training on the form alone|No control on scrambled|Behavior was not changed/);
  });

  test("the same input gives the same bytes", async () => {
    expect(await makeReport(makeEverythingInput())).toEqual(report);
  });
});

test("an experiment without a verdict says why, and hostile words stay text", async () => {
  const plan = makeEverythingPlan();
  const input = makeEverythingInput({}, plan);
  const [first] = input.experiments?.experiments ?? [];
  if (!first) throw new Error("nothing is judged");
  const [verdict] = first.verdicts;
  if (!verdict) throw new Error("there is no verdict");
  const hostile = {
    ...verdict,
    about: { kind: "self" as const, self: HOSTILE, target: `${HOSTILE}2`, seeds: 1 },
    reservations: [{ kind: "not_compared" as const, against: HOSTILE, reason: HOSTILE }],
    numbers: [],
  };
  const report = await makeReport({
    ...input,
    experiments: {
      experimentsVersion: 3,
      experiments: [
        { ...first, verdicts: [hostile, ...Array(12).fill({ ...hostile, finding: "cannot_tell" })] },
        { name: "matrix", verdicts: [], missing: "no_matrix" },
      ],
    },
  });
  expect(report.html).not.toMatch(/<script/i);
  expect(unbalanced(report.html)).toBeUndefined();
  expect(report.markdown).toContain("— (no matrix was made)");
  expect(report.markdown).toContain("10 more: 10 cannot be told");
  for (const rows of markdownTables(report.markdown)) expect(new Set(rows).size).toBe(1);
});
