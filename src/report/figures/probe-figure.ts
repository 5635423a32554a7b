/** What is read inside, site by site: heat maps of layers and spans with their controls beside them, and curves over the layers. */

import type { Estimate } from "../../score/interval.js";
import { drawSvg, type FigureSpec, heatAxes, heatLayers, PALETTE } from "./draw.js";

const SHADES = ["#eaf3f9", "#5fa4d0", "#003d66"];
const [WIDE, HIGH] = [44, 18];

export interface ReadPlace {
  readonly part: string;
  readonly layer: number;
  readonly span: string;
  readonly isEmbedding?: boolean;
}

export const placeName = ({ part, layer, isEmbedding }: ReadPlace) => (isEmbedding ? "embedding" : `${part}.${layer}`);

/** One number of each place, beside the same places' other numbers. */
export interface MapPanel<Place> {
  readonly panel: string;
  readonly of: (place: Place) => Estimate;
}

/** Shares of strings. @throws InwardError REPORT_FAILED */
export async function siteMapFigure<Place extends ReadPlace>(
  title: string,
  places: readonly Place[],
  panels: readonly MapPanel<Place>[],
): Promise<string> {
  const rows = [...new Set(places.map(placeName))].reverse();
  const spans = [...new Set(places.map(({ span }) => span))];
  const squares = panels.flatMap(({ panel, of }) =>
    places.map((one) => {
      const found = of(one);
      const place = { panel, site: placeName(one), span: one.span };
      return found.ok ? { ...place, value: found.value, text: (100 * found.value).toFixed(0) } : place;
    }),
  );
  return drawSvg(title, {
    data: { values: squares },
    facet: { column: { field: "panel", type: "nominal", sort: panels.map(({ panel }) => panel), title: null } },
    spec: {
      width: { step: WIDE },
      height: { step: HIGH },
      encoding: heatAxes("span", spans, rows),
      layer: heatLayers({ domain: [0, 1], range: SHADES }, { title: "right", format: ".0%" }, "datum.value > 0.5"),
    },
  } as unknown as FigureSpec);
}

export interface SiteCurve<Place> {
  readonly of: (place: Place) => Estimate;
  readonly axis: string;
  /** As d3 writes numbers. */
  readonly format: string;
}

/** By layer, with intervals; a line a span, of the first part. @throws InwardError REPORT_FAILED */
export async function siteCurveFigure<Place extends ReadPlace>(
  title: string,
  places: readonly Place[],
  { of, axis, format }: SiteCurve<Place>,
): Promise<string> {
  const part = places.find(({ isEmbedding }) => !isEmbedding)?.part;
  const points = places.flatMap((place) => {
    const found = of(place);
    if (place.isEmbedding || place.part !== part || !found.ok) return [];
    return [{ layer: place.layer, span: place.span, value: found.value, low: found.low, high: found.high }];
  });
  const y = { type: "quantitative", axis: { format, title: axis } };
  return drawSvg(title, {
    width: 420,
    height: 200,
    data: { values: points },
    encoding: {
      x: {
        field: "layer",
        type: "quantitative",
        axis: { title: `${part ?? "site"}, layer`, tickMinStep: 1, format: "d" },
      },
      color: {
        field: "span",
        type: "nominal",
        scale: { range: [PALETTE.blue, PALETTE.orange, PALETTE.green, PALETTE.amber, PALETTE.muted, PALETTE.pale] },
        legend: { title: null, orient: "top", direction: "horizontal", columns: 3 },
      },
    },
    layer: [
      {
        data: { values: [{ zero: 0 }] },
        mark: { type: "rule", color: PALETTE.muted },
        encoding: { x: null, color: null, y: { field: "zero", type: "quantitative" } },
      },
      { mark: { type: "errorband", opacity: 0.15 }, encoding: { y: { ...y, field: "low" }, y2: { field: "high" } } },
      { mark: { type: "line", point: true }, encoding: { y: { ...y, field: "value" } } },
    ],
  } as unknown as FigureSpec);
}
