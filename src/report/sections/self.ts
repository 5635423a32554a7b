/** Self against what needs no look at itself: rules, a classifier, itself untrained, controls; other wordings; series. */

import type { ComparedSelf, ComparedSeries, Comparisons } from "../../score/comparison/comparisons.js";
import { findSeries, type Series, type SeriesMember } from "../../score/comparison/contrasts.js";
import type { PredictorComparison } from "../../score/comparison/comparison.js";
import { SMALLEST_DIFFERENCE } from "../../score/comparison/judge.js";
import { NOISY_LABELS } from "../../score/comparison/third-parties.js";
import type { AverageScore, Scores } from "../../score/scores.js";
import { plateauOf } from "../../score/verdicts/cross-prediction.js";
import { selfVerdict } from "../../score/verdicts/self-prediction.js";
import { planScopes } from "../../score/scope.js";
import { averagesIn, type Verdict } from "../../score/verdicts/verdict.js";
import type { Plan } from "../../study/plan.js";
import {
  type Block,
  estimateCell,
  formatCount,
  aside,
  type Section,
  shareCell,
  type Table,
  type TableRow,
} from "../document.js";
import { selfFigure, seriesFigure } from "../figures/comparison-figure.js";
import { plateauSentence, seriesText, verdictBlock, verdictText } from "../sentences.js";
import type { StateNames } from "../state-names.js";
import { readableName, SCOPE_WORDS } from "../terms.js";
import { overallRow, partyColumns, thirdPartyRows } from "./comparison-cells.js";

// Series as a table, as lines where something is known of two sizes, and in words: does it still rise?

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
async function seriesBlocks(
  plan: Plan,
  scores: Scores,
  compared: readonly ComparedSeries[],
  confidence: number,
): Promise<Block[]> {
  const { main } = planScopes(plan);
  const all = findSeries(plan).map((series) => scoredOf(series, averagesIn(scores, main)));
  if (all.length === 0) return [];
  const percent = Number((100 * scores.confidence).toFixed(6));
  return [
    { kind: "subheading", title: "How much a predictor learnt from, or was shown" },
    ...(await figureOf(all)),
    {
      kind: "table",
      caption: `Right predictions by the size of a series${main === "all" ? "" : `, on ${SCOPE_WORDS[main]}`} (micro averages), with ${percent} % intervals (cluster bootstrap by string)`,
      groupTitle: "Series",
      columns: [
        { title: "Predictor", align: "left" },
        ...["Size", "Right", "Mode (train)", "Minus train mode, points", "Replies comply", "Trials / strings"].map(
          (title) => ({ title, align: "right" as const }),
        ),
      ],
      rows: all.flatMap(rowsOf),
    },
    ...plateausOf(compared, confidence),
  ];
}

function plateausOf(compared: readonly ComparedSeries[], confidence: number): Block[] {
  if (compared.length === 0) return [];
  return [
    { kind: "list", items: compared.map((series) => [plateauSentence(plateauOf(series, confidence))]) },
    aside(
      `A plateau is judged by the last step of a series, each size against the one before it on the same trials, seed by seed, by the rule of all verdicts: it still rises where the interval lies above 0 and the sign-flip test agrees, and has reached its plateau where the interval ends below ${100 * SMALLEST_DIFFERENCE} points. Larger sizes than these may rise again.`,
    ),
  ];
}

