import { uniformInt } from "pure-rand/distribution/uniformInt";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { randomStream } from "../base/random.js";
import { InwardError } from "../errors.js";
import type { SumStatistic } from "./comparison/difference.js";
import { clusterIn, stringKey, type ClusteredRow, type Trial } from "./trial.js";

/** What is drawn. */
export interface DrawSettings {
  readonly bootstrapReplicates: number;
  /** Any safe integer. */
  readonly bootstrapSeed: number;
}

/** How intervals are made. */
export interface ResamplingSettings extends DrawSettings {
  /** In (0, 1), 0.95 for 95 %. */
  readonly confidence: number;
}

/** @throws InwardError STUDY_INVALID when a setting is out of range */
export function checkResampling({ confidence, bootstrapReplicates, bootstrapSeed }: ResamplingSettings): void {
  checkConfidence(confidence);
  requireCount("number of bootstrap replicates", bootstrapReplicates);
  if (!Number.isSafeInteger(bootstrapSeed)) {
    throw new InwardError("STUDY_INVALID", `The bootstrap seed is ${bootstrapSeed}; it must be a whole number.`);
  }
}

/** @throws InwardError STUDY_INVALID */
export function checkConfidence(confidence: number): void {
  if (confidence > 0 && confidence < 1) return;
  throw new InwardError("STUDY_INVALID", `The confidence is ${confidence}; it must be between 0 and 1.`);
}

/** @throws InwardError STUDY_INVALID */
export function checkNoiseFloor(noiseFloorNats: number): void {
  if (noiseFloorNats >= 0 && noiseFloorNats < Number.POSITIVE_INFINITY) return;
  throw new InwardError(
    "STUDY_INVALID",
    `The noise floor is ${noiseFloorNats} nats; it must be finite and not negative.`,
  );
}

/** @throws InwardError STUDY_INVALID */
export function requireCount(what: string, count: number): void {
  if (Number.isSafeInteger(count) && count >= 1) return;
  throw new InwardError("STUDY_INVALID", `The ${what} is ${count}; it must be a whole number from 1.`);
}

// Resampling of source strings. The strings of a task are drawn with replacement once per replicate, and every cell of the
// task uses the same draw, so that all rows of a string move together and differences stay paired.

/** How often each string was drawn: `draws[replicate * strings + string]`. */
export interface Resamples {
  readonly strings: number;
  readonly replicates: number;
  /** 16 bits hold any count up to 65,535 strings; beyond, a count that high has no chance to occur. */
  readonly draws: Uint16Array;
}

/** @param seed any safe integer; the task's name goes into the stream, so a task's draws do not depend on its neighbours */
export function drawResamples(task: string, strings: number, replicates: number, seed: number): Resamples {
  const random = randomStream(task, seed);
  const draws = new Uint16Array(replicates * strings);
  for (let start = 0; start < draws.length; start += strings) {
    for (let draw = 0; draw < strings; draw++) {
      const drawn = start + uniformInt(random, 0, strings - 1);
      draws[drawn] = (draws[drawn] as number) + 1;
    }
  }
  return { strings, replicates, draws };
}

/** @returns for each replicate the sum of a per-string amount over the strings drawn; exact, since amounts are integers */
export function resampledSums(perString: Int32Array, { strings, replicates, draws }: Resamples): Int32Array {
  const sums = new Int32Array(replicates);
  for (let replicate = 0; replicate < replicates; replicate++) {
    const start = replicate * strings;
    let sum = 0;
    for (let string = 0; string < strings; string++) {
      sum += (draws[start + string] as number) * (perString[string] as number);
    }
    sums[replicate] = sum;
  }
  return sums;
}

// All source strings of a study in one order, and how often each replicate draws them; shared by all predictors, so that differences are paired.

/** How often each string counts, by its place. */
export type StringWeights = ArrayLike<number>;

export interface StringDraws {
  readonly strings: number;
  readonly placeOf: (string: ClusteredRow) => number;
  /** The task of the string at this place. */
  readonly taskAt: (place: number) => string;
  /** One entry per bootstrap replicate. */
  readonly replicates: readonly Uint16Array[];
}

/** Strings of a task are drawn among themselves, from the same stream as in the other scores. */
export function drawStrings(
  rows: readonly ClusteredRow[],
  { bootstrapReplicates, bootstrapSeed }: DrawSettings,
): StringDraws {
  const byTask = new Map<string, Set<string>>();
  for (const row of rows) byTask.set(row.task, (byTask.get(row.task) ?? new Set()).add(clusterIn(row)));
  const places = new Map<string, number>();
  const tasks: string[] = [];
  const blocks = [...byTask.keys()].sort().map((task) => {
    const items = [...(byTask.get(task) as Set<string>)].sort();
    const start = places.size;
    for (const item of items) {
      places.set(stringKey({ task, item }), places.size);
      tasks.push(task);
    }
    return { start, resamples: drawResamples(task, items.length, bootstrapReplicates, bootstrapSeed) };
  });
  const replicates = Array.from({ length: bootstrapReplicates }, (_, replicate) => {
    const weights = new Uint16Array(places.size);
    for (const { start, resamples } of blocks) {
      const { strings, draws } = resamples;
      weights.set(draws.subarray(replicate * strings, (replicate + 1) * strings), start);
    }
    return weights;
  });
  return {
    strings: places.size,
    placeOf: (row) => places.get(stringKey(row)) as number,
    taskAt: (place) => tasks[place] as string,
    replicates,
  };
}

