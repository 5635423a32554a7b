/** Series as a table, as lines where something is known of two sizes, and in words: does it still rise? */
import type { ComparedSeries } from "../../records/comparisons.js";
import type { Plan } from "../../records/plan.js";
import type { AverageScore, Scores } from "../../records/scores.js";
import { findSeries, type Series, type SeriesMember } from "../../score/comparison/find-series.js";
import { SMALLEST_DIFFERENCE } from "../../score/comparison/judge-difference.js";
import { type Block, note, type TableRow } from "../document.js";
import { seriesFigure } from "../figures/series-figure.js";
import { formatCount } from "../format-number.js";
import { estimateCell, shareCell } from "../table-parts.js";
import { plateauSentence, seriesName } from "./series-words.js";

interface Scored extends SeriesMember {
  readonly average: AverageScore;
}

interface ScoredSeries extends Series {
  readonly members: readonly Scored[];
}

/**
 * @param compared the series of 08-comparisons.json; none in an old run
 * @throws InwardError REPORT_FAILED
 */
export async function seriesBlocks(plan: Plan, scores: Scores, compared: readonly ComparedSeries[]): Promise<Block[]> {
  const all = findSeries(plan).map((series) => scoredOf(series, scores));
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
    ...plateausOf(compared),
  ];
}

function plateausOf(compared: readonly ComparedSeries[]): Block[] {
  if (compared.length === 0) return [];
  return [
    { kind: "list", items: compared.map((series) => [plateauSentence(series)]) },
    note(
      `A plateau is judged by the last step of a series, each size against the one before it on the same trials, seed by seed, by the rule of all verdicts: it still rises where the interval lies above 0 and the sign-flip test agrees, and has reached its plateau where the interval ends below ${100 * SMALLEST_DIFFERENCE} points. Larger sizes than these may rise again.`,
    ),
  ];
}

function scoredOf(series: Series, { averages }: Pick<Scores, "averages">): ScoredSeries {
  return {
    ...series,
    members: series.members.flatMap((member): Scored[] => {
      const average = averages.find(
        ({ predictor, target, kind }) => predictor === member.predictor && target === series.target && kind === "micro",
      );
      return average ? [{ ...member, average }] : [];
    }),
  };
}

function rowsOf(series: ScoredSeries): TableRow[] {
  return series.members.map(({ predictor, size, seed, average }) => ({
    group: seriesName(series),
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

async function figureOf(all: readonly ScoredSeries[]): Promise<Block[]> {
  const lines = all.map((series) => ({
    label: seriesName(series),
    points: series.members.flatMap(({ size, average: { accuracy } }) =>
      accuracy.ok ? [{ size, value: accuracy.value, low: accuracy.low, high: accuracy.high }] : [],
    ),
  }));
  const drawn = lines.filter(({ points }) => points.length > 1);
  if (drawn.length === 0) return [];
  const title = "Accuracy by how much was learnt from or shown";
  const caption =
    "Share of trials that are right, with intervals; the table gives the mode baseline, the words below it tell which lines still rise.";
  return [{ kind: "figure", name: "series", title, caption, svg: await seriesFigure(title, drawn) }];
}
