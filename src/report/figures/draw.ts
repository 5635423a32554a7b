/** From a vega-lite specification to SVG text; the same specification always gives the same bytes. */

import type { TopLevelSpec } from "vega-lite";
import { InwardError } from "../../errors.js";
import type { CellScore } from "../../score/scores.js";
import { shortened, visibleText } from "../document.js";
import { propertyLabel, readableName } from "../terms.js";

// Plain text as HTML text, safe between tags and in double-quoted attributes.

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
  "`": "&#96;",
};

export function escapeHtml(text: string, lines: "keep" | "mark" = "mark"): string {
  return visibleText(text, lines).replace(/[&<>"'`]/g, (character) => ENTITIES[character] as string);
}

// Colours of the figures (after Okabe and Ito: told apart with every common colour vision), each with the page variable it becomes.

export const PALETTE = {
  ink: "#1d2733",
  muted: "#5b6673",
  grid: "#e4e7eb",
  paper: "#ffffff",
  blue: "#0072b2",
  orange: "#d55e00",
  amber: "#e69f00",
  green: "#009e73",
  pale: "#9cc7e3",
} as const;

/** A figure for the page: its colours follow the page's light or dark scheme, and nothing in it names an address. */
export function followPageColours(svg: string): string {
  // As wide as the page allows, and no wider than it was drawn: the view box scales the rest.
  let page = svg.replace(/^<svg[^>]*>/, (tag) => {
    const width = / width="([\d.]+)"/.exec(tag)?.[1];
    return tag
      .replace(/ xmlns(:xlink)?="[^"]*"/g, "")
      .replace(/ (width|height)="[\d.]+"/g, "")
      .replace(/>$/, width === undefined ? ">" : ` style="max-width:${width}px">`);
  });
  for (const [name, colour] of Object.entries(PALETTE)) {
    page = page.replace(/<[^>]+>/g, (tag) => tag.replaceAll(`="${colour}"`, `="var(--figure-${name})"`));
  }
  return page;
}

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

const CONFIG = {
  aria: false,
  font: FONT,
  view: { stroke: null },
  axis: {
    labelColor: PALETTE.ink,
    titleColor: PALETTE.muted,
    titleFontWeight: "normal",
    domainColor: PALETTE.muted,
    tickColor: PALETTE.muted,
    gridColor: PALETTE.grid,
    labelFontSize: 12,
    titleFontSize: 12,
    labelLimit: 0,
  },
  legend: { labelColor: PALETTE.ink, labelFontSize: 12, labelLimit: 0, titleColor: PALETTE.ink },
  title: { color: PALETTE.ink, subtitleColor: PALETTE.muted },
} as const;

/** Specifications as the figure files write them; vega-lite checks them. */
export type FigureSpec = Omit<TopLevelSpec, "config" | "background" | "padding">;

/**
 * @param title what the figure shows, for those who do not see it
 * @throws InwardError REPORT_FAILED when the figure cannot be drawn
 */
export async function drawSvg(title: string, spec: FigureSpec): Promise<string> {
  // Loaded here because every command would otherwise wait for the two libraries.
  const [vega, vegaLite] = await Promise.all([import("vega"), import("vega-lite")]);
  // A canvas package installed by chance would measure text by the machine's fonts, and so move marks.
  const { textMetrics } = vega as unknown as { textMetrics: { canvas(use: boolean): void } };
  textMetrics.canvas(false);
  const silent = quietLogger();
  try {
    const full = { ...spec, config: CONFIG, background: PALETTE.paper, padding: 8 } as unknown as TopLevelSpec;
    const { spec: compiled } = vegaLite.compile(full, { logger: silent });
    const view = new vega.View(vega.parse(compiled), { renderer: "none", logger: silent });
    // Clip paths and gradients are numbered through the whole process.
    vega.resetSVGDefIds();
    const svg = await view.toSVG();
    view.finalize();
    return svg.replace(/^<svg[^>]*>/, (tag) => `${tag.slice(0, -1)} role="img"><title>${escapeHtml(title)}</title>`);
  } catch (error) {
    throw new InwardError("REPORT_FAILED", `The figure "${title}" could not be drawn: ${String(error)}`, {
      cause: error,
    });
  }
}

/** Warnings of vega-lite about its own defaults do not concern a user. */
function quietLogger() {
  const logger = {
    level: () => logger,
    error: (...messages: readonly unknown[]) => {
      throw new Error(messages.map(String).join(" "));
    },
    warn: () => logger,
    info: () => logger,
    debug: () => logger,
  };
  return logger as never;
}

// Rows of a chart: a line for each cell under a line with the name of its task, all on one vertical scale.

interface ChartRow {
  /** Place on the vertical scale. */
  readonly key: string;
  readonly label: string;
  /** Absent on the line that names a task. */
  readonly cell?: CellScore;
}

const LONGEST_LABEL = 32;

/**
 * @param cells cells of one task stand together
 * @param remarkOn stands behind the name of a task
 */
export function chartRows(cells: readonly CellScore[], remarkOn: (task: string) => string = () => ""): ChartRow[] {
  const several = new Set(cells.map((cell) => cell.variant)).size > 1;
  const rows: Omit<ChartRow, "key">[] = [];
  let task: string | undefined;
  for (const cell of cells) {
    if (cell.task !== task) rows.push({ label: chartLabel(readableName(cell.task) + remarkOn(cell.task)) });
    task = cell.task;
    rows.push({ label: chartLabel(propertyLabel(cell, several)), cell });
  }
  return rows.map((row, index) => ({ ...row, key: `row${index}` }));
}

/** Text short and safe enough to stand in a figure. */
export function chartLabel(text: string, longest = LONGEST_LABEL): string {
  return shortened(visibleText(text, "mark"), longest);
}

/** The vertical scale of such rows; names of tasks stand out. */
export function rowAxis(rows: readonly ChartRow[]) {
  const names = rows.filter((row) => !row.cell).map((row) => row.key);
  return {
    params: [
      { name: "rowLabels", value: Object.fromEntries(rows.map((row) => [row.key, row.label])) },
      { name: "taskRows", value: names },
    ],
    y: {
      field: "row",
      type: "ordinal",
      scale: { domain: rows.map((row) => row.key) },
      axis: {
        title: null,
        labelExpr: "rowLabels[datum.value]",
        labelFontWeight: { condition: { test: "indexof(taskRows, datum.value) >= 0", value: "bold" }, value: "normal" },
        ticks: false,
        domain: false,
        labelPadding: 10,
      },
    },
  };
}

/** A share of trials from 0 to 100 %. */
export function shareAxis(title: string) {
  return {
    type: "quantitative",
    scale: { domain: [0, 1] },
    axis: {
      title,
      values: [0, 0.2, 0.4, 0.6, 0.8, 1],
      labelExpr: "round(100 * datum.value) + ' %'",
      domain: false,
      ticks: false,
    },
  };
}

/** No colours of the page: what stands on a shaded square is read against the shade, in a light page and in a dark one. */
const ON_PALE = "#10202e";
const ON_DARK = "#fdfefe";

/** Columns below and sites beside a map of squares. @param field of the columns @param labelLimit of a site's name, pixels */
export function heatAxes(field: string, columns: readonly string[], sites: readonly string[], labelLimit?: number) {
  const scaleOf = (domain: readonly string[]) => ({ domain, padding: 0.04 });
  const bare = { title: null, ticks: false, domain: false };
  return {
    x: { field, type: "ordinal", scale: scaleOf(columns), axis: { ...bare, labelAngle: -40 } },
    y: {
      field: "site",
      type: "ordinal",
      scale: scaleOf(sites),
      axis: { ...bare, ...(labelLimit === undefined ? {} : { labelLimit }) },
    },
  };
}

/** Of squares with a `value` and its `text`, or with neither where nothing was measured. @param isDark of a datum, as Vega writes it */
export function heatLayers(
  scale: { readonly domain: readonly number[]; readonly range: readonly string[] },
  legend: { readonly title: string; readonly format: string },
  isDark: string,
) {
  return [
    {
      transform: [{ filter: "isValid(datum.value)" }],
      mark: { type: "rect" },
      encoding: {
        color: {
          field: "value",
          type: "quantitative",
          scale,
          legend: { ...legend, gradientLength: 120, tickCount: 4, titleFontWeight: "normal" },
        },
      },
    },
    {
      transform: [{ filter: "isValid(datum.value)" }],
      mark: { type: "text", fontSize: 10 },
      encoding: {
        text: { field: "text" },
        color: { condition: { test: isDark, value: ON_DARK }, value: ON_PALE },
      },
    },
    {
      transform: [{ filter: "!isValid(datum.value)" }],
      mark: { type: "text", fontSize: 10, color: PALETTE.muted },
      encoding: { text: { value: "—" } },
    },
  ];
}
