/** Differences between self and cross, over everything, by task and on other choices of trials; and self against third parties. */
import type { Judgement, PredictorDifference, Sensitivity, TestedDifference } from "../../records/comparison.js";
import type { ComparedPredictors, ComparedSelf } from "../../records/comparisons.js";
import type { Column, Table, TableCell, TableRow } from "../document.js";
import { formatMissing } from "../format-number.js";
import { countCell, estimateCell, left, right, shareCell } from "../table-parts.js";
import { readableName } from "../readable-name.js";
import { FINDING_WORDS, SENSITIVITY_NAMES, THIRD_PARTY_NAMES } from "./comparison-names.js";
import { formatP, testCell } from "./p-value.js";

const WEIGHTS = { micro: "Micro", macro: "Macro" } as const;

/** @param percent of the intervals */
export function overallTable({ comparison }: ComparedPredictors, percent: number): Table {
  return {
    kind: "table",
    caption: `Right predictions of self and cross on the same trials, with ${percent} % intervals (cluster bootstrap by string, paired); the difference in points`,
    columns: [
      left("Average"),
      ...["Self", "Cross", "Mode (oracle)", "Self − cross", "… drawing tasks and seeds too", "Sign-flip p", "n"].map(
        right,
      ),
    ],
    rows: comparison.overall.map((row) => ({
      cells: [
        { text: WEIGHTS[row.kind] },
        ...sidesOf(row),
        hierarchicalCell(row),
        testCell(row.signFlip),
        countCell(row.difference),
      ],
    })),
  };
}

export function taskTable({ comparison }: ComparedPredictors, percent: number, heldOut: readonly string[]): Table {
  return {
    kind: "table",
    caption: `By task (micro), with ${percent} % intervals that are not adjusted; p-values are, by Holm's method over the tasks`,
    columns: [
      left("Task"),
      ...["Self", "Cross", "Mode (oracle)", "Self − cross", "Sign-flip p", "… after Holm", "n"].map(right),
    ],
    rows: comparison.byTask.map((row) => ({
      cells: [
        { text: readableName(row.task), ...(heldOut.includes(row.task) ? { small: "held out" } : {}) },
        ...sidesOf(row),
        testCell(row.signFlip),
        row.holmP.ok
          ? { text: formatP(row.holmP.p), small: `of ${row.holmP.of}` }
          : { text: formatMissing(row.holmP.reason), missing: true },
        countCell(row.difference),
      ],
    })),
  };
}

export function sensitivityTable({ comparison }: ComparedPredictors, percent: number): Table {
  return {
    kind: "table",
    caption: `The same difference on other choices of trials (micro), with ${percent} % intervals: read beside the main one, not as findings`,
    columns: [left("Trials"), ...["Kept", "Self", "Cross", "Mode (oracle)", "Self − cross", "n"].map(right)],
    rows: comparison.sensitivity.map(sensitivityRow),
  };
}

function sensitivityRow(row: Sensitivity): TableRow {
  const name = { text: SENSITIVITY_NAMES[row.name] };
  const micro = row.ok ? row.differences.find(({ kind }) => kind === "micro") : undefined;
  if (!micro) {
    const reason = { text: formatMissing(row.ok ? "not computed" : row.reason), missing: true };
    const none = { text: "—", missing: true };
    return { cells: [name, shareCell(row.kept), none, none, none, reason, none] };
  }
  const worth =
    row.ok && row.effectiveTrials !== undefined
      ? { small: `worth ${row.effectiveTrials.toFixed(1)} equal trials` }
      : {};
  return { cells: [{ ...name, ...worth }, shareCell(row.kept), ...sidesOf(micro), countCell(micro.difference)] };
}

export function thirdPartyTable({ comparison, thirdParties, verdict }: ComparedPredictors, percent: number): Table {
  const cross = { text: FINDING_WORDS[verdict.cross.finding] };
  return {
    kind: "table",
    caption: `Self against everything else (micro), each on the trials that both have, with ${percent} % intervals`,
    columns: partyColumns(),
    rows: [
      { cells: [...overallRow("cross-prediction", comparison.overall[0]), cross] },
      ...thirdPartyRows(thirdParties, verdict.thirdParties),
    ],
  };
}

export function otherComparisonsTable(others: readonly ComparedPredictors[], percent: number): Table {
  const columns = partyColumns("Self against");
  return {
    kind: "table",
    caption: `Self against members of a series and others, each on the trials that both have (micro), with ${percent} % intervals`,
    groupTitle: "Target",
    columns: [...columns.slice(0, -1), left("Against cross"), left("Against all")],
    rows: others.map(({ target, self, cross, comparison, verdict }) => ({
      group: `about ${target}, self is ${self}`,
      cells: [
        ...overallRow(cross, comparison.overall[0]),
        { text: FINDING_WORDS[verdict.cross.finding] },
        { text: FINDING_WORDS[verdict.overall].replace(/ it$/, " them all") },
      ],
    })),
  };
}

/** @param title of the first column */
export function partyColumns(title = "Against"): Column[] {
  return [left(title), ...["Its accuracy", "Self", "Self − it", "Sign-flip p", "n"].map(right), left("Finding")];
}

export function thirdPartyRows(
  thirdParties: ComparedSelf["thirdParties"],
  judgements: Readonly<Record<string, Judgement>>,
): TableRow[] {
  return Object.entries(thirdParties).map(([name, { overall }]) => {
    const judgement = judgements[name];
    const finding = judgement ? FINDING_WORDS[judgement.finding] : formatMissing("not judged");
    return { cells: [...overallRow(THIRD_PARTY_NAMES[name] ?? readableName(name), overall[0]), { text: finding }] };
  });
}

/** All but the finding. */
export function overallRow(name: string, { cross, self, difference, signFlip }: TestedDifference): TableCell[] {
  return [
    { text: name },
    estimateCell(cross),
    estimateCell(self),
    estimateCell(difference, true),
    testCell(signFlip),
    countCell(difference),
  ];
}

function sidesOf({ self, cross, modeBaseline, difference }: PredictorDifference): TableCell[] {
  return [estimateCell(self), estimateCell(cross), estimateCell(modeBaseline), estimateCell(difference, true)];
}

function hierarchicalCell({ hierarchical }: TestedDifference): TableCell {
  if (!hierarchical.ok) return { text: formatMissing(hierarchical.reason), missing: true };
  const cell = estimateCell(hierarchical, true);
  const levels = `${hierarchical.tasks} tasks, ${hierarchical.seeds} seed${hierarchical.seeds === 1 ? "" : "s"}`;
  return { text: cell.small ?? "", small: levels };
}
