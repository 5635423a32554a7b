/** Cells of a benchmark's tables: what was measured, or why it was not. */

import type { NoiseFloor } from "../ask/noise-floor.js";
import { formatCount, formatMissing, formatNats, type TableCell } from "../report/document.js";
import type { TailBounds } from "../score/calibration/score-calibration.js";
import type { Estimate } from "../score/interval.js";
import type { FileFloor } from "./divergence-scores.js";
import type { SpeedScores } from "./measure-speed.js";
import type { MeasuredFigure } from "./quantize-results.js";

export const ok = (text: string, small?: string): TableCell => (small === undefined ? { text } : { text, small });
export const none = (reason: string): TableCell => ({ text: formatMissing(reason), missing: true });

export function cell<Value>(measured: MeasuredFigure<Value>, show: (value: Value) => TableCell): TableCell {
  return measured.ok ? show(measured.value) : none(measured.reason);
}

export function fileSize(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Natural-log units with an interval that may span sizes. */
export function natsCell(estimate: Estimate): TableCell {
  if (!estimate.ok) return none(estimate.reason);
  return ok(formatNats(estimate.value), `[${formatNats(estimate.low)},\u00a0${formatNats(estimate.high)}]`);
}

/** Tokens a second, to three digits. */
export function spreadCell(rate: SpeedScores["writing"]): TableCell {
  if ("missing" in rate) return none(rate.missing);
  const digits = (value: number) => String(Number(value.toPrecision(3)));
  return ok(digits(rate.median), `${digits(rate.least)} to ${digits(rate.most)}`);
}

export function floorCell({ klMean, klMost }: FileFloor): TableCell {
  return ok(formatNats(klMean), `at most ${formatNats(klMost)}`);
}

/** Answers that were other ones when the same was asked again. */
export function againCell({ questions, sameTokens }: NoiseFloor): TableCell {
  return ok(`${formatCount(questions - sameTokens)} of ${formatCount(questions)}`);
}

/** @param bounds of the mean, where something was left open */
export function tailCell(bounds: TailBounds | null | undefined, show: (value: number) => string): TableCell {
  return bounds ? ok(`${show(bounds.least)} to ${show(bounds.most)}`) : ok("exact");
}
