/**
 * What a training changed and whether it was enough, in sentences that follow from the scores by rule. Only an interval that
 * excludes zero makes a difference.
 */

import { type Estimate, sideOfZero } from "../../score/interval.js";
import { compareToMode, doubtsOf, HIGH_COMPLIANCE } from "../../score/verdicts/against-mode.js";
import type { AverageScore, Share } from "../../score/scores.js";
import type { ScopedEffect, TrainingEffect } from "../../score/verdicts/training-effect.js";
import { formatCount, formatEstimate, formatMissing, formatPercent, formatPoints } from "../document.js";
import { plural, scopeWords, targetBehavior } from "../terms.js";
import { cautionSentence } from "../mode-sentences.js";

interface TrainingVerdict {
  /** What changed, and whether the result exceeds the mode baseline. */
  readonly finding: string;
  /** What the finding is no evidence of. */
  readonly privilegedAccess: string;
  /** What else a reader must know, one sentence or two each. */
  readonly details: readonly string[];
}

export function judgeTraining(effect: TrainingEffect): TrainingVerdict {
  const [whole, ...parts] = effect.scopes;
  const { after } = whole.averages;
  return {
    finding: [
      `${whole.scope === "all" ? "" : `${capitalized(`on ${scopeWords(whole)}`)}: `}${change(effect, whole)}`,
      after ? capitalized(againstMode(after, "the trained predictions")) : "The trained model predicted nothing.",
    ].join(" "),
    privilegedAccess: privilegedAccess(effect),
    details: [
      ...parts.map(inScope),
      ...aboutItself(whole.averages.about_itself),
      ...macroDiffers(whole),
      ...replies(whole),
      ...drift(effect),
      ...(after?.accuracy.ok ? doubtsOf(after, after.accuracy, whole.cells).map(cautionSentence) : []),
    ],
  };
}

export function change(effect: TrainingEffect, { micro, averages }: ScopedEffect): string {
  const what = `how often ${effect.base} predicts ${targetBehavior(effect)} right`;
  if (!micro) return `What training changed is not known: ${whyNoChange(averages)}.`;
  if (!micro.change.ok) return `What training changed is not known (${micro.change.reason}).`;
  const { n, clusters } = micro.change;
  const numbers = `${formatEstimate(micro.accuracyBefore)} before, ${formatEstimate(micro.accuracyAfter)} after, on the same ${plural(n, "trial", formatCount(n))} of ${plural(clusters, "held-out string", formatCount(clusters))}`;
  const points = formatPoints(micro.change);
  if (sideOfZero(micro.change) === "above") return `Training raised ${what}: ${numbers}, a change of ${points}.`;
  if (sideOfZero(micro.change) === "below") return `Training lowered ${what}: ${numbers}, a change of ${points}.`;
  return `Training is not shown to change ${what}: ${numbers}; the change of ${points} includes 0.`;
}

/** What was asked may be left out of averages all the same, as behaviors that hardly vary are. */
function whyNoChange({ before, after }: ScopedEffect["averages"]): string {
  const [reason] = [after, before].flatMap((average) =>
    average && !average.accuracy.ok ? [average.accuracy.reason] : [],
  );
  return reason ?? "no trial was asked before and after";
}

/** @param who as the subject: "the trained predictions" */
function againstMode({ modeBaselineTrain: mode, aboveModeTrain: above }: AverageScore, who: string): string {
  const baseline = `the mode baseline of the train strings (${formatEstimate(mode)})`;
  if (!mode.ok || !above.ok)
    return `whether ${who} exceed the mode baseline of the train strings is not known ${reasonOf(mode, above)}.`;
  switch (compareToMode(above)) {
    case "beats":
      return `${who} exceed ${baseline} by ${formatPoints(above)}.`;
    case "falls_short":
      return `${who} do not exceed ${baseline} but fall short of it: difference ${formatPoints(above)}.`;
    default:
      return `${who} are not shown to exceed ${baseline}: difference ${formatPoints(above)}, which includes 0.`;
  }
}

function reasonOf(...estimates: readonly Estimate[]): string {
  const [reason] = estimates.flatMap((estimate) => (estimate.ok ? [] : [estimate.reason]));
  return `(${reason ?? "no reason was given"})`;
}

function inScope(part: ScopedEffect): string {
  const { after } = part.averages;
  const where = capitalized(`on ${scopeWords(part)}`);
  const { micro } = part;
  const changed = micro
    ? `${formatEstimate(micro.accuracyBefore)} before and ${formatEstimate(micro.accuracyAfter)} after (change ${formatPoints(micro.change)})`
    : `what training changed is not known: ${whyNoChange(part.averages)}`;
  return `${where}: ${changed}${after ? `; ${againstMode(after, "there the trained predictions")}` : "."}`;
}

