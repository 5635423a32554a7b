/** Calibration at temperature 1: verdicts, the reliability figure, every measure beside the constant predictor, method and limits. */
import type { CalibrationRow, CalibrationScores } from "../../records/calibration-scores.js";
import { type Block, type Figure, note, type Section } from "../document.js";
import { reliabilityFigure } from "../figures/reliability-figure.js";
import type { PairNames } from "../main-pairs.js";
import { calibrationLimits, calibrationMethod } from "./calibration-method.js";
import { costTable, curveTable, differencesTable, distanceTable, propertyTable } from "./calibration-tables.js";
import { judgeCalibration, judgeDifference } from "./calibration-verdict.js";

/** @throws InwardError REPORT_FAILED */
export async function calibrationSection(
  scores: CalibrationScores,
  isMain: (pair: PairNames) => boolean = () => true,
): Promise<Section> {
  const targets = [...new Set(scores.rows.map(({ target }) => target))];
  const blocks: Block[] = [];
  for (const [index, target] of targets.entries()) {
    blocks.push(...(await targetBlocks(scores, target, targets.length > 1 ? `-${index + 1}` : "", isMain)));
  }
  return {
    id: "calibration",
    title: "Calibration at temperature 1",
    blocks: [
      note(
        "Does what a predictor holds likely happen as often as it holds it likely? Both sides are whole distributions here, not single answers.",
      ),
      ...(blocks.length > 0 ? blocks : [note("No prediction was to be compared.")]),
      { kind: "subheading", title: "How calibration was measured" },
      { kind: "list", items: calibrationMethod(scores) },
      { kind: "subheading", title: "What it does not show" },
      { kind: "list", items: calibrationLimits(scores).map((text) => [text]) },
    ],
  };
}

async function targetBlocks(
  scores: CalibrationScores,
  target: string,
  suffix: string,
  isMain: (pair: PairNames) => boolean,
): Promise<Block[]> {
  const percent = Number((100 * scores.confidence).toFixed(6));
  const rows = scores.rows.filter((row) => row.target === target);
  const pooled = rows.filter(({ property }) => property === undefined);
  const byProperty = rows
    .filter(({ property }) => property !== undefined)
    .sort((a, b) => ((a.property as string) < (b.property as string) ? -1 : Number(a.property !== b.property)));
  const differences = scores.differences.filter((difference) => difference.target === target);
  const overAll = differences.filter(({ property }) => property === undefined);
  // Lines of many predictors could not be told apart; the tables have them all.
  const withBins = pooled.filter(({ bins }) => bins.length > 0);
  const main = withBins.filter(isMain);
  const drawn = main.length > 0 ? main : withBins;
  const verdicts = [...overAll.map(judgeDifference), ...pooled.map(judgeCalibration)];
  return [
    ...(suffix === "" ? [] : [{ kind: "subheading" as const, title: `Predictions about ${target}` }]),
    ...verdicts.map((text): Block => ({ kind: "paragraph", tone: "verdict", text: [text] })),
    ...(drawn.length > 0 ? [await figureOf(target, drawn, suffix)] : []),
    curveTable(pooled, percent),
    distanceTable(pooled, percent),
    ...(differences.length > 0 ? [differencesTable(differences, percent)] : []),
    ...(byProperty.length > pooled.length ? [propertyTable(byProperty, percent)] : []),
    costTable(pooled, percent),
  ];
}

async function figureOf(target: string, drawn: readonly CalibrationRow[], suffix: string): Promise<Figure> {
  const title = suffix === "" ? "Reliability of predicted probabilities" : `Reliability of predictions about ${target}`;
  const caption =
    "Each mark is a bin with about as many points as the others: the mean probability of its behaviors, and the mean that was predicted. On the dashed line both are the same; below it too little was predicted. Below: how many points, by the probability of the behavior.";
  return { kind: "figure", name: `calibration${suffix}`, title, caption, svg: await reliabilityFigure(title, drawn) };
}
