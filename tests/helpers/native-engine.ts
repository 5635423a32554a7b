/** The addon's engine in the test's own process: nothing stands between test and addon. */
import type { Engine, NativeAnswers, NativeCounts, NativeEngineOptions, NativeWork } from "../../native/index.js";
import type { DeviceName } from "../../src/model/device.js";
import { requireWritten } from "../../src/model/interventions.js";
import { findBinaries, loadAddon } from "../../src/model/native/addon.js";

/** Who evaluates in the native engine. */
export const FORWARDS = ["llama.cpp", "own"] as const;

/** A process holds the libraries of one device: a test file opens engines on one only. */
export async function openEngine(modelPath: string, options: Partial<NativeEngineOptions> = {}): Promise<Engine> {
  const { device = "cpu" } = options;
  const binariesFolder = options.binariesFolder ?? findBinaries(device as DeviceName).folder;
  const { Engine } = await loadAddon(binariesFolder);
  return new Engine({
    modelPath,
    binariesFolder,
    device,
    threads: 1,
    sequences: 4,
    batchTokens: 64,
    mostCells: 0,
    strict: false,
    cacheType: "f32",
    ...options,
  });
}

export interface Item {
  readonly ids: readonly number[];
  /** Default 0. */
  readonly maxTokens?: number;
  /** Default: nothing is scored. */
  readonly scoreFrom?: number;
  /** In [0, 1), for each answer token; greedy when absent. */
  readonly draws?: readonly number[];
}

export function workOf(items: readonly Item[], more: Partial<NativeWork> = {}): NativeWork {
  const starts = [0];
  for (const { ids } of items) starts.push((starts.at(-1) as number) + ids.length);
  const columns = Math.max(0, ...items.map(({ maxTokens = 0 }) => maxTokens));
  const draws = items.flatMap((item) => Array.from({ length: columns }, (_, at) => item.draws?.[at] ?? -1));
  return {
    tokenIds: Int32Array.from(items.flatMap(({ ids }) => ids)),
    starts: Int32Array.from(starts),
    scoreFrom: Int32Array.from(items, ({ ids, scoreFrom = ids.length }) => scoreFrom),
    maxTokens: Int32Array.from(items, ({ maxTokens = 0 }) => maxTokens),
    draws: items.some((item) => item.draws) ? Float64Array.from(draws) : new Float64Array(0),
    topTokens: 0,
    readIds: new Int32Array(0),
    ...more,
  };
}

/** What became of one item. */
export interface Answered {
  readonly tokenIds: readonly number[];
  readonly logprobs: readonly number[];
  readonly margins: readonly number[];
  readonly entropies: readonly number[];
  readonly ended: boolean;
  readonly scores: readonly number[];
  readonly logSumExp: number;
  readonly topIds: readonly number[];
  readonly topLogprobs: readonly number[];
  readonly readLogprobs: readonly number[];
}

/** Asks one group to its end. @returns by item */
export function answer(
  engine: Engine,
  work: NativeWork,
): { readonly answers: Answered[]; readonly counts: NativeCounts } {
  engine.begin(work);
  const answers: Answered[] = [];
  let goesOn = true;
  while (goesOn) {
    goesOn = engine.step();
    const taken = engine.take();
    requireWritten(work, taken);
    collect(taken, answers);
  }
  return { answers, counts: engine.counts() };
}

function collect(taken: NativeAnswers, answers: Answered[]): void {
  const rows = taken.items.length;
  const columnsOf = (array: { readonly length: number }) => (rows === 0 ? 0 : array.length / rows);
  const row = (array: Float64Array | Int32Array, at: number) =>
    Array.from(array.subarray(at * columnsOf(array), (at + 1) * columnsOf(array)));
  let token = 0;
  let score = 0;
  taken.items.forEach((item, at) => {
    const [nextToken, nextScore] = [token + (taken.counts[at] as number), score + (taken.scoreCounts[at] as number)];
    const generated = (array: Float64Array | Int32Array) => Array.from(array.subarray(token, nextToken));
    answers[item] = {
      tokenIds: generated(taken.tokenIds),
      logprobs: generated(taken.logprobs),
      margins: generated(taken.margins),
      entropies: generated(taken.entropies),
      ended: taken.ended[at] === 1,
      scores: Array.from(taken.scores.subarray(score, nextScore)),
      logSumExp: taken.logSumExps[at] as number,
      topIds: row(taken.topIds, at),
      topLogprobs: row(taken.topLogprobs, at),
      readLogprobs: row(taken.readLogprobs, at),
    };
    [token, score] = [nextToken, nextScore];
  });
}
