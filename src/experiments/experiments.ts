/** 08-experiments.json: what each experiment of a study asked, what came out, and beside what it has to be seen. */

import { mainFirst } from "../report/sections/comparison.js";
import { notAtPlateau, privilegedAccessSentences, selfPredictionSentences } from "../report/sections/self.js";
import { armSentence, changeTitle, missingComparisons } from "../report/words.js";
import type {
  CalibrationDifference,
  CalibrationRow,
  CalibrationScores,
} from "../score/calibration/score-calibration.js";
import type { Finding } from "../score/comparison/comparison.js";
import type { ComparedPredictors, ComparedSelf, Comparisons } from "../score/comparison/comparisons.js";
import { worstFinding } from "../score/comparison/judge.js";
import type { ChangeShifts, ShiftArm, Shifts, ShiftScope } from "../score/comparison/shift.js";
import { INPUT_ONLY } from "../score/input-only/input-only-predictions.js";
import { type Estimate, type Side, sideOfZero } from "../score/interval.js";
import type { MatrixScores } from "../score/matrix/matrix.js";
import type { AverageScore, Scores } from "../score/scores.js";
import type { Plan } from "../study/plan.js";
import type { ExperimentName } from "../study/schema.js";
import { limits } from "./limits.js";
import { matrix } from "./matrix.js";
import { statesOf } from "../study/states.js";

/** One number of an experiment, with everything that a reader needs beside it. */
export interface ExperimentNumber {
  readonly label: string;
  readonly estimate: Estimate;
  /** `share` is shown in percent, `difference` in points, `plain` as it is. */
  readonly unit: "share" | "difference" | "plain";
  /** What it has to beat, by name. */
  readonly baselines: Readonly<Record<string, Estimate>>;
  readonly intervalMethod: string;
}

/** One question and its answer; an experiment has one for each target, change, … that it is about. */
export interface ExperimentVerdict {
  readonly about: string;
  readonly finding: Finding;
  /** The verdict as a sentence, computed. */
  readonly sentence: string;
  readonly numbers: readonly ExperimentNumber[];
  /** What weakens it, in words. */
  readonly because: readonly string[];
}

export interface ExperimentResult {
  readonly name: ExperimentName;
  /** What it asks, in one sentence. */
  readonly question: string;
  /** Empty: nothing could be judged, and `missing` says why. */
  readonly verdicts: readonly ExperimentVerdict[];
  readonly missing?: string;
}

export interface ExperimentResults {
  readonly experimentsVersion: 1;
  readonly experiments: readonly ExperimentResult[];
}

// What every experiment is: a question, and a rule that answers it from the scores of a run. The corridor is the same for all.

/** The 08 files of a run; those of stages that its plan does not have are absent. */
export interface ExperimentInput {
  readonly plan: Plan;
  readonly scores: Scores;
  readonly comparisons?: Comparisons;
  readonly calibration?: CalibrationScores;
  readonly shifts?: Shifts;
  readonly matrix?: MatrixScores;
}

export interface Experiment {
  readonly name: ExperimentName;
  /** What it asks, in one sentence. */
  readonly question: string;
  /** @returns a verdict for each target, change, …; or why there is none */
  readonly judge: (input: ExperimentInput) => readonly ExperimentVerdict[] | string;
}

export function resultOf({ name, question, judge }: Experiment, input: ExperimentInput): ExperimentResult {
  const verdicts = judge(input);
  if (typeof verdicts === "string") return { name, question, verdicts: [], missing: verdicts };
  return verdicts.length > 0
    ? { name, question, verdicts }
    : { name, question, verdicts: [], missing: "the study has nothing for it to be judged on" };
}

// When a model is finetuned to behave otherwise, and asked no hypothetical question meanwhile, do its predictions follow?

const behavioralChange: Experiment = {
  name: "behavioral_change",
  question:
    "After a model was finetuned to behave otherwise, on object-level questions alone, do its predictions follow what it does now?",
  judge: ({ shifts }) => (shifts ? shifts.changes.map(changeVerdict) : "no behavior was changed"),
};

