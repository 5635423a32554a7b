/** What a reader must know before believing a cell's numbers. */
import type { CellScore, Share } from "../records/scores.js";
import { FEW_STRINGS, LOW_COMPLIANCE, lowVariationWarning } from "./worth-measuring.js";

/** @returns short sentences with the real numbers, the gravest first */
export function cellWarnings(cell: Omit<CellScore, "warnings">): string[] {
  return [
    ...objectCompliance(cell.objectCompliance),
    ...fewStrings(cell),
    ...lowEntropy(cell),
    ...hypotheticalCompliance(cell.hypotheticalCompliance),
    ...againstMode(cell),
  ];
}

function objectCompliance({ count, of }: Share): string[] {
  if (of === 0) return ["Nothing is scored: the engine crashed on every object-level question."];
  if (count === 0) return [`Nothing is scored: none of ${of} object-level answers complies.`];
  return count / of < LOW_COMPLIANCE
    ? [`Only ${shareText({ count, of })} object-level answers comply; the others are excluded.`]
    : [];
}

function hypotheticalCompliance({ count, of }: Share): string[] {
  if (of === 0) return ["Nothing is scored: the engine crashed on every hypothetical question."];
  if (count / of >= LOW_COMPLIANCE) return [];
  return [`Only ${shareText({ count, of })} hypothetical replies comply; the others count as wrong.`];
}

function fewStrings({ accuracy, behaviors }: Omit<CellScore, "warnings">): string[] {
  if (behaviors.length === 0) return [];
  const strings = accuracy.ok ? accuracy.clusters : 1;
  if (strings >= FEW_STRINGS) return [];
  return [
    `Only ${strings} string${strings === 1 ? " is" : "s are"} scored (fewer than ${FEW_STRINGS}): intervals are rough.`,
  ];
}

function lowEntropy({ behaviors }: Omit<CellScore, "warnings">): string[] {
  const warning = lowVariationWarning(behaviors);
  return warning === undefined ? [] : [warning];
}

function againstMode({ accuracy, modeBaselineTrain, aboveModeTrain }: Omit<CellScore, "warnings">): string[] {
  if (!accuracy.ok || !modeBaselineTrain.ok || !aboveModeTrain.ok || aboveModeTrain.low > 0) return [];
  const values = `${decimals(accuracy.value)} against ${decimals(modeBaselineTrain.value)}`;
  const interval = `${decimals(aboveModeTrain.low)} to ${decimals(aboveModeTrain.high)}`;
  return aboveModeTrain.high < 0
    ? [`Below the mode baseline: ${values} (difference ${interval}).`]
    : [`Not distinguishable from the mode baseline: ${values} (difference ${interval}, which includes 0).`];
}

function shareText({ count, of }: Share): string {
  return `${count} of ${of} (${((100 * count) / of).toFixed(0)} %)`;
}

/** Two decimals, and no minus before a zero. */
function decimals(number: number): string {
  return number.toFixed(2).replace(/^-0\.00$/, "0.00");
}
