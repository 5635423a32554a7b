/** Every measure of calibration with n and interval, the constant predictor's below each predictor's. */
import type {
  CalibrationDifference,
  CalibrationMetrics,
  CalibrationRow,
  DistributionCost,
  TailBounds,
} from "../../records/calibration-scores.js";
import type { Column, Table, TableCell, TableRow } from "../document.js";
import { formatCount, formatMissing } from "../format-number.js";
import { estimateCell, pairCell, shareCell } from "../table-parts.js";
import { readableName } from "../readable-name.js";
import { decimalCell, decimals } from "./decimal-cell.js";
import { about } from "./calibration-verdict.js";

type Metric = readonly [title: string, cell: (metrics: CalibrationMetrics) => TableCell];

const CONSTANT = "constant predictor";
const CURVE: readonly Metric[] = [
  ["MAD, points", ({ madPoints }) => decimalCell(madPoints, 1)],
  ["MAD of the likeliest behavior", ({ madByRankPoints: [first] }) => decimalCell(first, 1)],
  ["… second", ({ madByRankPoints: [, second] }) => decimalCell(second, 1)],
  ["… third", ({ madByRankPoints: [, , third] }) => decimalCell(third, 1)],
  ["Pearson", ({ pearson }) => decimalCell(pearson, 2)],
  ["Spearman", ({ spearman }) => decimalCell(spearman, 2)],
  ["Rank correlation per string", ({ rankCorrelation }) => decimalCell(rankCorrelation, 2)],
  ["ECE, points", ({ expectedCalibrationError }) => estimateCell(expectedCalibrationError)],
  ["Points / strings", ({ madPoints }) => pairCell(madPoints)],
];
const DISTANCE: readonly Metric[] = [
  ["Brier", ({ brier }) => decimalCell(brier, 3)],
  ["… beyond entropy", ({ excessBrier }) => decimalCell(excessBrier, 3)],
  ["Total variation", ({ totalVariation }) => decimalCell(totalVariation, 3)],
  ["… by the tails", ({ totalVariationBounds }) => boundsCell(totalVariationBounds)],
  ["KL, nats", ({ klNats }) => decimalCell(klNats, 2)],
  ["… by the tails", ({ klNatsBounds }) => boundsCell(klNatsBounds)],
  ["Comparisons / strings", ({ brier }) => pairCell(brier)],
];

/** @param rows over all properties @param percent of the intervals */
export function curveTable(rows: readonly CalibrationRow[], percent: number): Table {
  return {
    kind: "table",
    caption: `Calibration of predicted probabilities, with ${percent} % intervals (cluster bootstrap by string) in brackets; lower MAD and ECE are better`,
    columns: [{ title: "Predictor", align: "left" }, ...columnsOf(CURVE)],
    rows: rows.flatMap((row) => withConstant(row, CURVE)),
  };
}

export function distanceTable(rows: readonly CalibrationRow[], percent: number): Table {
  return {
    kind: "table",
    caption: `Distance between what is done and what is predicted, with ${percent} % intervals; lower is better, except skill`,
    columns: [{ title: "Predictor", align: "left" }, ...columnsOf(DISTANCE), { title: "Skill", align: "right" }],
    rows: rows.flatMap((row) => {
      const [own, constant] = withConstant(row, DISTANCE);
      const none = { text: formatMissing("it is the measure"), missing: true };
      return [
        { cells: [...(own as TableRow).cells, decimalCell(row.skill, 2)] },
        { cells: [...(constant as TableRow).cells, none] },
      ];
    }),
  };
}

