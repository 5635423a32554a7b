import { InwardError } from "../errors.js";
import type { Plan } from "../study/plan.js";
import { type Contrast, type DesignEffect, pairTrials, type Weighting } from "./comparison/comparison.js";
import { type DifferenceRow, rightOf } from "./comparison/difference.js";
import { designEffect, type StringScatter, stringScatter } from "./comparison/scatter.js";
import { stageThirdParty, trainModeGuess } from "./comparison/third-parties.js";
import { varyingTrials } from "./varying.js";
import { normalCumulative, normalQuantile } from "./probability.js";
import { checkConfidence } from "./resampling.js";
import { clusterIn, stringKey, type TrainLabel, type Trial } from "./trial.js";
import { statesOf, type PlanOfStates } from "../study/states.js";

interface Asked {
  readonly power: number;
  readonly confidence: number;
  readonly kind: Weighting;
}

/** How sure it is that strings scatter no more than is allowed for. */
export const SURE_OF_SCATTER = 0.8;

/** What a number of strings rests on, one sentence each. */
function powerAssumptions(scatter: StringScatter, { power, confidence, kind }: Asked): string[] {
  const level = Number((100 * (1 - confidence)).toFixed(6));
  const average = kind === "micro" ? "every trial counts the same" : "every task and property counts the same";
  const few = scatter.degreesOfFreedom < 20 ? " This pilot is small: the numbers are rough." : "";
  return [
    `seen = the sign-flip test by string rejects at ${level} %, two-sided, in ${Number((100 * power).toFixed(6))} % of such studies; ${average}`,
    "new strings are drawn as the pilot's were, and their differences scatter as the pilot's did, around the difference asked for",
    `every string gets as many trials as in the pilot (${(scatter.trials / scatter.strings).toFixed(2)} that both sides have), and tasks keep their shares`,
    "strings are independent of each other; trials of one string need not be",
    "for these tasks, this training seed and these wordings: other ones add their own scatter, which more strings do not lessen",
    `the pilot's scatter is itself an estimate, with ${scatter.degreesOfFreedom.toFixed(1)} degrees of freedom: taken is the limit that the true one stays below in ${Math.round(100 * SURE_OF_SCATTER)} % of pilots.${few}`,
  ];
}

// How many strings a difference takes to be seen, from how strings scattered in a pilot run.

export interface PowerSettings {
  /** Of the accuracies, in (0, 1]: 0.05 for five points. */
  readonly difference: number;
  /** In (0.5, 1), 0.9 for nine studies of ten. */
  readonly power: number;
  /** In (0, 1), 0.95 for tests at a level of 5 %, two-sided. */
  readonly confidence: number;
  readonly kind: Weighting;
}

interface TaskStringsNeeded {
  readonly task: string;
  /** With a paired trial, in the pilot. */
  readonly pilotStrings: number;
  readonly strings: number;
}

export type PowerCalculation =
  | ({ readonly ok: true } & PowerSettings & {
        /** All tasks together. */
        readonly strings: number;
        readonly byTask: readonly TaskStringsNeeded[];
        readonly pilot: PilotScatter;
        /** What decides the result and is not known for certain, in words. */
        readonly assumptions: readonly string[];
      })
  | { readonly ok: false; readonly reason: string };

/** What the pilot shows. */
interface PilotScatter {
  readonly difference: number;
  readonly standardError: number;
  readonly degreesOfFreedom: number;
  readonly trials: number;
  readonly strings: number;
  readonly tasks: number;
  readonly trialsPerString: number;
  readonly designEffect: DesignEffect;
  /** The chance that a run like the pilot itself sees the difference asked for: at least this, in four pilots of five. */
  readonly power: number;
}