function changeVerdict(change: ChangeShifts): ExperimentVerdict {
  const { arms, finding, because } = change;
  return {
    about: changeTitle(change),
    finding,
    sentence: arms.map(armSentence).join(" "),
    numbers: arms.flatMap((arm) => numbersOf(arm, change)),
    because,
  };
}

const WHERE: Record<ShiftScope, string> = {
  all: "",
  taught: ", taught tasks",
  elsewhere: ", tasks that were not taught",
};

function numbersOf({ predictor, scopes }: ShiftArm, { taughtTasks }: ChangeShifts): ExperimentNumber[] {
  return Object.entries(scopes).flatMap(([scope, scores]): ExperimentNumber[] => {
    if (scope === "taught" && !scopes.elsewhere) return [];
    const [micro] = scores.overall;
    const [matched] = scores.entropyMatched;
    const where = WHERE[scope as ShiftScope];
    const { intervalMethod } = micro;
    const of = taughtTasks.length > 0 && scope === "taught" ? ` (${taughtTasks.join(", ")})` : "";
    return [
      {
        label: `${predictor}${where}${of}: right about the new behavior minus right about the old`,
        estimate: micro.difference,
        unit: "difference",
        baselines: {
          about_new: micro.aboutNew,
          mode_new: micro.modeNew,
          about_old: micro.aboutOld,
          mode_old: micro.modeOld,
        },
        intervalMethod,
      },
      {
        label: `${predictor}${where}: the same with old and new behaviors equally frequent`,
        estimate: matched.difference,
        unit: "difference",
        baselines: { about_new: matched.aboutNew, about_old: matched.aboutOld },
        intervalMethod: matched.intervalMethod,
      },
      {
        label: `${predictor}${where}: behaviors that shifted`,
        estimate: scores.shifted,
        unit: "share",
        baselines: {},
        intervalMethod,
      },
    ];
  });
}

// The finding of an experiment that rests on an interval alone.

const WHERE_MORE_IS_BETTER: Readonly<Record<Side, Finding>> = {
  above: "exceeds",
  below: "does_not_exceed",
  across: "cannot_tell",
  unknown: "unknown",
};

const WHERE_LESS_IS_BETTER: Readonly<Record<Side, Finding>> = {
  ...WHERE_MORE_IS_BETTER,
  above: "does_not_exceed",
  below: "exceeds",
};

/** @param better whether a greater number or a smaller one is a yes */
export function intervalFinding(side: Side, better: "more" | "less" = "more"): Finding {
  return (better === "more" ? WHERE_MORE_IS_BETTER : WHERE_LESS_IS_BETTER)[side];
}

// Are a predictor's probabilities those of the behavior, both at temperature 1, and are self-predictions nearer than others?

const calibration: Experiment = {
  name: "calibration",
  question:
    "At temperature 1, is the probability that a model gives to a behavior the probability that it shows it, and nearer than another predictor's?",
  judge: ({ calibration: scores, plan }: ExperimentInput) => {
    if (!scores) return "no distributions were measured";
    const pooled = scores.rows.filter(({ property, kind, predictor, target }) => {
      if (property !== undefined) return false;
      return kind === "self" || (kind === "untrained" && predictor === target && statesOf(plan).trained.length === 0);
    });
    return pooled.map((row) => calibrationVerdict(row, scores.differences, scores.intervalMethod));
  },
};