/** @param rows by property */
export function propertyTable(rows: readonly CalibrationRow[], percent: number): Table {
  const number = (title: string): Column => ({ title, align: "right" });
  return {
    kind: "table",
    caption: `By property, all tasks pooled, with ${percent} % intervals`,
    groupTitle: "Property",
    columns: [
      { title: "Predictor", align: "left" },
      ...["MAD, points", "Constant's MAD", "Total variation", "Constant's", "Skill", "Points / strings"].map(number),
    ],
    rows: rows.map((row) => ({
      group: readableName(row.property ?? "all properties"),
      cells: [
        { text: about(row), small: row.kind },
        decimalCell(row.metrics.madPoints, 1),
        decimalCell(row.constant.madPoints, 1),
        decimalCell(row.metrics.totalVariation, 3),
        decimalCell(row.constant.totalVariation, 3),
        decimalCell(row.skill, 2),
        pairCell(row.metrics.madPoints),
      ],
    })),
  };
}

export function differencesTable(differences: readonly CalibrationDifference[], percent: number): Table {
  return {
    kind: "table",
    caption: `One predictor minus another about the same behavior, paired on the same strings, with ${percent} % intervals; below 0 the first is nearer`,
    groupTitle: "Property",
    columns: [
      { title: "Difference", align: "left" },
      { title: "MAD, points", align: "right" },
      { title: "Brier", align: "right" },
      { title: "Total variation", align: "right" },
      { title: "Comparisons / strings", align: "right" },
    ],
    rows: differences.map(({ predictor, minus, target, kind, property, ...estimates }) => ({
      group: property === undefined ? "all properties" : readableName(property),
      cells: [
        { text: `${predictor} − ${minus}, about ${target}`, small: readableName(kind) },
        decimalCell(estimates.madPoints, 1, true),
        decimalCell(estimates.brier, 3, true),
        decimalCell(estimates.totalVariation, 3, true),
        pairCell(estimates.brier),
      ],
    })),
  };
}

/** @param rows over all properties */
export function costTable(rows: readonly CalibrationRow[], percent: number): Table {
  return {
    kind: "table",
    caption: `What was measured and what it cost; mean probabilities with ${percent} % intervals`,
    columns: [
      { title: "Predictor", align: "left" },
      { title: "Behaviors have a value", align: "right" },
      { title: "Predictions have a value", align: "right" },
      { title: "KL infinite without mixing", align: "right" },
      { title: "With samples", align: "right" },
      { title: "Cost of behaviors", align: "right" },
      { title: "Cost of predictions", align: "right" },
      { title: "Left out", align: "left" },
    ],
    rows: rows.map((row) => ({
      cells: [
        { text: about(row), small: row.kind },
        estimateCell(row.objectCompliantMass),
        estimateCell(row.hypotheticalCompliantMass),
        shareCell(row.klInfinite),
        shareCell(row.sampled),
        { text: costText(row.objectCost) },
        { text: costText(row.hypotheticalCost) },
        { text: row.leftOut.map(({ reason, count }) => `${reason}: ${formatCount(count)}`).join("; ") || "none" },
      ],
    })),
  };
}

function withConstant(row: CalibrationRow, metrics: readonly Metric[]): TableRow[] {
  return [
    { cells: [{ text: about(row), small: row.kind }, ...metrics.map(([, cell]) => cell(row.metrics))] },
    { cells: [{ text: `… ${CONSTANT}` }, ...metrics.map(([, cell]) => cell(row.constant))] },
  ];
}

function columnsOf(metrics: readonly Metric[]): Column[] {
  return metrics.map(([title]) => ({ title, align: "right" }));
}

function boundsCell(bounds: TailBounds | undefined): TableCell {
  return bounds
    ? { text: `${decimals(bounds.least, 3)} to ${decimals(bounds.most, 3)}` }
    : { text: formatMissing("nothing to compare"), missing: true };
}

function costText({ expansions, evaluatedTokens, sampledDistributions, samples }: DistributionCost): string {
  const parts = [
    ...(expansions > 0 ? [`${formatCount(evaluatedTokens)} tokens for ${formatCount(expansions)} expansions`] : []),
    ...(sampledDistributions > 0
      ? [`${formatCount(samples)} samples for ${formatCount(sampledDistributions)} others`]
      : []),
  ];
  return parts.join("; ") || "nothing";
}
