/** The tables of a run: a row for each trial, answer and behavior, with what a reader would otherwise join from four files. */

import { challengedKey } from "../ask/questions.js";
import { InwardError } from "../errors.js";
import { likeliestOption, optionMeans, optionRanks } from "../properties/option-answers.js";
import type { Behavior, Extraction } from "../properties/property.js";
import { ANSWERS_OF_ROUND, CHALLENGED_OF_ROUND, readBehaviors } from "../run/behaviors.js";
import { RUN_FILES, type RunFolder } from "../run/folder.js";
import { readContent, readLines, readWholeAnswers } from "../run/records.js";
import { readTrials } from "../run/score-stages.js";
import { isWritten } from "../run/stages.js";
import type { TrialRow } from "../score/trial-rows.js";
import type { Answer, OptionScores } from "../tasks/answer.js";
import { type AnswerPosition, listedToken } from "../tasks/answer-tokens.js";
import { metaValue, type OptionScore, type TaskItem } from "../tasks/task.js";
import { column, type DataColumn } from "./csv-lines.js";
import { insideTables } from "./inside-tables.js";
import { injectionTable, lensTable, probesTable } from "./probe-tables.js";
import { type DataTable, dataTable } from "./table.js";
import { patchesTable, simulationTable } from "./patch-tables.js";

// Trials.

type TextOfTrial = {
  [Key in keyof TrialRow]-?: TrialRow[Key] extends string | undefined ? Key : never;
}[keyof TrialRow];

/** Columns of 08-trials.jsonl; a rule on the string has two, its value and why it has none. */
export function trialColumns(rows: readonly TrialRow[]): DataColumn<TrialRow>[] {
  const rules = [...new Set(rows.flatMap(({ heuristics }) => Object.keys(heuristics)))].sort();
  const texts = (...names: readonly TextOfTrial[]) =>
    names.map((name) => column<TrialRow, "text">(name, "text", (row) => row[name]));
  const ruleOf = (rule: string) => (row: TrialRow) =>
    Object.hasOwn(row.heuristics, rule) ? row.heuristics[rule] : undefined;
  return [
    ...texts("target", "predictor", "task", "item", "property", "variant"),
    column("sample", "whole", ({ sample }) => sample),
    ...texts("outcome", "because", "reply", "answerFile", "answerKey", "behaviorFile", "replyKey", "cluster"),
    ...extracted("behavior", (row: TrialRow) => row.behavior),
    ...extracted("prediction", (row: TrialRow) => row.prediction),
    column("objectComplianceReason", "text", ({ objectCompliance }) =>
      objectCompliance.ok ? undefined : objectCompliance.reason,
    ),
    ...(["answerMargin", "replyMargin", "minMargin"] as const).map((name) =>
      column<TrialRow, "number">(name, "number", (row) => row[name]),
    ),
    column("aboveNoiseFloor", "truth", ({ aboveNoiseFloor }) => aboveNoiseFloor),
    ...optionColumns(rows),
    ...rules.flatMap((rule) => extracted(`heuristics.${rule}`, ruleOf(rule))),
  ];
}

/** Of tasks that are read leniently or answered by logprob: how the answer came to its letter. Nothing where no row has it. */
function optionColumns<Row extends Pick<Behavior, "option">>(rows: readonly Row[]): DataColumn<Row>[] {
  if (rows.every(({ option }) => option === undefined)) return [];
  return [
    column("optionBy", "text", ({ option }) => option?.by),
    column("optionCounted", "text", ({ option }) => option?.counted),
    column("optionGenerated", "text", ({ option }) => option?.generated),
  ];
}

/** The value, and the reason where there is none. */
function extracted<Row>(name: string, of: (row: Row) => Extraction | undefined): DataColumn<Row>[] {
  return [
    column(name, "text", (row: Row) => {
      const found = of(row);
      return found?.ok ? found.value : undefined;
    }),
    column(`${name}Reason`, "text", (row: Row) => {
      const found = of(row);
      return found && !found.ok ? found.reason : undefined;
    }),
  ];
}

