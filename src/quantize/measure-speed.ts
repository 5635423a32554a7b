/** How fast each file reads and writes, and the most memory that it takes: rounds in which every file has its turn, so that a slow minute is shared. */

import { existsSync } from "node:fs";
import { readJson, writeJson } from "../base/files.js";
import { medianOf } from "../base/median.js";
import { InwardError } from "../errors.js";
import { type CompareProcess, type SpeedSample, startCompareProcess } from "./compare-logits.js";
import type { SettledEngine } from "../study/study.js";
import type { Variant } from "./variants.js";

export interface SpeedRound extends SpeedSample {
  readonly variant: string;
  readonly round: number;
  /** Whose kernels: ours where it is absent. */
  readonly by?: "llama.cpp";
  /** Of a process that has this file alone open, bytes. */
  readonly peakBytes: number;
}

/** Rates over rounds, tokens/s: the middle one, and the least and the most. */
export interface SpeedScores {
  readonly rounds: number;
  readonly reading: Spread;
  /** `missing`: why there is no rate. */
  readonly writing: Spread | { readonly missing: string };
  readonly peakBytes: number;
}

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

interface MeasureSpeedRequest {
  readonly variants: readonly TimedVariant[];
  readonly engine: SettledEngine;
  readonly promptTokens: number;
  readonly answerTokens: number;
  readonly rounds: number;
  /** Whether each file's turn is llama.cpp's too, right after ours. */
  readonly besideLlama: boolean;
  /** Where finished rounds are kept. */
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (done: number, total: number) => void;
}

type TimedVariant = Pick<Variant, "name" | "path" | "graph">;

/** Ids that any vocabulary of words has, without a pattern. */
function promptOf(tokens: number, vocabularySize: number): number[] {
  let state = 1;
  return Array.from({ length: tokens }, () => {
    state = (state * 48_271) % 2_147_483_647;
    return state % vocabularySize;
  });
}

/** @throws InwardError MODEL_*, ENGINE_*, STORE_* · INTERRUPTED: whole rounds are kept */
export async function measureSpeed({
  variants,
  engine,
  promptTokens,
  answerTokens,
  rounds,
  besideLlama,
  path,
  signal,
  onProgress,
}: MeasureSpeedRequest): Promise<SpeedRound[]> {
  const done: SpeedRound[] = existsSync(path) ? (await readJson<{ rounds: SpeedRound[] }>(path)).rounds : [];
  const own = { by: undefined, engine };
  const engines = [
    own,
    ...(besideLlama ? [{ by: "llama.cpp" as const, engine: { ...engine, forward: "llama.cpp" as const } }] : []),
  ];
  const enginesOf = ({ graph }: TimedVariant) => (graph ? [own] : engines);
  const each = variants.reduce((sum, variant) => sum + enginesOf(variant).length, 0);
  for (let round = done.length / each; round < rounds; round++) {
    const measured: SpeedRound[] = [];
    // Who is first turns, so that nobody always has the warm or the cold machine.
    for (let turn = 0; turn < variants.length; turn++) {
      if (signal?.aborted)
        throw new InwardError("INTERRUPTED", `Stopped in round ${round + 1} of ${rounds} of measuring speed.`);
      const variant = variants[(turn + round) % variants.length] as TimedVariant;
      const { name } = variant;
      for (const { by, engine: used } of enginesOf(variant)) {
        const worker = startCompareProcess(used);
        try {
          const prompt = promptOf(promptTokens, await openToTime(worker, variant, used, signal));
          // The first evaluation wakes threads and touches weights.
          await worker.call("speed", [prompt.slice(0, 16), 1], { signal });
          const sample = await worker.call("speed", [prompt, answerTokens], { signal });
          const { peakBytes } = await worker.call("memory", []);
          measured.push({ variant: name, round, ...(by ? { by } : {}), ...sample, peakBytes });
        } finally {
          await worker.end();
        }
        onProgress?.(done.length + measured.length, rounds * each);
      }
    }
    done.push(...measured);
    await writeJson(path, { rounds: done });
  }
  return done;
}

/** @returns tokens of its vocabulary */
async function openToTime(
  worker: CompareProcess,
  { path, graph }: TimedVariant,
  engine: SettledEngine,
  signal: AbortSignal | undefined,
): Promise<number> {
  if (!graph) return (await worker.call("open", [path, engine, {}], { signal })).facts.vocabularySize;
  // As it comes: its waiting threads spin.
  const settings = { threads: engine.threads, spin: true };
  await worker.call("openGraph", [{ path, ...graph }, settings, "usual"], { signal });
  return graph.vocabulary;
}

export function scoreSpeed(all: readonly SpeedRound[], variant: string, by?: SpeedRound["by"]): SpeedScores {
  const own = all.filter((round) => round.variant === variant && round.by === by);
  return {
    rounds: own.length,
    reading: spreadOf(own.map(({ promptTokens, readSeconds }) => promptTokens / readSeconds)),
    writing: writingOf(own),
    peakBytes: own.reduce((most, { peakBytes }) => Math.max(most, peakBytes), 0),
  };
}

/** A model may end every answer at once, as planted ones do. */
function writingOf(rounds: readonly SpeedRound[]): SpeedScores["writing"] {
  const none = rounds.filter(({ generatedTokens }) => generatedTokens === 0).length;
  if (none > 0)
    return { missing: `in ${none} of ${rounds.length} rounds it ended each answer before a token was written` };
  return spreadOf(rounds.map(({ generatedTokens, generatingSeconds }) => generatedTokens / generatingSeconds));
}

function spreadOf(rates: readonly number[]): Spread {
  return { median: medianOf(rates), least: Math.min(...rates), most: Math.max(...rates) };
}
