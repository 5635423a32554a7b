/** What probes read, site by site: a heat map with its control beside it, and the curve over the layers. */

import { probeAccuracy, probeGain, type ProbedQuestion, type ProbedSite } from "../../probe/probe-results.js";
import { drawSvg, type FigureSpec, PALETTE } from "./draw.js";

/** No colours of the page: what stands on a shaded square is read against the shade, in a light page and in a dark one. */
const SHADES = ["#eaf3f9", "#5fa4d0", "#003d66"];
const ON_PALE = "#10202e";
const ON_DARK = "#fdfefe";
const [WIDE, HIGH] = [44, 18];

const placeOf = ({ part, layer, isEmbedding }: ProbedSite) => (isEmbedding ? "embedding" : `${part}.${layer}`);

/** @throws InwardError REPORT_FAILED */
export async function probeMapFigure(title: string, { sites }: ProbedQuestion): Promise<string> {
  const rows = [...new Set(sites.map(placeOf))].reverse();
  const spans = [...new Set(sites.map(({ span }) => span))];
  const panels = [
    { panel: "probe", of: (site: ProbedSite) => probeAccuracy(site.score) },
    { panel: "control task", of: (site: ProbedSite) => probeAccuracy(site.control) },
    { panel: "shuffled labels", of: (site: ProbedSite) => probeAccuracy(site.shuffled) },
  ];
  const squares = panels.flatMap(({ panel, of }) =>
    sites.map((site) => {
      const found = of(site);
      const place = { panel, site: placeOf(site), span: site.span };
      return found.ok ? { ...place, value: found.value, text: (100 * found.value).toFixed(0) } : place;
    }),
  );
  return drawSvg(title, {
    data: { values: squares },
    facet: { column: { field: "panel", type: "nominal", sort: panels.map(({ panel }) => panel), title: null } },
    spec: {
      width: { step: WIDE },
      height: { step: HIGH },
      encoding: {
        x: {
          field: "span",
          type: "ordinal",
          scale: { domain: spans, padding: 0.04 },
          axis: { title: null, labelAngle: -40, ticks: false, domain: false },
        },
        y: {
          field: "site",
          type: "ordinal",
          scale: { domain: rows, padding: 0.04 },
          axis: { title: null, ticks: false, domain: false },
        },
      },
      layer: [
        {
          transform: [{ filter: "isValid(datum.value)" }],
          mark: { type: "rect" },
          encoding: {
            color: {
              field: "value",
              type: "quantitative",
              scale: { domain: [0, 1], range: SHADES },
              legend: { title: "right", format: ".0%", gradientLength: 120, tickCount: 4, titleFontWeight: "normal" },
            },
          },
        },
        {
          transform: [{ filter: "isValid(datum.value)" }],
          mark: { type: "text", fontSize: 10 },
          encoding: {
            text: { field: "text" },
            color: { condition: { test: "datum.value > 0.5", value: ON_DARK }, value: ON_PALE },
          },
        },
        {
          transform: [{ filter: "!isValid(datum.value)" }],
          mark: { type: "text", fontSize: 10, color: PALETTE.muted },
          encoding: { text: { value: "—" } },
        },
      ],
    },
  } as unknown as FigureSpec);
}

/** Accuracy beyond the base, by layer, with intervals; a line a span, of the first declared part. */
export async function probeCurveFigure(title: string, { sites }: ProbedQuestion): Promise<string> {
  const part = sites.find(({ isEmbedding }) => !isEmbedding)?.part;
  const points = sites.flatMap((site) => {
    const gain = probeGain(site.score);
    if (site.isEmbedding || site.part !== part || !gain.ok) return [];
    return [{ layer: site.layer, span: site.span, value: gain.value, low: gain.low, high: gain.high }];
  });
  const y = { type: "quantitative", axis: { format: "+.0%", title: "accuracy beyond the base" } };
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