/** A trial with the string that it is about, and with what the target said. */
interface ToldTrial {
  readonly row: TrialRow;
  readonly item?: TaskItem;
  readonly answer?: string;
  readonly finalAnswer?: string;
}

function toldColumns(trials: readonly ToldTrial[]): DataColumn<ToldTrial>[] {
  return [
    ...trialColumns(trials.map(({ row }) => row)).map(
      ({ of, ...rest }): DataColumn<ToldTrial> => ({ ...rest, of: ({ row }) => of(row) }),
    ),
    column("string", "text", ({ item }: ToldTrial) => item?.text),
    column("stringTarget", "text", ({ item }: ToldTrial) => item?.target),
    ...metaColumns(trials),
    column("answer", "text", ({ answer }: ToldTrial) => answer),
    ...(trials.some(({ finalAnswer }) => finalAnswer !== undefined)
      ? [column("finalAnswer", "text", (one: ToldTrial) => one.finalAnswer)]
      : []),
  ];
}

// Columns that came with the strings.

/** `meta.<name>` of every column that a string among the rows has: a number or a truth where all its values are, else text. */
function metaColumns<Row extends { readonly item?: TaskItem }>(rows: readonly Row[]): DataColumn<Row>[] {
  const types = new Map<string, Set<string>>();
  for (const item of new Set(rows.map((row) => row.item))) {
    for (const [name, value] of Object.entries(item?.meta ?? {})) {
      types.set(name, (types.get(name) ?? new Set()).add(typeof value));
    }
  }
  return [...types.keys()].sort().map((name): DataColumn<Row> => {
    const [type, ...others] = types.get(name) as Set<string>;
    const of = ({ item }: Row) => metaValue(item, name);
    if (others.length === 0 && type === "number") return { name: `meta.${name}`, kind: "number", of };
    if (others.length === 0 && type === "boolean") return { name: `meta.${name}`, kind: "truth", of };
    const text = (row: Row) => {
      const value = of(row);
      return value === undefined ? undefined : String(value);
    };
    return column(`meta.${name}`, "text", text);
  });
}

// Answers.

const ANSWER_FILES = [...ANSWERS_OF_ROUND, ...CHALLENGED_OF_ROUND, "hypothetical"] as const;

/** A line of 02, 06 or 07, and the file that it stands in. */
interface FiledAnswer {
  readonly file: string;
  readonly answer: Answer;
  readonly item?: TaskItem;
  /** What makes an option of its task the likeliest. */
  readonly optionScore?: OptionScore;
}

/**
 * Of answers whose options were scored; nothing where none were. Lists have an entry for each option, in the order of the string's letters;
 * `…Sums` one list of them after another, for each order in which they were shown.
 */
function scoredColumns(rows: readonly FiledAnswer[]): DataColumn<FiledAnswer>[] {
  if (rows.every(({ answer }) => answer.reply?.options === undefined)) return [];
  type Of<Value> = (scores: OptionScores, by: OptionScore) => Value;
  const scored =
    <Value>(of: Of<Value>) =>
    ({ answer, optionScore }: FiledAnswer) =>
      answer.reply?.options && of(answer.reply.options, optionScore ?? "letter");
  const numbers = (name: string, of: Of<readonly number[]>) => column(name, "numbers", scored(of));
  return [
    column(
      "optionBy",
      "text",
      scored((_, by) => by),
    ),
    column(
      "optionChosen",
      "text",
      scored((scores, by) => likeliestOption(scores, by).letter),
    ),
    column(
      "optionMargin",
      "number",
      scored((scores, by) => likeliestOption(scores, by).margin),
    ),
    column(
      "optionLetters",
      "texts",
      scored(({ letters }) => letters),
    ),
    column("optionRanks", "wholes", scored(optionRanks)),
    numbers("optionLetter", (scores) => optionMeans(scores, "letter")),
    numbers("optionText", (scores) => optionMeans(scores, "text")),
    numbers("optionTextPerByte", (scores) => optionMeans(scores, "text_per_byte")),
    numbers("optionTextPerCharacter", (scores) => optionMeans(scores, "text_per_character")),
    column(
      "optionOrders",
      "texts",
      scored(({ orders }) => orders.map(({ listed }) => listed.join(""))),
    ),
    numbers("optionLetterSums", ({ orders }) => orders.flatMap(({ letter }) => letter)),
    numbers("optionTextSums", ({ orders }) => orders.flatMap(({ text }) => text)),
  ];
}