// Whole-number amounts of rows, summed over whatever strings and seeds a replicate draws; every estimate here is a function of such sums.

/** What one row adds. */
export interface AmountRow {
  readonly task: string;
  readonly item: string;
  readonly cluster: string | undefined;
  /** Place of its contrast: the seed it belongs to. */
  readonly seed: number;
  readonly property: string;
  /** Rows of a task and property that are averaged first, before the strata are; "" where there is one. */
  readonly stratum: string;
  /** As many as the table has measures; zeros add nothing. */
  readonly amounts: readonly number[];
}

export interface AmountCell {
  /** Place of its task among the tasks drawn. */
  readonly task: number;
  /** Where the sums of each of its strata begin. */
  readonly strata: readonly number[];
}

/** Entry k: string `strings[k]` under seed `seeds[k]` adds `amounts[k]` to sum `places[k]`. */
export interface StringTable {
  readonly cells: readonly AmountCell[];
  /** Sums in all: strata times measures. */
  readonly sums: number;
  readonly strings: Int32Array;
  readonly seeds: Int32Array;
  readonly places: Int32Array;
  readonly amounts: Float64Array;
}

/** How often a replicate draws each string (by its place), seed and task. */
interface Draw {
  // One kind of array throughout: the sums are a run's innermost loop.
  readonly strings: Uint16Array;
  readonly seeds: Uint16Array;
  readonly tasks: Uint16Array;
}

/**
 * Cells are (task, property), their wordings pooled, in code-unit order, as are their strata: so the order of rows never shows.
 * @param measures amounts of every row
 * @param tasks all tasks among the rows, in the order in which they are drawn
 */
export function stringTable(
  rows: readonly AmountRow[],
  measures: number,
  { tasks, draws }: { readonly tasks: readonly string[]; readonly draws: Pick<StringDraws, "placeOf"> },
): StringTable {
  const cells = new Map<string, { task: number; strata: Set<string> }>();
  for (const { task, property, stratum } of rows) {
    const key = JSON.stringify([task, property]);
    const cell = cells.get(key) ?? { task: tasks.indexOf(task), strata: new Set<string>() };
    cell.strata.add(stratum);
    cells.set(key, cell);
  }
  const starts = new Map<string, number>();
  const sorted = [...cells]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, { task, strata }]): AmountCell => {
      const places = [...strata].sort().map((stratum) => {
        const start = starts.size * measures;
        starts.set(JSON.stringify([key, stratum]), start);
        return start;
      });
      return { task, strata: places };
    });
  const entries = new Map<string, { string: number; seed: number; place: number; amount: number }>();
  for (const row of rows) {
    const string = draws.placeOf(row);
    const start = starts.get(JSON.stringify([JSON.stringify([row.task, row.property]), row.stratum])) as number;
    row.amounts.forEach((amount, measure) => {
      if (amount === 0) return;
      const key = `${string}/${row.seed}/${start + measure}`;
      const entry = entries.get(key);
      if (entry) entry.amount += amount;
      else entries.set(key, { string, seed: row.seed, place: start + measure, amount });
    });
  }
  const all = [...entries.values()];
  return {
    cells: sorted,
    sums: starts.size * measures,
    strings: Int32Array.from(all, ({ string }) => string),
    seeds: Int32Array.from(all, ({ seed }) => seed),
    places: Int32Array.from(all, ({ place }) => place),
    amounts: Float64Array.from(all, ({ amount }) => amount),
  };
}

/** Fills `into` with the sums over a draw; exact, since all factors are whole numbers. */
function sumOver(table: StringTable, draw: Draw, into: Float64Array): void {
  const { strings, seeds, places, amounts } = table;
  into.fill(0);
  for (let entry = 0; entry < amounts.length; entry++) {
    const times = (draw.strings[strings[entry] as number] as number) * (draw.seeds[seeds[entry] as number] as number);
    if (times === 0) continue;
    const place = places[entry] as number;
    into[place] = (into[place] as number) + times * (amounts[entry] as number);
  }
}

// The two ways in which replicates are drawn: strings alone, or tasks and seeds as well.

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
export function valuesIn(table: StringTable, draws: Iterable<Draw>, statistics: readonly SumStatistic[]): number[][] {
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
