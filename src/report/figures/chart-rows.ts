/** Rows of a chart: a line for each cell under a line with the name of its task, all on one vertical scale. */
import type { CellScore } from "../../records/scores.js";
import { propertyLabel, readableName } from "../readable-name.js";
import { shortened, visibleText } from "../visible-text.js";

export interface ChartRow {
  /** Place on the vertical scale. */
  readonly key: string;
  readonly label: string;
  /** Absent on the line that names a task. */
  readonly cell?: CellScore;
}

const LONGEST_LABEL = 32;

/**
 * @param cells cells of one task stand together
 * @param remarkOn stands behind the name of a task
 */
export function chartRows(cells: readonly CellScore[], remarkOn: (task: string) => string = () => ""): ChartRow[] {
  const several = new Set(cells.map((cell) => cell.variant)).size > 1;
  const rows: Omit<ChartRow, "key">[] = [];
  let task: string | undefined;
  for (const cell of cells) {
    if (cell.task !== task) rows.push({ label: chartLabel(readableName(cell.task) + remarkOn(cell.task)) });
    task = cell.task;
    rows.push({ label: chartLabel(propertyLabel(cell, several)), cell });
  }
  return rows.map((row, index) => ({ ...row, key: `row${index}` }));
}

/** Text short and safe enough to stand in a figure. */
export function chartLabel(text: string, longest = LONGEST_LABEL): string {
  return shortened(visibleText(text, "mark"), longest);
}

/** The vertical scale of such rows; names of tasks stand out. */
export function rowAxis(rows: readonly ChartRow[]) {
  const names = rows.filter((row) => !row.cell).map((row) => row.key);
  return {
    params: [
      { name: "rowLabels", value: Object.fromEntries(rows.map((row) => [row.key, row.label])) },
      { name: "taskRows", value: names },
    ],
    y: {
      field: "row",
      type: "ordinal",
      scale: { domain: rows.map((row) => row.key) },
      axis: {
        title: null,
        labelExpr: "rowLabels[datum.value]",
        labelFontWeight: { condition: { test: "indexof(taskRows, datum.value) >= 0", value: "bold" }, value: "normal" },
        ticks: false,
        domain: false,
        labelPadding: 10,
      },
    },
  };
}

/** A share of trials from 0 to 100 %. */
export function shareAxis(title: string) {
  return {
    type: "quantitative",
    scale: { domain: [0, 1] },
    axis: {
      title,
      values: [0, 0.2, 0.4, 0.6, 0.8, 1],
      labelExpr: "round(100 * datum.value) + ' %'",
      domain: false,
      ticks: false,
    },
  };
}
