/** What a target does: the most common behaviors of the most varied cells, with how often they were predicted. */

import type { CellScore, ValueCount } from "../../score/scores.js";
import { formatBits, formatCount, formatPercent } from "../document.js";
import { propertyLabel, readableName } from "../terms.js";
import { chartLabel, drawSvg, type FigureSpec, PALETTE } from "./draw.js";

const MOST_PANELS = 12;
const MOST_VALUES = 6;
const LABEL_WIDTH = 96;
const TEXT_WIDTH = 46;
const BEHAVIORS = "what was done (bars)";
const PREDICTIONS = "what was predicted (diamonds)";

export async function behaviorsFigure(title: string, cells: readonly CellScore[]): Promise<string> {
  return drawSvg(title, behaviorsSpec(cells));
}

/** Cells with a scored behavior, those of the highest entropy, in the order of the table. */
export function variedCells(cells: readonly CellScore[]): CellScore[] {
  const scored = cells.filter((cell) => cell.behaviors.length > 0);
  const kept = new Set([...scored].sort((a, b) => b.behaviorEntropyBits - a.behaviorEntropyBits).slice(0, MOST_PANELS));
  return scored.filter((cell) => kept.has(cell));
}

function behaviorsSpec(cells: readonly CellScore[]): FigureSpec {
  const several = new Set(cells.map((cell) => cell.variant)).size > 1;
  const shown = variedCells(cells).map((cell) => ({ cell, values: panelValues(cell) }));
  return {
    // Values of a model are data here, never part of an expression.
    params: shown.map(({ values }, index) => ({ name: `labels${index}`, value: values.map(({ value }) => value) })),
    columns: 3,
    bounds: "flush",
    spacing: { row: 62, column: LABEL_WIDTH + TEXT_WIDTH + 14 },
    concat: shown.map(({ cell, values }, index) =>
      panel(cell, values, several, index, mostShare(shown.flatMap(({ values }) => values))),
    ),
  } as unknown as FigureSpec;
}

interface PanelValue {
  readonly value: string;
  readonly done: number;
  readonly predicted: number;
}

/** Shares of the scored trials: the most common behaviors, then all others together. */
function panelValues(cell: CellScore): PanelValue[] {
  const scored = cell.objectCompliance.count;
  const top = cell.behaviors.slice(0, MOST_VALUES);
  const rest = cell.behaviors.slice(MOST_VALUES);
  const predicted = new Map(cell.predictions.map(({ value, count }) => [value, count]));
  const rows = top.map(({ value, count }) => ({
    value: chartLabel(value === "" ? "(empty)" : value, 14),
    done: count / scored,
    predicted: (predicted.get(value) ?? 0) / scored,
  }));
  const shown = new Set(top.map(({ value }) => value));
  const others = cell.predictions.filter(({ value }) => !shown.has(value));
  if (rest.length === 0 && others.length === 0) return rows;
  return [...rows, { value: "all others", done: total(rest) / scored, predicted: total(others) / scored }];
}

function panel(cell: CellScore, shown: readonly PanelValue[], several: boolean, index: number, most: number) {
  const values = shown.map((row, index) => ({ ...row, place: index, text: formatPercent(row.done) }));
  const y = {
    field: "place",
    type: "ordinal",
    scale: { domain: values.map(({ place }) => place) },
    axis: {
      title: null,
      ticks: false,
      domain: false,
      labelExpr: `labels${index}[datum.value]`,
      labelLimit: 0,
      minExtent: LABEL_WIDTH,
      maxExtent: LABEL_WIDTH,
      labelFontSize: 11,
      labelPadding: 9,
    },
  };
  // Names of layers must differ: vega-lite gives layers of one name the same data.
  const share = { type: "quantitative", scale: { domain: [0, most] }, axis: null };
  const colour = {
    type: "nominal",
    scale: { domain: [BEHAVIORS, PREDICTIONS], range: [PALETTE.pale, PALETTE.orange] },
    legend: { title: null, orient: "top", symbolType: "circle", symbolOpacity: 1 },
  };
  return {
    title: {
      text: chartLabel(`${readableName(cell.task)}, ${propertyLabel(cell, several)}`, 40),
      subtitle: `${formatBits(cell.behaviorEntropyBits)} bits, ${formatCount(cell.objectCompliance.count)} trials`,
      anchor: "start",
      frame: "group",
      fontSize: 12,
      subtitleFontSize: 11,
      offset: 6,
      dx: -LABEL_WIDTH + 12,
    },
    width: 130,
    height: { step: 16 },
    data: { values },
    encoding: { y },
    layer: [
      {
        name: `done${index}`,
        mark: { type: "bar", height: { band: 0.72 } },
        encoding: { x: { field: "done", ...share }, color: { datum: BEHAVIORS, ...colour } },
      },
      {
        name: `doneText${index}`,
        mark: { type: "text", align: "right", dx: TEXT_WIDTH, fontSize: 10.5, color: PALETTE.muted },
        encoding: { x: { datum: most }, text: { field: "text" } },
      },
      {
        name: `predicted${index}`,
        mark: { type: "point", filled: true, opacity: 1, size: 34, shape: "diamond" },
        encoding: { x: { field: "predicted", type: "quantitative" }, color: { datum: PREDICTIONS, ...colour } },
      },
    ],
  };
}

/** Where the common scale of all panels ends: the largest share, rounded up to the next tenth. */
function mostShare(values: readonly PanelValue[]): number {
  const largest = Math.max(0, ...values.flatMap(({ done, predicted }) => [done, predicted]));
  return Math.max(0.1, Math.ceil(10 * largest) / 10);
}

function total(counts: readonly ValueCount[]): number {
  return counts.reduce((sum, { count }) => sum + count, 0);
}
