/** How likely behaviors are against how likely they were held to be, a line per predictor, above the number of points. */

import type { CalibrationRow } from "../../score/calibration/score-calibration.js";
import { chartLabel, drawSvg, type FigureSpec, PALETTE, shareAxis } from "./draw.js";
import type { PredictorKind } from "../../study/states.js";

const COLOURS: Readonly<Record<PredictorKind, string>> = {
  untrained: PALETTE.muted,
  self: PALETTE.blue,
  cross: PALETTE.orange,
};
/** Tells predictors of one kind apart. */
const SHAPES = ["circle", "square", "triangle-up", "diamond", "cross"] as const;
const WIDTH = 360;

/** @param rows of one target, one for each predictor @throws REPORT_FAILED */
export async function reliabilityFigure(title: string, rows: readonly CalibrationRow[]): Promise<string> {
  return drawSvg(title, reliabilitySpec(rows));
}

function reliabilitySpec(rows: readonly CalibrationRow[]): FigureSpec {
  const domain = rows.map((_, series) => series);
  const legend = {
    title: null,
    orient: "top",
    direction: "horizontal",
    columns: 2,
    symbolSize: 90,
    symbolOpacity: 1,
    // Names of models are data here, never part of an expression.
    labelExpr: "seriesLabels[datum.value]",
  };
  const color = {
    field: "series",
    type: "nominal",
    scale: { domain, range: rows.map(({ kind }) => COLOURS[kind]) },
    legend,
  };
  const shape = { field: "series", type: "nominal", scale: { domain, range: rows.map(shapeOf) }, legend };
  const bins = rows.flatMap((row, series) =>
    row.bins.map(({ meanObject, meanHypothetical }, bin) => ({
      series,
      bin,
      object: meanObject,
      predicted: meanHypothetical,
    })),
  );
  const position = {
    x: { field: "object", ...shareAxis("probability of the behavior (mean of the bin)") },
    y: { field: "predicted", ...shareAxis("probability that was predicted") },
  };
  return {
    params: [{ name: "seriesLabels", value: rows.map(({ predictor, kind }) => `${chartLabel(predictor)}, ${kind}`) }],
    spacing: 14,
    vconcat: [
      {
        width: WIDTH,
        height: WIDTH,
        layer: [
          {
            name: "diagonal",
            data: { values: [{ from: 0, to: 1 }] },
            mark: { type: "rule", strokeDash: [4, 4], color: PALETTE.muted },
            encoding: {
              x: { field: "from", type: "quantitative" },
              y: { field: "from", type: "quantitative" },
              x2: { field: "to" },
              y2: { field: "to" },
            },
          },
          {
            name: "lines",
            data: { values: bins },
            mark: { type: "line", strokeWidth: 1.5, opacity: 0.6 },
            encoding: { ...position, color, order: { field: "bin", type: "quantitative" } },
          },
          {
            name: "bins",
            data: { values: bins },
            mark: { type: "point", filled: true, opacity: 1, size: 60 },
            encoding: { ...position, color, shape },
          },
        ],
      },
      histogram(rows, color),
    ],
  } as unknown as FigureSpec;
}

/** Bars of the predictors side by side in ten bins of equal width. */
function histogram(rows: readonly CalibrationRow[], color: object): object {
  const values = rows.flatMap((row, series) =>
    row.histogram.map((points, bin) => ({
      series,
      points,
      from: (bin + 0.08 + (0.84 * series) / rows.length) / row.histogram.length,
      to: (bin + 0.08 + (0.84 * (series + 1)) / rows.length) / row.histogram.length,
    })),
  );
  return {
    name: "histogram",
    width: WIDTH,
    height: 70,
    data: { values },
    mark: { type: "rect" },
    encoding: {
      x: { field: "from", ...shareAxis("probability of the behavior") },
      x2: { field: "to" },
      y: { field: "points", type: "quantitative", axis: { title: "points", tickCount: 3, domain: false } },
      y2: { datum: 0 },
      color,
    },
  };
}

function shapeOf({ kind }: CalibrationRow, at: number, rows: readonly CalibrationRow[]): string {
  const before = rows.slice(0, at).filter((row) => row.kind === kind).length;
  return SHAPES[before % SHAPES.length] as string;
}
