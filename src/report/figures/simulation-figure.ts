/** What patches do: a heat map of sites with their nulls beside them, and the slope at each site with its interval. */

import type { Estimate } from "../../score/interval.js";
import { type JudgedSite, PLANTED_SLOPE } from "../../score/simulation/simulation.js";
import { drawSvg, type FigureSpec, heatAxes, heatLayers, PALETTE } from "./draw.js";

const SHADES = ["#8a3b12", "#f3f5f7", "#003d66"];
const [WIDE, HIGH] = [58, 18];

const placeOf = ({ site, span }: JudgedSite) => `${site} ${span}`;

/** Sites down, tests and nulls across. @throws InwardError REPORT_FAILED */
export async function effectMapFigure(title: string, sites: readonly JudgedSite[]): Promise<string> {
  const rows = sites.map(placeOf).reverse();
  const columns: readonly { readonly name: string; readonly of: (site: JudgedSite) => Estimate | undefined }[] = [
    { name: "donor followed", of: ({ follow }) => follow },
    { name: "same behavior", of: ({ sameChanges }) => sameChanges },
    { name: "moved with behavior", of: ({ covariations }) => covariations[0]?.predictionMoves },
    { name: "by chance", of: ({ nulls }) => nulls.random },
    { name: "another token", of: ({ nulls }) => nulls.shifted },
    { name: "other task", of: ({ nulls }) => nulls.other_task },
  ];
  const squares = columns.flatMap(({ name, of }) =>
    sites.map((site) => {
      const found = of(site);
      const place = { test: name, site: placeOf(site) };
      return found?.ok ? { ...place, value: found.value, text: (100 * found.value).toFixed(0) } : place;
    }),
  );
  return drawSvg(title, {
    width: { step: WIDE },
    height: { step: HIGH },
    data: { values: squares },
    encoding: heatAxes(
      "test",
      columns.map(({ name }) => name),
      rows,
      260,
    ),
    layer: heatLayers(
      { domain: [-1, 0, 1], range: SHADES },
      { title: "points", format: "+.0%" },
      "abs(datum.value) > 0.5",
    ),
  } as unknown as FigureSpec);
}

/** Slopes with intervals; the marks are a lookup's 0 and the least of planted simulators. @throws InwardError REPORT_FAILED */
export async function slopeFigure(title: string, sites: readonly JudgedSite[]): Promise<string> {
  const points = sites.flatMap((site) =>
    site.covariations.flatMap(({ by, slope }) =>
      slope.ok ? [{ site: placeOf(site), by, value: slope.value, low: slope.low, high: slope.high }] : [],
    ),
  );
  const x = { type: "quantitative", axis: { title: "Δ prediction on Δ behavior", format: ".1f" } };
  return drawSvg(title, {
    width: 380,
    height: { step: HIGH },
    data: { values: points },
    encoding: {
      y: {
        field: "site",
        type: "ordinal",
        scale: { domain: sites.map(placeOf) },
        axis: { title: null, labelLimit: 260 },
      },
      color: {
        field: "by",
        type: "nominal",
        scale: { domain: ["steered", "changed"], range: [PALETTE.blue, PALETTE.orange] },
        legend: { title: null, orient: "top", direction: "horizontal" },
      },
    },
    layer: [
      {
        data: { values: [{ mark: 0 }, { mark: PLANTED_SLOPE }] },
        mark: { type: "rule", color: PALETTE.muted, strokeDash: [3, 3] },
        encoding: { y: null, color: null, x: { field: "mark", type: "quantitative" } },
      },
      { mark: { type: "rule" }, encoding: { x: { ...x, field: "low" }, x2: { field: "high" } } },
      { mark: { type: "point", filled: true, size: 45 }, encoding: { x: { ...x, field: "value" } } },
    ],
  } as unknown as FigureSpec);
}
