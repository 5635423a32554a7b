/** Self, cross and third parties as bars with their intervals. */
import type { ComparedPredictors } from "../../records/comparisons.js";
import type { Estimate } from "../../records/scores.js";
import { THIRD_PARTY_NAMES } from "../comparison/comparison-names.js";
import { readableName } from "../readable-name.js";
import { chartLabel, shareAxis } from "./chart-rows.js";
import { drawSvg, type FigureSpec } from "./draw-svg.js";
import { PALETTE } from "./palette.js";

/** @throws InwardError REPORT_FAILED */
export async function comparisonFigure(title: string, one: ComparedPredictors): Promise<string> {
  return drawSvg(title, comparisonSpec(one));
}

export function comparisonSpec({ self, cross, comparison, thirdParties }: ComparedPredictors): FigureSpec {
  const [micro] = comparison.overall;
  const bars: { label: string; estimate: Estimate; colour: string }[] = [
    { label: `self: ${self}`, estimate: micro.self, colour: PALETTE.blue },
    { label: `cross: ${cross}`, estimate: micro.cross, colour: PALETTE.orange },
    { label: "mode of these strings (oracle)", estimate: micro.modeBaseline, colour: PALETTE.amber },
    ...Object.entries(thirdParties).map(([name, { overall }]) => ({
      label: THIRD_PARTY_NAMES[name] ?? readableName(name),
      estimate: overall[0].cross,
      colour: PALETTE.green,
    })),
  ];
  const rows = bars.map((bar, index) => ({ ...bar, row: `row${index}` }));
  const known = rows.flatMap(({ row, colour, estimate }) =>
    estimate.ok ? [{ row, colour, value: estimate.value, low: estimate.low, high: estimate.high }] : [],
  );
  const missing = rows.flatMap(({ row, estimate }) => (estimate.ok ? [] : [{ row, text: "no accuracy" }]));
  return {
    width: 460,
    height: { step: 26 },
    params: [
      { name: "rowLabels", value: Object.fromEntries(rows.map(({ row, label }) => [row, chartLabel(label, 44)])) },
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
        name: "missing",
        data: { values: missing },
        mark: { type: "text", align: "left", dx: 4, fontStyle: "italic", fontSize: 11, color: PALETTE.muted },
        encoding: { x: { datum: 0 }, text: { field: "text" } },
      },
    ],
  } as unknown as FigureSpec;
}
