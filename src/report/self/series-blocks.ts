/** Series as a table, and as lines where something is known of two sizes. */
import type { Plan } from "../../records/plan.js";
import type { Scores } from "../../records/scores.js";
import type { Block, TableRow } from "../document.js";
import { seriesFigure } from "../figures/series-figure.js";
import { formatCount } from "../format-number.js";
import { estimateCell, shareCell } from "../headline-section.js";
import { type Series, seriesOf } from "./series.js";

/** @throws InwardError REPORT_FAILED */
export async function seriesBlocks(plan: Plan, scores: Scores): Promise<Block[]> {
  const all = seriesOf(plan, scores);
  if (all.length === 0) return [];
  const percent = Number((100 * scores.confidence).toFixed(6));
  return [
    { kind: "subheading", title: "How much a predictor learnt from, or was shown" },
    ...(await figureOf(all)),
    {
      kind: "table",
      caption: `Right predictions by the size of a series (micro averages), with ${percent} % intervals (cluster bootstrap by string)`,
      groupTitle: "Series",
      columns: [
        { title: "Predictor", align: "left" },
        ...["Size", "Right", "Mode (train)", "Minus train mode, points", "Replies comply", "Trials / strings"].map(
          (title) => ({ title, align: "right" as const }),
        ),
      ],
      rows: all.flatMap(rowsOf),
    },
  ];
}

function rowsOf(series: Series): TableRow[] {
  return series.members.map(({ predictor, size, seed, average }) => ({
    group: nameOf(series),
    cells: [
      { text: predictor, ...(seed === undefined ? {} : { small: `seed ${seed}` }) },
      { text: formatCount(size) },
      estimateCell(average.accuracy),
      estimateCell(average.modeBaselineTrain),
      estimateCell(average.aboveModeTrain, true),
      shareCell(average.hypotheticalCompliance),
      average.accuracy.ok
        ? { text: `${formatCount(average.accuracy.n)} / ${formatCount(average.accuracy.clusters)}` }
        : { text: "— (no accuracy)", missing: true },
    ],
  }));
}

function nameOf({ kind, model, target }: Series): string {
  return kind === "shown" ? `${model} shown behaviors of ${target}` : `${model} learning from strings of ${target}`;
}

async function figureOf(all: readonly Series[]): Promise<Block[]> {
  const lines = all.map((series) => ({
    label: nameOf(series),
    points: series.members.flatMap(({ size, average: { accuracy } }) =>
      accuracy.ok ? [{ size, value: accuracy.value, low: accuracy.low, high: accuracy.high }] : [],
    ),
  }));
  const drawn = lines.filter(({ points }) => points.length > 1);
  if (drawn.length === 0) return [];
  const title = "Accuracy by how much was learnt from or shown";
  const caption =
    "Share of trials that are right, with intervals; the table gives the mode baseline. A cross-predictor whose line still rises has not learnt all that it could.";
  return [{ kind: "figure", name: "series", title, caption, svg: await seriesFigure(title, drawn) }];
}
