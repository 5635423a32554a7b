/**
 * What is left of self minus cross once skill and predictability are taken out: where each of two models predicts itself and the other,
 * acc(1 about 1) − acc(2 about 1) − acc(1 about 2) + acc(2 about 2). Who is better at predicting anybody adds to two terms of opposite
 * sign, and so does a target that is easier to predict. What each predicts by doing it itself, as a likeness, is not taken out.
 */

import { estimate, type Estimate, sideOfZero } from "../interval.js";
import { everything, resamplingOf, stringDraws, stringTable, valuesIn } from "../resampling.js";
import { isRight, isScored, type PointRange, type ScoredTrial } from "../tally.js";
import { questionKey, stringKey, type Trial } from "../trial.js";
import {
  type ComparisonSettings,
  type Contrast,
  SIGN_FLIP_DRAWS,
  type TestResult,
  type Weighting,
} from "./comparison.js";
import { stringContributions, stringIntervals, type SumStatistic, meanOf, WEIGHTINGS } from "./difference.js";
import { type ContrastSettings, judgeDifference } from "./judge.js";
import type { Judgement } from "./comparison.js";
import { signFlipTest } from "./tests.js";

/** Of a difference of two differences of proportions. */
const DOUBLE_DIFFERENCE: PointRange = { least: -2, most: 2 };

/** Two targets, each predicted by its own model and by the other's. */
export interface TwoByTwo {
  readonly first: Contrast;
  readonly second: Contrast;
}

export interface DoubleDifference {
  readonly kind: Weighting;
  readonly estimand: string;
  readonly intervalMethod: string;
  /** In the order first's self and cross, second's self and cross; on the same strings. */
  readonly accuracies: readonly [Estimate, Estimate, Estimate, Estimate];
  readonly difference: Estimate;
  readonly signFlip: TestResult;
}

export interface NetOfSkill {
  readonly seeds: readonly TwoByTwo[];
  /** Questions that all four replied to, where both targets have a behavior. */
  readonly trials: number;
  readonly strings: number;
  /** Micro, then macro. */
  readonly overall: readonly [DoubleDifference, DoubleDifference];
  /** The same of −log(1 − accuracy), micro, where skill and guessing add up; plain accuracies multiply where both differ. */
  readonly onMisses: Estimate;
  readonly judgement: Judgement;
}

interface Quadruple {
  readonly seed: number;
  readonly trials: readonly [ScoredTrial, ScoredTrial, ScoredTrial, ScoredTrial];
}

/** @param trials of one scope */
export function measureNetOfSkill(
  trials: readonly Trial[],
  seeds: readonly [TwoByTwo, ...TwoByTwo[]],
  settings: ContrastSettings,
): NetOfSkill {
  const rows = quadruplesOf(trials, seeds);
  const resampling = resamplingOf(trials, settings);
  const table = stringTable(
    rows.map(({ seed, trials: four }) => ({
      task: four[0].task,
      item: four[0].item,
      cluster: four[0].cluster,
      seed,
      property: four[0].property,
      stratum: "",
      amounts: [1, ...four.map((trial) => Number(isRight(trial, trial.prediction)))],
    })),
    5,
    resampling,
  );
  const share = (place: number, kind: Weighting) =>
    meanOf(table.cells, (sums, start) => sums[start + place] as number, kind);
  const differenceOf = (kind: Weighting) =>
    meanOf(
      table.cells,
      (sums, start) => {
        const [a, b, c, d] = [1, 2, 3, 4].map((place) => sums[start + place] as number) as [
          number,
          number,
          number,
          number,
        ];
        return a - b - d + c;
      },
      kind,
    );
  const onMisses: SumStatistic = (sums, tasks) => {
    const misses = [1, 2, 3, 4].map((place) => {
      const right = share(place, "micro")(sums, tasks);
      return right === undefined || right >= 1 ? undefined : -Math.log1p(-right);
    });
    if (misses.some((one) => one === undefined)) return undefined;
    const [a, b, c, d] = misses as [number, number, number, number];
    return a - b - d + c;
  };
  const strings = new Set(rows.map(({ trials: [trial] }) => stringKey(trial))).size;
  const counted = { n: rows.length, clusters: strings, tasks: new Set(rows.map(({ trials: [one] }) => one.task)).size };
  const estimatesOf = (statistics: readonly { statistic: SumStatistic; range: PointRange; isLog?: boolean }[]) => {
    const only = statistics.map(({ statistic }) => statistic);
    const values = valuesIn(table, [everything(resampling, seeds.length)], only);
    const replicates = valuesIn(table, stringDraws(resampling, seeds.length), only);
    return statistics.map(({ range, isLog }, at) =>
      estimate({ value: values[at]?.[0], ...counted, range, ...(isLog ? LOG_REASON : {}) }, replicates[at] ?? [], {
        confidence: settings.confidence,
        // A logarithm has no range that an exact bound could use; of replicates without a miss it has no value.
        ...(isLog ? { unmoved: "refuse" as const, undefinedReplicates: "refuse_half" as const } : {}),
      }),
    );
  };
  const proportion = { least: 0, most: 1 };
  const overall = WEIGHTINGS.map((kind): DoubleDifference => {
    const [a, b, c, d, difference] = estimatesOf([
      ...[1, 2, 3, 4].map((place) => ({ statistic: share(place, kind), range: proportion })),
      { statistic: differenceOf(kind), range: DOUBLE_DIFFERENCE },
    ]) as [Estimate, Estimate, Estimate, Estimate, Estimate];
    return {
      kind,
      estimand: estimandOf(seeds[0], kind),
      intervalMethod: stringIntervals(settings),
      accuracies: [a, b, c, d],
      difference,
      signFlip: signFlip(rows, kind, settings),
    };
  }) as [DoubleDifference, DoubleDifference];
  const [misses] = estimatesOf([{ statistic: onMisses, range: DOUBLE_DIFFERENCE, isLog: true }]) as [Estimate];
  const judged = overall[settings.judged === "macro" ? 1 : 0] as DoubleDifference;
  return {
    seeds,
    trials: rows.length,
    strings,
    overall,
    onMisses: misses,
    judgement: judgeNetOfSkill(judged, misses, settings),
  };
}

