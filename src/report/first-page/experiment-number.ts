/** A number of an experiment as cells of a table: value and interval, what it stands beside, how much is behind it. */
import type { ExperimentNumber } from "../../records/experiments.js";
import type { Estimate } from "../../records/scores.js";
import { decimalText } from "../calibration/decimal-cell.js";
import type { TableCell } from "../document.js";
import { formatCount, formatEstimate, formatMissing, formatPoints } from "../format-number.js";
import { baselineName } from "./baseline-names.js";

export function numberText(estimate: Estimate, unit: ExperimentNumber["unit"]): string {
  if (!estimate.ok) return formatMissing(estimate.reason);
  if (unit === "share") return formatEstimate(estimate);
  return unit === "difference" ? formatPoints(estimate) : decimalText(estimate, 3);
}

export function valueCell({ estimate, unit }: ExperimentNumber): TableCell {
  const text = numberText(estimate, unit);
  return estimate.ok ? { text } : { text, missing: true };
}

/** A difference's sides are shares. */
export function besideCell({ baselines, unit }: ExperimentNumber): TableCell {
  const all = Object.entries(baselines);
  if (all.length === 0) return { text: formatMissing("it stands for itself"), missing: true };
  const shown = unit === "plain" ? "plain" : "share";
  return { text: all.map(([name, estimate]) => `${baselineName(name)} ${numberText(estimate, shown)}`).join("; ") };
}

export function behindCell({ estimate }: ExperimentNumber): TableCell {
  return estimate.ok
    ? { text: `${formatCount(estimate.n)} / ${formatCount(estimate.clusters)}` }
    : { text: formatMissing("no number"), missing: true };
}
