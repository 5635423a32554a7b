/** What an experiment found, as data: no sentence stands here, and the report makes all of its own from this. */

import type { Plan } from "../../study/plan.js";
import type { ExperimentName } from "../../study/schema.js";
import type { CalibrationScores } from "../calibration/score-calibration.js";
import type { CellWarning } from "../cell.js";
import type { Finding } from "../comparison/comparison.js";
import type { Comparisons, SeriesKind } from "../comparison/comparisons.js";
import type { DifferenceReason } from "../comparison/judge.js";
import type { ChangeReason } from "../comparison/judge-change.js";
import type { ShiftRole } from "../../study/states.js";
import type { Shifts, ShiftScope } from "../comparison/shift.js";
import { CLASSIFIERS, INPUT_ONLY, isClassifier } from "../input-only/input-only-predictions.js";
import type { Estimate, Side } from "../interval.js";
import type { FittedForm, MatrixScores } from "../matrix/matrix.js";
import type { VerdictStatus } from "../primary.js";
import type { Scope } from "../scope.js";
import type { AverageScore, Scores } from "../scores.js";
import type { InjectionAbility } from "../../study/injection-schema.js";
import type { InjectionOutcome, InjectionResults } from "../injection/injection-scores.js";
import type { SimulationReason, SimulationResults } from "../simulation/simulation.js";

/** The 08 files of a run; those of stages that its plan does not have are absent. */
export interface VerdictInput {
  readonly plan: Plan;
  readonly scores: Scores;
  readonly comparisons?: Comparisons;
  readonly calibration?: CalibrationScores;
  readonly shifts?: Shifts;
  readonly matrix?: MatrixScores;
  readonly simulation?: SimulationResults;
  readonly injection?: InjectionResults;
}

/** What a verdict is about: names of states, of a property, of a change. */
export type VerdictAbout =
  | { readonly kind: "self"; readonly self: string; readonly target: string; readonly seeds: number }
  | {
      readonly kind: "self_and_cross";
      readonly self: string;
      readonly cross: string;
      readonly target: string;
      readonly seeds: number;
    }
  /** Two models about themselves and about each other, with skill and predictability taken out. */
  | {
      readonly kind: "net_of_skill";
      readonly self: string;
      readonly cross: string;
      readonly target: string;
      readonly otherSelf: string;
      readonly otherCross: string;
      readonly otherTarget: string;
      readonly seeds: number;
    }
  /** Two models as they came, where both reply in form. */
  | { readonly kind: "untrained"; readonly self: string; readonly cross: string; readonly target: string }
  | { readonly kind: "probabilities"; readonly predictor: string; readonly target: string }
  | {
      readonly kind: "change";
      readonly change: string;
      readonly before: string;
      readonly after: string;
      readonly scope: ShiftScope;
    }
  | { readonly kind: "predictors"; readonly predictors: FittedForm["predictors"] }
  | { readonly kind: "logprob_differences" }
  /** A state about itself: how its predictions come about. */
  | {
      readonly kind: "simulation";
      readonly predictor: string;
      readonly target: string;
      readonly task: string;
      readonly property: string;
    }
  /** What a state tells of what was added to it. */
  | {
      readonly kind: "injection";
      readonly predictor: string;
      readonly target: string;
      readonly ability: InjectionAbility;
    }
  | {
      readonly kind: "property";
      readonly property: string;
      readonly task: string;
      readonly predictor: string;
      readonly target: string;
    };

export type MeasureName =
  | "self_minus"
  | "accuracy"
  | "net_of_skill"
  | "net_of_skill_on_misses"
  | "other_minus_self_above_mode"
  | "behaviors_moved"
  | "above_mode_train"
  | "above_rule"
  | "mad_points"
  | "mad20_points"
  | "brier"
  | "skill"
  | "skill_compliant"
  | "brier_minus"
  | "new_minus_old"
  | "above_mode_new"
  | "new_minus_old_matched"
  | "behaviors_shifted"
  | "changed_minus"
  | "self_coefficient"
  | "self_on_misses"
  | "likeness_coefficient"
  | "self_without_likeness"
  | "own_minus_other"
  | "self_with_effects"
  | "simulation_slope"
  | "behavior_moves"
  | "prediction_moves"
  | "donor_followed"
  | "same_behavior_changes"
  | "injection_effect"
  | "injection_beyond";

