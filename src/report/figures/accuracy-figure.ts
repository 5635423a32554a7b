/** Accuracy with its interval against the baselines, a line per task × property. */
import type { CellScore, Estimate } from "../../records/scores.js";
import { bestHeuristic } from "../best-heuristic.js";
import { chartRows, rowAxis, shareAxis } from "./chart-rows.js";
import { drawSvg, type FigureSpec } from "./draw-svg.js";
import { PALETTE } from "./palette.js";

const SERIES = [
  { name: "mode of the scored strings (oracle)", colour: PALETTE.amber, shape: "M-0.15,-1.55H0.15V1.55H-0.15Z" },
  { name: "mode of the train strings", colour: PALETTE.orange, shape: "M-0.26,-0.95H0.26V0.95H-0.26Z" },
  { name: "best rule on the string", colour: PALETTE.green, shape: "diamond" },
  { name: "predictions, with interval", colour: PALETTE.blue, shape: "circle" },
] as const;

export async function accuracyFigure(title: string, cells: readonly CellScore[]): Promise<string> {
  return drawSvg(title, accuracySpec(cells));
}

export function accuracySpec(cells: readonly CellScore[]): FigureSpec {
  const rows = chartRows(cells);
  const { params, y } = rowAxis(rows);
  const points = rows.flatMap(({ key, cell }) =>
    cell
      ? SERIES.flatMap(({ name }, index) => {
          const estimate = estimatesOf(cell)[index];
          return estimate?.ok ? [{ row: key, series: name, value: estimate.value }] : [];
        })
      : [],
  );
  const intervals = rows.flatMap(({ key, cell }) =>
    cell?.accuracy.ok ? [{ row: key, low: cell.accuracy.low, high: cell.accuracy.high }] : [],
  );
  const missing = rows.flatMap(({ key, cell }) =>
    cell && !cell.accuracy.ok ? [{ row: key, text: "no accuracy" }] : [],
  );
  const scale = {
    color: { domain: SERIES.map(({ name }) => name), range: SERIES.map(({ colour }) => colour) },
    shape: { domain: SERIES.map(({ name }) => name), range: SERIES.map(({ shape }) => shape) },
  };
  const legend = { title: null, orient: "top", direction: "horizontal", columns: 2, symbolSize: 110, symbolOpacity: 1 };
  return {
    width: 460,
    height: { step: 19 },
    params,
    encoding: { y },
    layer: [
      {
        name: "intervals",
        data: { values: intervals },
        mark: { type: "rule", strokeWidth: 2.5, color: PALETTE.pale, strokeCap: "round" },
        encoding: { x: { field: "low", ...shareAxis("share of trials") }, x2: { field: "high" } },
      },
      {
        name: "points",
        data: { values: points },
        mark: { type: "point", filled: true, opacity: 1, size: 75 },
        encoding: {
          x: { field: "value", type: "quantitative" },
          shape: { field: "series", type: "nominal", scale: scale.shape, legend },
          color: { field: "series", type: "nominal", scale: scale.color, legend },
        },
      },
      {
        name: "missing",
        data: { values: missing },
        mark: { type: "text", align: "left", dx: 4, fontStyle: "italic", fontSize: 11, color: PALETTE.muted },
        encoding: { x: { datum: 0 }, text: { field: "text" } },
      },
    ],
  } as unknown as FigureSpec;
}

/** In the order of the series. */
function estimatesOf(cell: CellScore): (Estimate | undefined)[] {
  return [cell.modeBaselineOracle, cell.modeBaselineTrain, bestHeuristic(cell.heuristics)?.estimate, cell.accuracy];
}
