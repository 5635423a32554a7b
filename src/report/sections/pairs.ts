/** Pairs that are not shown in full, a row each: seeds, series, controls, other wordings, changed models. */

import { INPUT_ONLY } from "../../score/input-only/input-only-predictions.js";
import type { Scope } from "../../score/scope.js";
import type { CellScore } from "../../score/scores.js";
import { bestRuleOf } from "../../score/verdicts/verdict.js";
import type { Plan } from "../../study/plan.js";
import {
  type Block,
  estimateCell,
  formatBits,
  formatCount,
  formatInterval,
  formatMissing,
  formatPercent,
  aside,
  type Section,
  shareCell,
  shortened,
  type Table,
  type TableCell,
  type TableRow,
} from "../document.js";
import {
  markWarnings,
  noHeuristic,
  onScope,
  pairTitle,
  propertyLabel,
  readableName,
  SCOPE_WORDS,
  stateWords,
} from "../terms.js";
import type { StateNames } from "../state-names.js";
import type { Pair } from "./headline.js";
import { modeSentences } from "../mode-sentences.js";

export function otherPairsBlocks(plan: Plan, pairs: readonly Pair[], confidence: number): Block[] {
  if (pairs.length === 0) return [];
  const percent = Number((100 * confidence).toFixed(6));
  return [
    { kind: "subheading", title: "Other seeds, series, controls, wordings and changed models" },
    {
      kind: "table",
      caption: `Percent of trials (micro averages), with ${percent} % intervals (cluster bootstrap by string)`,
      groupTitle: "Target",
      columns: [
        { title: "Predictor", align: "left" },
        ...["Right", "Mode (train)", "Minus train mode, points", "Replies comply", "Trials / strings"].map((title) => ({
          title,
          align: "right" as const,
        })),
      ],
      rows: byTarget(pairs).flatMap(({ predictor, target, scopes }) =>
        scopes.map(({ scope, micro }) => ({
          group: `about ${target}`,
          cells: [
            { text: predictor, small: [stateWords(plan, predictor) || "as it came", ...whereOf(scope)].join("; ") },
            estimateCell(micro?.accuracy),
            estimateCell(micro?.modeBaselineTrain),
            estimateCell(micro?.aboveModeTrain, true),
            micro ? shareCell(micro.hypotheticalCompliance) : { text: formatMissing("not averaged"), missing: true },
            micro?.accuracy.ok
              ? { text: `${formatCount(micro.accuracy.n)} / ${formatCount(micro.accuracy.clusters)}` }
              : { text: formatMissing("no accuracy"), missing: true },
          ],
        })),
      ),
    },
  ];
}

function whereOf(scope: Scope): string[] {
  return scope === "all" ? [] : [`on ${SCOPE_WORDS[scope]}`];
}

/** Targets in the order in which they come first. */
function byTarget(pairs: readonly Pair[]): Pair[] {
  const targets = [...new Set(pairs.map(({ target }) => target))];
  return targets.flatMap((target) => pairs.filter((pair) => pair.target === target));
}

// The table per task × property: every score of every cell of one predictor about one target.

const LONGEST_ANSWER = 16;

export function cellSection(pairs: readonly Pair[], confidence: number, names: StateNames): Section {
  const tables = pairs.flatMap((pair): Block[] => [
    ...(pairs.length > 1 ? [{ kind: "subheading" as const, title: pairTitle(pair, names) }] : []),
    cellTable(pair, confidence, names),
  ]);
  return {
    id: "cells",
    title: "Every task and property",
    blocks: [
      aside(
        "Right: predictions that equal the behavior, of the trials whose object-level answer has one; a reply that does not comply counts as wrong. ",
        "Entropy and mode share describe the behaviors: where they hardly vary, a prediction that is right shows nothing. ",
        "The best rule is chosen per row after seeing the answers.",
      ),
      ...(tables.length > 0 ? tables : [aside("No cell was scored.")]),
    ],
  };
}

function cellTable(pair: Pair, confidence: number, names: StateNames): Table {
  const several = hasSeveralWordings(pair.cells);
  const warnings = markWarnings(pair.cells);
  const percent = Number((100 * confidence).toFixed(6));
  return {
    kind: "table",
    caption: `${pairTitle(pair, names)}: percent of trials, with ${percent} % intervals (cluster bootstrap by string) in brackets`,
    groupTitle: "Task",
    columns: [
      { title: "Property", align: "left" },
      { title: "Right", align: "right" },
      { title: "Right when compliant", align: "right" },
      { title: "Right above noise floor", align: "right" },
      { title: "Mode (train)", align: "right" },
      { title: "Mode (oracle)", align: "right" },
      { title: "Minus train mode, points", align: "right" },
      ...stringTitles(pair.cells).map((title) => ({ title, align: "right" as const })),
      { title: "Entropy, bits", align: "right" },
      { title: "Mode share", align: "right" },
      { title: "Answers comply", align: "right" },
      { title: "Replies comply", align: "right" },
      { title: "Trials / strings", align: "right" },
    ],
    rows: pair.cells.map((cell) => cellRow(cell, pair.cells, several, warnings.marksOf(cell))),
    footnotes: warnings.kinds,
  };
}

function hasSeveralWordings(cells: readonly CellScore[]): boolean {
  return new Set(cells.map((cell) => cell.variant)).size > 1;
}

