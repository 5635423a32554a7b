/** How many answers and replies comply, two bars per task × property. */
import type { CellScore } from "../../records/scores.js";
import { formatPercent } from "../format-number.js";
import { chartRows, rowAxis, shareAxis } from "./chart-rows.js";
import { drawSvg, type FigureSpec } from "./draw-svg.js";
import { PALETTE } from "./palette.js";

const SIDES = [
  { name: "object-level answers", colour: PALETTE.green, pick: (cell: CellScore) => cell.objectCompliance },
  { name: "hypothetical replies", colour: PALETTE.blue, pick: (cell: CellScore) => cell.hypotheticalCompliance },
] as const;

export async function complianceFigure(title: string, cells: readonly CellScore[]): Promise<string> {
  return drawSvg(title, complianceSpec(cells));
}

export function complianceSpec(cells: readonly CellScore[]): FigureSpec {
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
