/** Accuracy over the size of a series, a line for each, with intervals. */
import { chartLabel, shareAxis } from "./chart-rows.js";
import { drawSvg, type FigureSpec } from "./draw-svg.js";
import { PALETTE } from "./palette.js";

export interface SeriesLine {
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

export function seriesSpec(lines: readonly SeriesLine[]): FigureSpec {
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