/** One number of a verdict, with everything that a reader needs beside it. */
export interface VerdictNumber {
  /** Found by this; unique in its verdict. */
  readonly key: string;
  readonly measure: MeasureName;
  /** Whose number it is, where a verdict has several of one measure. */
  readonly predictor?: string;
  /** Set where it is about trials whose behavior training moved, or did not. */
  readonly among?: "moved" | "unmoved";
  /** What is taken off: `cross`, a third party, or a state. */
  readonly against?: string;
  /** What training moved behavior away from. */
  readonly before?: string;
  /** Where something was written. */
  readonly at?: { readonly site: string; readonly span: string };
  readonly scope?: ShiftScope;
  readonly tasks?: readonly string[];
  readonly estimate: Estimate;
  /** `share` is shown in percent, `difference` in points, `plain` as it is. */
  readonly unit: "share" | "difference" | "plain";
  /** What it has to beat, or the two sides of a difference, by name. */
  readonly baselines: Readonly<Record<string, Estimate>>;
  readonly intervalMethod: string;
}

/** One thing that the finding follows from; `key` is that of its number. */
export type VerdictBecause =
  | {
      readonly kind: "self_against";
      readonly key: string;
      readonly against: string;
      /** Set where it is about trials whose behavior training moved. */
      readonly among?: "moved";
      readonly finding: Finding;
      readonly reasons: readonly DifferenceReason[];
    }
  | {
      readonly kind: "net_of_skill";
      readonly key: string;
      readonly finding: Finding;
      readonly because: readonly string[];
    }
  | { readonly kind: "beats_constant"; readonly key: string; readonly finding: Finding }
  | { readonly kind: "nearer"; readonly key: string; readonly than: string; readonly finding: Finding }
  | {
      readonly kind: "follows_change";
      readonly key: string;
      readonly predictor: string;
      readonly role: ShiftRole;
      readonly scope: ShiftScope;
      readonly finding: Finding;
      /** Trials whose behavior shifted; absent where nothing can be said of them. */
      readonly shiftedTrials?: number;
      readonly reasons: readonly DifferenceReason[];
    }
  | {
      readonly kind: "above_mode_new" | "new_minus_old_matched";
      readonly key: string;
      readonly predictor: string;
      readonly role: ShiftRole;
      readonly finding: Finding;
      readonly reasons: readonly DifferenceReason[];
    }
  | {
      readonly kind: "knows_more";
      readonly key: string;
      readonly than: string;
      readonly role: ShiftRole;
      readonly finding: Finding;
      readonly reasons: readonly DifferenceReason[];
    }
  | { readonly kind: "self_effect"; readonly key: string; readonly finding: Finding; readonly reason?: string }
  /** The same on the scale of −log(1 − accuracy), which must agree. */
  | { readonly kind: "self_on_misses"; readonly key: string; readonly finding: Finding; readonly reason?: string }
  | {
      readonly kind: "likeness_explains";
      readonly key: string;
      readonly withoutLikeness: Side;
      readonly withLikeness: Side;
    }
  | {
      readonly kind: "other_fits";
      readonly agree: readonly FitName[];
      readonly differ: readonly FitName[];
    }
  | { readonly kind: "own_or_other"; readonly key: string; readonly side: Side }
  | { readonly kind: "with_effects"; readonly key: string }
  | {
      readonly kind: "simulation_rule";
      readonly key: string;
      readonly finding: Finding;
      readonly reasons: readonly SimulationReason[];
      readonly site?: string;
      readonly span?: string;
      /** Declared sites. */
      readonly sites: number;
    }
  | {
      readonly kind: "injection_rule";
      readonly key: string;
      readonly finding: Finding;
      readonly ability: InjectionAbility;
      readonly outcome: InjectionOutcome;
      /** Of the number that is shown. */
      readonly site: string;
      readonly strength?: number;
      /** Settings that are beyond all controls, and all of them. */
      readonly found: number;
      readonly settings: number;
    }
  | { readonly kind: "beats_mode"; readonly key: string; readonly finding: Finding }
  /** A rule on the string, or a classifier of strings. */
  | { readonly kind: "beats_rule"; readonly key: string; readonly against: string; readonly finding: Finding };

export type FitName = Pick<FittedForm, "average" | "scale" | "form">;

/** `exceeds`: the series still rises · `does_not_exceed`: it has reached its plateau among these sizes. */
export interface Plateau {
  readonly scope: Scope;
  readonly kind: SeriesKind;
  readonly model: string;
  readonly target: string;
  readonly finding: Finding;
  /** Why nothing is known; the sizes are absent then. */
  readonly reason?: string;
  readonly from?: SizeAccuracy;
  readonly to?: SizeAccuracy;
  readonly difference?: Estimate;
  readonly reasons: readonly DifferenceReason[];
}

