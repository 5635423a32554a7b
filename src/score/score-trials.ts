/** The one entry of scoring: trials in, 08-scores.json out. Pure; the same trials in any order give the same bytes. */
import { InwardError } from "../errors.js";
import type { Scores } from "../records/scores.js";
import type { TrainLabel, Trial } from "../records/trial.js";
import { averageCells } from "./averages.js";
import { type Cell, cellsOf } from "./cells.js";
import { drawResamples } from "./cluster-bootstrap.js";
import { listExclusions } from "./exclusions.js";
import { type ScoredCell, scoreCell } from "./score-cell.js";
import type { TaskStrings } from "./tally.js";
import { type Training, trainingEffect } from "./training-effect.js";

export interface ScoreSettings {
  /** In (0, 1), 0.95 for 95 %. */
  readonly confidence: number;
  readonly bootstrapReplicates: number;
  /** Any safe integer. */
  readonly bootstrapSeed: number;
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
  checkSettings(settings);
  const labels = labelsByCell(trainLabels);
  const cells = cellsOf(trials);
  const scored = new Map<Cell, ScoredCell>();
  const stringsByTask = new Map<string, TaskStrings>();
  for (const task of new Set(cells.map((cell) => cell.task))) {
    const cellsOfTask = cells.filter((cell) => cell.task === task);
    const strings = stringsOf(task, cellsOfTask, settings);
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

/** Every string that was asked, scored or not: how many answers comply is part of what chance decides. */
function stringsOf(task: string, cells: readonly Cell[], settings: ScoreSettings): TaskStrings {
  const items = [...new Set(cells.flatMap((cell) => cell.trials.map((trial) => trial.item)))].sort();
  return {
    task,
    places: new Map(items.map((item, place) => [item, place])),
    resamples: drawResamples(task, items.length, settings.bootstrapReplicates, settings.bootstrapSeed),
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
    "The answer of a mode baseline stays the same in all replicates.",
    "Where all strings score alike and no draw can differ, the interval is the exact binomial (Clopper-Pearson) bound",
    "for that many strings without an exception.",
  ].join(" ");
}

function checkSettings({ confidence, bootstrapReplicates, bootstrapSeed, noiseFloorNats }: ScoreSettings): void {
  const refuse = (what: string) => {
    throw new InwardError("STUDY_INVALID", what);
  };
  if (!(confidence > 0 && confidence < 1)) refuse(`The confidence is ${confidence}; it must be between 0 and 1.`);
  if (!Number.isSafeInteger(bootstrapReplicates) || bootstrapReplicates < 1) {
    refuse(`The number of bootstrap replicates is ${bootstrapReplicates}; it must be a whole number from 1.`);
  }
  if (!Number.isSafeInteger(bootstrapSeed))
    refuse(`The bootstrap seed is ${bootstrapSeed}; it must be a whole number.`);
  if (!(noiseFloorNats >= 0 && noiseFloorNats < Number.POSITIVE_INFINITY)) {
    refuse(`The noise floor is ${noiseFloorNats} nats; it must be finite and not negative.`);
  }
}
