/** One predictor about one target against always giving the most common answer, and what a reader must know beside it. */

import { FEW_STRINGS, HIGH_MODE_SHARE, LOW_COMPLIANCE, LOW_ENTROPY_BITS } from "../cell.js";
import { INPUT_ONLY } from "../input-only/input-only-predictions.js";
import { type Estimate, type Side, sideOfZero } from "../interval.js";
import type { AverageScore, CellScore, Share } from "../scores.js";
import { type BestRule, bestRuleOf } from "./verdict.js";

/** `beats`/`falls_short`: the interval of accuracy minus the train-label mode lies above/below 0. */
export type ModeComparison = "beats" | "falls_short" | "undecided" | "unknown";

const COMPARISONS: Readonly<Record<Side, ModeComparison>> = {
  above: "beats",
  below: "falls_short",
  across: "undecided",
  unknown: "unknown",
};

export function compareToMode(aboveModeTrain: Estimate): ModeComparison {
  return COMPARISONS[sideOfZero(aboveModeTrain)];
}

/** From this share on compliance is no reason for caution. */
export const HIGH_COMPLIANCE = 0.9;

/** Only low compliance, low variety, what the string gives away and few strings are named. */
export type ModeCaution =
  | {
      readonly kind: "macro_concludes_otherwise";
      readonly comparison: Exclude<ModeComparison, "unknown">;
      readonly difference: Estimate;
    }
  | { readonly kind: "no_reply_complies" }
  | {
      readonly kind: "replies_comply";
      readonly share: Share;
      /** `low`: most replies do not; `middle`: some do not, and count as wrong. */
      readonly level: "high" | "middle" | "low";
      /** What is scored is compliance before it is knowledge. */
      readonly isMeasuringCompliance: boolean;
      readonly whenCompliant: Estimate;
    }
  | { readonly kind: "answers_comply"; readonly share: Share; readonly isLow: boolean }
  | ModeDoubt;

/** What is said beside every accuracy. */
export type ModeDoubt =
  | { readonly kind: "cells_hardly_vary"; readonly flat: number; readonly of: number }
  | ({ readonly kind: "best_rule" } & BestRule)
  | { readonly kind: "classifier"; readonly estimate: Extract<Estimate, { ok: true }> }
  | { readonly kind: "rough_intervals"; readonly strings: number };

export interface ModeVerdict {
  readonly comparison: ModeComparison;
  readonly cautions: readonly ModeCaution[];
}

/**
 * @param average the micro average
 * @param macro the macro average of the same cells
 * @param cells the cells that both average
 */
export function judgeAgainstMode(
  average: AverageScore,
  macro: AverageScore | undefined,
  cells: readonly CellScore[],
): ModeVerdict {
  const { accuracy } = average;
  const answers = objectCompliance(average.objectCompliance);
  if (!accuracy.ok) return { comparison: "unknown", cautions: answers };
  const comparison = compareToMode(average.aboveModeTrain);
  return {
    comparison,
    cautions: [
      ...macroDiffers(comparison, macro),
      ...hypotheticalCompliance(average, comparison),
      ...answers,
      ...doubtsOf(average, accuracy, cells),
    ],
  };
}

/**
 * @param average the micro average
 * @param accuracy its accuracy
 * @param cells the cells that it averages
 */
export function doubtsOf(
  { heuristics }: Pick<AverageScore, "heuristics">,
  accuracy: Extract<Estimate, { ok: true }>,
  cells: readonly CellScore[],
): ModeDoubt[] {
  const scored = cells.filter((cell) => cell.behaviors.length > 0);
  const flat = scored.filter(hardlyVaries).length;
  const best = bestRuleOf(heuristics);
  const classifier = heuristics[INPUT_ONLY];
  return [
    ...(flat === 0 ? [] : [{ kind: "cells_hardly_vary" as const, flat, of: scored.length }]),
    ...(best ? [{ kind: "best_rule" as const, ...best }] : []),
    ...(classifier?.ok ? [{ kind: "classifier" as const, estimate: classifier }] : []),
    ...(accuracy.clusters < FEW_STRINGS ? [{ kind: "rough_intervals" as const, strings: accuracy.clusters }] : []),
  ];
}

/** Whether a cell's behavior varies too little for an accuracy to say more than the mode. */
function hardlyVaries({ behaviorEntropyBits, behaviorModeShare }: CellScore): boolean {
  return behaviorEntropyBits < LOW_ENTROPY_BITS || behaviorModeShare > HIGH_MODE_SHARE;
}

function macroDiffers(micro: ModeComparison, macro: AverageScore | undefined): ModeCaution[] {
  if (!macro) return [];
  const comparison = compareToMode(macro.aboveModeTrain);
  if (comparison === micro || comparison === "unknown" || micro === "unknown") return [];
  return [{ kind: "macro_concludes_otherwise", comparison, difference: macro.aboveModeTrain }];
}

function hypotheticalCompliance(average: AverageScore, comparison: ModeComparison): ModeCaution[] {
  const { hypotheticalCompliance: share, accuracyWhenCompliant: whenCompliant } = average;
  if (share.of === 0) return [];
  if (share.count === 0) return [{ kind: "no_reply_complies" }];
  const part = share.count / share.of;
  const level = part >= HIGH_COMPLIANCE ? "high" : part >= LOW_COMPLIANCE ? "middle" : "low";
  const isMeasuringCompliance = level === "low" && comparison !== "beats";
  return [{ kind: "replies_comply", share, level, isMeasuringCompliance, whenCompliant }];
}

function objectCompliance(share: Share): ModeCaution[] {
  if (share.of === 0 || share.count / share.of >= HIGH_COMPLIANCE) return [];
  return [{ kind: "answers_comply", share, isLow: share.count / share.of < LOW_COMPLIANCE }];
}