function calibrationVerdict(
  { predictor, target, metrics, constant, skill }: CalibrationRow,
  differences: readonly CalibrationDifference[],
  intervalMethod: string,
): ExperimentVerdict {
  const own = differences.filter(
    (one) => one.predictor === predictor && one.target === target && one.property === undefined,
  );
  const beatsConstant = intervalFinding(sideOfZero(skill));
  const nearer = own.map(({ minus, brier }) => ({ minus, finding: intervalFinding(sideOfZero(brier), "less") }));
  const findings = [beatsConstant, ...nearer.map(({ finding }) => finding)];
  return {
    about: `${predictor} about ${target}`,
    finding: worstFinding(findings),
    sentence: [
      `${predictor} about ${target}: ${SKILL[beatsConstant]}.`,
      ...nearer.map(({ minus, finding }) => `${NEARER[finding]} ${minus}'s.`),
    ].join(" "),
    numbers: [
      {
        label: "mean distance in ten bins (MAD), points",
        estimate: metrics.madPoints,
        unit: "plain",
        baselines: { constant: constant.madPoints },
        intervalMethod,
      },
      {
        label: "Brier score",
        estimate: metrics.brier,
        unit: "plain",
        baselines: { constant: constant.brier },
        intervalMethod,
      },
      { label: "skill over a constant predictor", estimate: skill, unit: "plain", baselines: {}, intervalMethod },
      ...own.map(({ minus, brier }) => ({
        label: `Brier score minus ${minus}'s, paired`,
        estimate: brier,
        unit: "plain" as const,
        baselines: {},
        intervalMethod,
      })),
    ],
    because: [],
  };
}

const SKILL: Record<Finding, string> = {
  exceeds: "its probabilities tell more than always giving the mean behavior",
  does_not_exceed: "its probabilities tell less than always giving the mean behavior",
  cannot_tell: "whether its probabilities tell more than always giving the mean behavior cannot be told",
  unknown: "whether its probabilities tell more than always giving the mean behavior is not known",
};

const NEARER: Record<Finding, string> = {
  exceeds: "They are nearer to the behavior's than",
  does_not_exceed: "They are farther from the behavior's than",
  cannot_tell: "It cannot be told whether they are nearer to the behavior's than",
  unknown: "It is not known whether they are nearer to the behavior's than",
};

// Accuracy of one predictor about one target with everything that it has to beat.

function microOf(scores: Scores, predictor: string, target: string): AverageScore | undefined {
  return scores.averages.find((one) => one.predictor === predictor && one.target === target && one.kind === "micro");
}

/** @returns nothing where the pair was not scored */
function accuracyNumber(
  scores: Scores,
  label: string,
  predictor: string,
  target: string,
  others: Readonly<Record<string, Estimate | undefined>> = {},
): ExperimentNumber[] {
  const average = microOf(scores, predictor, target);
  if (!average) return [];
  const given = Object.entries(others).flatMap(([name, estimate]): [string, Estimate][] =>
    estimate ? [[name, estimate]] : [],
  );
  return [
    {
      label,
      estimate: average.accuracy,
      unit: "share",
      baselines: {
        mode_train: average.modeBaselineTrain,
        mode_oracle: average.modeBaselineOracle,
        ...bestRule(average),
        ...Object.fromEntries(given),
      },
      intervalMethod: scores.intervalMethod,
    },
  ];
}

function bestRule({ heuristics }: AverageScore): Record<string, Estimate> {
  const known = Object.entries(heuristics).filter(([name, one]) => one.ok && name !== INPUT_ONLY);
  const best = known.sort(([, a], [, b]) => (b.ok ? b.value : 0) - (a.ok ? a.value : 0))[0];
  const classifier = heuristics[INPUT_ONLY];
  return { ...(best ? { [best[0]]: best[1] } : {}), ...(classifier ? { input_only: classifier } : {}) };
}

// Privileged access: does a model predict its own behavior better than another one does that learnt just that behavior?

const crossPrediction: Experiment = {
  name: "cross_prediction",
  question:
    "Does a model predict what it does better than another model that learnt the same behavior from the same examples?",
  judge: (input) =>
    input.comparisons && input.comparisons.comparisons.length > 0
      ? mainFirst(input.plan, input.comparisons.comparisons).map((one) => crossPredictionVerdict(input, one))
      : "no target has both a self- and a cross-predictor",
};