function aboutItself(itself: AverageScore | undefined): string[] {
  if (!itself) return [];
  const { accuracy } = itself;
  if (!accuracy.ok) return [`About its own behavior after training there is no accuracy: ${accuracy.reason}.`];
  const right = `About its own behavior as it is after training, the trained model is right in ${formatEstimate(accuracy)} of ${plural(accuracy.n, "trial", formatCount(accuracy.n))}`;
  return [`${right}; ${againstMode(itself, "there its predictions")}`];
}

/** Named only where the macro averages conclude otherwise. */
function macroDiffers({ micro, macro, averages: { after }, afterMacro }: ScopedEffect): string[] {
  const says = [
    ...(micro && macro && sideOfZero(micro.change) !== sideOfZero(macro.change)
      ? [
          `the change is ${formatPoints(macro.change)}${sideOfZero(macro.change) === "across" ? ", which includes 0" : ""}`,
        ]
      : []),
    ...(after && afterMacro && compareToMode(after.aboveModeTrain) !== compareToMode(afterMacro.aboveModeTrain)
      ? [againstMode(afterMacro, "the trained predictions").replace(/\.$/, "")]
      : []),
  ];
  return says.length === 0
    ? []
    : [`When every task × property counts the same (macro average), ${says.join(", and ")}.`];
}

function replies({ averages: { before, after } }: ScopedEffect): string[] {
  if (!before || !after) return [];
  const [first, second] = [before.hypotheticalCompliance, after.hypotheticalCompliance];
  if (first.of === 0 || second.of === 0) return [];
  const [was, is] = [shareOf(first), shareOf(second)];
  const both = `Of the replies, ${formatPercent(was)} comply with the question's form before training and ${formatPercent(is)} after.`;
  if (was >= HIGH_COMPLIANCE || is <= was) return [both];
  const among = (when: Estimate) =>
    when.ok ? `${formatEstimate(when)} of ${formatCount(when.n)}` : formatMissing(when.reason);
  return [
    `${both} A reply that does not comply counts as wrong, so part of any gain can be the form of the reply alone: where it complies, ${among(before.accuracyWhenCompliant)} were right before and ${among(after.accuracyWhenCompliant)} after.`,
  ];
}

function shareOf({ count, of }: Share): number {
  return count / of;
}

export function drift({ drift: [whole] }: TrainingEffect): string[] {
  if (!whole) return [];
  const { differ, both, beforeOnly, afterOnly } = whole;
  if (!differ.ok) return [`How far training moved the behavior itself is not known: ${differ.reason}.`];
  const sides = [
    ...(beforeOnly > 0 ? [`${formatCount(beforeOnly)} more only before`] : []),
    ...(afterOnly > 0 ? [`${formatCount(afterOnly)} more only after`] : []),
  ];
  const alone = sides.length === 0 ? "" : ` It shows ${sides.join(" and ")}.`;
  const moved =
    differ.value === 0
      ? `Training is not seen to move what the model does: none of the ${formatCount(both)} behaviors that it shows before and after differ (${formatEstimate(differ)}).`
      : `Training also moved what the model does: ${formatEstimate(differ)} of the ${formatCount(both)} behaviors that it shows before and after differ.`;
  return [moved + alone];
}

function privilegedAccess(effect: TrainingEffect): string {
  if (!effect.isSelf) {
    return `This is a cross-prediction: what ${effect.base} gets right about ${effect.target}, it gets right without being it.`;
  }
  const beats = effect.scopes.some(({ averages: { after, about_itself: itself } }) =>
    [after, itself].some((average) => average && compareToMode(average.aboveModeTrain) === "beats"),
  );
  const missing = effect.hasCrossPrediction
    ? effect.hasInputOnly
      ? "Both stand beside it in this report, under “Self against cross”."
      : "Cross-prediction stands beside it in this report; an input-only control was not run."
    : effect.hasInputOnly
      ? "An input-only classifier stands among the rules on the string in this report; cross-prediction was not run."
      : "Neither was run here.";
  const controls =
    "another model trained on the same behavior (cross-prediction), and a predictor that sees only the strings (input-only)";
  return beats
    ? `Self-prediction above the mode is not privileged access by itself; it takes controls to tell: ${controls}. ${missing}`
    : `Nothing here speaks for privileged access. Self-prediction above the mode would not be enough by itself; it takes controls: ${controls}. ${missing}`;
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