/**
 * A difference x is called seen when the sign-flip test by string rejects at 1 − confidence. With k times the pilot's strings the sum of
 * strings' contributions has the mean k·x·W and the variance k·V, and the test compares it with the scatter k·F about zero, F = Σ (contribution + x ·
 * weight)²: so √k = (z₁ √F + z₂ √V) ÷ (x·W). A pilot may have seen too little scatter, which would break the promise in half of all pilots: so V, and what F
 * has of it, are taken at the limit that the true scatter stays below in four pilots of five (R. H. Browne 1995, Statistics in Medicine 14, 1933-1940); a
 * smaller pilot asks for more. validation/validate-statistics.mjs checks it by simulation.
 * @param given the pilot's paired trials, in any order
 * @throws InwardError STUDY_INVALID when a setting is out of range
 */
export function powerOf(given: readonly DifferenceRow[], settings: PowerSettings): PowerCalculation {
  checkSettings(settings);
  // In a fixed order, because sums are in floating point.
  const rows = given
    .map((row) => ({ row, key: JSON.stringify([row.task, clusterIn(row), row.property, row.difference]) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ row }) => row);
  const scatter = stringScatter(rows, settings.kind);
  if (!scatter.ok) return scatter;
  const { difference, power, confidence } = settings;
  const { degreesOfFreedom, weight } = scatter;
  const more = scatterLimit(degreesOfFreedom, SURE_OF_SCATTER);
  const rejecting = normalQuantile((1 + confidence) / 2) * Math.sqrt(aboutZero(scatter, difference, more));
  const spread = Math.sqrt(more * scatter.variance);
  const times = ((rejecting + normalQuantile(power) * spread) / (difference * weight)) ** 2;
  const byTask = enough(
    scatter.tasks.map(({ task, strings }) => ({
      task,
      pilotStrings: strings.length,
      strings: Math.max(2, Math.ceil(times * strings.length)),
    })),
    confidence,
  );
  return {
    ok: true,
    ...settings,
    strings: byTask.reduce((sum, { strings }) => sum + strings, 0),
    byTask,
    pilot: {
      difference: scatter.difference,
      standardError: Math.sqrt(scatter.variance) / weight,
      degreesOfFreedom,
      trials: scatter.trials,
      strings: scatter.strings,
      tasks: scatter.tasks.length,
      trialsPerString: scatter.trials / scatter.strings,
      designEffect: designEffect(byString(rows)),
      power: normalCumulative((difference * weight - rejecting) / spread),
    },
    assumptions: powerAssumptions(scatter, settings),
  };
}

/**
 * Σ (contribution + x · weight)²: what the sign-flip test measures by, were the mean difference x. The contributions' own squares, which
 * the pilot's mean takes a degree of freedom from, are `more` than it saw.
 */
export function aboutZero({ tasks }: StringScatter, difference: number, more: number): number {
  const strings = tasks.flatMap((task) => task.strings);
  const seen = strings.reduce((sum, { contribution }) => sum + contribution ** 2, 0);
  const moved = strings.reduce((sum, { contribution, weight }) => sum + (contribution + difference * weight) ** 2, 0);
  return moved + ((more * strings.length) / (strings.length - 1) - 1) * seen;
}

/** Degrees of freedom ÷ their chi-square's (1 − sure) quantile, by E. B. Wilson and M. M. Hilferty (1931, PNAS 17, 684-688). */
export function scatterLimit(degreesOfFreedom: number, sure: number): number {
  const spread = 2 / (9 * degreesOfFreedom);
  return (1 - spread + normalQuantile(1 - sure) * Math.sqrt(spread)) ** -3;
}

/** Of m strings no sign pattern is rarer than 2 in 2^m: with fewer strings than this the test can never reject. */
function enough(tasks: readonly TaskStringsNeeded[], confidence: number): TaskStringsNeeded[] {
  const least = Math.floor(1 - Math.log2(1 - confidence)) + 1;
  const total = tasks.reduce((sum, { strings }) => sum + strings, 0);
  if (total >= least) return [...tasks];
  return tasks.map((task) => ({ ...task, strings: Math.max(task.strings, Math.ceil(least / tasks.length)) }));
}

