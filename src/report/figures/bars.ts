/** Accuracies as bars with their intervals, one under the other. */

import type { Estimate } from "../../score/interval.js";
import { chartLabel, drawSvg, type FigureSpec, PALETTE, shareAxis } from "./draw.js";

const LONGEST_LABEL = 56;

export interface Bar {
  readonly label: string;
  readonly estimate: Estimate;
  readonly colour: string;
  /** Where a mark stands across the bar: what it has to beat. */
  readonly mark?: Estimate;
}

/** @throws InwardError REPORT_FAILED */
export async function barsFigure(title: string, bars: readonly Bar[]): Promise<string> {
  return drawSvg(title, barsSpec(bars));
}

export function barsSpec(bars: readonly Bar[]): FigureSpec {
  const rows = bars.map((bar, index) => ({ ...bar, row: `row${index}` }));
  const known = rows.flatMap(({ row, colour, estimate }) =>
    estimate.ok ? [{ row, colour, value: estimate.value, low: estimate.low, high: estimate.high }] : [],
  );
  const marks = rows.flatMap(({ row, mark }) => (mark?.ok ? [{ row, value: mark.value }] : []));
  const missing = rows.flatMap(({ row, estimate }) => (estimate.ok ? [] : [{ row, text: "no accuracy" }]));
  return {
    width: 460,
    height: { step: 26 },
    params: [
      {
        name: "rowLabels",
        value: Object.fromEntries(rows.map(({ row, label }) => [row, chartLabel(label, LONGEST_LABEL)])),
      },
    ],
    encoding: {
      y: {
        field: "row",
        type: "ordinal",
        scale: { domain: rows.map(({ row }) => row) },
        axis: { title: null, labelExpr: "rowLabels[datum.value]", ticks: false, domain: false, labelPadding: 10 },
      },
    },
    layer: [
      {
        name: "bars",
        data: { values: known },
        mark: { type: "bar", height: 14, opacity: 0.75 },
        encoding: {
          x: { field: "value", ...shareAxis("share of trials") },
          color: { field: "colour", type: "nominal", scale: null, legend: null },
        },
      },
      {
        name: "intervals",
        data: { values: known },
        mark: { type: "rule", strokeWidth: 2, color: PALETTE.ink, strokeCap: "round" },
        encoding: { x: { field: "low", type: "quantitative" }, x2: { field: "high" } },
      },
      {
        name: "marks",
        data: { values: marks },
        mark: { type: "tick", size: 20, thickness: 3, color: PALETTE.amber, opacity: 1 },
        encoding: { x: { field: "value", type: "quantitative" } },
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
