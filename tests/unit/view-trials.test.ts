/** What the viewer shows of trials is what the run's files say: columns, filters, sorting, prompts, comparisons, figures. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { hypotheticalQuestions, objectLevelQuestions } from "../../src/ask/questions.js";
import { RunFolder } from "../../src/run/folder.js";
import type { TrialRow } from "../../src/score/trial-rows.js";
import type { Scores } from "../../src/score/scores.js";
import type { Answer } from "../../src/tasks/answer.js";
import { ViewFiles } from "../../src/view/view-files.js";
import { findRuns, namedFolders } from "../../src/view/served-runs.js";
import type { TrialTable, TrialView as OneTrial } from "../../src/run/trials/trial-shapes.js";
import type { RunView } from "../../src/view/view-api.js";
import { changedTrials } from "../../page/src/changed-trials.js";
import { paretoFront, ticksOf } from "../../page/src/scales.js";
import { queryOf, TrialView, valuesOf } from "../../page/src/trial-query.js";
import { branchesOf, tokenBranches } from "../../page/src/value-branches.js";
import { madeUpRun, pick } from "../helpers/made-up-run.js";
import { madeRun } from "../helpers/viewed-runs.js";

let folder: string;
let files: ViewFiles;
let id: string;
let table: TrialTable;
let rows: TrialRow[];
let answers: Answer[];

const linesIn = async <Row>(name: string) =>
  (await readFile(join(folder, name), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);
const json = async <Value>(...parts: string[]) => {
  const found = await files.get(parts);
  return found?.kind === "json" ? (found.value as Value) : undefined;
};

beforeAll(async () => {
  folder = await madeRun(7);
  files = new ViewFiles({ folders: namedFolders([folder]) });
  id = findRuns(namedFolders([folder])).runs[0]?.id as string;
  table = (await json<TrialTable>("runs", id, "trials.json")) as TrialTable;
  rows = await linesIn<TrialRow>("08-trials.jsonl");
  answers = await linesIn<Answer>("02-object-level.jsonl");
});

describe("columns", () => {
  test("every line of the file is a row, with its texts and numbers", () => {
    const { columns, states, properties, items, extractions, texts, words } = table;
    expect(table.rows).toBe(rows.length);
    for (const [at, row] of rows.entries()) {
      expect(states[columns.targetOf[at] as number]).toBe(row.target);
      expect(states[columns.predictorOf[at] as number]).toBe(row.predictor);
      expect(properties[columns.propertyOf[at] as number]).toBe(row.property);
      expect(items[columns.itemOf[at] as number]).toMatchObject({ task: row.task, id: row.item });
      expect(extractions[columns.behaviorOf[at] as number]).toEqual(row.behavior);
      expect(extractions[columns.predictionOf[at] as number]).toEqual(row.prediction);
      expect(table.scopes[columns.scopeOf[at] as number]).toBe("all");
      expect(["right", "wrong", "excluded"][columns.outcome[at] as number]).toBe(row.outcome);
      expect(words[columns.becauseOf[at] as number]).toBe(row.because);
      expect(columns.minMargin[at] ?? undefined).toBe(row.minMargin);
      expect(texts[columns.replyOf[at] as number]).toBe(row.reply);
      const said = answers.find(({ state, key }) => state === row.target && key === row.answerKey)?.reply;
      expect(texts[columns.answerAsked[at] as number]).toBe(said?.text);
      expect(columns.answerLogprob[at]).toBeCloseTo(
        (said?.logprobs ?? []).reduce((sum, one) => sum + one, 0),
        12,
      );
    }
  });

  test("filtered to a cell, right over those that count is the cell's accuracy", async () => {
    const scores = JSON.parse(await readFile(join(folder, "08-scores.json"), "utf8")) as Scores;
    const view = new TrialView(table);
    for (const { predictor, target, task, property, variant, accuracy } of scores.cells) {
      const found = view.rows(queryOf(new URLSearchParams({ predictor, target, task, property, variant })));
      const counts = [0, 1, 2].map((outcome) => found.filter((row) => table.columns.outcome[row] === outcome).length);
      const [right = 0, wrong = 0] = counts;
      if (accuracy.ok) expect(right / (right + wrong)).toBeCloseTo(accuracy.value, 12);
      expect(found.length).toBe(counts.reduce((sum, one) => sum + one, 0));
    }
  });
});

describe("filters, search and order", () => {
  const view = () => new TrialView(table);

  test("what is chosen within a facet is or, between facets and; counts say what a choice would show", () => {
    const query = queryOf(new URLSearchParams("outcome=right&outcome=wrong&predictor=other"));
    const found = view().rows(query);
    expect(found).toEqual(
      rows.flatMap((row, at) => (row.outcome !== "excluded" && row.predictor === "other" ? [at] : [])),
    );
    const counts = view().counts("outcome", query);
    expect(counts).toEqual(
      ["right", "wrong", "excluded"].map(
        (one) => rows.filter((row) => row.outcome === one && row.predictor === "other").length,
      ),
    );
    expect(view().rows(queryOf(new URLSearchParams("meta.nothing=x")))).toEqual([]);
  });

  test("any column of the strings is a filter, however many values it has; numbers stand as numbers", () => {
    const items = table.items.map((item, at) => ({
      ...item,
      meta: { rank: at * 7, kind: at % 2 === 0 ? "even" : "odd" },
    }));
    const many = new TrialView({ ...table, items });
    expect(many.facets.get("meta.rank")?.values).toEqual(items.map((_, at) => String(at * 7)));
    const found = many.rows(queryOf(new URLSearchParams("meta.rank=14&meta.rank=21&meta.kind=odd")));
    expect(new Set(found.map((row) => table.columns.itemOf[row]))).toEqual(new Set([3]));
  });

  test("free text finds it in the string, the answer, the reply and the values, in either case", () => {
    const found = view().rows(queryOf(new URLSearchParams({ q: "WOLF" })));
    const texts = new Map(answers.map(({ state, key, reply }) => [`${state}|${key}`, reply?.text ?? ""]));
    const expected = rows.flatMap((row, at) => {
      const item = table.items.find((one) => one.id === row.item);
      const said = [
        item?.text,
        item?.id,
        row.reply,
        texts.get(`${row.target}|${row.answerKey}`),
        row.behavior.ok ? row.behavior.value : row.behavior.reason,
        row.prediction.ok ? row.prediction.value : row.prediction.reason,
      ];
      return said.some((one) => one?.toLowerCase().includes("wolf")) ? [at] : [];
    });
    expect(found).toEqual(expected);
    expect(found.length).toBeGreaterThan(0);
  });

  test("sorted by a number, what has none stands last, both ways", () => {
    const holed = {
      ...table,
      columns: { ...table.columns, minMargin: table.columns.minMargin.map((one, at) => (at % 5 === 0 ? null : one)) },
    };
    for (const order of ["asc", "desc"]) {
      const found = new TrialView(holed).rows(queryOf(new URLSearchParams({ sort: "minMargin", order })));
      const margins = found.map((row) => holed.columns.minMargin[row] ?? null);
      const numbers = margins.filter((one) => one !== null);
      expect(margins.slice(numbers.length).every((one) => one === null)).toBe(true);
      expect(numbers).toEqual([...numbers].sort((a, b) => (order === "asc" ? a - b : b - a)));
      expect(found.length).toBe(table.rows);
    }
  });

  test("a view can be sent: the address says all of it", () => {
    const words = new URLSearchParams(
      "task=animals_long&outcome=wrong&outcome=right&q=a%26b&sort=disagreement&order=desc",
    );
    const query = queryOf(words);
    const again = new URLSearchParams();
    for (const [name, value] of Object.entries(valuesOf(query)))
      for (const one of [value ?? []].flat()) again.append(name, one);
    expect(queryOf(again)).toEqual(query);
    expect(queryOf(new URLSearchParams("sort=__proto__&nothing=1"))).toMatchObject({
      sort: "line",
      descending: false,
      text: "",
    });
  });

  test("100,000 trials are filtered, searched and sorted", () => {
    const times = Math.ceil(100_000 / table.rows);
    const columns = Object.fromEntries(
      Object.entries(table.columns).map(([name, values]) => [name, Array.from({ length: times }, () => values).flat()]),
    );
    const many = new TrialView({
      ...table,
      rows: times * table.rows,
      columns: columns as unknown as TrialTable["columns"],
    });
    const found = many.rows(queryOf(new URLSearchParams("outcome=right&q=wolf&sort=minMargin&order=desc")));
    const once = view().rows(queryOf(new URLSearchParams("outcome=right&q=wolf")));
    expect(found.length).toBe(times * once.length);
  });
});

describe("one trial", () => {
  test("both prompts are those that were asked, by the plan's own questions", async () => {
    const run = await RunFolder.look(folder);
    const asked = new Map(
      [...objectLevelQuestions(run.plan), ...hypotheticalQuestions(run.plan)].map((question) => [
        `${question.state}|${question.key}`,
        question.messages,
      ]),
    );
    for (const line of [0, 7, rows.length - 1]) {
      const view = (await json<OneTrial>("runs", id, "trials", `${line}.json`)) as OneTrial;
      const row = rows[line] as TrialRow;
      expect(view.row).toEqual(row);
      expect(view.answer.messages).toEqual({ ok: true, value: asked.get(`${row.target}|${row.answerKey}`) });
      expect(view.reply.messages).toEqual({ ok: true, value: asked.get(`${row.predictor}|${row.replyKey}`) });
      expect(view.reply.reply?.text).toBe(row.reply);
      const beside = rows.flatMap((other, at) =>
        at !== line && other.item === row.item && other.task === row.task && other.property === row.property
          ? [at]
          : [],
      );
      expect(view.beside.map((one) => one.line)).toEqual(beside);
    }
    expect(await json("runs", id, "trials", `${rows.length}.json`)).toBeUndefined();
  });

  test("without the model's file its tokens are missing with the reason, and nothing else is", async () => {
    const tokens = await json<Record<string, { ok: boolean; reason: string }>>("runs", id, "tokens", "0.json");
    expect(tokens?.answerPrompt).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/names its model by a path|does not say how/),
    });
  });
});

describe("a run", () => {
  test("verdicts name the comparison that decided, and lead to their trials", async () => {
    const view = (await json<RunView>("runs", id, "run.json")) as RunView;
    const cards = view.experiments.ok ? view.experiments.value.flatMap(({ verdicts }) => verdicts) : [];
    expect(cards.length).toBeGreaterThan(0);
    for (const { numbers, trials, lead } of cards) {
      expect(numbers.filter(({ decides }) => decides).length).toBeLessThanOrEqual(1);
      expect(lead).not.toBe("");
      expect(
        new TrialView(table).rows(
          queryOf(
            new URLSearchParams(
              Object.entries(trials).flatMap(([name, values]) =>
                (values ?? []).map((one): [string, string] => [name, one]),
              ),
            ),
          ),
        ).length,
      ).toBeGreaterThan(0);
    }
    // The made-up run ends before its report, and says so.
    expect(view.report).toMatchObject({ ok: false });
    expect(JSON.stringify(view)).not.toContain("NaN");
  });
});

/** Trained on one task, asked about two. */
const TRAINED = `
study: scoped
seed: 4
models: { m: { source: m } }
tasks:
  - { task: animals_long, trainStrings: 12, heldOutStrings: 10 }
  - { task: colors_long, trainStrings: 8, heldOutStrings: 6, train: false }
properties: [first_character]
lora: {}
noiseFloor: { questions: 2 }
score: { bootstrapReplicates: 100 }
`;