const ANSWER_COLUMNS: readonly DataColumn<FiledAnswer>[] = [
  column("file", "text", ({ file }) => file),
  ...(["key", "state", "task", "item", "split", "property", "variant"] as const).map((name) =>
    column<FiledAnswer, "text">(name, "text", ({ answer }) => answer[name]),
  ),
  column("sample", "whole", ({ answer }) => answer.sample),
  column("string", "text", ({ item }) => item?.text),
  column("setAside", "text", ({ answer }) => answer.setAside),
  ...(["text", "stop", "opened", "reasoning"] as const).map((name) =>
    column<FiledAnswer, "text">(name, "text", ({ answer }) => answer.reply?.[name]),
  ),
  ...(["tokenIds", "logprobs", "margins"] as const).map((name) =>
    column<FiledAnswer, "numbers" | "wholes">(
      name,
      name === "tokenIds" ? "wholes" : "numbers",
      ({ answer: { reply } }) => (reply?.madeElsewhere ? undefined : reply?.[name]),
    ),
  ),
  column("sumLogprob", "number", ({ answer: { reply } }) =>
    reply?.madeElsewhere ? undefined : reply?.logprobs.reduce((sum, one) => sum + one, 0),
  ),
  column("firstTokenIds", "wholes", ({ answer }) => answer.reply?.first?.tokenIds),
  column("firstTexts", "texts", ({ answer }) => answer.reply?.first?.texts),
  column("firstLogprobs", "numbers", ({ answer }) => answer.reply?.first?.logprobs),
  column("promptTokens", "whole", ({ answer }) => answer.reply?.promptTokens),
  column("promptSha256", "text", ({ answer }) => answer.reply?.promptSha256),
];

/**
 * Where the run stored likely tokens of every position. `tokenTexts` has an entry a token; `alternative…` one position's list after another,
 * `alternativesEach` of them at each. `…Bytes` (hex) says what a part of a character is, and is empty elsewhere.
 */
function alternativeColumns(rows: readonly FiledAnswer[]): DataColumn<FiledAnswer>[] {
  type Of<Value> = (positions: readonly AnswerPosition[]) => Value;
  const stored =
    <Value>(of: Of<Value>) =>
    ({ answer: { reply } }: FiledAnswer) =>
      reply?.madeElsewhere || reply?.positions === undefined ? undefined : of(reply.positions);
  if (rows.every((row) => stored(() => true)(row) === undefined)) return [];
  const texts = (name: string, of: Of<readonly string[]>) => column(name, "texts", stored(of));
  const listed = (position: AnswerPosition) => position.tokenIds.map((_, place) => listedToken(position, place));
  return [
    texts("tokenTexts", (positions) => positions.map(({ text }) => text)),
    texts("tokenBytes", (positions) => positions.map(({ bytes = "" }) => bytes)),
    column(
      "logSumExps",
      "numbers",
      stored((positions) => positions.map(({ logSumExp }) => logSumExp)),
    ),
    column(
      "alternativesEach",
      "whole",
      stored((positions) => positions[0]?.tokenIds.length ?? 0),
    ),
    column(
      "alternativeIds",
      "wholes",
      stored((positions) => positions.flatMap(({ tokenIds }) => tokenIds)),
    ),
    texts("alternativeTexts", (positions) => positions.flatMap((one) => one.texts)),
    texts("alternativeBytes", (positions) => positions.flatMap(listed).map(({ bytes = "" }) => bytes)),
    column(
      "alternativeLogprobs",
      "numbers",
      stored((positions) => positions.flatMap(({ logprobs }) => logprobs)),
    ),
  ];
}