const LOG_REASON = { undefinedBecause: "one of the four has no miss: how rare its misses are is not known" };
const NOT_DRAWN = { ok: false as const, reason: "tasks and seeds are not drawn here" };

/** Both scales must agree on a yes: on either one alone skill and predictability that differ together look like access, or hide it. */
export function judgeNetOfSkill(
  { difference, signFlip }: Pick<DoubleDifference, "difference" | "signFlip">,
  onMisses: Estimate,
  settings: Pick<ContrastSettings, "confidence" | "smallestDifference" | "yesAbove">,
): Judgement {
  const plain = judgeDifference({ difference, signFlip, hierarchical: NOT_DRAWN }, settings);
  const side = sideOfZero(onMisses);
  if (plain.finding === "exceeds" && side !== "above") {
    return { ...plain, finding: "cannot_tell", because: [...plain.because, SCALES_DISAGREE] };
  }
  if (plain.finding === "does_not_exceed" && side === "above") {
    return { ...plain, finding: "cannot_tell", because: [...plain.because, SCALES_DISAGREE] };
  }
  return plain;
}

const SCALES_DISAGREE = "on the scale of −log(1 − accuracy), where skill and guessing add up, it comes out otherwise";

function quadruplesOf(trials: readonly Trial[], seeds: readonly TwoByTwo[]): Quadruple[] {
  const about = (predictor: string, target: string) =>
    new Map(
      trials
        .filter((trial) => trial.predictor === predictor && trial.target === target)
        .filter(isScored)
        // Greedy answers: one for each question; of several samples the first.
        .toReversed()
        .map((trial) => [questionKey(trial), trial] as const),
    );
  return seeds.flatMap(({ first, second }, seed) => {
    const others = [
      about(first.cross, first.target),
      about(second.self, second.target),
      about(second.cross, second.target),
    ];
    return [...about(first.self, first.target)]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([key, own]): Quadruple[] => {
        const [a, b, c] = others.map((one) => one.get(key));
        return a && b && c ? [{ seed, trials: [own, a, b, c] }] : [];
      });
  });
}

/** Whole numbers by string: turned at random as a whole, for both targets at once. */
function signFlip(rows: readonly Quadruple[], kind: Weighting, settings: ComparisonSettings): TestResult {
  const { signFlipDraws = SIGN_FLIP_DRAWS, bootstrapSeed } = settings;
  const contributions = stringContributions(
    rows.map(({ trials: four }) => {
      const [own, cross, otherOwn, otherCross] = four.map((trial) => Number(isRight(trial, trial.prediction))) as [
        number,
        number,
        number,
        number,
      ];
      const { task, item, property, cluster } = four[0];
      return { task, item, cluster, property, difference: own - cross + otherOwn - otherCross };
    }),
    kind,
  );
  return signFlipTest(contributions, { draws: signFlipDraws, seed: bootstrapSeed });
}

function estimandOf({ first, second }: TwoByTwo, kind: Weighting): string {
  const weights = kind === "micro" ? "every question counting the same" : "every task and property counting the same";
  return [
    `accuracy of ${first.self} minus that of ${first.cross} about what ${first.target} does,`,
    `plus accuracy of ${second.self} minus that of ${second.cross} about what ${second.target} does,`,
    `on questions that all four replied to, ${weights}`,
  ].join(" ");
}