function crossPredictionVerdict(
  { plan, scores, comparisons }: ExperimentInput,
  one: ComparedPredictors,
): ExperimentVerdict {
  const { target, self, cross, comparison, verdict } = one;
  const [micro] = comparison.overall;
  const model = statesOf(plan).of(cross).model;
  const kind = one.shown === undefined ? "learnt" : "shown";
  const seeds = comparison.contrasts.length > 1 ? `, ${comparison.contrasts.length} seeds` : "";
  return {
    about: `${self} against ${cross}, about ${target}${seeds}`,
    finding: verdict.overall,
    sentence: privilegedAccessSentences(verdict).join(" "),
    numbers: [
      {
        label: "self minus cross, paired",
        estimate: micro.difference,
        unit: "difference",
        baselines: { self: micro.self, cross: micro.cross, mode_oracle: micro.modeBaseline },
        intervalMethod: micro.intervalMethod,
      },
      ...accuracyNumber(scores, "accuracy of self", self, target),
      ...accuracyNumber(scores, "accuracy of cross", cross, target),
    ],
    because: [
      ...verdict.cross.because,
      ...missingComparisons(verdict.notCompared),
      ...notAtPlateau(comparisons?.series ?? [], { model, target, kind }),
      ...(one.trained.self === one.trained.cross
        ? []
        : ["only one of the two was trained: the difference is one of training before it is one of access"]),
      ...(one.sameWeights ? ["both run on the same base weights: they differ in what was trained beside them"] : []),
    ],
  };
}

// Does a model predict what it does better than what can be had without it: rules, a classifier of strings, itself untrained, controls?

const selfPrediction: Experiment = {
  name: "self_prediction",
  question:
    "Asked beforehand, does a model say what it does, better than can be said from the string, from its common answers, or by it untrained?",
  judge: (input) => {
    const selves = input.comparisons?.selfPredictions;
    return selves ? selves.map((self) => selfPredictionVerdict(input, self)) : "nobody predicts itself in this study";
  },
};

function selfPredictionVerdict(
  input: ExperimentInput,
  { target, self, seeds, verdict }: ComparedSelf,
): ExperimentVerdict {
  const { scores } = input;
  const seeded = seeds > 1 ? `, ${seeds} seeds` : "";
  return {
    about: self === target ? `${self} about itself${seeded}` : `${self} about ${target}${seeded}`,
    finding: verdict.overall,
    sentence: selfPredictionSentences(verdict).join(" "),
    numbers: [
      // Seeds are pooled in comparisons; an accuracy is that of one of them.
      ...accuracyNumber(scores, seeds > 1 ? `accuracy of ${self}, the first seed` : "accuracy", self, target),
      ...scopedNumbers(input, self, target),
      ...driftNumber(input, self, target),
    ],
    because: missingComparisons(verdict.notCompared),
  };
}

/** Strings of trained tasks that were held out, and tasks that were held out as a whole, apart. */
function scopedNumbers({ scores }: ExperimentInput, self: string, target: string): ExperimentNumber[] {
  return (scores.scopedAverages ?? []).flatMap((average): ExperimentNumber[] =>
    average.predictor === self && average.target === target && average.kind === "micro"
      ? [
          {
            label: average.scope === "held_out_strings" ? "held-out strings of trained tasks" : "held-out tasks",
            estimate: average.accuracy,
            unit: "share",
            baselines: { mode_train: average.modeBaselineTrain, mode_oracle: average.modeBaselineOracle },
            intervalMethod: scores.intervalMethod,
          },
        ]
      : [],
  );
}

/** Training moves behavior: how often the model that predicts does something else than the one that it learnt from. */
function driftNumber({ scores }: ExperimentInput, self: string, target: string): ExperimentNumber[] {
  const drift = (scores.drift ?? []).find((one) => one.after === self && one.task === undefined);
  if (!drift || self !== target) return [];
  return [
    {
      label: `behaviors that training changed (${drift.before} against ${drift.after})`,
      estimate: drift.differ,
      unit: "share",
      baselines: {},
      intervalMethod: scores.intervalMethod,
    },
  ];
}

/** In the order in which a report tells of them. */
export const ALL_EXPERIMENTS: readonly Experiment[] = [
  selfPrediction,
  crossPrediction,
  calibration,
  behavioralChange,
  matrix,
  limits,
];