/** Where some were made elsewhere: why their tokens, logprobs and margins are empty. */
function answerColumns(answers: readonly FiledAnswer[]): readonly DataColumn<FiledAnswer>[] {
  if (answers.every(({ answer: { reply } }) => !reply?.madeElsewhere)) return ANSWER_COLUMNS;
  return [
    ...ANSWER_COLUMNS,
    column<FiledAnswer, "text">("tokensReason", "text", ({ answer: { reply } }) =>
      reply?.madeElsewhere ? "made_elsewhere" : undefined,
    ),
    column<FiledAnswer, "text">("sourceSample", "text", ({ answer: { reply } }) => reply?.madeElsewhere?.sample),
  ];
}

// Behaviors.

const behaviorColumns = (rows: readonly Behavior[]): DataColumn<Behavior>[] => [
  ...(["state", "task", "item", "split"] as const).map((name) =>
    column<Behavior, "text">(name, "text", (row) => row[name]),
  ),
  column("sample", "whole", ({ sample }) => sample),
  column("property", "text", ({ property }) => property),
  ...extracted("value", ({ extraction }: Behavior) => extraction),
  column("complianceReason", "text", ({ compliance }) => (compliance.ok ? undefined : compliance.reason)),
  column("minMargin", "number", ({ minMargin }) => minMargin),
  ...optionColumns(rows),
  column("judgeProbability", "number", ({ judged }) => judged?.probability),
  column("judgeLead", "number", ({ judged }) => judged?.lead),
];

/** @throws STORE_INCOMPLETE where the run was not scored, STORE_CORRUPT */
export async function runTables(run: RunFolder): Promise<readonly DataTable[]> {
  const trials = await readScoredTrials(run);
  const items = new Map(
    run.plan.tasks.flatMap(({ definition: { name }, train, heldOut }) =>
      [...train, ...heldOut].map((item) => [`${name}/${item.id}`, item] as const),
    ),
  );
  const scores = new Map(run.plan.tasks.map(({ definition: { name, optionScore } }) => [name, optionScore] as const));
  const answers: FiledAnswer[] = [];
  for (const file of ANSWER_FILES) {
    if (!isWritten(run.plan, file)) continue;
    for (const answer of await readWholeAnswers(run, file)) {
      const item = items.get(`${answer.task}/${answer.item}`);
      answers.push({ file: RUN_FILES[file], answer, item, optionScore: scores.get(answer.task) });
    }
  }
  const said = new Map(answers.map(({ answer }) => [`${answer.state}|${answer.key}`, answer.reply?.text]));
  const told = trials.map(
    (row): ToldTrial => ({
      row,
      item: items.get(`${row.task}/${row.item}`),
      answer: said.get(`${row.target}|${row.answerKey}`),
      finalAnswer: said.get(`${row.target}|${challengedKey(row.answerKey)}`),
    }),
  );
  const behaviors = await readBehaviors(run);
  return [
    dataTable("trials", toldColumns(told), told),
    dataTable(
      "answers",
      [...answerColumns(answers), ...alternativeColumns(answers), ...scoredColumns(answers), ...metaColumns(answers)],
      answers,
    ),
    dataTable("behaviors", behaviorColumns(behaviors), behaviors),
    ...(run.plan.probe ? [probesTable(await readContent(run, "probes"))] : []),
    ...(isWritten(run.plan, "lensScores") ? [lensTable(await readContent(run, "lensScores"))] : []),
    ...(run.plan.patching
      ? [simulationTable(await readContent(run, "simulation")), patchesTable(await readLines(run, "patches"))]
      : []),
    ...(run.plan.inside ? insideTables(await readContent(run, "insideResults"), await readLines(run, "inside")) : []),
    ...(isWritten(run.plan, "injection") ? [injectionTable(await readContent(run, "injection"))] : []),
  ];
}

/** @throws STORE_INCOMPLETE with the command that makes them, or with the answers that are still to be asked */
export async function readScoredTrials(run: RunFolder): Promise<readonly TrialRow[]> {
  await run.requireUnchanged("trials").catch(async (error: unknown) => {
    if (!(error instanceof InwardError) || error.code !== "STORE_INCOMPLETE") throw error;
    await run.requireUnchanged("hypothetical");
    const file = run.file("trials");
    throw new InwardError("STORE_INCOMPLETE", `${file} is not there yet: npx inward score ${run.path} makes it.`);
  });
  return readTrials(run);
}
