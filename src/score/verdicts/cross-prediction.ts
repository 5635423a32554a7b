/** Privileged access: does a model predict its own behavior better than another one does that learnt just that behavior? */

import type { Plan } from "../../study/plan.js";
import { statesOf } from "../../study/states.js";
import type { ComparedPredictors, ComparedSeries, Comparisons } from "../comparison/comparisons.js";
import { findingOf } from "../comparison/judge.js";
import { notCompared, selfAgainst } from "./self-prediction.js";
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

/** Those with the largest of a series of trained predictors first, not with what was shown in a prompt. */
export function mainFirst(plan: Plan, comparisons: readonly ComparedPredictors[]): ComparedPredictors[] {
  const isMain = (pair: Plan["predictions"][number]) => statesOf(plan).isMain(pair);
  const main = comparisons.filter(({ cross, target }) => isMain({ predictor: cross, target }));
  return [...main, ...comparisons.filter((one) => !main.includes(one))];
}

export function crossVerdict(
  { plan, scores }: VerdictInput,
  one: ComparedPredictors,
  { confidence, series = [] }: Comparisons,
): Verdict {
  const { target, self, cross, comparison, thirdParties, verdict } = one;
  const { because, numbers } = selfAgainst(
    { cross: comparison, ...thirdParties },
    { cross: verdict.cross, ...verdict.thirdParties },
    confidence,
  );
  return {
    about: { kind: "self_and_cross", self, cross, target, seeds: comparison.contrasts.length },
    finding: verdict.overall,
    decidedBy: smallestOf(verdict.overall, because, numbers),
    numbers: [
      ...numbers,
      ...accuracyNumber(scores, "accuracy_self", self, target),
      ...accuracyNumber(scores, "accuracy_cross", cross, target),
    ],
    because,
    reservations: [
      ...notCompared(verdict.notCompared),
      ...notAtPlateau(
        series,
        {
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

/** Of the series that a cross-predictor of this model about this target stands in; none where it is at its plateau or in no series. */
function notAtPlateau(
  all: readonly ComparedSeries[],
  { model, target, kind }: Pick<ComparedSeries, "kind" | "model" | "target">,
  confidence: number,
): VerdictReservation[] {
  return all
    .filter((one) => one.model === model && one.target === target && one.kind === kind)
    .map((one) => plateauOf(one, confidence))
    .filter(({ finding }) => finding !== "does_not_exceed")
    .map((plateau) => ({ kind: "not_at_plateau", plateau }));
}

/** Whether a series still rises, judged by its last step: what came before it may have risen. */
export function plateauOf({ kind, model, target, steps }: ComparedSeries, confidence: number): Plateau {
  const last = steps.at(-1);
  if (!last?.ok) {
    return { kind, model, target, finding: "unknown", reason: last?.reason ?? "it has one size", reasons: [] };
  }
  const { self, cross, difference } = last.micro;
  return {
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
