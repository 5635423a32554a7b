/**
 * Behaviors that hardly vary are shown and not averaged: whoever names the most common value is right there, so they would add the same to
 * all sides. Which they are is told by train strings alone, before any held-out string is looked at, and is the same for every predictor of
 * a target: leaving them out cannot select by the outcome.
 */

import { compareNames, HIGH_MODE_SHARE, LOW_ENTROPY_BITS, variationOf } from "./cell.js";
import { countValues } from "./tally.js";
import type { TrainLabel, Trial } from "./trial.js";

/** Of fewer labels it is not known whether a behavior varies: it is averaged then. */
const FEWEST_LABELS = 20;

/** What a target does on a task hardly varies. */
export interface HardlyVarying {
  readonly target: string;
  readonly task: string;
  readonly property: string;
  /** Train strings with the behavior. */
  readonly labels: number;
  /** The most common value, and its share of the labels. */
  readonly value: string;
  readonly modeShare: number;
  readonly entropyBits: number;
}

/** @returns in code-unit order of target, task, property */
export function hardlyVarying(trainLabels: readonly TrainLabel[]): HardlyVarying[] {
  return [...labelsByCell(trainLabels)]
    .flatMap(([key, labels]): HardlyVarying[] => {
      const values = countValues(labels);
      const { entropyBits, modeShare } = variationOf(values);
      const varies = entropyBits >= LOW_ENTROPY_BITS && modeShare <= HIGH_MODE_SHARE;
      if (varies || labels.length < FEWEST_LABELS) return [];
      const [target, task, property] = JSON.parse(key) as [string, string, string];
      const value = values[0]?.value as string;
      return [{ target, task, property, labels: labels.length, value, modeShare, entropyBits }];
    })
    .sort((a, b) => compareNames([a.target, a.task, a.property], [b.target, b.task, b.property]));
}

/** What averages and comparisons are over, for all predictors alike. */
export function varyingTrials<Some extends Pick<Trial, "target" | "task" | "property">>(
  trials: readonly Some[],
  trainLabels: readonly TrainLabel[],
): Some[] {
  const left = new Set(hardlyVarying(trainLabels).map(behaviorCell));
  return trials.filter((trial) => !left.has(behaviorCell(trial)));
}

/** As a short sentence. */
export function hardlyVaryingText({ value, modeShare, labels, entropyBits }: HardlyVarying): string {
  return `hardly varies: ${JSON.stringify(value)} on ${(100 * modeShare).toFixed(0)} % of ${labels} train strings (${entropyBits.toFixed(2)} bits)`;
}

/** target, task, property -> the values of its train strings */
export function labelsByCell(trainLabels: readonly TrainLabel[]): Map<string, string[]> {
  const labels = new Map<string, string[]>();
  for (const label of trainLabels) {
    const values = labels.get(behaviorCell(label));
    if (values) values.push(label.value);
    else labels.set(behaviorCell(label), [label.value]);
  }
  return labels;
}

/** Of what a target does on a task. */
export function behaviorCell({ target, task, property }: Pick<Trial, "target" | "task" | "property">): string {
  return JSON.stringify([target, task, property]);
}
