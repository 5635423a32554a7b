/** Does a model predict its own behavior better than another one does that learnt just that behavior? */

import type { Plan } from "../../study/plan.js";
import { statesOf } from "../../study/states.js";
import type { ComparedPredictors, ComparedSeries, Comparisons } from "../comparison/comparisons.js";
import { findingOf } from "../comparison/judge.js";
import { planScopes } from "../scope.js";
import { selfAgainst, tooFewMoved } from "./self-prediction.js";
import {
  accuracyNumber,
  type Experiment,
  type Plateau,
  smallestOf,
  type Verdict,
  type VerdictInput,
  type VerdictReservation,
} from "./verdict.js";

export const crossPrediction: Experiment = {
  name: "cross_prediction",
  judge: (input) => {
    const { comparisons } = input;
    return comparisons && comparisons.comparisons.length > 0
      ? mainFirst(input.plan, comparisons.comparisons).map((one) => crossVerdict(input, one, comparisons))
      : "no_self_and_cross";
  },
};

/** The plan's main scope first; of a scope those with the largest of a series of trained predictors, not with what was shown in a prompt. */
export function mainFirst(plan: Plan, comparisons: readonly ComparedPredictors[]): ComparedPredictors[] {
  const isMain = ({ cross, target }: ComparedPredictors) => statesOf(plan).isMain({ predictor: cross, target });
  return planScopes(plan).all.flatMap((scope) => {
    const some = comparisons.filter((one) => one.scope === scope);
    return [...some.filter(isMain), ...some.filter((one) => !isMain(one))];
  });
}

export function crossVerdict(
  { plan, scores }: VerdictInput,
  one: ComparedPredictors,
  { confidence, series, selfPredictions }: Pick<Comparisons, "confidence" | "series" | "selfPredictions">,
): Verdict {
  const { scope, target, self, cross, comparison, moved, verdict } = one;
  const finding = verdict.crossOverall;
  const whole = selfAgainst({ cross: comparison }, { cross: verdict.cross }, confidence);
  const onMoved =
    moved && verdict.crossMoved
      ? selfAgainst({ cross: moved.moved }, { cross: verdict.crossMoved }, confidence, "moved")
      : { because: [], numbers: [] };
  const because = [...whole.because, ...onMoved.because];
  const numbers = [...whole.numbers, ...onMoved.numbers];
  return {
    about: { kind: "self_and_cross", self, cross, target, seeds: comparison.contrasts.length },
    scope,
    finding,
    decidedBy: smallestOf(finding, because, numbers),
    numbers: [
      ...numbers,
      ...accuracyNumber(scores, "accuracy_self", { predictor: self, target, scope }),
      ...accuracyNumber(scores, "accuracy_cross", { predictor: cross, target, scope }),
    ],
    because,
    reservations: [
      ...noSelfSuffices(one, selfPredictions),
      ...tooFewMoved(plan, target, moved),
      ...notAtPlateau(
        series,
        {
          scope,
          model: statesOf(plan).of(cross).origin,
          target,
          kind: one.shown === undefined ? "learnt" : "shown",
        },
        confidence,
      ),
      ...unlike(one),
    ],
  };
}

/** What answers the question about what needs no self: the self-prediction of the same target and scope, seeds and all. */
function noSelfSuffices(
  { scope, target, self, verdict }: ComparedPredictors,
  selfPredictions: Comparisons["selfPredictions"],
): VerdictReservation[] {
  const same = selfPredictions.find((one) => one.scope === scope && one.target === target && one.self === self);
  const { overall, thirdParties } = same?.verdict ?? verdict;
  if (overall === "exceeds") return [];
  const against = Object.entries(thirdParties).filter(([, { finding }]) => finding === overall);
  return [{ kind: "no_self_suffices", finding: overall, against: against.map(([name]) => name) }];
}

/** Of the series that a cross-predictor of this model about this target stands in; none where it is at its plateau or in no series. */
function notAtPlateau(
  all: readonly ComparedSeries[],
  { scope, model, target, kind }: Pick<ComparedSeries, "scope" | "kind" | "model" | "target">,
  confidence: number,
): VerdictReservation[] {
  return all
    .filter((one) => one.scope === scope && one.model === model && one.target === target && one.kind === kind)
    .map((one) => plateauOf(one, confidence))
    .filter(({ finding }) => finding !== "does_not_exceed")
    .map((plateau) => ({ kind: "not_at_plateau", plateau }));
}

/** Whether a series still rises, judged by its last step: what came before it may have risen. */
export function plateauOf({ scope, kind, model, target, steps }: ComparedSeries, confidence: number): Plateau {
  const last = steps.at(-1);
  if (!last?.ok) {
    return { scope, kind, model, target, finding: "unknown", reason: last?.reason ?? "it has one size", reasons: [] };
  }
  const { self, cross, difference } = last.micro;
  return {
    scope,
    kind,
    model,
    target,
    finding: last.judgement.finding,
    from: { size: last.from, accuracy: cross },
    to: { size: last.to, accuracy: self },
    difference,
    reasons: findingOf(last.micro, { confidence }).reasons,
  };
}

/** Anything but access in which the two differ. */
export function unlike({
  trained,
  sameWeights,
}: Pick<ComparedPredictors, "trained" | "sameWeights">): Extract<
  VerdictReservation,
  { kind: "one_trained" | "same_weights" }
>[] {
  return [
    ...(trained.self === trained.cross
      ? []
      : [{ kind: "one_trained" as const, trained: trained.self ? ("self" as const) : ("cross" as const) }]),
    ...(sameWeights ? [{ kind: "same_weights" as const }] : []),
  ];
}
