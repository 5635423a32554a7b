/** What the numbers of one predictor about one target say, in words. No sentence says more than its numbers do. */

import { HIGH_MODE_SHARE, LOW_ENTROPY_BITS } from "../score/cell.js";
import type { Estimate } from "../score/interval.js";
import type { AverageScore, CellScore, Share } from "../score/scores.js";
import { judgeAgainstMode, type ModeCaution, type ModeComparison } from "../score/verdicts/against-mode.js";
import { formatCount, formatEstimate, formatPercent, formatPoints } from "./document.js";
import { plural, readableName } from "./terms.js";

/**
 * @param average the micro average
 * @param macro the macro average of the same cells
 * @param cells the cells that both average
 * @returns the comparison with the mode first, then what bears on it
 */
export function modeSentences(
  average: AverageScore,
  macro: AverageScore | undefined,
  cells: readonly CellScore[],
): string[] {
  const { comparison, cautions } = judgeAgainstMode(average, macro, cells);
  const { accuracy } = average;
  const first = accuracy.ok
    ? againstMode(average, accuracy, comparison)
    : `There is no accuracy for ${average.predictor} predicting ${whose(average)}: ${accuracy.reason}.`;
  return [first, ...cautions.map(cautionSentence)];
}

function whose({ predictor, target }: AverageScore): string {
  return predictor === target ? "its own behavior" : `the behavior of ${target}`;
}

function againstMode(
  average: AverageScore,
  accuracy: Extract<Estimate, { ok: true }>,
  comparison: ModeComparison,
): string {
  const { modeBaselineTrain: mode, aboveModeTrain: above } = average;
  const trials = plural(accuracy.n, "trial", formatCount(accuracy.n));
  const right = `${average.predictor} predicts ${whose(average)} right in ${formatEstimate(accuracy)} of ${trials}`;
  if (!mode.ok) return `${right}; the train-label mode baseline is missing (${mode.reason}).`;
  const those = mode.n === accuracy.n ? "" : ` of the ${formatCount(mode.n)} trials that have one`;
  const always = `always giving the most common behavior of the train strings would be right in ${formatEstimate(mode)}${those}`;
  const conclusion: Record<ModeComparison, string> = {
    beats: `the predictions beat this baseline, by ${formatPoints(above)}`,
    falls_short: `the predictions do not beat this baseline but fall short of it (difference ${formatPoints(above)})`,
    undecided: `the predictions are not shown to beat this baseline (difference ${formatPoints(above)}, which includes 0)`,
    unknown: `whether the predictions beat it is not known ${above.ok ? "" : `(${above.reason})`}`.trimEnd(),
  };
  return `${right}; ${always}: ${conclusion[comparison]}.`;
}

const MACRO_SAYS: Readonly<Record<Exclude<ModeComparison, "unknown">, string>> = {
  beats: "they beat it",
  falls_short: "they fall short of it",
  undecided: "they are not shown to differ from it",
};

export function cautionSentence(caution: ModeCaution): string {
  switch (caution.kind) {
    case "macro_concludes_otherwise":
      return `When every task × property counts the same (macro average), ${MACRO_SAYS[caution.comparison]} (difference ${formatPoints(caution.difference)}).`;
    case "no_reply_complies":
      return "None of the replies complies with the question's form, so every prediction counts as wrong by rule: this measures compliance only.";
    case "replies_comply":
      return repliesSentence(caution);
    case "answers_comply":
      return `${caution.isLow ? "Only " : ""}${partText(caution.share)} of the object-level answers have a behavior to compare with; the result is about those.`;
    case "cells_hardly_vary": {
      const { flat, of } = caution;
      const all = flat === of ? `all ${formatCount(flat)} cells` : `${formatCount(flat)} of ${formatCount(of)} cells`;
      return `In ${of === 1 ? "the only cell" : all} the behavior hardly varies (entropy below ${LOW_ENTROPY_BITS} bits, or one value above ${100 * HIGH_MODE_SHARE} %): predictions there measure nothing beyond the mode.`;
    }
    case "best_rule": {
      const chosen = caution.of > 1 ? `, the best of ${caution.of} chosen after seeing the answers,` : "";
      return `A rule that sees only the string (${readableName(caution.rule)})${chosen} is right in ${formatEstimate(caution.estimate)} of the ${formatCount(caution.estimate.n)} trials it applies to.`;
    }
    case "classifier":
      return `A classifier that sees only the string is right in ${formatEstimate(caution.estimate)} of ${formatCount(caution.estimate.n)} trials.`;
    case "rough_intervals":
      return `Only ${plural(caution.strings, "string", formatCount(caution.strings))} stand behind this: the intervals are rough.`;
  }
}

function repliesSentence({
  share,
  level,
  isMeasuringCompliance,
  whenCompliant,
}: Extract<ModeCaution, { kind: "replies_comply" }>): string {
  const among = whenCompliant.ok
    ? ` Where the reply complies, ${formatEstimate(whenCompliant)} of ${formatCount(whenCompliant.n)} are right.`
    : "";
  const said = `${level === "low" ? "Only " : ""}${partText(share)} of the replies comply with the question's form`;
  const others = level === "high" ? "" : "; the others count as wrong";
  return `${said}${others}${isMeasuringCompliance ? ", so this measures compliance first" : ""}.${among}`;
}

function partText({ count, of }: Share): string {
  return formatPercent(count / of);
}
