/** What the calibration of one predictor says in words; only an interval that excludes zero makes a difference. */
import type { CalibrationDifference, CalibrationRow } from "../../records/calibration-scores.js";
import { sideOfZero } from "../../score/side-of-zero.js";
import { formatCount } from "../format-number.js";
import { plural } from "../readable-name.js";
import { decimalText } from "./decimal-cell.js";

export function about({ predictor, target }: Pick<CalibrationRow, "predictor" | "target">): string {
  return predictor === target ? `${predictor} about itself` : `${predictor} about ${target}`;
}

/** @param row over all properties */
export function judgeCalibration(row: CalibrationRow): string {
  const { metrics, constant, skill, strings, points } = row;
  const who = `${about(row)} (${row.kind})`;
  if (!metrics.madPoints.ok) return `${who}: there is no calibration to show (${metrics.madPoints.reason}).`;
  const mad = `${who}: predicted probabilities are off by ${decimalText(metrics.madPoints, 1)} percentage points in the mean of the bins (${plural(points, "point", formatCount(points))}, ${plural(strings, "string", formatCount(strings))})`;
  const other = constant.madPoints.ok
    ? `, those of the constant predictor by ${decimalText(constant.madPoints, 1)}`
    : "";
  if (!skill.ok) return `${mad}${other}; no skill over it can be given (${skill.reason}).`;
  const worth = `Brier skill ${decimalText(skill, 2)}`;
  const side = sideOfZero(skill);
  if (side === "above") return `${mad}${other}; knowing the string, it beats that constant predictor (${worth}).`;
  return side === "below"
    ? `${mad}${other}; it is worse than that constant predictor (${worth}).`
    : `${mad}${other}; it is not shown to beat that constant predictor (${worth}, which includes 0).`;
}

/** @param difference over all properties */
export function judgeDifference(difference: CalibrationDifference): string {
  const { predictor, minus, target, kind, totalVariation } = difference;
  const other = kind === "self_minus_cross" ? `${minus}, which has other weights,` : `${minus}, which is untrained,`;
  if (!totalVariation.ok) {
    return `${predictor} and ${minus} about ${target}: no difference can be given (${totalVariation.reason}).`;
  }
  const by = `total variation ${decimalText(totalVariation, 3)} on ${formatCount(totalVariation.n)} comparisons of ${plural(totalVariation.clusters, "string", formatCount(totalVariation.clusters))}`;
  const side = sideOfZero(totalVariation);
  if (side === "below") return `${predictor} is nearer to what ${target} does than ${other} is (${by}).`;
  return side === "above"
    ? `${predictor} is further from what ${target} does than ${other} is (${by}).`
    : `${predictor} is not shown to differ from ${other} in how near it is to what ${target} does (${by}, which includes 0).`;
}
