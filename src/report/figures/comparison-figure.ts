/** Self, cross and third parties as bars with their intervals. */

import type { ComparedPredictors, ComparedSelf } from "../../score/comparison/comparisons.js";
import type { ObservedCell } from "../../score/matrix/cells.js";
import type { StateNames } from "../state-names.js";
import { readableName, THIRD_PARTY_NAMES } from "../terms.js";
import { type Bar, barsFigure } from "./bars.js";
import { chartLabel, drawSvg, type FigureSpec, PALETTE, shareAxis } from "./draw.js";

/** @throws InwardError REPORT_FAILED */
export async function comparisonFigure(title: string, one: ComparedPredictors, names: StateNames): Promise<string> {
  return barsFigure(title, comparisonBars(one, names));
}

/** Self beside third parties alone. @throws InwardError REPORT_FAILED */
export async function selfFigure(
  title: string,
  { self, thirdParties }: ComparedSelf,
  names: StateNames,
): Promise<string> {
  const [first] = Object.values(thirdParties);
  const own = first?.overall[0];
  return barsFigure(title, [
    ...(own
      ? [
          { label: `self: ${names(self)}`, estimate: own.self, colour: PALETTE.blue },
          { label: "mode of these strings (oracle)", estimate: own.modeBaseline, colour: PALETTE.amber },
        ]
      : []),
    ...thirdPartyBars(thirdParties),
  ]);
}

function comparisonBars({ self, cross, comparison, thirdParties }: ComparedPredictors, names: StateNames): Bar[] {
  const [micro] = comparison.overall;
  return [
    { label: `self: ${names(self)}`, estimate: micro.self, colour: PALETTE.blue },
    { label: `cross: ${names(cross)}`, estimate: micro.cross, colour: PALETTE.orange },
    { label: "mode of these strings (oracle)", estimate: micro.modeBaseline, colour: PALETTE.amber },
    ...thirdPartyBars(thirdParties),
  ];
}

function thirdPartyBars(thirdParties: ComparedSelf["thirdParties"]): Bar[] {
  return Object.entries(thirdParties).map(([name, { overall }]) => ({
    label: THIRD_PARTY_NAMES[name] ?? readableName(name),
    estimate: overall[0].cross,
    colour: PALETTE.green,
  }));
}

// Accuracy over the size of a series, a line for each, with intervals.

interface SeriesLine {
  readonly label: string;
  readonly points: readonly {
    readonly size: number;
    readonly value: number;
    readonly low: number;
    readonly high: number;
  }[];
}

const COLOURS = [PALETTE.blue, PALETTE.orange, PALETTE.green, PALETTE.amber, PALETTE.muted];

/** @throws InwardError REPORT_FAILED */
export async function seriesFigure(title: string, lines: readonly SeriesLine[]): Promise<string> {
  return drawSvg(title, seriesSpec(lines));
}

function seriesSpec(lines: readonly SeriesLine[]): FigureSpec {
  const values = lines.flatMap(({ points }, line) => points.map((point) => ({ ...point, line })));
  const domain = lines.map((_, line) => line);
  return {
    width: 460,
    height: 220,
    data: { values },
    // Names are data here, never part of an expression.
    params: [{ name: "lineLabels", value: lines.map(({ label }) => chartLabel(label, 60)) }],
    encoding: {
      x: {
        field: "size",
        type: "quantitative",
        scale: { zero: true },
        axis: { title: "strings learnt from, or behaviors shown", grid: false, tickMinStep: 1 },
      },
      color: {
        field: "line",
        type: "nominal",
        scale: { domain, range: domain.map((line) => COLOURS[line % COLOURS.length]) },
        legend: {
          title: null,
          orient: "top",
          direction: "vertical",
          symbolOpacity: 1,
          labelExpr: "lineLabels[datum.value]",
        },
      },
    },
    layer: [
      {
        name: "intervals",
        mark: { type: "rule", strokeWidth: 1.5 },
        encoding: { y: { field: "low", ...shareAxis("share of trials") }, y2: { field: "high" } },
      },
      {
        name: "lines",
        mark: { type: "line", strokeWidth: 2 },
        encoding: { y: { field: "value", type: "quantitative" } },
      },
      {
        name: "points",
        mark: { type: "point", filled: true, opacity: 1, size: 50 },
        encoding: { y: { field: "value", type: "quantitative" } },
      },
    ],
  } as unknown as FigureSpec;
}

// Every predictor about every target as a heat map; where a state predicts itself the square has a frame.

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

function matrixSpec(cells: readonly ObservedCell[]): FigureSpec {
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
