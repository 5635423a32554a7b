/** Does a model predict what it does better than can be had without it: rules, classifiers of strings, itself untrained, controls? */

import type { Judgement, PredictorComparison } from "../comparison/comparison.js";
import type { ComparedSelf } from "../comparison/comparisons.js";
import { type ContrastRule, findingOf, judgedAverage, type JudgeSettings } from "../comparison/judge.js";
import { statusOf } from "../primary.js";
import type { Plan } from "../../study/plan.js";
import { statesOf } from "../../study/states.js";
import {
  accuracyNumber,
  type Experiment,
  fewerStrings,
  smallestOf,
  type Verdict,
  type VerdictBecause,
  type VerdictInput,
  type VerdictNumber,
  type VerdictReservation,
} from "./verdict.js";

export const selfPrediction: Experiment = {
  name: "self_prediction",
  judge: (input) => {
    const { comparisons } = input;
    return comparisons
      ? comparisons.selfPredictions.map((self) => selfVerdict(input, self, comparisons.confidence))
      : "nobody_predicts_itself";
  },
};

export function selfVerdict(
  input: VerdictInput,
  { scope, target, self, seeds, thirdParties, verdict, judgedBy }: ComparedSelf,
  confidence: number,
): Verdict {
  const against = selfAgainst(thirdParties, verdict.thirdParties, { confidence, ...judgedBy });
  const status = statusOf(input.plan, "self_prediction", { self, target }, scope);
  return {
    about: { kind: "self", self, target, seeds },
    scope,
    status,
    finding: verdict.overall,
    decidedBy: smallestOf(verdict.overall, against.because, against.numbers),
    numbers: [
      ...against.numbers,
      // Seeds are pooled in comparisons; an accuracy is that of one of them.
      ...accuracyNumber(input.scores, "accuracy", { predictor: self, target, scope }),
      ...driftNumber(input, self, target),
    ],
    because: against.because,
    reservations: [
      ...notCompared(verdict.notCompared),
      ...staleLabels(input.plan, target),
      ...fewerStrings(input.plan, { status, numbers: against.numbers }),
    ],
  };
}

type SelfAgainst = Extract<VerdictBecause, { kind: "self_against" }>;

/** Self against each of several: what came out, and its number. @param settings what they were judged by */
export function selfAgainst(
  compared: Readonly<Record<string, PredictorComparison>>,
  judgements: Readonly<Record<string, Judgement>>,
  settings: JudgeSettings & ContrastRule,
): { readonly because: SelfAgainst[]; readonly numbers: VerdictNumber[] } {
  const all = Object.entries(judgements).flatMap(([against, { finding }]) => {
    const comparison = compared[against];
    if (!comparison) return [];
    return [{ against, finding, average: judgedAverage(comparison, settings), key: `self_minus_${against}` }];
  });
  return {
    because: all.map(({ key, against, finding, average }) => ({
      kind: "self_against",
      key,
      against,
      finding,
      reasons: findingOf(average, settings).reasons,
    })),
    numbers: all.map(({ key, against, average }) => ({
      key,
      measure: "self_minus",
      against,
      estimate: average.difference,
      unit: "difference",
      baselines: { self: average.self, [against]: average.cross, mode_oracle: average.modeBaseline },
      intervalMethod: average.intervalMethod,
    })),
  };
}

export function notCompared(reasons: Readonly<Record<string, string>>): VerdictReservation[] {
  return Object.entries(reasons).map(([against, reason]) => ({ kind: "not_compared", against, reason }));
}

/** Modes and classifiers of a trained target should learn what it does now. */
export function staleLabels(plan: Plan, target: string): VerdictReservation[] {
  const { labelSource } = statesOf(plan).of(target);
  return labelSource === target ? [] : [{ kind: "stale_labels", source: labelSource }];
}

/** Training moves behavior: how often the model that predicts does something else than the one that it learnt from. */
function driftNumber({ scores }: VerdictInput, self: string, target: string): VerdictNumber[] {
  const drift = (scores.drift ?? []).find((one) => one.after === self && one.task === undefined);
  if (!drift || self !== target) return [];
  return [
    {
      key: "behaviors_moved",
      measure: "behaviors_moved",
      predictor: self,
      before: drift.before,
      estimate: drift.differ,
      unit: "share",
      baselines: {},
      intervalMethod: scores.intervalMethod,
    },
  ];
}