test("numbers of one scope lead to the trials that they are of, and to no others", async () => {
  const says = (...parts: string[]) => pick(["wolf", "lynx", "14", "27"], ...parts);
  const { path } = await madeUpRun(TRAINED, {
    does: (state, item) => says(state, item.id),
    imagines: (_, item, property) => says(item.id, property),
  });
  const trained = new ViewFiles({ folders: namedFolders([path]) });
  const own = findRuns(namedFolders([path])).runs[0]?.id as string;
  const read = async <Value>(name: string) => {
    const found = await trained.get(["runs", own, name]);
    return (found?.kind === "json" ? found.value : undefined) as Value;
  };
  const [view, all] = [await read<RunView>("run.json"), new TrialView(await read<TrialTable>("trials.json"))];
  const scores = view.scores.ok ? view.scores.value : undefined;
  const scoped = (scores?.averages ?? []).filter(({ kind, scope }) => kind === "micro" && scope !== "all");
  expect(new Set(scoped.map(({ scope }) => scope))).toEqual(new Set(["held_out_strings", "held_out_tasks"]));
  expect(scores?.notAveraged).toEqual([]);
  for (const { predictor, target, scope, accuracy } of scoped) {
    const found = all.rows(queryOf(new URLSearchParams({ predictor, target, scope })));
    const [right, wrong] = [0, 1].map((one) => found.filter((row) => all.table.columns.outcome[row] === one).length);
    expect(accuracy).toMatchObject({ n: (right as number) + (wrong as number) });
    if (accuracy.ok) expect(accuracy.value).toBeCloseTo((right as number) / accuracy.n, 12);
  }
  const cards = view.experiments.ok ? view.experiments.value.flatMap(({ verdicts }) => verdicts) : [];
  expect(cards.map(({ trials }) => trials.scope)).toEqual(expect.arrayContaining([["held_out_tasks"]]));
});

