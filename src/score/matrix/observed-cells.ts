/** The matrix as it was found: each cell's accuracy beside what always giving one answer would have reached, with intervals. */
import type { Estimate } from "../../records/scores.js";
import type { TrainLabel, Trial } from "../../records/trial.js";
import { accuracy, isRight, isScored } from "../accuracy.js";
import { type Guess, trainModeGuess } from "../comparison/third-parties.js";
import { estimateOver } from "../estimate-over.js";
import { type Measure, PROPORTION } from "../measure.js";
import { percentileInterval } from "../percentile-interval.js";
import type { ResamplingSettings } from "../resampling-settings.js";
import type { TaskStrings } from "../tally.js";
import type { CellMean, MatrixCell } from "./matrix-cell.js";

export interface ObservedCell {
  readonly predictor: string;
  readonly target: string;
  /** Micro: every trial counts the same. */
  readonly accuracy: Estimate;
  /** Always the most common behavior of the target's train strings, per task and property. */
  readonly modeBaselineTrain: Estimate;
  /** Always the most common behavior of the scored strings themselves: an oracle. */
  readonly modeBaselineOracle: Estimate;
  /** Share of the behaviors that predictor and target have in common. */
  readonly similarity: Estimate;
}

/**
 * @param cells `matrixCells` of the same trials, micro
 * @param strings the strings of every task among the trials, with the draws of those cells: their intervals are of the fit's replicates
 */
export function observedCells(
  cells: readonly MatrixCell[],
  trials: readonly Trial[],
  trainLabels: readonly TrainLabel[],
  strings: ReadonlyMap<string, TaskStrings>,
  settings: ResamplingSettings,
): ObservedCell[] {
  const trainMode = measureOf(trainModeGuess(trainLabels));
  const oracle = measureOf(trainModeGuess(oracleLabels(trials)));
  const byPair = new Map<string, Trial[]>();
  for (const trial of trials) {
    const key = keyOf(trial);
    const known = byPair.get(key);
    if (known) known.push(trial);
    else byPair.set(key, [trial]);
  }
  return cells.map(({ predictor, target, accuracy: fitted, similarity }): ObservedCell => {
    const own = byPair.get(keyOf({ predictor, target })) ?? [];
    const estimate = (measure: Measure): Estimate =>
      fitted.ok
        ? estimateOver(own, { measure, range: PROPORTION, kind: "micro" }, strings, settings.confidence)
        : fitted;
    return {
      predictor,
      target,
      accuracy: estimate(accuracy),
      modeBaselineTrain: estimate(trainMode),
      modeBaselineOracle: estimate(oracle),
      similarity: similarityEstimate(similarity, own, settings),
    };
  });
}

function measureOf(guess: Guess): Measure {
  return (trial) => {
    const said = guess(trial);
    return said && isScored(trial) ? Number(isRight(trial, said)) : undefined;
  };
}

function oracleLabels(trials: readonly Trial[]): TrainLabel[] {
  return trials
    .filter(isScored)
    .map(({ target, task, property, behavior }) => ({ target, task, property, value: behavior.value }));
}

function similarityEstimate(
  mean: CellMean | undefined,
  own: readonly Trial[],
  { bootstrapReplicates, confidence }: ResamplingSettings,
): Estimate {
  if (!mean) return { ok: false, reason: "similarity was not asked for" };
  if (!mean.ok) return mean;
  const { value, n = 0, inReplicate } = mean;
  const drawn = Array.from({ length: bootstrapReplicates }, (_, replicate) => inReplicate?.(replicate)).filter(
    (one) => one !== undefined,
  );
  if (drawn.length === 0)
    return { ok: false, reason: `no draw of strings has a similarity (value ${value.toFixed(3)})` };
  const { low, high } = percentileInterval(Float64Array.from(drawn), confidence);
  const clusters = new Set(own.map(({ task, item }) => JSON.stringify([task, item]))).size;
  return { ok: true, value, low: Math.min(low, value), high: Math.max(high, value), n, clusters };
}

function keyOf({ predictor, target }: Pick<Trial, "predictor" | "target">): string {
  return JSON.stringify([predictor, target]);
}
