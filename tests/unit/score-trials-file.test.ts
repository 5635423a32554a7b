/** The rows of 08-trials.jsonl: what becomes of a trial agrees with what scores count, and a row that contradicts itself is refused. */
import { describe, expect, test } from "vitest";
import { trialColumns } from "../../src/exchange/run-tables.js";
import { csvLines } from "../../src/exchange/csv-lines.js";
import { type Behavior, missing, value } from "../../src/properties/property.js";
import { listExclusions } from "../../src/score/cell.js";
import { accuracy } from "../../src/score/tally.js";
import { type MatchInput, matchTrials, type Prediction, type Trial } from "../../src/score/trial.js";
import {
  BECAUSE,
  checkTrialRows,
  OUTCOMES,
  outcomeOfTrial,
  type TrialRow,
  trialRows,
  trialRowSchema,
} from "../../src/score/trial-rows.js";
import { makeTrial } from "../fixtures/score/make-trial.js";

const BEHAVIOR: Behavior = {
  state: "big",
  task: "animals",
  item: "h1",
  split: "held_out",
  sample: 0,
  property: "first_word",
  extraction: value("cat"),
  compliance: { ok: true },
  minMargin: 0.5,
};
const SAID: Prediction = {
  predictor: "small",
  task: "animals",
  item: "h1",
  property: "first_word",
  variant: "minimal",
  prediction: value("dog"),
  minMargin: 0.2,
  reply: { key: "animals/h1/first_word/minimal", text: " Dog\n" },
};
const FILES = { answerFile: "02-object-level.jsonl", behaviorFile: "03-behaviors.jsonl" };

function inputOf(behaviors: readonly Behavior[], predictions: readonly Prediction[]): MatchInput {
  const heuristics = () => ({ last_item: value("cow") });
  return { behaviors, predictions, pairs: [{ predictor: "small", target: "big" }], heuristics };
}

function rowsOf(input: MatchInput, noiseFloorNats = 0.1) {
  return trialRows(input, { noiseFloorNats, filesOf: () => FILES });
}

test("a row has both sides, what became of them, margins, and where to find them", () => {
  expect(rowsOf(inputOf([BEHAVIOR], [SAID]))).toEqual([
    {
      target: "big",
      predictor: "small",
      task: "animals",
      item: "h1",
      property: "first_word",
      variant: "minimal",
      sample: 0,
      outcome: "wrong",
      because: "other_value",
      behavior: value("cat"),
      objectCompliance: { ok: true },
      prediction: value("dog"),
      reply: " Dog\n",
      heuristics: { last_item: value("cow") },
      answerMargin: 0.5,
      replyMargin: 0.2,
      minMargin: 0.2,
      aboveNoiseFloor: true,
      answerFile: "02-object-level.jsonl",
      answerKey: "animals/h1",
      behaviorFile: "03-behaviors.jsonl",
      replyKey: "animals/h1/first_word/minimal",
    },
  ]);
});

test("a margin at the noise floor is not above it, and sampled answers have no margins and are told apart", () => {
  expect(rowsOf(inputOf([BEHAVIOR], [SAID]), 0.2)[0]?.aboveNoiseFloor).toBe(false);
  const sampled = [0, 1].map((sample) => ({ ...BEHAVIOR, sample, minMargin: undefined }));
  const rows = rowsOf(inputOf(sampled, [SAID]));
  expect(rows.map(({ answerKey }) => answerKey)).toEqual(["animals/h1", "animals/h1#1"]);
  for (const row of rows)
    expect([row.answerMargin, row.minMargin, row.aboveNoiseFloor]).toEqual(Array(3).fill(undefined));
});

const CASES: [string, Partial<Trial>, string, string][] = [
  ["equal values", {}, "right", "equal"],
  ["another value", { prediction: value("dog") }, "wrong", "other_value"],
  ["a reply that does not comply", { prediction: missing("truncated") }, "wrong", "no_prediction"],
  [
    "an answer that does not comply",
    { objectCompliance: missing("refusal") as never },
    "excluded",
    "answer_not_compliant",
  ],
  ["an answer without the property", { behavior: missing("too_short") }, "excluded", "no_behavior"],
  ["no answer", { objectCompliance: missing("engine_crashed") as never }, "excluded", "no_answer"],
  ["no reply", { prediction: missing("engine_crashed") }, "excluded", "no_reply"],
];