describe("figures and lists", () => {
  test("trials that changed are those whose outcome, behavior or prediction did", () => {
    const at = table.rows - 2;
    const turned = {
      ...table,
      columns: {
        ...table.columns,
        outcome: table.columns.outcome.map((one, row) => (row === at ? (one + 1) % 3 : one)),
      },
    };
    expect(changedTrials(table, table)).toEqual({ both: table.rows, changed: [] });
    const { both, changed } = changedTrials(table, turned);
    expect([both, changed.map(({ lines }) => lines)]).toEqual([table.rows, [[at, at]]]);
  });

  test("the front has what no other beats in both", () => {
    const points = [
      { name: "a", x: 1, y: 9 },
      { name: "b", x: 2, y: 4 },
      { name: "beaten", x: 3, y: 5 },
      { name: "c", x: 4, y: 1 },
      { name: "as dear, worse", x: 4, y: 2 },
    ];
    expect(paretoFront(points).map(({ name }) => name)).toEqual(["a", "b", "c"]);
  });

  test("ticks are round and lie within; branches keep all probability", () => {
    expect(ticksOf(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    for (const [low, high] of [
      [-0.31, 0.42],
      [0, 1e-7],
      [12, 100_000],
    ] as const) {
      const ticks = ticksOf(low, high);
      expect(ticks.length).toBeGreaterThan(1);
      expect(ticks.every((tick) => tick >= low && tick <= high * 1.0001)).toBe(true);
    }
    const values = Array.from({ length: 90 }, (_, at) => ({
      value: `${"abc"[at % 3]}${at}`,
      probability: 1 / (at + 2),
    }));
    const sum = (branches: ReturnType<typeof branchesOf>): number =>
      branches.reduce((total, one) => total + (one.leaves.length > 0 ? sum([...one.leaves]) : one.probability), 0);
    expect(sum(branchesOf(values))).toBeCloseTo(
      values.reduce((total, one) => total + one.probability, 0),
      12,
    );
    expect(branchesOf(values).filter(({ leaves }) => leaves.length > 0)).toHaveLength(3);
  });
});

test("kept texts grow into a tree: shares add up, likeliest first, and each text ends where it was decided", () => {
  const tree = tokenBranches([
    { texts: ["a", " cat"], probability: 0.4, value: "cat" },
    { texts: ["the", " dog"], probability: 0.3, value: "dog" },
    { texts: ["a", " dog", ""], probability: 0.2, value: "dog" },
    { texts: ["a"], probability: 0.05, reason: "empty" },
  ]);
  expect(tree.map(({ text, probability }) => [text, Number(probability.toFixed(6))])).toEqual([
    ["a", 0.65],
    ["the", 0.3],
  ]);
  expect(tree[0]?.shows).toMatchObject({ reason: "empty" });
  expect(tree[0]?.next.map(({ text }) => text)).toEqual([" cat", " dog"]);
  expect(tree[0]?.next[1]?.next).toEqual([
    { text: "", probability: 0.2, shows: expect.objectContaining({ value: "dog" }), next: [] },
  ]);
});
