/** From a vega-lite specification to SVG text; the same specification always gives the same bytes. */
import type { TopLevelSpec } from "vega-lite";
import { InwardError } from "../../errors.js";
import { escapeHtml } from "../escape-html.js";
import { PALETTE } from "./palette.js";

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
