/** The scores of a calibration for the terminal. */
import type { CalibrationDifference, CalibrationRow, CalibrationScores } from "../records/calibration-scores.js";
import type { Estimate } from "../records/scores.js";
import { table } from "./output.js";

/** Every pair beside a predictor that always says the same; over all properties, then by property where there are several. */
export function calibrationText({ rows, differences, intervalMethod }: CalibrationScores): string {
  const several = new Set(rows.flatMap(({ property }) => (property === undefined ? [] : [property]))).size > 1;
  const shown = rows.filter(({ property }) => property === undefined || several);
  const header = [
    "predictor → target",
    "kind",
    "property",
    "questions",
    "MAD (points)",
    "of the constant",
    "Brier",
    "of the constant",
    "skill",
    "total variation",
    "Pearson",
  ];
  return [
    table(header, shown.map(scoreRow)),
    ...[...new Set(shown.flatMap(missingReasons))].map((reason) => `—: ${reason}`),
    "The constant predicts the mean behavior of the task's other strings. MAD: mean distance over ten bins, percentage points.",
    intervalMethod,
    ...differences.filter(({ property }) => property === undefined).map(differenceText),
    ...shown.filter(({ property }) => property === undefined).flatMap(exclusionsText),
  ].join("\n");
}

function scoreRow({
  predictor,
  target,
  kind,
  property,
  comparisons,
  metrics,
  constant,
  skill,
}: CalibrationRow): string[] {
  return [
    `${predictor} → ${target}`,
    kind,
    property ?? "all",
    String(comparisons),
    percentText(metrics.madPoints, 1),
    percentText(constant.madPoints, 1),
    percentText(metrics.brier, 3),
    percentText(constant.brier, 3),
    percentText(skill, 3),
    percentText(metrics.totalVariation, 3),
    percentText(metrics.pearson, 2),
  ];
}

function missingReasons({ metrics, constant, skill }: CalibrationRow): string[] {
  const { madPoints, brier, totalVariation, pearson } = metrics;
  const shown = [madPoints, constant.madPoints, brier, constant.brier, skill, totalVariation, pearson];
  return shown.flatMap((value) => (value.ok ? [] : [value.reason]));
}

function differenceText({ target, predictor, minus, madPoints, brier, totalVariation }: CalibrationDifference): string {
  return (
    `${predictor} − ${minus} about ${target} (below 0: nearer): MAD ${percentText(madPoints, 1)} points, ` +
    `Brier ${percentText(brier, 3)}, total variation ${percentText(totalVariation, 3)}`
  );
}

function exclusionsText({ predictor, target, leftOut, sampled, strings }: CalibrationRow): string[] {
  const reasons = leftOut.map(({ reason, count }) => `${count} left out: ${reason}`);
  const drawn = sampled.count > 0 ? [`${sampled.count} of ${sampled.of} questions with samples on a side`] : [];
  return [`${predictor} → ${target}: ${[`${strings} strings`, ...drawn, ...reasons].join("; ")}`];
}

function percentText(value: Estimate, digits: number): string {
  if (!value.ok) return "—";
  return `${value.value.toFixed(digits)} [${value.low.toFixed(digits)}, ${value.high.toFixed(digits)}]`;
}
