/**
 * What a training changed and whether it was enough, in sentences that follow from the scores by rule. Only an interval that
 * excludes zero makes a difference.
 */

import type { TrainedAdapter } from "../../finetune/adapter/card.js";
import { type Estimate, sideOfZero } from "../../score/interval.js";
import type { AccuracyChange, AverageScore, BehaviorDrift, CellScore, Scope, Share } from "../../score/scores.js";
import { statesOf } from "../../study/states.js";
import { formatCount, formatEstimate, formatMissing, formatPercent, formatPoints } from "../document.js";
import type { ReportInput } from "../report.js";
import { hasInputOnly, mainPairs, plural, scopeWords, targetBehavior } from "../words.js";
import { cautions, compareToMode } from "./headline.js";

interface TrainingVerdict {
  /** What changed, and whether the result exceeds the mode baseline. */
  readonly finding: string;
  /** What the finding is no evidence of. */
  readonly privilegedAccess: string;
  /** What else a reader must know, one sentence or two each. */
  readonly details: readonly string[];
}

/** Replies below this share make the form of a reply part of what was learnt. */
const HIGH_COMPLIANCE = 0.9;

export function judgeTraining(effect: TrainingEffect): TrainingVerdict {
  const [whole, ...parts] = effect.scopes;
  const { after } = whole.averages;
  return {
    finding: [
      change(effect, whole),
      after ? capitalized(againstMode(after, "the trained predictions")) : "The trained model predicted nothing.",
    ].join(" "),
    privilegedAccess: privilegedAccess(effect),
    details: [
      ...parts.map(inScope),
      ...aboutItself(whole.averages.about_itself),
      ...macroDiffers(whole),
      ...replies(whole),
      ...drift(effect),
      ...(after?.accuracy.ok ? cautions(after, after.accuracy, effect.cells.after) : []),
    ],
  };
}

