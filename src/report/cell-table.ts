/** The table per task × property: every score of every cell of one predictor about one target. */
import type { CellScore } from "../records/scores.js";
import { bestHeuristic, noHeuristic } from "./best-heuristic.js";
import { type Block, note, type Section, type Table, type TableCell, type TableRow } from "./document.js";
import { formatBits, formatCount, formatInterval, formatMissing, formatPercent } from "./format-number.js";
import { type Pair } from "./headline-section.js";
import { pairTitle, propertyLabel, readableName } from "./readable-name.js";
import { estimateCell, shareCell } from "./table-parts.js";
import { shortened } from "./visible-text.js";
import { markWarnings } from "./warning-kinds.js";

const LONGEST_ANSWER = 16;

export function cellSection(pairs: readonly Pair[], confidence: number): Section {
  const tables = pairs.flatMap((pair): Block[] => [
    ...(pairs.length > 1 ? [{ kind: "subheading" as const, title: pairTitle(pair) }] : []),
    cellTable(pair, confidence),
  ]);
  return {
    id: "cells",
    title: "Every task and property",
    blocks: [
      note(
        "Right: predictions that equal the behavior, of the trials whose object-level answer has one; a reply that does not comply counts as wrong. ",
        "Entropy and mode share describe the behaviors: where they hardly vary, a prediction that is right shows nothing. ",
        "The best rule is chosen per row after seeing the answers.",
      ),
      ...(tables.length > 0 ? tables : [note("No cell was scored.")]),
    ],
  };
}

export function cellTable(pair: Pair, confidence: number): Table {
  const several = hasSeveralWordings(pair.cells);
  const warnings = markWarnings(pair.cells);
  const percent = Number((100 * confidence).toFixed(6));
  return {
    kind: "table",
    caption: `${pairTitle(pair)}: percent of trials, with ${percent} % intervals (cluster bootstrap by string) in brackets`,
    groupTitle: "Task",
    columns: [
      { title: "Property", align: "left" },
      { title: "Right", align: "right" },
      { title: "Right when compliant", align: "right" },
      { title: "Right above noise floor", align: "right" },
      { title: "Mode (train)", align: "right" },
      { title: "Mode (oracle)", align: "right" },
      { title: "Minus train mode, points", align: "right" },
      { title: "Best rule on the string", align: "right" },
      { title: "Entropy, bits", align: "right" },
      { title: "Mode share", align: "right" },
      { title: "Answers comply", align: "right" },
      { title: "Replies comply", align: "right" },
      { title: "Trials / strings", align: "right" },
    ],
    rows: pair.cells.map((cell) => cellRow(cell, several, warnings.marksOf(cell))),
    footnotes: warnings.kinds,
  };
}

export function hasSeveralWordings(cells: readonly CellScore[]): boolean {
  return new Set(cells.map((cell) => cell.variant)).size > 1;
}

function cellRow(cell: CellScore, several: boolean, marks: readonly string[]): TableRow {
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
      heuristicCell(cell),
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
export function heuristicCell(cell: Pick<CellScore, "heuristics">): TableCell {
  const best = bestHeuristic(cell.heuristics);
  if (!best) return { text: formatMissing(noHeuristic(cell.heuristics)), missing: true };
  const { estimate, rule } = best;
  return { text: formatPercent(estimate.value), small: `${formatInterval(estimate)} ${readableName(rule)}` };
}

function ifScored(cell: CellScore, text: string): TableCell {
  return cell.behaviors.length > 0 ? { text } : { text: formatMissing("no behavior"), missing: true };
}
