/** Accuracy with its interval against the baselines, a line per task × property. */

import type { Estimate } from "../../score/interval.js";
import type { CellScore } from "../../score/scores.js";
import { bestRuleOf } from "../../score/verdicts/verdict.js";
import { formatPercent } from "../document.js";
import { chartRows, drawSvg, type FigureSpec, PALETTE, rowAxis, shareAxis } from "./draw.js";

const SERIES = [
  { name: "mode of the scored strings (oracle)", colour: PALETTE.amber, shape: "M-0.15,-1.55H0.15V1.55H-0.15Z" },
  { name: "mode of the train strings", colour: PALETTE.orange, shape: "M-0.26,-0.95H0.26V0.95H-0.26Z" },
  { name: "best rule on the string", colour: PALETTE.green, shape: "diamond" },
  { name: "predictions, with interval", colour: PALETTE.blue, shape: "circle" },
] as const;

export async function accuracyFigure(title: string, cells: readonly CellScore[]): Promise<string> {
  return drawSvg(title, accuracySpec(cells));
}

function accuracySpec(cells: readonly CellScore[]): FigureSpec {
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
  return [cell.modeBaselineOracle, cell.modeBaselineTrain, bestRuleOf(cell.heuristics)?.estimate, cell.accuracy];
}

// How many answers and replies comply, two bars per task × property.

const SIDES = [
  { name: "object-level answers", colour: PALETTE.green, pick: (cell: CellScore) => cell.objectCompliance },
  { name: "hypothetical replies", colour: PALETTE.blue, pick: (cell: CellScore) => cell.hypotheticalCompliance },
] as const;

export async function complianceFigure(title: string, cells: readonly CellScore[]): Promise<string> {
  return drawSvg(title, complianceSpec(cells));
}

function complianceSpec(cells: readonly CellScore[]): FigureSpec {
  const rows = chartRows(cells);
  const { params, y } = rowAxis(rows);
  const bars = rows.flatMap(({ key, cell }) =>
    cell
      ? SIDES.flatMap(({ name, pick }) => {
          const { count, of } = pick(cell);
          return of === 0 ? [] : [{ row: key, side: name, share: count / of, text: formatPercent(count / of) }];
        })
      : [],
  );
  const missing = rows.flatMap(({ key, cell }) =>
    cell && cell.objectCompliance.of === 0 ? [{ row: key, text: "nothing was asked" }] : [],
  );
  const names = SIDES.map(({ name }) => name);
  const yOffset = { field: "side", type: "nominal", scale: { domain: names } };
  return {
    width: 460,
    height: { step: 13, for: "offset" },
    params,
    layer: [
      {
        name: "bars",
        data: { values: bars },
        mark: { type: "bar", height: { band: 0.82 } },
        encoding: {
          y: { ...y, scale: { ...y.scale, paddingInner: 0.25 } },
          yOffset,
          x: { field: "share", ...shareAxis("share of all that was asked") },
          color: {
            field: "side",
            type: "nominal",
            scale: { domain: names, range: SIDES.map(({ colour }) => colour) },
            legend: { title: null, orient: "top", direction: "horizontal" },
          },
        },
      },
      {
        name: "values",
        data: { values: bars },
        mark: { type: "text", align: "left", dx: 4, fontSize: 10, color: PALETTE.muted },
        encoding: { y, yOffset, x: { field: "share", type: "quantitative" }, text: { field: "text" } },
      },
      {
        name: "missing",
        data: { values: missing },
        mark: { type: "text", align: "left", dx: 4, fontStyle: "italic", fontSize: 11, color: PALETTE.muted },
        encoding: { y, x: { datum: 0 }, text: { field: "text" } },
      },
    ],
  } as unknown as FigureSpec;
}
