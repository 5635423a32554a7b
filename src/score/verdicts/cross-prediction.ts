/** Does a model predict its own behavior better than another one does that learnt just that behavior? */

import type { Plan } from "../../study/plan.js";
import { statesOf } from "../../study/states.js";
import type {
  ComparedNetOfSkill,
  ComparedPredictors,
  ComparedSeries,
  ComparedUntrained,
  Comparisons,
} from "../comparison/comparisons.js";
import { findingOf } from "../comparison/judge.js";
import { sideOfZero } from "../interval.js";
import { statusOf } from "../primary.js";
import { planScopes } from "../scope.js";
import { selfAgainst, tooFewMoved } from "./self-prediction.js";
import {
  accuracyNumber,
  type Experiment,
  fewerStrings,
  type Plateau,
  smallestOf,
  type Verdict,
  type VerdictInput,
  type VerdictNumber,
  type VerdictReservation,
} from "./verdict.js";

export const crossPrediction: Experiment = {
  name: "cross_prediction",
  judge: (input) => {
    const { comparisons } = input;
    return comparisons && comparisons.comparisons.length > 0 ? crossVerdicts(input, comparisons) : "no_self_and_cross";
  },
};

/** Of each scope: self against cross, then with skill taken out, then models as they came. */
function crossVerdicts(input: VerdictInput, comparisons: Comparisons): Verdict[] {
  const ordered = mainFirst(input.plan, comparisons.comparisons);
  // No study can name these as what it is judged by.
  const beside = (verdict: Verdict): Verdict => (input.plan.primary ? { ...verdict, status: "exploratory" } : verdict);
  return planScopes(input.plan).all.flatMap((scope) => [
    ...ordered.filter((one) => one.scope === scope).map((one) => crossVerdict(input, one, comparisons)),
    ...comparisons.netOfSkill.filter((one) => one.scope === scope).map((one) => beside(netOfSkillVerdict(one))),
    ...comparisons.untrained
      .filter((one) => one.scope === scope)
      .map((one) => beside(untrainedVerdict(one, comparisons.confidence))),
  ]);
}

export function netOfSkillVerdict({
  scope,
  first,
  second,
  seeds,
  overall,
  onMisses,
  judgement,
}: ComparedNetOfSkill): Verdict {
  const [{ difference, accuracies, intervalMethod }] = overall;
  const [self, cross, otherSelf, otherCross] = accuracies;
  return {
    about: {
      kind: "net_of_skill",
      self: first.self,
      cross: first.cross,
      target: first.target,
      otherSelf: second.self,
      otherCross: second.cross,
      otherTarget: second.target,
      seeds: seeds.length,
    },
    scope,
    finding: judgement.finding,
    decidedBy: "net_of_skill",
    numbers: [
      {
        key: "net_of_skill",
        measure: "net_of_skill",
        estimate: difference,
        unit: "difference",
        baselines: { self, cross, other_self: otherSelf, other_cross: otherCross },
        intervalMethod,
      },
      {
        key: "net_of_skill_on_misses",
        measure: "net_of_skill_on_misses",
        estimate: onMisses,
        unit: "plain",
        baselines: {},
        intervalMethod,
      },
    ],
    because: [{ kind: "net_of_skill", key: "net_of_skill", finding: judgement.finding, because: judgement.because }],
    reservations: [],
  };
}

export function untrainedVerdict(
  { scope, target, cross, comparison, judgement }: ComparedUntrained,
  confidence: number,
): Verdict {
  const { because, numbers } = selfAgainst({ cross: comparison }, { cross: judgement }, { confidence });
  return {
    about: { kind: "untrained", self: target, cross, target },
    scope,
    finding: judgement.finding,
    decidedBy: smallestOf(judgement.finding, because, numbers),
    numbers,
    because,
    reservations: [
      {
        kind: "skill_not_ruled_out",
        reason: "what it knows of itself as it came was not compared",
        hasNetOfSkill: false,
        models: [target, cross],
      },
    ],
  };
}

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
  {
    confidence,
    series,
    selfPredictions,
    netOfSkill,
  }: Pick<Comparisons, "confidence" | "series" | "selfPredictions" | "netOfSkill">,
): Verdict {
  const { scope, target, self, cross, comparison, moved, verdict, judgedBy } = one;
  const finding = verdict.crossOverall;
  const rule = { confidence, ...judgedBy };
  const whole = selfAgainst({ cross: comparison }, { cross: verdict.cross }, rule);
  const onMoved =
    moved && verdict.crossMoved
      ? selfAgainst({ cross: moved.moved }, { cross: verdict.crossMoved }, rule, "moved")
      : { because: [], numbers: [] };
  const because = [...whole.because, ...onMoved.because];
  const numbers = [...whole.numbers, ...onMoved.numbers];
  const status = statusOf(plan, "cross_prediction", { self, cross, target }, scope);
  return {
    about: { kind: "self_and_cross", self, cross, target, seeds: comparison.contrasts.length },
    scope,
    status,
    finding,
    decidedBy: smallestOf(finding, because, numbers),
    numbers: [
      ...numbers,
      ...accuracyNumber(scores, "accuracy_self", { predictor: self, target, scope }),
      ...accuracyNumber(scores, "accuracy_cross", { predictor: cross, target, scope }),
      ...strengthNumber(one),
    ],
    because,
    reservations: [
      ...noSelfSuffices(one, selfPredictions),
      ...skillNotRuledOut(plan, one, netOfSkill),
      ...formNotRuledOut(one),
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
      ...fewerStrings(plan, { status, numbers: whole.numbers }),
    ],
  };
}

function strengthNumber({ strength, comparison }: ComparedPredictors): VerdictNumber[] {
  if (!strength.ok) return [];
  return [
    {
      key: "other_minus_self_above_mode",
      measure: "other_minus_self_above_mode",
      predictor: strength.other.self,
      estimate: strength.difference,
      unit: "difference",
      baselines: {},
      intervalMethod: comparison.overall[0].intervalMethod,
    },
  ];
}

/** Of one network under two adapters the stronger one is no other model: there skill differs by training alone. */
function skillNotRuledOut(
  plan: Plan,
  { strength, self, cross, sameWeights, scope }: ComparedPredictors,
  netOfSkill: Comparisons["netOfSkill"],
): VerdictReservation[] {
  if (sameWeights || (strength.ok && strength.isAsStrong)) return [];
  const states = statesOf(plan);
  const hasNetOfSkill = netOfSkill.some(
    (one) => one.scope === scope && [one.first, one.second].some((pair) => pair.self === self && pair.cross === cross),
  );
  return [
    {
      kind: "skill_not_ruled_out",
      ...(strength.ok ? { difference: strength.difference } : { reason: strength.reason }),
      hasNetOfSkill,
      models: [states.of(self).origin, states.of(cross).origin],
    },
  ];
}

function formNotRuledOut({ comparison, verdict }: ComparedPredictors): VerdictReservation[] {
  const row = comparison.sensitivity.find(({ name }) => name === "compliant_only");
  const micro = row?.ok ? row.differences[0] : undefined;
  if (verdict.crossOverall !== "exceeds" || !micro || sideOfZero(micro.difference) === "above") return [];
  return [{ kind: "form_not_ruled_out", difference: micro.difference }];
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
