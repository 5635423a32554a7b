/** All source strings of a study in one order, and how often each replicate draws them; shared by all predictors, so that differences are paired. */
import type { MeasuredDistribution } from "../../records/calibration.js";
import { drawResamples } from "../cluster-bootstrap.js";
import type { DrawSettings } from "../resampling-settings.js";

/** How often each string counts, by its place. */
export type StringWeights = ArrayLike<number>;

export interface StringDraws {
  readonly strings: number;
  readonly placeOf: (string: Pick<MeasuredDistribution, "task" | "item">) => number;
  /** The task of the string at this place. */
  readonly taskAt: (place: number) => string;
  /** One entry per bootstrap replicate. */
  readonly replicates: readonly Uint16Array[];
}

/** Strings of a task are drawn among themselves, from the same stream as in the other scores. */
export function drawStrings(
  distributions: readonly Pick<MeasuredDistribution, "task" | "item">[],
  { bootstrapReplicates, bootstrapSeed }: DrawSettings,
): StringDraws {
  const byTask = new Map<string, Set<string>>();
  for (const { task, item } of distributions) byTask.set(task, (byTask.get(task) ?? new Set()).add(item));
  const places = new Map<string, number>();
  const tasks: string[] = [];
  const blocks = [...byTask.keys()].sort().map((task) => {
    const items = [...(byTask.get(task) as Set<string>)].sort();
    const start = places.size;
    for (const item of items) {
      places.set(JSON.stringify([task, item]), places.size);
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
    placeOf: ({ task, item }) => places.get(JSON.stringify([task, item])) as number,
    taskAt: (place) => tasks[place] as string,
    replicates,
  };
}