function cellRow(cell: CellScore, all: readonly CellScore[], several: boolean, marks: readonly string[]): TableRow {
  return {
    group: readableName(cell.task),
    cells: withoutRepeatedReasons([
      { text: propertyLabel(cell, several), marks },
      estimateCell(cell.accuracy),
      estimateCell(cell.accuracyWhenCompliant),
      estimateCell(cell.accuracyAboveNoiseFloor),
      withAnswer(estimateCell(cell.modeBaselineTrain), cell.modeTrainValue),
      withAnswer(estimateCell(cell.modeBaselineOracle), cell.modeOracleValue),
      estimateCell(cell.aboveModeTrain, true),
      ...stringCells(cell, all),
      ifScored(cell, formatBits(cell.behaviorEntropyBits)),
      ifScored(cell, formatPercent(cell.behaviorModeShare)),
      shareCell(cell.objectCompliance),
      shareCell(cell.hypotheticalCompliance),
      cell.accuracy.ok
        ? { text: `${formatCount(cell.accuracy.n)} / ${formatCount(cell.accuracy.clusters)}` }
        : { text: formatMissing("no accuracy"), missing: true },
    ]),
  };
}

/** A reason that stands to the left already is not said again: what matters stays easy to see. */
function withoutRepeatedReasons(cells: readonly TableCell[]): TableCell[] {
  const said = new Set<unknown>();
  return cells.map((cell) => {
    if (!cell.missing) return cell;
    if (said.has(cell.text)) return { ...cell, text: formatMissing("same reason") };
    said.add(cell.text);
    return cell;
  });
}

function withAnswer(cell: TableCell, answer: string | undefined): TableCell {
  return answer === undefined || cell.missing
    ? cell
    : { ...cell, small: `${cell.small ?? ""} “${shortened(answer, LONGEST_ANSWER)}”`.trim() };
}

/** The rule that was right most often, with its name. */
function heuristicCell(cell: WithRules): TableCell {
  const best = bestRuleOf(cell.heuristics);
  if (!best) return { text: formatMissing(noHeuristic(cell.heuristics)), missing: true };
  const { estimate, rule } = best;
  return { text: formatPercent(estimate.value), small: `${formatInterval(estimate)} ${readableName(rule)}` };
}

type WithRules = Pick<CellScore, "heuristics">;

/** Titles of what the string alone gives away: the best rule, and the classifier where one was scored. */
export function stringTitles(rows: readonly WithRules[]): string[] {
  const hasClassifier = rows.some(({ heuristics }) => heuristics[INPUT_ONLY]);
  return ["Best rule on the string", ...(hasClassifier ? ["Input-only classifier"] : [])];
}

/** In the order of their titles. */
export function stringCells(row: WithRules, rows: readonly WithRules[]): TableCell[] {
  const classifier = row.heuristics[INPUT_ONLY] ?? { ok: false as const, reason: "it was not scored" };
  return [heuristicCell(row), ...(stringTitles(rows).length > 1 ? [estimateCell(classifier)] : [])];
}

function ifScored(cell: CellScore, text: string): TableCell {
  return cell.behaviors.length > 0 ? { text } : { text: formatMissing("no behavior"), missing: true };
}

// Many pairs side by side, a row each: the same averages as the table of one pair.

export function pairsBlocks(pairs: readonly Pair[], confidence: number): Block[] {
  const percent = Number((100 * confidence).toFixed(6));
  const averages = pairs.flatMap(({ scopes }) => scopes.flatMap(({ micro }) => micro ?? []));
  // The main scope of each pair; the others are rows beside it.
  const sentences = pairs.flatMap(({ scopes: [{ scope, micro, macro, cells }] }) =>
    micro ? [`${onScope(scope)}${modeSentences(micro, macro, cells)[0] ?? ""}`] : [],
  );
  return [
    { kind: "list", items: sentences.map((text) => [text]) },
    {
      kind: "table",
      caption: `Percent of trials, with ${percent} % intervals (cluster bootstrap by string). Micro, unless told: every trial counts the same. Macro: every task × property counts the same.`,
      groupTitle: "Target",
      columns: [
        { title: "Predictor", align: "left" },
        ...[
          "Right",
          "Mode (train)",
          "Minus train mode, points",
          "Mode (oracle)",
          ...stringTitles(averages),
          "Right when compliant",
          "Right above noise floor",
          "Right (macro)",
          "Minus train mode (macro)",
          "Replies comply",
          "Answers comply",
          "Trials / strings",
        ].map((title) => ({ title, align: "right" as const })),
      ],
      rows: pairs.flatMap(({ predictor, target, scopes }) =>
        scopes.map(({ scope, micro, macro }) => ({
          group: `about ${target}`,
          cells: micro
            ? [
                { text: predictor, small: whereOf(scope)[0] },
                estimateCell(micro.accuracy),
                estimateCell(micro.modeBaselineTrain),
                estimateCell(micro.aboveModeTrain, true),
                estimateCell(micro.modeBaselineOracle),
                ...stringCells(micro, averages),
                estimateCell(micro.accuracyWhenCompliant),
                estimateCell(micro.accuracyAboveNoiseFloor),
                estimateCell(macro?.accuracy),
                estimateCell(macro?.aboveModeTrain, true),
                shareCell(micro.hypotheticalCompliance),
                shareCell(micro.objectCompliance),
                micro.accuracy.ok
                  ? { text: `${formatCount(micro.accuracy.n)} / ${formatCount(micro.accuracy.clusters)}` }
                  : { text: formatMissing("no accuracy"), missing: true },
              ]
            : [
                { text: predictor },
                { text: formatMissing("not averaged"), missing: true },
                ...Array.from({ length: 10 + stringTitles(averages).length }, () => ({ text: "—", missing: true })),
              ],
        })),
      ),
    },
  ];
}