function change(effect: TrainingEffect, { micro }: ScopedEffect): string {
  const what = `how often ${effect.base} predicts ${targetBehavior(effect)} right`;
  if (!micro) return `What training changed is not known: no trial was asked before and after.`;
  if (!micro.change.ok) return `What training changed is not known (${micro.change.reason}).`;
  const { n, clusters } = micro.change;
  const numbers = `${formatEstimate(micro.accuracyBefore)} before, ${formatEstimate(micro.accuracyAfter)} after, on the same ${plural(n, "trial", formatCount(n))} of ${plural(clusters, "held-out string", formatCount(clusters))}`;
  const points = formatPoints(micro.change);
  if (sideOfZero(micro.change) === "above") return `Training raised ${what}: ${numbers}, a change of ${points}.`;
  if (sideOfZero(micro.change) === "below") return `Training lowered ${what}: ${numbers}, a change of ${points}.`;
  return `Training is not shown to change ${what}: ${numbers}; the change of ${points} includes 0.`;
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
    : "nothing was asked both before and after";
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

function drift({ drift: [whole] }: TrainingEffect): string[] {
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

// Everything that a report says about one adapter, taken out of the scores: by scope, before and after, and how far behavior moved.

/** Who predicts whom: the untrained model about the target, the trained one about it, the trained one about itself. */
export const ROLES = ["before", "after", "about_itself"] as const;
export type Role = (typeof ROLES)[number];

export interface ScopedEffect {
  readonly scope: Scope;
  /** Names of the scope's tasks. */
  readonly tasks: readonly string[];
  /** Micro averages; a role that was not asked is absent. */
  readonly averages: Readonly<Partial<Record<Role, AverageScore>>>;
  /** The macro average of `after`. */
  readonly afterMacro?: AverageScore;
  /** Paired on the same trials; absent when there are none. */
  readonly micro?: AccuracyChange;
  readonly macro?: AccuracyChange;
}

export interface TrainingEffect extends TrainedAdapter {
  /** The untrained state. */
  readonly base: string;
  readonly target: string;
  /** Whether the model learnt to predict its own behavior. */
  readonly isSelf: boolean;
  /** Whether another model predicts the same target in this study. */
  readonly hasCrossPrediction: boolean;
  /** Whether a classifier that sees the strings alone stands beside it. */
  readonly hasInputOnly: boolean;
  /** The widest first; never empty. */
  readonly scopes: readonly [ScopedEffect, ...ScopedEffect[]];
  /** First over everything, then by task and property; empty when the trained model was not asked what it does. */
  readonly drift: readonly BehaviorDrift[];
  /** About the target. */
  readonly cells: { readonly before: readonly CellScore[]; readonly after: readonly CellScore[] };
}

/** Adapters beyond this many are rows of a table, whatever they learnt. */
const MOST_IN_FULL = 4;

/**
 * @returns `effects`, told in full: those that learnt what a target does, a seed of each condition; and the other adapters: other
 * seeds and sizes, controls, changes
 */
export function effectsOf(input: Pick<ReportInput, "plan" | "scores" | "training">): {
  readonly effects: readonly TrainingEffect[];
  readonly others: readonly TrainedAdapter[];
} {
  const { plan, training = [] } = input;
  const isMain = mainPairs(plan);
  const isPlain = (name: string) => statesOf(plan).plainlyTrained.some((state) => state.name === name);
  const main = training
    .filter(({ name, set }) => isMain({ predictor: name, target: set.target }) && isPlain(name))
    .slice(0, MOST_IN_FULL);
  return { effects: effectsIn(input, main), others: training.filter((adapter) => !main.includes(adapter)) };
}

function effectsIn({ plan, scores }: Pick<ReportInput, "plan" | "scores">, training: readonly TrainedAdapter[]) {
  return training.map((adapter): TrainingEffect => {
    const { name, set } = adapter;
    const { base, target } = set;
    const cellsOf = (predictor: string) =>
      scores.cells.filter((cell) => cell.predictor === predictor && cell.target === target);
    const changeOf = (scope: Scope, kind: AccuracyChange["kind"]) =>
      scores.changes?.find(
        (row) => row.after === name && row.target === target && row.scope === scope && row.kind === kind,
      );
    const scopeOf = (scope: Scope): ScopedEffect => {
      const rows =
        scope === "all" ? scores.averages : (scores.scopedAverages ?? []).filter((row) => row.scope === scope);
      const find = (predictor: string, about: string, kind: AverageScore["kind"] = "micro") =>
        rows.find((row) => row.predictor === predictor && row.target === about && row.kind === kind);
      const [before, after, itself] = [find(base, target), find(name, target), find(name, name)];
      const afterMacro = find(name, target, "macro");
      const [micro, macro] = [changeOf(scope, "micro"), changeOf(scope, "macro")];
      return {
        scope,
        tasks: plan.tasks
          .filter(({ trained }) => scope === "all" || (trained === false) === (scope === "held_out_tasks"))
          .map(({ definition }) => definition.name),
        averages: {
          ...(before ? { before } : {}),
          ...(after ? { after } : {}),
          ...(itself ? { about_itself: itself } : {}),
        },
        ...(afterMacro ? { afterMacro } : {}),
        ...(micro ? { micro } : {}),
        ...(macro ? { macro } : {}),
      };
    };
    const parts = (["held_out_strings", "held_out_tasks"] as const)
      .map(scopeOf)
      .filter(({ averages }) => averages.before || averages.after);
    const [only] = parts;
    return {
      ...adapter,
      base,
      target,
      isSelf: base === target,
      hasCrossPrediction: statesOf(plan).plainlyTrained.some(
        ({ training }) => training.target === target && training.base !== target,
      ),
      hasInputOnly: hasInputOnly(scores, target),
      // Where all trials are of one kind, that kind says more than "all".
      scopes: only && parts.length === 1 ? [only] : [scopeOf("all"), ...parts],
      drift: (scores.drift ?? []).filter((row) => row.after === name && row.before === base),
      cells: { before: cellsOf(base), after: cellsOf(name) },
    };
  });
}
