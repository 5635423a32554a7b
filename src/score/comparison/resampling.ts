/** The two ways in which replicates are drawn: strings alone, or tasks and seeds as well. */
import { uniformInt } from "pure-rand/distribution/uniformInt";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import type { Trial } from "../../records/trial.js";
import { drawStrings, type StringDraws } from "../calibration/string-draws.js";
import type { Statistic } from "./statistics.js";
import { type Draw, type StringTable, sumOver } from "./string-table.js";
import { randomStream } from "../random-stream.js";
import type { DrawSettings } from "../resampling-settings.js";

/** The strings of all tasks, and what is drawn of them. */
export interface Resampling extends DrawSettings {
  readonly tasks: readonly string[];
  /** Of each task: place of its first string, and how many it has. */
  readonly blocks: readonly { readonly start: number; readonly strings: number }[];
  readonly draws: StringDraws;
}

/** @param trials all trials of the run: every string that was asked is drawn, scored or not, as for all other scores */
export function resamplingOf(trials: readonly Trial[], settings: DrawSettings): Resampling {
  const draws = drawStrings(trials, settings);
  const byTask = new Map<string, Set<number>>();
  for (const trial of trials) {
    const places = byTask.get(trial.task) ?? new Set<number>();
    byTask.set(trial.task, places.add(draws.placeOf(trial)));
  }
  const tasks = [...byTask.keys()].sort();
  const blocks = tasks.map((task) => {
    const places = [...(byTask.get(task) as Set<number>)];
    return { start: places.reduce((least, place) => Math.min(least, place)), strings: places.length };
  });
  return { ...settings, tasks, blocks, draws };
}

/** Everything once: the data set itself. */
export function everything({ draws, tasks }: Resampling, seeds: number): Draw {
  return {
    strings: new Uint16Array(draws.strings).fill(1),
    seeds: new Uint16Array(seeds).fill(1),
    tasks: new Uint16Array(tasks.length).fill(1),
  };
}

/** Strings of every task with replacement; tasks and seeds stay as they are. */
export function* stringDraws(resampling: Resampling, seeds: number): Generator<Draw> {
  const all = everything(resampling, seeds);
  for (const strings of resampling.draws.replicates) yield { ...all, strings };
}

/**
 * Tasks with replacement, strings of each drawn task with replacement (of a task drawn twice, twice), and seeds with
 * replacement, crossed with the strings: all seeds see the same strings, as they did in the run.
 * @param among places of the tasks to draw from
 */
export function* hierarchicalDraws(resampling: Resampling, among: readonly number[], seeds: number): Generator<Draw> {
  const { bootstrapReplicates, bootstrapSeed, blocks, draws, tasks } = resampling;
  const random = randomStream("hierarchical", bootstrapSeed);
  for (let replicate = 0; replicate < bootstrapReplicates; replicate++) {
    const taken = new Uint16Array(tasks.length);
    for (const at of times(among.length, among.length, random)) add(taken, among[at] as number);
    const strings = new Uint16Array(draws.strings);
    blocks.forEach(({ start, strings: count }, task) => {
      for (const at of times((taken[task] as number) * count, count, random)) add(strings, start + at);
    });
    const seedsTaken = new Uint16Array(seeds);
    for (const at of times(seeds, seeds, random)) add(seedsTaken, at);
    yield { strings, seeds: seedsTaken, tasks: taken };
  }
}

function* times(draws: number, of: number, random: RandomGenerator): Generator<number> {
  for (let draw = 0; draw < draws; draw++) yield uniformInt(random, 0, of - 1);
}

function add(counts: Uint16Array, at: number): void {
  counts[at] = (counts[at] as number) + 1;
}

/** @returns for each statistic its values in the draws that have one */
export function valuesIn(table: StringTable, draws: Iterable<Draw>, statistics: readonly Statistic[]): number[][] {
  const values = statistics.map((): number[] => []);
  const sums = new Float64Array(table.sums);
  for (const draw of draws) {
    sumOver(table, draw, sums);
    statistics.forEach((statistic, at) => {
      const value = statistic(sums, draw.tasks);
      if (value !== undefined) values[at]?.push(value);
    });
  }
  return values;
}
