/** The first page: every question with its answer and its number in one table, then the verdicts in words, each beside its figure. */
import type {
  ExperimentNumber,
  ExperimentResult,
  ExperimentResults,
  ExperimentVerdict,
} from "../../records/experiments.js";
import { type Block, type Figure, note, type Section, type TableRow } from "../document.js";
import { formatCount, formatMissing } from "../format-number.js";
import { joinWords } from "../readable-name.js";
import { behindCell, besideCell, valueCell } from "./experiment-number.js";
import { ANSWERS, answerOf, EXPERIMENT_TITLES, meaningsOf } from "./finding-words.js";
import { inShort } from "./in-short.js";

/** More verdicts of one experiment are counted here and stand in its own table below. */
const MOST_ROWS = 4;
const MOST_IN_WORDS = 2;

/** @param figureOf the figure that belongs to an experiment, where there is one */
export function glanceSection(
  { experiments }: ExperimentResults,
  figureOf: (result: ExperimentResult) => Figure | undefined,
): Section {
  const used = new Set(experiments.flatMap(({ verdicts }) => verdicts.map(({ finding }) => finding)));
  const meanings = meaningsOf(used);
  return {
    id: "experiments",
    title: "At a glance",
    blocks: [
      summaryTable(experiments),
      ...(meanings.length > 0 ? [note(...meanings, "What each rests on stands below.")] : []),
      ...experiments.flatMap((result) => blocksOf(result, figureOf(result))),
      note(...methodsOf(experiments).map((method, at) => `${at === 0 ? "Intervals: " : " "}${sentence(method)}`)),
    ],
  };
}

function summaryTable(experiments: readonly ExperimentResult[]): Block {
  return {
    kind: "table",
    caption: "Every experiment of this study, its answer, and the number that the answer rests on, with its interval",
    groupTitle: "Experiment",
    columns: [
      { title: "About", align: "left" },
      { title: "Answer", align: "left" },
      { title: "Number", align: "left" },
      { title: "Value", align: "left" },
      { title: "Beside it", align: "left" },
      { title: "Trials / strings", align: "right" },
    ],
    rows: experiments.flatMap(summaryRows),
  };
}

function summaryRows({ name, question, verdicts, missing }: ExperimentResult): TableRow[] {
  const group = `${EXPERIMENT_TITLES[name]}: ${lowered(question)}`;
  if (verdicts.length === 0) {
    const none = { text: "—", missing: true };
    const why = { text: formatMissing(missing ?? "nothing was judged"), missing: true };
    return [{ group, cells: [{ text: "nothing" }, { text: ANSWERS.unknown }, none, why, none, none] }];
  }
  const shown = verdicts.length > MOST_ROWS ? verdicts.slice(0, MOST_ROWS - 1) : verdicts;
  const rows = shown.map((verdict): TableRow => ({ group, cells: verdictCells(verdict) }));
  const rest = verdicts.slice(shown.length);
  if (rest.length === 0) return rows;
  const none = { text: "—", missing: true };
  const counted = { text: `${formatCount(rest.length)} more: ${countedAnswers(rest)}` };
  const more = { text: "see “Every number of the experiments”" };
  return [...rows, { group, cells: [counted, none, more, none, none, none] }];
}

function verdictCells(verdict: ExperimentVerdict) {
  const {
    about,
    numbers: [first],
  } = verdict;
  const answer = { text: [{ strong: answerOf(verdict) }] };
  if (!first) {
    const none = { text: formatMissing("no number"), missing: true };
    return [{ text: about }, answer, none, none, none, none];
  }
  return [{ text: about }, answer, { text: first.label }, valueCell(first), besideCell(first), behindCell(first)];
}

/** 3 yes, 9 cannot be told */
export function countedAnswers(verdicts: readonly ExperimentVerdict[]): string {
  const answers = verdicts.map(answerOf);
  return joinWords(
    [...new Set(answers)].map((answer) => {
      const count = answers.filter((one) => one === answer).length;
      return `${formatCount(count)} ${answer.toLowerCase()}`;
    }),
  );
}

function blocksOf(result: ExperimentResult, figure: Figure | undefined): Block[] {
  const { name, verdicts } = result;
  if (verdicts.length === 0) return [];
  return [
    { kind: "subheading", title: EXPERIMENT_TITLES[name] },
    ...verdicts.slice(0, MOST_IN_WORDS).map(verdictBlock),
    ...(verdicts.length > MOST_IN_WORDS
      ? [note(`Not in words here: ${countedAnswers(verdicts.slice(MOST_IN_WORDS))}, in the tables.`)]
      : []),
    ...(figure ? [figure] : []),
  ];
}

function verdictBlock(verdict: ExperimentVerdict): Block {
  const { about, sentence: words, because } = verdict;
  const short = inShort(words);
  const unsaid = because.filter((reason) => !short.includes(reason));
  const why = unsaid.length === 0 ? "" : ` To be kept in mind: ${unsaid.join("; ")}.`;
  return {
    kind: "paragraph",
    tone: "verdict",
    text: [{ strong: `${answerOf(verdict)} — ${about}.` }, ` ${short}${why}`],
  };
}

/** Named once, whichever numbers they belong to. */
export function methodsOf(experiments: readonly ExperimentResult[]): string[] {
  const numbers = experiments.flatMap(({ verdicts }) =>
    verdicts.flatMap((verdict): readonly ExperimentNumber[] => verdict.numbers),
  );
  return [...new Set(numbers.map(({ intervalMethod }) => intervalMethod))];
}

function sentence(text: string): string {
  return text.endsWith(".") ? text : `${text}.`;
}

function lowered(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