describe("the outcome is what scores count (law)", () => {
  test.each(CASES)("%s", (_, rest, outcome, because) => {
    const trial = makeTrial("h1", "cat", "cat", rest);
    expect(outcomeOfTrial(trial)).toEqual({ outcome, because });
    expect(accuracy(trial)).toBe({ right: 1, wrong: 0, excluded: undefined }[outcome]);
    const treatment = { right: undefined, wrong: "counted_as_wrong", excluded: "excluded" }[outcome];
    expect(listExclusions([trial])[0]?.treatment).toBe(because === "other_value" ? undefined : treatment);
  });

  test("every rule has its words, and stands under one outcome", () => {
    const rules = Object.values(OUTCOMES).flat();
    expect(Object.keys(BECAUSE).sort()).toEqual([...rules].sort());
    expect(CASES.map(([, , , because]) => because).sort()).toEqual([...rules].sort());
  });
});

test("what is read back are the trials that were matched", () => {
  const input = inputOf(
    [BEHAVIOR, { ...BEHAVIOR, item: "h2" }],
    [SAID, { ...SAID, item: "h2", prediction: value("cat") }],
  );
  const stored = rowsOf(input).map((row): unknown => JSON.parse(JSON.stringify(row)));
  const read = checkTrialRows(
    stored.map((row) => trialRowSchema.parse(row) as TrialRow),
    "08-trials.jsonl",
  );
  for (const [at, trial] of matchTrials(input).trials.entries()) expect(read[at]).toMatchObject(trial);
});

describe("a row that was edited is refused", () => {
  const [good] = rowsOf(inputOf([BEHAVIOR], [SAID])) as [TrialRow];

  test.each<[string, Partial<TrialRow>, RegExp]>([
    [
      "another outcome",
      { item: "h2", outcome: "right" },
      /line 2: it says right \(other_value\), its fields say wrong/,
    ],
    ["another prediction", { item: "h2", prediction: value("cat") }, /line 2: it says wrong \(other_value\)/],
    ["the same trial again", {}, /line 2: trial .* stands twice/],
  ])("%s: STORE_CORRUPT with its line", (_, edit, message) => {
    expect(() => checkTrialRows([good, { ...good, ...edit }], "08-trials.jsonl")).toThrow(
      expect.objectContaining({ code: "STORE_CORRUPT", message: expect.stringMatching(message) }),
    );
  });

  test.each([
    ["behavior.reason", { behavior: { ok: false, reason: "tired" } }],
    ["minMargin", { minMargin: null }],
    ["answerMargin", { answerMargin: -1 }],
    ["because", { because: "luck" }],
  ])("%s: by the schema", (path, edit) => {
    const { error } = trialRowSchema.safeParse({ ...good, ...edit });
    expect(error?.issues.map((issue) => issue.path.join("."))).toEqual([path]);
  });
});

describe("CSV", () => {
  const trialsCsv = (rows: readonly TrialRow[]) => [...csvLines(trialColumns(rows), rows)].join("");

  test("has a line for each trial, ends lines by RFC 4180 and quotes what needs quotes", () => {
    const reply = { key: "animals/h1/first_word/minimal", text: 'A "dog",\nor not' };
    const csv = trialsCsv(rowsOf(inputOf([BEHAVIOR], [{ ...SAID, reply }])));
    const [header, ...rest] = csv.split("\r\n");
    expect(header).toMatch(/^target,predictor,task,item,property,variant,sample,outcome,because,reply,/);
    expect(header).toMatch(/,heuristics\.last_item,heuristics\.last_itemReason$/);
    expect(rest).toHaveLength(2);
    expect(rest[0]).toContain(',"A ""dog"",\nor not",02-object-level.jsonl,');
    expect(rest[1]).toBe("");
  });

  test.each(["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])("%j is no formula to a spreadsheet", (text) => {
    const csv = trialsCsv(rowsOf(inputOf([BEHAVIOR], [{ ...SAID, prediction: value(text) }])));
    expect(csv).toContain(`,'${text},`);
  });
});