interface SizeAccuracy {
  readonly size: number;
  readonly accuracy: Estimate;
}

/** What weakens a verdict, or was not run beside it. */
export type VerdictReservation =
  | { readonly kind: "not_compared"; readonly against: string; readonly reason: string }
  | { readonly kind: "not_at_plateau"; readonly plateau: Plateau }
  /** Of the primary contrast: fewer strings were compared than the study promises, since some have no answer that counts. */
  | { readonly kind: "fewer_strings"; readonly compared: number; readonly promised: number }
  | { readonly kind: "one_trained"; readonly trained: "self" | "cross" }
  | { readonly kind: "same_weights" }
  /** What was asked or learnt describes another prompt than the target got. */
  | { readonly kind: "prompt_quoted_in_part"; readonly wordings: readonly string[]; readonly tasks: readonly string[] }
  | { readonly kind: "implanted"; readonly implant: string; readonly state: string; readonly told: boolean }
  /** On the same trials, self is not shown to be better than what needs no self. */
  | { readonly kind: "no_self_suffices"; readonly finding: Finding; readonly against: readonly string[] }
  /** What needs no self learnt from what this state did, because the target's own train strings were not asked. */
  | { readonly kind: "stale_labels"; readonly source: string }
  /** Fewer strings with a moved trial than it takes to judge by them; `strings` absent where the base was not asked. */
  | { readonly kind: "too_few_moved"; readonly strings?: number; readonly fewest: number }
  /** Self may just be the better predictor: the other model is not measured to be at least as strong. */
  | {
      readonly kind: "skill_not_ruled_out";
      readonly difference?: Estimate;
      readonly reason?: string;
      /** Whether the study has what it takes to take skill out. */
      readonly hasNetOfSkill: boolean;
      /** Models that would have to predict themselves and each other. */
      readonly models: readonly [string, string];
    }
  /** Where both reply in form the difference is not above 0: part of it is form. */
  | { readonly kind: "form_not_ruled_out"; readonly difference: Estimate }
  | { readonly kind: "few_base_models"; readonly models: number; readonly fewest: number }
  /** A state that merely says what it would do itself is all likeness and no self effect. */
  | { readonly kind: "likeness_hides_self" }
  /** What was not looked into of a distribution could turn a comparison. */
  | { readonly kind: "tails_open" }
  /** Too few donors do otherwise than the model says of them: following behavior and following what is said are one. */
  | { readonly kind: "donors_said_alike" }
  /** A direction that is followed by chance leaves nothing but a sign then, and one in four has both right. */
  | { readonly kind: "two_values" }
  /** Behavior was moved by means over strings, which may bring along what these strings have in common beside it. */
  | { readonly kind: "moved_by_vectors_alone" }
  | { readonly kind: "declared_sites_alone"; readonly sites: number }
  /** What does not know a behavior moves with none: it need not have looked anything up. */
  | { readonly kind: "not_above_mode"; readonly difference: Estimate }
  /** An injection's question is held against questions that ask for the same form of answer. */
  | { readonly kind: "questions_of_one_kind"; readonly controls: number }
  | ChangeReason
  | CellWarning;

/** One question and its answer; an experiment has one for each target, change, … that it is about. */
export interface Verdict {
  readonly about: VerdictAbout;
  /** Whether it is the one that the study is judged by; no verdict is where the study names no primary contrast. */
  readonly status?: VerdictStatus;
  /** Of the trials that it is judged on; absent where scopes make no difference to it. */
  readonly scope?: Scope;
  readonly finding: Finding;
  /** Key of the number that the finding rests on; absent where there is none. */
  readonly decidedBy?: string;
  readonly numbers: readonly VerdictNumber[];
  readonly because: readonly VerdictBecause[];
  readonly reservations: readonly VerdictReservation[];
}

/** A primary contrast promises a number of strings; those without an answer that counts are not compared. */
export function fewerStrings(
  { primary }: Pick<Plan, "primary">,
  { status, numbers }: Pick<Verdict, "status" | "numbers">,
): VerdictReservation[] {
  if (!primary || status !== "primary") return [];
  const compared = Math.max(0, ...numbers.map(({ estimate }) => (estimate.ok ? estimate.clusters : 0)));
  return compared < primary.strings ? [{ kind: "fewer_strings", compared, promised: primary.strings }] : [];
}

/** Why an experiment has no verdict at all. */
export type NoVerdict =
  | "nobody_predicts_itself"
  | "no_self_and_cross"
  | "no_distributions"
  | "no_change"
  | "no_matrix"
  | "no_limit_property"
  | "nothing_patched"
  | "nothing_injected"
  | "nothing_to_judge";