function byString(rows: readonly DifferenceRow[]): number[][] {
  const strings = new Map<string, number[]>();
  for (const row of rows) {
    const key = stringKey(row);
    const known = strings.get(key);
    if (known) known.push(row.difference);
    else strings.set(key, [row.difference]);
  }
  return [...strings].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, differences]) => differences);
}

function checkSettings({ difference, power, confidence }: PowerSettings): void {
  const refuse = (what: string) => {
    throw new InwardError("STUDY_INVALID", what);
  };
  if (!(difference > 0 && difference <= 1)) {
    refuse(`The difference to be seen is ${100 * difference} points; it must be above 0 and at most 100.`);
  }
  if (!(power > 0.5 && power < 1)) refuse(`The power is ${power}; it must be above 0.5 and below 1.`);
  checkConfidence(confidence);
}

// The differences that a run can be a pilot for, each with its paired trials.

export type DifferenceName = "self_minus_cross" | "after_minus_before_training" | "above_mode_baseline";

export interface RunDifference {
  readonly name: DifferenceName;
  /** Whose accuracy is taken from whose, and about whom. */
  readonly contrast: Contrast;
  readonly rows: readonly DifferenceRow[];
}

/** The train-label mode in a predictor's place. */
const MODE = "mode_train";

/**
 * Self minus cross where another model predicts the same target, then after minus before training, then each predictor above the mode.
 * Behaviors that hardly vary are left out, as in every comparison.
 */
export function runDifferences(
  { trials, trainLabels }: { readonly trials: readonly Trial[]; readonly trainLabels: readonly TrainLabel[] },
  plan: PlanOfStates & Pick<Plan, "predictions">,
): RunDifference[] {
  const varying = varyingTrials(trials, trainLabels);
  const asked = (predictor: string, target: string) =>
    trials.some((trial) => trial.predictor === predictor && trial.target === target);
  const between = (name: DifferenceName, contrasts: readonly Contrast[]) =>
    contrasts
      .filter(({ target, self, cross }) => asked(self, target) && asked(cross, target))
      .map((contrast): RunDifference => ({ name, contrast, rows: pairedRows(varying, [contrast]) }));
  const { trained } = statesOf(plan);
  const labelled = new Set(trainLabels.map(({ target }) => target));
  return [
    ...between("self_minus_cross", selfAndCross(plan)),
    ...between(
      "after_minus_before_training",
      trained.map(({ name: self, training: { base, target } }) => ({ target, self, cross: base })),
    ),
    ...plan.predictions
      .filter(({ target }) => labelled.has(target))
      .map(({ target, predictor }): RunDifference => {
        const contrast = { target, self: predictor, cross: MODE };
        const staged = stageThirdParty(varying, [contrast], MODE, trainModeGuess(trainLabels));
        return { name: "above_mode_baseline", contrast, rows: pairedRows(staged.trials, [contrast]) };
      }),
  ];
}

/** A target's own model beside other models, untrained beside untrained and trained beside those trained on the same behavior. */
function selfAndCross(plan: PlanOfStates & Pick<Plan, "predictions">): Contrast[] {
  const { predictions } = plan;
  const modelOf = (state: string) => statesOf(plan).of(state).origin;
  const learntOf = (state: string) => statesOf(plan).of(state).learntFrom;
  return predictions.flatMap(({ target, predictor: self }) =>
    modelOf(self) === modelOf(target)
      ? predictions
          .filter((other) => other.target === target && modelOf(other.predictor) !== modelOf(target))
          .filter(({ predictor }) => learntOf(predictor) === learntOf(self))
          .map(({ predictor: cross }) => ({ target, self, cross }))
      : [],
  );
}

/** The paired trials of contrasts, its seeds pooled, as rows of differences. */
export function pairedRows(trials: readonly Trial[], contrasts: readonly Contrast[]): DifferenceRow[] {
  return pairTrials(trials, contrasts).paired.map((pair) => {
    const [self, cross] = rightOf(pair);
    const { task, item, cluster, property } = pair.self;
    return { task, item, cluster, property, difference: self - cross };
  });
}
