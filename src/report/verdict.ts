/**
 * What the numbers of one predictor about one target say, in words. Every sentence follows from a rule below and says no more
 * than its numbers do: only an interval that excludes zero makes a difference, and only low compliance and low variety are named
 * as reasons for caution.
 */
import { LOW_COMPLIANCE } from "../score/worth-measuring.js";
import type { AverageScore, CellScore, Estimate, Share } from "../records/scores.js";
import { type Side, sideOfZero } from "../score/side-of-zero.js";
import { cautions } from "./cautions.js";
import { formatCount, formatEstimate, formatPercent, formatPoints } from "./format-number.js";
import { plural } from "./readable-name.js";

/** `beats`/`falls_short`: the interval of accuracy minus the train-label mode lies above/below 0. */
export type Comparison = "beats" | "falls_short" | "undecided" | "unknown";

export interface Verdict {
  readonly comparison: Comparison;
  readonly sentences: readonly string[];
}

const HIGH_COMPLIANCE = 0.9;

const COMPARISONS: Readonly<Record<Side, Comparison>> = {
  above: "beats",
  below: "falls_short",
  across: "undecided",
  unknown: "unknown",
};

export function compareToMode(aboveModeTrain: Estimate): Comparison {
  return COMPARISONS[sideOfZero(aboveModeTrain)];
}

/**
 * @param average the micro average
 * @param macro the macro average of the same cells
 * @param cells the cells that both average
 */
export function judge(average: AverageScore, macro: AverageScore | undefined, cells: readonly CellScore[]): Verdict {
  const comparison = compareToMode(average.aboveModeTrain);
  const { accuracy } = average;
  if (!accuracy.ok) {
    const who = `There is no accuracy for ${average.predictor} predicting ${whose(average)}: ${accuracy.reason}.`;
    return { comparison: "unknown", sentences: [who, ...objectCompliance(average.objectCompliance)] };
  }
  return {
    comparison,
    sentences: [
      againstMode(average, accuracy, comparison),
      ...macroDiffers(comparison, macro),
      ...hypotheticalCompliance(average, comparison),
      ...objectCompliance(average.objectCompliance),
      ...cautions(average, accuracy, cells),
    ],
  };
}

function whose({ predictor, target }: AverageScore): string {
  return predictor === target ? "its own behavior" : `the behavior of ${target}`;
}

type Known = Extract<Estimate, { ok: true }>;

function againstMode(average: AverageScore, accuracy: Known, comparison: Comparison): string {
  const { modeBaselineTrain: mode, aboveModeTrain: above } = average;
  const trials = plural(accuracy.n, "trial", formatCount(accuracy.n));
  const right = `${average.predictor} predicts ${whose(average)} right in ${formatEstimate(accuracy)} of ${trials}`;
  if (!mode.ok) return `${right}; the train-label mode baseline is missing (${mode.reason}).`;
  const those = mode.n === accuracy.n ? "" : ` of the ${formatCount(mode.n)} trials that have one`;
  const always = `always giving the most common behavior of the train strings would be right in ${formatEstimate(mode)}${those}`;
  const conclusion: Record<Comparison, string> = {
    beats: `the predictions beat this baseline, by ${formatPoints(above)}`,
    falls_short: `the predictions do not beat this baseline but fall short of it (difference ${formatPoints(above)})`,
    undecided: `the predictions are not shown to beat this baseline (difference ${formatPoints(above)}, which includes 0)`,
    unknown: `whether the predictions beat it is not known ${above.ok ? "" : `(${above.reason})`}`.trimEnd(),
  };
  return `${right}; ${always}: ${conclusion[comparison]}.`;
}

function macroDiffers(micro: Comparison, macro: AverageScore | undefined): string[] {
  if (!macro) return [];
  const other = compareToMode(macro.aboveModeTrain);
  if (other === micro || other === "unknown" || micro === "unknown") return [];
  const says: Record<Exclude<Comparison, "unknown">, string> = {
    beats: "they beat it",
    falls_short: "they fall short of it",
    undecided: "they are not shown to differ from it",
  };
  const points = formatPoints(macro.aboveModeTrain);
  return [`When every task × property counts the same (macro average), ${says[other]} (difference ${points}).`];
}

function hypotheticalCompliance(average: AverageScore, comparison: Comparison): string[] {
  const { hypotheticalCompliance: share, accuracyWhenCompliant: when } = average;
  if (share.of === 0) return [];
  if (share.count === 0) {
    return [
      "None of the replies complies with the question's form, so every prediction counts as wrong by rule: this measures compliance only.",
    ];
  }
  const among = when.ok
    ? ` Where the reply complies, ${formatEstimate(when)} of ${formatCount(when.n)} are right.`
    : "";
  const said = formatPercent(share.count / share.of);
  if (share.count / share.of >= HIGH_COMPLIANCE)
    return [`${said} of the replies comply with the question's form.${among}`];
  if (share.count / share.of >= LOW_COMPLIANCE) {
    return [`${said} of the replies comply with the question's form; the others count as wrong.${among}`];
  }
  const first =
    comparison === "beats"
      ? "the others count as wrong"
      : "the others count as wrong, so this measures compliance first";
  return [`Only ${said} of the replies comply with the question's form; ${first}.${among}`];
}

function objectCompliance({ count, of }: Share): string[] {
  if (of === 0 || count / of >= HIGH_COMPLIANCE) return [];
  const only = count / of < LOW_COMPLIANCE ? "Only " : "";
  return [
    `${only}${formatPercent(count / of)} of the object-level answers have a behavior to compare with; the result is about those.`,
  ];
}