/** A rule that answers one question from the scores of a run. */
export interface Experiment {
  readonly name: ExperimentName;
  /** @returns a verdict for each target, change, …; or why there is none */
  readonly judge: (input: VerdictInput) => readonly Verdict[] | NoVerdict;
}

const FINDING_WHERE_MORE_IS_BETTER: Readonly<Record<Side, Finding>> = {
  above: "exceeds",
  below: "does_not_exceed",
  across: "cannot_tell",
  unknown: "unknown",
};

/** The finding that rests on an interval alone. @param better whether a greater number or a smaller one is a yes */
export function intervalFinding(side: Side, better: "more" | "less" = "more"): Finding {
  const turned =
    better === "more" || side === "across" || side === "unknown" ? side : side === "above" ? "below" : "above";
  return FINDING_WHERE_MORE_IS_BETTER[turned];
}

/** Of the comparisons with the finding of the whole: the one with the smallest difference, the first of equal ones. */
export function smallestOf(
  finding: Finding,
  because: readonly { readonly key: string; readonly finding: Finding }[],
  numbers: readonly VerdictNumber[],
): string | undefined {
  const sizeOf = (key: string) => {
    const estimate = numbers.find((number) => number.key === key)?.estimate;
    return estimate?.ok ? estimate.value : Number.NEGATIVE_INFINITY;
  };
  const deciding = because.filter((one) => one.finding === finding).map(({ key }) => key);
  return deciding.toSorted((a, b) => sizeOf(a) - sizeOf(b) || 0)[0];
}

// Accuracy of one predictor about one target with everything that it has to beat.

/** The averages over the trials of one scope. */
export function averagesIn({ averages, scopedAverages = [] }: Scores, scope: Scope): readonly AverageScore[] {
  return scope === "all" ? averages : scopedAverages.filter((average) => average.scope === scope);
}

/** @returns nothing where the pair was not scored in this scope */
export function accuracyNumber(
  scores: Scores,
  key: string,
  { predictor, target, scope }: { readonly predictor: string; readonly target: string; readonly scope: Scope },
): VerdictNumber[] {
  const average = averagesIn(scores, scope).find(
    (one) => one.predictor === predictor && one.target === target && one.kind === "micro",
  );
  if (!average) return [];
  return [
    {
      key,
      measure: "accuracy",
      predictor,
      estimate: average.accuracy,
      unit: "share",
      baselines: {
        mode_train: average.modeBaselineTrain,
        mode_oracle: average.modeBaselineOracle,
        ...stringBaselines(average),
      },
      intervalMethod: scores.intervalMethod,
    },
  ];
}

/** The best rule under its own name, and the classifier of strings. */
function stringBaselines({ heuristics }: Pick<AverageScore, "heuristics">): Record<string, Estimate> {
  const best = bestRuleOf(heuristics);
  const classifiers = Object.entries(CLASSIFIERS).flatMap(([name, party]): [string, Estimate][] => {
    const one = heuristics[name];
    return one ? [[party, one]] : [];
  });
  return { ...(best ? { [best.rule]: best.estimate } : {}), ...Object.fromEntries(classifiers) };
}

export interface BestRule {
  readonly rule: string;
  readonly estimate: Extract<Estimate, { ok: true }>;
  /** Rules it was chosen from. */
  readonly of: number;
}

/**
 * "The best rule", everywhere: of the simple rules on a string, the one that is right most often on the trials it applies to, chosen
 * after seeing the answers; of equally good ones the first by name. The classifier of strings learns, and is no rule.
 * @returns undefined when no rule has an estimate
 */
export function bestRuleOf(heuristics: Readonly<Record<string, Estimate>>): BestRule | undefined {
  const known = Object.keys(heuristics)
    .filter((rule) => !isClassifier(rule))
    .sort()
    .flatMap((rule) => {
      const estimate = heuristics[rule];
      return estimate?.ok ? [{ rule, estimate }] : [];
    });
  const [first, ...others] = known;
  if (!first) return undefined;
  const best = others.reduce((top, next) => (next.estimate.value > top.estimate.value ? next : top), first);
  return { ...best, of: known.length };
}

/** Whether the classifier of strings was scored beside a predictor of this target, or beside any. */
export function hasInputOnly({ averages }: Pick<Scores, "averages">, target?: string): boolean {
  return averages.some((row) => (target === undefined || row.target === target) && row.heuristics[INPUT_ONLY]?.ok);
}
