/** The first page: every question with its answer and its number in one table, then the verdicts in words, each beside its figure. */

import type {
  ExperimentNumber,
  ExperimentResult,
  ExperimentResults,
  ExperimentVerdict,
} from "../../experiments/experiments.js";
import type { Finding } from "../../score/comparison/comparison.js";
import type { Estimate } from "../../score/interval.js";
import type { ExperimentName } from "../../study/schema.js";
import {
  type Block,
  type Figure,
  formatCount,
  formatEstimate,
  formatMissing,
  formatPoints,
  type Inline,
  note,
  type Section,
  type TableCell,
  type TableRow,
} from "../document.js";
import { baselineName, joinWords } from "../words.js";
import { decimalText } from "./calibration.js";

// A number of an experiment as cells of a table: value and interval, what it stands beside, how much is behind it.

function numberText(estimate: Estimate, unit: ExperimentNumber["unit"]): string {
  if (!estimate.ok) return formatMissing(estimate.reason);
  if (unit === "share") return formatEstimate(estimate);
  return unit === "difference" ? formatPoints(estimate) : decimalText(estimate, 3);
}

function valueCell({ estimate, unit }: ExperimentNumber): TableCell {
  const text = numberText(estimate, unit);
  return estimate.ok ? { text } : { text, missing: true };
}

/** A difference's sides are shares. */
function besideCell({ baselines, unit }: ExperimentNumber): TableCell {
  const all = Object.entries(baselines);
  if (all.length === 0) return { text: formatMissing("it stands for itself"), missing: true };
  const shown = unit === "plain" ? "plain" : "share";
  return { text: all.map(([name, estimate]) => `${baselineName(name)} ${numberText(estimate, shown)}`).join("; ") };
}

function behindCell({ estimate }: ExperimentNumber): TableCell {
  return estimate.ok
    ? { text: `${formatCount(estimate.n)} / ${formatCount(estimate.clusters)}` }
    : { text: formatMissing("no number"), missing: true };
}

// What the answer to an experiment's question is called, and what each of the words means.

const ANSWERS: Readonly<Record<Finding, string>> = {
  exceeds: "Yes",
  does_not_exceed: "No",
  cannot_tell: "Cannot be told",
  unknown: "Not known",
};

/** A yes that something weakens, or that lacks a comparison, is no plain one. */
function answerOf({ finding, because }: Pick<ExperimentVerdict, "finding" | "because">): string {
  return finding === "exceeds" && because.length > 0 ? `${ANSWERS.exceeds}, with reservations` : ANSWERS[finding];
}

const EXPERIMENT_TITLES: Readonly<Record<ExperimentName, string>> = {
  self_prediction: "Self-prediction",
  cross_prediction: "Self against others",
  calibration: "Calibration",
  behavioral_change: "Behavioral change",
  matrix: "Everybody about everybody",
  limits: "Known limits",
};

const MEANINGS: Readonly<Record<Finding, string>> = {
  exceeds:
    "in every comparison that the question needs, the interval of the difference lies above 0 (with reservations: something weakens it, or a comparison is missing, as the verdict says)",
  does_not_exceed: "in one of them it ends below any difference that would count",
  cannot_tell: "the interval leaves both open: these trials are too few, or too alike",
  unknown: "something that it takes to answer was not run, or gave nothing",
};

/** @param used only these are explained */
function meaningsOf(used: ReadonlySet<Finding>): Inline[] {
  const order: readonly Finding[] = ["exceeds", "does_not_exceed", "cannot_tell", "unknown"];
  return order
    .filter((finding) => used.has(finding))
    .flatMap((finding): Inline[] => [{ strong: `${ANSWERS[finding]}: ` }, `${MEANINGS[finding]}. `]);
}

/** The first sentences of a verdict; all of them stand in the section that it comes from. */
const MOST_SENTENCES = 3;

/** A sentence ends where a full stop is followed by a capital: numbers and names of models have stops of their own. */
function inShort(verdict: string): string {
  const sentences = verdict.split(/(?<=\.) (?=[A-Z])/);
  if (sentences.length <= MOST_SENTENCES) return verdict;
  return `${sentences.slice(0, MOST_SENTENCES).join(" ")} (${sentences.length - MOST_SENTENCES} more sentences below.)`;
}

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
function countedAnswers(verdicts: readonly ExperimentVerdict[]): string {
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
function methodsOf(experiments: readonly ExperimentResult[]): string[] {
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

// Every number of every experiment, in the order of the first page.

export function numbersSection({ experiments }: ExperimentResults): Section {
  const tables = experiments.filter(({ verdicts }) => verdicts.length > 0).map((one) => table(one, experiments));
  return {
    id: "numbers",
    title: "Every number of the experiments",
    blocks: [
      ...(tables.length > 0 ? tables : [note("No experiment could be judged.")]),
      {
        kind: "list",
        items: methodsOf(experiments).map((method, at) => [{ strong: `Intervals (${at + 1}). ` }, method]),
      },
    ],
  };
}

function table({ name, verdicts }: ExperimentResult, experiments: readonly ExperimentResult[]): Block {
  const methods = methodsOf(experiments);
  return {
    kind: "table",
    caption: EXPERIMENT_TITLES[name],
    groupTitle: "About",
    columns: [
      { title: "Number", align: "left" },
      { title: "Value", align: "left" },
      { title: "Beside it", align: "left" },
      { title: "Trials / strings", align: "right" },
      { title: "Intervals", align: "right" },
    ],
    rows: verdicts.flatMap((verdict) =>
      verdict.numbers.map(
        (number): TableRow => ({
          group: `${verdict.about} (${answerOf(verdict).toLowerCase()})`,
          cells: [
            { text: number.label },
            valueCell(number),
            besideCell(number),
            behindCell(number),
            { text: `(${methods.indexOf(number.intervalMethod) + 1})` },
          ],
        }),
      ),
    ),
  };
}
