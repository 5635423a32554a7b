/** Every predictor about every target as a heat map; where a state predicts itself the square has a frame. */
import type { ObservedCell } from "../../score/matrix/observed-cells.js";
import { chartLabel } from "./chart-rows.js";
import { drawSvg, type FigureSpec } from "./draw-svg.js";
import { PALETTE } from "./palette.js";

const SQUARE = 46;
const LONGEST_NAME = 26;
/** No colours of the page: what stands on a shaded square is read against the shade, in a light page and in a dark one. */
const SHADES = ["#eaf3f9", "#5fa4d0", "#003d66"];
const ON_PALE = "#10202e";
const ON_DARK = "#fdfefe";

/** @throws InwardError REPORT_FAILED */
export async function matrixFigure(title: string, cells: readonly ObservedCell[]): Promise<string> {
  return drawSvg(title, matrixSpec(cells));
}

export function matrixSpec(cells: readonly ObservedCell[]): FigureSpec {
  const rows = names(cells.map(({ predictor }) => predictor));
  const columns = names(cells.map(({ target }) => target));
  const squares = cells.map(({ predictor, target, accuracy }) => {
    const place = { row: rows.keys.get(predictor), column: columns.keys.get(target), self: predictor === target };
    return accuracy.ok ? { ...place, value: accuracy.value, text: (100 * accuracy.value).toFixed(0) } : place;
  });
  const known = squares.filter((square) => "value" in square);
  const most = Math.max(0.1, ...known.map(({ value }) => Math.ceil(10 * value) / 10));
  const place = {
    x: {
      field: "column",
      type: "ordinal",
      scale: { domain: [...columns.keys.values()], padding: 0.04 },
      axis: {
        ...axis("columnLabels", "about"),
        orient: "top",
        labelAngle: -40,
        labelAlign: "left",
        labelBaseline: "middle",
      },
    },
    y: {
      field: "row",
      type: "ordinal",
      scale: { domain: [...rows.keys.values()], padding: 0.04 },
      axis: axis("rowLabels", "predictor"),
    },
  };
  return {
    width: { step: SQUARE },
    height: { step: SQUARE },
    params: [
      { name: "rowLabels", value: rows.labels },
      { name: "columnLabels", value: columns.labels },
    ],
    encoding: place,
    layer: [
      {
        name: "squares",
        data: { values: known },
        mark: { type: "rect" },
        encoding: {
          color: {
            field: "value",
            type: "quantitative",
            scale: { domain: [0, most], range: SHADES },
            legend: { title: "right", format: ".0%", gradientLength: 120, tickCount: 4, titleFontWeight: "normal" },
          },
        },
      },
      {
        name: "itself",
        data: { values: squares.filter(({ self }) => self) },
        mark: { type: "rect", filled: false, stroke: PALETTE.orange, strokeWidth: 2.5 },
      },
      {
        name: "values",
        data: { values: known },
        mark: { type: "text", fontSize: 12 },
        encoding: {
          text: { field: "text" },
          color: { condition: { test: `datum.value > ${0.5 * most}`, value: ON_DARK }, value: ON_PALE },
        },
      },
      {
        name: "missing",
        data: { values: squares.filter((square) => !("value" in square)) },
        mark: { type: "text", fontSize: 12, color: PALETTE.muted },
        encoding: { text: { value: "—" } },
      },
    ],
  } as unknown as FigureSpec;
}

/** Names of states are data here, never part of an expression. */
function names(all: readonly string[]) {
  const distinct = [...new Set(all)];
  const keys = new Map(distinct.map((name, index) => [name, `state${index}`]));
  return {
    keys,
    labels: Object.fromEntries(distinct.map((name) => [keys.get(name), chartLabel(name, LONGEST_NAME)])),
  };
}

function axis(labels: string, title: string) {
  return { title, labelExpr: `${labels}[datum.value]`, ticks: false, domain: false, labelPadding: 6 };
}
