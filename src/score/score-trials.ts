/** The one entry of scoring: trials in, 08-scores.json out. Pure; the same trials in any order give the same bytes. */
import type { Scores } from "../records/scores.js";
import type { TrainLabel, Trial } from "../records/trial.js";
import { averageCells } from "./averages.js";
import { type Cell, cellsOf } from "./cells.js";
import { listExclusions } from "./exclusions.js";
import { EXPANDED } from "./percentile-interval.js";
import { checkNoiseFloor, checkResampling, type ResamplingSettings } from "./resampling-settings.js";
import { type ScoredCell, scoreCell } from "./score-cell.js";
import { type TaskStrings, taskStrings } from "./tally.js";
import { type Training, trainingEffect } from "./training-effect.js";

export interface ScoreSettings extends ResamplingSettings {
  /** Not negative; trials with a smaller token margin may flip between runs. */
  readonly noiseFloorNats: number;
  /** What was trained, if anything was. */
  readonly training?: Training;
}

/** @throws InwardError STUDY_INVALID when a setting is out of range */
export function scoreTrials(
  trials: readonly Trial[],
  trainLabels: readonly TrainLabel[],
  settings: ScoreSettings,
): Scores {
  checkResampling(settings);
  checkNoiseFloor(settings.noiseFloorNats);
  const labels = labelsByCell(trainLabels);
  const cells = cellsOf(trials);
  const scored = new Map<Cell, ScoredCell>();
  const stringsByTask = new Map<string, TaskStrings>();
  for (const task of new Set(cells.map((cell) => cell.task))) {
    const cellsOfTask = cells.filter((cell) => cell.task === task);
    // Every string that was asked, scored or not: how many answers comply is part of what chance decides.
    const asked = cellsOfTask.flatMap((cell) => cell.trials.map(({ item }) => item));
    const strings = taskStrings(task, asked, settings);
    stringsByTask.set(task, strings);
    for (const cell of cellsOfTask) {
      const known = labels.get(JSON.stringify([cell.target, cell.task, cell.property])) ?? [];
      scored.set(cell, scoreCell(cell, known, strings, settings));
    }
  }
  const ordered = cells.map((cell) => scored.get(cell) as ScoredCell);
  const pairs = byPair(ordered);
  return {
    scoresVersion: 1,
    confidence: settings.confidence,
    bootstrapReplicates: settings.bootstrapReplicates,
    bootstrapSeed: settings.bootstrapSeed,
    intervalMethod: describeIntervals(settings),
    noiseFloorNats: settings.noiseFloorNats,
    trials: trials.length,
    cells: ordered.map(({ score }) => score),
    averages: pairs.flatMap((pair) => averageCells(pair, settings.confidence)),
    exclusions: listExclusions(trials),
    ...(settings.training ? trainingEffect(trials, settings.training, stringsByTask, pairs, settings.confidence) : {}),
  };
}

function labelsByCell(trainLabels: readonly TrainLabel[]): Map<string, string[]> {
  const labels = new Map<string, string[]>();
  for (const { target, task, property, value } of trainLabels) {
    const key = JSON.stringify([target, task, property]);
    const values = labels.get(key);
    if (values) values.push(value);
    else labels.set(key, [value]);
  }
  return labels;
}

function byPair(cells: readonly ScoredCell[]): ScoredCell[][] {
  const pairs = new Map<string, ScoredCell[]>();
  for (const cell of cells) {
    const key = JSON.stringify([cell.score.target, cell.score.predictor]);
    pairs.set(key, [...(pairs.get(key) ?? []), cell]);
  }
  return [...pairs.values()];
}

function describeIntervals({ confidence, bootstrapReplicates, bootstrapSeed }: ScoreSettings): string {
  return [
    `${Number((100 * confidence).toFixed(6))} % percentile cluster bootstrap by source string: each of ${bootstrapReplicates} replicates`,
    `(seed ${bootstrapSeed}) draws the strings of every task with replacement, and all rows of a string move together.`,
    EXPANDED,
    "The answer of a mode baseline stays the same in all replicates.",
    "Where all strings score alike and no draw can differ, the interval is the exact binomial (Clopper-Pearson) bound",
    "for that many strings without an exception.",
  ].join(" ");
}
