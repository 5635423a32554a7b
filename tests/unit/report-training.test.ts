import { beforeAll, describe, expect, test } from "vitest";
import type { PlannedAdapter } from "../../src/study/plan.js";
import { makeReport, type MadeReport } from "../../src/report/make-report.js";
import { makeInput, unknown } from "../fixtures/report/make-report-input.js";
import {
  ADAPTER,
  makeCard,
  makeCrossPlan,
  makeSetReport,
  makeTrained,
  makeTrainedInput,
  makeTrainedPlan,
  makeTrainedScores,
} from "../fixtures/report/make-trained-input.js";
import { markdownTables, marksOf, plain, unbalanced } from "../fixtures/report/read-report.js";

const HOSTILE = "<script>alert('&\"`|')</script>\n# x | y\u202eevil";
const titlesOf = (html: string) => [...html.matchAll(/<h2>([^<]*)<\/h2>/g)].map(([, title]) => title);
const linesOf = (report: MadeReport, beginning: string) =>
  plain(report.markdown)
    .split("\n")
    .filter((line) => line.startsWith(beginning));

describe("a study that trains", () => {
  let report: MadeReport;
  beforeAll(async () => {
    report = await makeReport(makeTrainedInput());
  });

  test("what training changed comes first, alike in both files", () => {
    expect(titlesOf(report.html)).toEqual([
      "What training changed",
      "What was trained",
      "How far the behavior moved",
      "Each predictor about each target",
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
    expect([...report.markdown.matchAll(/^## (.*)$/gm)].map(([, title]) => title)).toEqual(titlesOf(report.html));
  });

  test("the page is whole, loads nothing, and its tables keep their columns", () => {
    expect(unbalanced(report.html)).toBeUndefined();
    expect(report.html).not.toMatch(/https?:\/\/|@import|url\(|<script|<link|<img/i);
    const ids = [...report.html.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const rows of markdownTables(report.markdown)) expect(new Set(rows).size).toBe(1);
    for (const text of [report.html, report.markdown]) expect(text).not.toMatch(/NaN|undefined|\[object|Infinity/);
  });

  test("the opening says what was learnt from what, and what was not", () => {
    expect(report.markdown).toContain(
      "This was done before and after training a LoRA adapter: from the answers to 50 other strings of animals long, tiny learnt what it does. Nothing was learnt from numbers.",
    );
  });

  test("before, after and about itself stand beside mode, oracle and rule, for each scope", () => {
    const scopes = [
      "the held-out task (numbers)",
      "held-out strings of trained tasks (animals long)",
      "all of these pooled, which nothing is judged on",
    ];
    for (const scope of scopes) {
      expect(linesOf(report, `| ${scope} |`).map((line) => line.split(" | ")[1])).toEqual([
        "Before training M → M",
        "After training M1 → M",
        "After, about its new behavior M1 → M1",
        ...linesOf(report, `| ${scope} | 3.1`).map((line) => line.split(" | ")[1]),
      ]);
    }
    expect(linesOf(report, "| the held-out task (numbers) | After training")[0]).toBe(
      "| the held-out task (numbers) | After training M1 → M | 40.0 % \\[37.0, 43.0\\] | 31.0 % \\[28.2, 34.1\\] | −2.0 \\[−6.0, 2.0\\] | 35.2 % \\[32.0, 38.4\\] | 20.0 % \\[17.0, 23.0\\] last item | 41.0 % \\[38.0, 44.0\\] | 100.0 % (1,100 of 1,100) | 93.1 % (1,024 of 1,100) | 1,024 / 200 |",
    );
  });

  test("the change is paired, micro and macro", () => {
    expect(linesOf(report, "| all of these pooled, which nothing is judged on | 3.1")).toEqual([
      "| all of these pooled, which nothing is judged on | 3.1 % \\[2.0, 4.4\\] | 40.0 % \\[37.0, 43.0\\] | +36.9 \\[33.0, 41.0\\] | +30.0 \\[20.0, 40.0\\] | 1,024 / 200 |",
    ]);
  });

  test("drift stands over all and per task and property, with the strings that only one side has", () => {
    expect(linesOf(report, "| all tasks | all properties")).toEqual([
      "| all tasks | all properties | 25.0 % \\[20.0, 30.0\\] | 90 | 2 | 5 | 3 |",
    ]);
    expect(linesOf(report, "| animals long | first word | 50.0 % \\[40.0, 60.0\\] | 90")).toHaveLength(1);
  });

  test("what was trained: adapter, examples, tokens, settings, and every string left out with its reason", () => {
    const text = plain(report.markdown);
    expect(text).toContain(
      "A LoRA adapter of rank 4 beside q and v of tiny learnt its own behavior on 433 train strings: 1,234 examples with 4,567 answer tokens, in 30 optimizer steps.",
    );
    expect(text).toContain("products by blas and ggml (a library 1.2)");
    expect(linesOf(report, "| animals long | first word | 50 |")).toEqual([
      "| animals long | first word | 50 | 34 | 33 | 4 | 1 | 12 | degenerate repetition: 7; a refusal, or talk about being a language model: 3; the same text is a held-out string of another task: 2 |",
    ]);
    expect(text).toContain("Held out whole, not in the set: numbers.");
    expect(text).toContain(
      "After the last step their loss is 1.3750 (its lowest was 1.2500 after step 20; the adapter is that of the last step), and every answer token is the most likely one in 30 of 65 answers.",
    );
  });

  test("figures: before and after a mark each beside the baselines, and the loss", () => {
    expect(report.figures.map(({ name }) => name).slice(0, 2)).toEqual(["before-after", "loss"]);
    const svg = report.figures[0]?.svg ?? "";
    for (const layer of ["points0", "intervals0", "points1", "intervals1"]) expect(marksOf(svg, layer)).toHaveLength(2);
    // Two modes and a rule for each of two cells.
    expect(marksOf(svg, "baselines")).toHaveLength(6);
    expect(svg).toContain(">numbers, held out<");
    for (const figure of report.figures) {
      expect(unbalanced(figure.svg)).toBeUndefined();
      expect(report.html).toContain(`id="figure-${figure.name}"`);
      expect(report.markdown).toContain(`(figures/${figure.name}.svg)`);
    }
  });

  test("the engine facts name the adapter, and the weights under it", () => {
    expect(report.markdown).toContain("### Model tiny");
    expect(linesOf(report, `| \`${ADAPTER}\``)).toEqual([
      `| \`${ADAPTER}\` learnt what it does, up to 100 strings per property, seed 7 | tiny | scale 1, sha256 \`${"1".repeat(64)}\` | as its weights alone |`,
    ]);
  });

  test("limits say what was not run", () => {
    for (const limit of [
      "No other model was trained to predict tiny (cross-prediction): privileged access is not measured.",
      "no classifier was trained on the strings",
      "with one seed and one setting",
      "One task was held out (numbers)",
      "Every property that is scored was trained on",
    ]) {
      expect(report.markdown).toContain(limit);
    }
    expect(report.markdown).not.toContain("No adapter was trained");
  });

  test("the same input gives the same bytes", async () => {
    expect(await makeReport(makeTrainedInput())).toEqual(report);
  });
});

test("a study that trains nothing has no word of training, whatever stage read its adapters", async () => {
  const report = await makeReport(makeInput({ training: [] }));
  expect(report).toEqual(await makeReport(makeInput()));
  expect(report.markdown).not.toMatch(/before training|LoRA/i);
});

describe("studies at the edge", () => {
  test("a cross-prediction beside the self-prediction: each its own part, and the limits name what is not computed", async () => {
    const report = await makeReport(
      makeTrainedInput({
        plan: makeCrossPlan(),
        training: [
          makeTrained(),
          makeTrained({
            name: "other-predicts-tiny",
            set: makeSetReport({ base: "other", adapter: "other-predicts-tiny" }),
          }),
        ],
      }),
    );
    expect(report.figures.map(({ name }) => name).slice(0, 4)).toEqual([
      "before-after-1",
      "before-after-2",
      "loss-1",
      "loss-2",
    ]);
    expect(report.markdown).toContain("### other learns to predict tiny");
    expect(report.markdown).toContain(
      "This is a cross-prediction: what other gets right about tiny, it gets right without being it.",
    );
    expect(report.markdown).toContain(
      "Cross-prediction stands beside it in this report; an input-only control was not run.",
    );
    expect(report.markdown).toContain("which would measure privileged access, is not computed here");
    expect(report.markdown).toContain("Not asked: what other-predicts-tiny does itself is no target of this study.");
    expect(unbalanced(report.html)).toBeUndefined();
  });

  test("no held-out task: one scope, and the limits say so", async () => {
    const plan = makeTrainedPlan();
    const scores = makeTrainedScores();
    const report = await makeReport(
      makeTrainedInput({
        plan: { ...plan, tasks: plan.tasks.map((task) => ({ ...task, trained: true })) },
        scores: {
          ...scores,
          scopedAverages: scores.scopedAverages?.filter(({ scope }) => scope === "held_out_strings") ?? [],
          changes: scores.changes?.filter(({ scope }) => scope !== "held_out_tasks") ?? [],
        },
        training: [makeTrained({ set: makeSetReport({ heldOutTasks: [] }) })],
      }),
    );
    expect(report.markdown).not.toContain("| all held-out strings and tasks |");
    expect(linesOf(report, "| held-out strings of trained tasks (animals long and numbers) |").length).toBeGreaterThan(
      3,
    );
    expect(report.markdown).toContain("No task was held out: whether what was learnt carries over");
  });

  test("nothing scored, no validation, no drift: reasons, and a page all the same", async () => {
    const none = unknown("none of 50 trials has a behavior to compare with");
    const scores = makeTrainedScores();
    const report = await makeReport(
      makeTrainedInput({
        scores: {
          ...scores,
          cells: scores.cells.map((cell) => ({ ...cell, accuracy: none })),
          averages: [],
          scopedAverages: [],
          changes: [],
          drift: [],
        },
        training: [makeTrained({ card: makeCard({ validation: [] }) })],
      }),
    );
    expect(report.markdown).toContain("What training changed is not known: no trial was asked before and after.");
    expect(report.markdown).toContain("No examples were held back to watch the loss.");
    expect(marksOf(report.figures[0]?.svg ?? "", "missing1")).toEqual(Array(2).fill("after training: no accuracy"));
    for (const text of [report.html, report.markdown]) expect(text).not.toMatch(/NaN|undefined|\[object|Infinity/);
    expect(unbalanced(report.html)).toBeUndefined();
  });

  test("hostile names stay text", async () => {
    const plan = makeTrainedPlan();
    const report = await makeReport(
      makeTrainedInput({
        plan: {
          ...plan,
          states: { tiny: { model: "tiny" }, [HOSTILE]: { model: HOSTILE, adapter: HOSTILE } },
          adapters: { [HOSTILE]: plan.adapters?.[ADAPTER] as PlannedAdapter },
        },
        training: [
          makeTrained({
            name: HOSTILE,
            card: makeCard({ base: { source: HOSTILE, sha256: HOSTILE, encoding: HOSTILE, architecture: HOSTILE } }),
            set: makeSetReport({
              base: HOSTILE,
              variants: [HOSTILE],
              heldOutTasks: [HOSTILE],
              cells: makeSetReport().cells.map((cell) => ({ ...cell, task: HOSTILE, property: HOSTILE })),
            }),
          }),
        ],
      }),
    );
    expect(unbalanced(report.html)).toBeUndefined();
    expect(report.html).not.toMatch(/<script/i);
    for (const text of [report.html, report.markdown]) expect(text).not.toContain("\u202e");
    for (const rows of markdownTables(report.markdown)) expect(new Set(rows).size).toBe(1);
  });
});
