/** Does a model predict what it does better than can be had without it: rules, classifiers of strings, itself untrained, controls? */

import type { Judgement, OverallComparison } from "../comparison/comparison.js";
import type { ComparedSelf, MovedRows } from "../comparison/comparisons.js";
import { type ContrastRule, findingOf, judgedAverage, type JudgeSettings } from "../comparison/judge.js";
import { FEWEST_MOVED } from "../comparison/moved.js";
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
  { scope, target, self, seeds, thirdParties, moved, verdict, judgedBy }: ComparedSelf,
  confidence: number,
): Verdict {
  const whole = selfAgainst(thirdParties, verdict.thirdParties, { confidence, ...judgedBy });
  const onMoved = selfAgainst(moved?.moved ?? {}, verdict.moved ?? {}, { confidence, ...judgedBy }, "moved");
  const status = statusOf(input.plan, "self_prediction", { self, target }, scope);
  const because = [...whole.because, ...onMoved.because];
  const numbers = [...whole.numbers, ...onMoved.numbers];
  return {
    about: { kind: "self", self, target, seeds },
    status,
    scope,
    finding: verdict.overall,
    decidedBy: smallestOf(verdict.overall, because, numbers),
    numbers: [
      ...numbers,
      // Seeds are pooled in comparisons; an accuracy is that of one of them.
      ...accuracyNumber(input.scores, "accuracy", { predictor: self, target, scope }),
      ...accuracyOfMoved(moved),
      ...driftNumber(input, self, target),
    ],
    because,
    reservations: [
      ...notCompared(verdict.notCompared),
      ...staleLabels(input.plan, target),
      ...tooFewMoved(input.plan, target, moved),
      ...fewerStrings(input.plan, { status, numbers: whole.numbers }),
    ],
  };
}

type SelfAgainst = Extract<VerdictBecause, { kind: "self_against" }>;

/** Self against each of several: what came out, and its number. @param settings what they were judged by */
export function selfAgainst(
  compared: Readonly<Record<string, OverallComparison>>,
  judgements: Readonly<Record<string, Judgement>>,
  settings: JudgeSettings & ContrastRule,
  among?: "moved",
): { readonly because: SelfAgainst[]; readonly numbers: VerdictNumber[] } {
  const all = Object.entries(judgements).flatMap(([against, { finding }]) => {
    const comparison = compared[against];
    const key = `self_minus_${against}${among ? `_${among}` : ""}`;
    return comparison ? [{ against, finding, average: judgedAverage(comparison, settings), key }] : [];
  });
  return {
    because: all.map(({ key, against, finding, average }) => ({
      kind: "self_against",
      key,
      against,
      among,
      finding,
      reasons: findingOf(average, settings).reasons,
    })),
    numbers: all.map(({ key, against, average }) => ({
      key,
      measure: "self_minus",
      against,
      among,
      estimate: average.difference,
      unit: "difference",
      baselines: { self: average.self, [against]: average.cross, mode_oracle: average.modeBaseline },
      intervalMethod: average.intervalMethod,
    })),
  };
}

/** How often self is right where training moved the behavior, and where it did not. */
function accuracyOfMoved(rows: ComparedSelf["moved"]): VerdictNumber[] {
  if (!rows) return [];
  return (["moved", "unmoved"] as const).flatMap((among) => {
    const sides = Object.entries(rows[among]).map(([name, { overall }]) => [name, overall[0]] as const);
    const [first] = sides;
    if (!first) return [];
    const [, { self, modeBaseline, intervalMethod }] = first;
    return [
      {
        key: `accuracy_${among}`,
        measure: "accuracy" as const,
        among,
        estimate: self,
        unit: "share" as const,
        baselines: {
          mode_oracle: modeBaseline,
          ...Object.fromEntries(sides.map(([name, { cross }]) => [name, cross])),
        },
        intervalMethod,
      },
    ];
  });
}

/** Of a trained target: why the finding does not rest on the trials that training moved. */
export function tooFewMoved(
  plan: Plan,
  target: string,
  rows: Pick<MovedRows<unknown>, "isEnough" | "strings"> | undefined,
): VerdictReservation[] {
  if (!statesOf(plan).of(target).isTrained || rows?.isEnough) return [];
  return [{ kind: "too_few_moved", strings: rows?.strings, fewest: FEWEST_MOVED }];
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
