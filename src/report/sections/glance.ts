/** The first page: the answer, every question with the number that decided it, and the figure of the first experiment. */

import type { Estimate } from "../../score/interval.js";
import type { Finding } from "../../score/comparison/comparison.js";
import type { ExperimentResult, ExperimentResults } from "../../score/verdicts/experiments.js";
import type { Verdict, VerdictNumber } from "../../score/verdicts/verdict.js";
import {
  type Block,
  type Figure,
  formatCount,
  formatMissing,
  type Inline,
  INTERVALS,
  left,
  aside,
  paragraph,
  right,
  type Section,
  type TableCell,
  type TableRow,
} from "../document.js";
import { aboutStates, missingText, QUESTIONS, verdictBlock, verdictText } from "../sentences.js";
import { decidingNumber, measureText, numberText } from "../verdict-numbers.js";
import { shownVerdicts, standingAnswer, standingText } from "../standing.js";
import { ANSWERS, answerOf, EXPERIMENT_TITLES, lowered } from "../standing.js";
import type { StateNames } from "../state-names.js";
import { baselineName, joinWords } from "../terms.js";
import type { IntervalMethods } from "./intervals.js";

// A number of a verdict as cells of a table: value and interval, what it stands beside, how much is behind it.

function valueCell(number: VerdictNumber): TableCell {
  const text = numberText(number);
  return number.estimate.ok ? { text } : { text, missing: true };
}

/** A difference's sides are shares. */
function besideCell({ baselines, unit }: VerdictNumber): TableCell {
  const all = Object.entries(baselines);
  if (all.length === 0) return { text: formatMissing("it stands for itself"), missing: true };
  const shown = unit === "plain" ? "plain" : "share";
  const text = (estimate: Estimate) => numberText({ estimate, unit: shown });
  return { text: all.map(([name, estimate]) => `${baselineName(name)} ${text(estimate)}`).join("; ") };
}

function behindCell({ estimate }: VerdictNumber): TableCell {
  return estimate.ok
    ? { text: `${formatCount(estimate.n)} / ${formatCount(estimate.clusters)}` }
    : { text: formatMissing("no number"), missing: true };
}

// What each of the answers means.

const MEANINGS: Readonly<Record<Finding, string>> = {
  exceeds:
    "in every comparison that the question needs, the interval of the difference lies above 0 (with reservations: something weakens it, or a comparison is missing)",
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

/** More verdicts of one experiment are counted here and stand in its own table below. */
const MOST_ROWS = 4;

/** @param figure that of the first experiment that has one */
export function glanceSection(results: ExperimentResults, figure: Figure | undefined, names: StateNames): Section {
  const experiments = primaryFirst(results);
  const used = new Set(experiments.flatMap(({ verdicts }) => verdicts.map(({ finding }) => finding)));
  const meanings = meaningsOf(used);
  const answered = experiments.find(({ verdicts }) => verdicts.length > 0);
  const [first] = answered?.verdicts ?? [];
  return {
    id: "experiments",
    title: "At a glance",
    blocks: [
      ...(answered && first ? [paragraph(QUESTIONS[answered.name]), verdictBlock(first, names)] : []),
      aside(standingText(results)),
      summaryTable(experiments, names),
      ...(meanings.length > 0 ? [aside(...meanings, INTERVALS, ".")] : []),
      ...(figure ? [figure] : []),
    ],
  };
}

/** What the study is judged by comes first, and stands apart only where it is named. */
function primaryFirst(results: ExperimentResults): ExperimentResult[] {
  const shown = results.experiments.map((one) => ({ ...one, verdicts: shownVerdicts(results, one.verdicts) }));
  const isPrimary = ({ verdicts }: ExperimentResult) => verdicts[0]?.status === "primary";
  return [...shown.filter(isPrimary), ...shown.filter((one) => !isPrimary(one))];
}

function summaryTable(experiments: readonly ExperimentResult[], names: StateNames): Block {
  return {
    kind: "table",
    isCards: true,
    caption: "Every experiment of this study, its answer, and the comparison that decided it, with its interval",
    groupTitle: "Experiment",
    columns: [
      left("About"),
      left("Answer"),
      left("Decided by"),
      left("Value"),
      left("Beside it"),
      right("Trials / strings"),
    ],
    rows: experiments.flatMap((result) => summaryRows(result, names)),
  };
}

function summaryRows({ name, verdicts, missing }: ExperimentResult, names: StateNames): TableRow[] {
  const group = `${EXPERIMENT_TITLES[name]}: ${lowered(QUESTIONS[name])}`;
  const none = { text: "—", missing: true };
  if (verdicts.length === 0) {
    const why = { text: formatMissing(missingText(missing)), missing: true };
    return [{ group, cells: [{ text: "nothing" }, { text: ANSWERS.unknown }, none, why, none, none] }];
  }
  const shown = verdicts.length > MOST_ROWS ? verdicts.slice(0, MOST_ROWS - 1) : verdicts;
  const rows = shown.map((verdict): TableRow => ({ group, cells: verdictCells(verdict, names) }));
  const rest = verdicts.slice(shown.length);
  if (rest.length === 0) return rows;
  const counted = { text: `${formatCount(rest.length)} more: ${countedAnswers(rest)}` };
  const more = { text: ["see ", { link: "numbers", text: "every number of the experiments" }] };
  return [...rows, { group, cells: [counted, none, more, none, none, none] }];
}

function verdictCells(verdict: Verdict, names: StateNames): TableCell[] {
  const first = decidingNumber(verdict);
  const who = { text: verdictText(verdict, names), ids: aboutStates(verdict.about) };
  const answer = { text: [{ strong: standingAnswer(verdict) }] };
  if (!first) {
    const none = { text: formatMissing("no number"), missing: true };
    return [who, answer, none, none, none, none];
  }
  return [who, answer, { text: measureText(first, names) }, valueCell(first), besideCell(first), behindCell(first)];
}

/** 3 yes, 9 cannot be told */
function countedAnswers(verdicts: readonly Verdict[]): string {
  const answers = verdicts.map(answerOf);
  return joinWords(
    [...new Set(answers)].map((answer) => {
      const count = answers.filter((one) => one === answer).length;
      return `${formatCount(count)} ${answer.toLowerCase()}`;
    }),
  );
}

// Every number of every experiment, in the order of the first page.

export function numbersSection(results: ExperimentResults, names: StateNames, intervals: IntervalMethods): Section {
  const experiments = primaryFirst(results);
  const tables = experiments
    .filter(({ verdicts }) => verdicts.length > 0)
    .map((one) => numbersTable(one, names, intervals));
  return {
    id: "numbers",
    title: "Every number of the experiments",
    blocks: [
      ...(tables.length > 0 ? tables : [aside("No experiment could be judged.")]),
      aside(INTERVALS, ", by the numbers in the last column."),
    ],
  };
}

function numbersTable({ name, verdicts }: ExperimentResult, names: StateNames, intervals: IntervalMethods): Block {
  return {
    kind: "table",
    caption: EXPERIMENT_TITLES[name],
    groupTitle: "About",
    columns: [left("Number"), left("Value"), left("Beside it"), right("Trials / strings"), right("Intervals")],
    rows: verdicts.flatMap((verdict) =>
      verdict.numbers.map(
        (number): TableRow => ({
          group: `${verdictText(verdict, names)} (${standingAnswer(verdict).toLowerCase()})`,
          cells: [
            { text: measureText(number, names) },
            valueCell(number),
            besideCell(number),
            behindCell(number),
            { text: [{ link: "intervals", text: intervals.mark(number.intervalMethod) }] },
          ],
        }),
      ),
    ),
  };
}