function scoredOf(series: Series, averages: readonly AverageScore[]): ScoredSeries {
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
    group: seriesText(series),
    cells: [
      { text: predictor, small: seed === undefined ? undefined : `seed ${seed}` },
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
    label: seriesText(series),
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

/** @throws InwardError REPORT_FAILED */
export async function selfSection(
  { confidence, series, selfPredictions: selves }: Comparisons,
  plan: Plan,
  scores: Scores,
  names: StateNames,
): Promise<Section> {
  const percent = Number((100 * confidence).toFixed(6));
  const blocks: Block[] = [];
  const judged = selves.map((one) => ({ one, verdict: selfVerdict({ plan, scores }, one, confidence) }));
  // The first one's figure stands on the first page: that of what the study is judged by.
  const isPrimary = ({ verdict }: (typeof judged)[number]) => verdict.status === "primary";
  const ordered = [...judged.filter(isPrimary), ...judged.filter((one) => !isPrimary(one))];
  for (const [index, { one, verdict }] of ordered.entries()) {
    blocks.push(...(await blocksOf(one, verdict, percent, ordered.length > 1 ? `-${index + 1}` : "", names)));
  }
  const [rule] = selves.map(({ verdict }) => verdict.rule);
  return {
    id: "self",
    title: "Self against controls",
    blocks: [
      aside(
        "Does a model predict what it does better than can be had without looking at itself? Controls are adapters trained in the same way on labels that tell nothing about the string asked about.",
      ),
      ...blocks,
      ...(await seriesBlocks(plan, scores, series, confidence)),
      ...(rule === undefined ? [] : [aside(`Rule of the verdicts: ${rule}`)]),
    ],
  };
}

async function blocksOf(
  one: ComparedSelf,
  verdict: Verdict,
  percent: number,
  suffix: string,
  names: StateNames,
): Promise<Block[]> {
  const title = verdictText(verdict, names);
  const caption =
    "Share of trials that are right, with intervals: self and the oracle mode on the trials of the first comparison, each of the others on those that it shares with self. The table gives the paired differences.";
  const figure = { kind: "figure" as const, name: `self-prediction${suffix}`, title, caption };
  return [
    { kind: "subheading", title },
    verdictBlock(verdict, names),
    ...(Object.keys(one.thirdParties).length > 0 ? [{ ...figure, svg: await selfFigure(title, one, names) }] : []),
    partyTable(one, percent),
    ...movedTables(one, percent),
    ...wordingTable(one, percent),
  ];
}

function partyTable({ thirdParties, verdict }: ComparedSelf, percent: number): Table {
  return {
    kind: "table",
    caption: `Self against everything that it was compared with (micro), each on the trials that both have, with ${percent} % intervals`,
    columns: partyColumns(),
    rows: thirdPartyRows(thirdParties, verdict.thirdParties),
  };
}

/** Where the target is trained: the same by whether training moved the behavior. */
function movedTables({ moved: rows, verdict }: ComparedSelf, percent: number): Block[] {
  if (!rows) return [];
  const judged = rows.isEnough
    ? "self has to exceed everything here too"
    : `not judged: ${formatCount(rows.strings)} strings are too few`;
  const unknown =
    rows.unknown > 0 ? `; ${formatCount(rows.unknown)} trials without a behavior before are in neither` : "";
  return [
    {
      kind: "table",
      caption: `Where training moved the behavior (it differs from what ${rows.base} did; ${judged}${unknown}), with ${percent} % intervals`,
      columns: partyColumns(),
      rows: thirdPartyRows(rows.moved, verdict.moved ?? {}),
    },
    {
      kind: "table",
      caption: `Where training did not move the behavior: who knows what the model did before knows this, with ${percent} % intervals`,
      columns: partyColumns(),
      rows: thirdPartyRows(rows.unmoved, {}),
    },
  ];
}

function wordingTable({ ablations }: ComparedSelf, percent: number): Block[] {
  const tableOf = (title: string, caption: string, rows: [string, PredictorComparison][]): Block[] =>
    rows.length === 0
      ? []
      : [
          {
            kind: "table",
            caption,
            columns: partyColumns(title).slice(0, -1),
            rows: rows.map(([name, { overall }]) => ({ cells: overallRow(readableName(name), overall[0]) })),
          },
        ];
  const all = Object.entries(ablations);
  return [
    ...tableOf(
      "Wording",
      `The same predictor asked in wordings that it was not trained on (micro), with ${percent} % intervals: a gain that needs the trained wording is one of form`,
      all.filter(([name]) => name !== NOISY_LABELS),
    ),
    ...tableOf(
      "Labels",
      `The same training with a share of its labels replaced (micro), with ${percent} % intervals: a predictor that only repeats its labels loses what they lose, one that looks at itself less`,
      all.filter(([name]) => name === NOISY_LABELS),
    ),
  ];
}
