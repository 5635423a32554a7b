/** Files held against each other position by position, in a process of their own: one model is open at a time, its logits stay. */

import type { EngineManifest } from "../study/plan.js";
import type { SettledEngine } from "../study/study.js";
import type { ChatMessage } from "../tasks/answer.js";
import type { ChatFormat, PromptRendering } from "../model/chat/format.js";
import type { ModelFacts, RenderedPrompt } from "../model/language-model.js";
import { engineEnvironment } from "../model/native/blas-plugin.js";
import { builtScript, WorkerProcess } from "../model/worker-process.js";
import type { OnnxAnswer, OnnxQuestion, OnnxSettings } from "../onnx/onnx-session.js";

/** A text whose tokens from `scoreFrom` on are looked at: what is said of each, from those before it. */
export interface ComparedItem {
  readonly ids: readonly number[];
  /** At least 1. */
  readonly scoreFrom: number;
}

/** All that are looked at. */
export function positionsOf(items: readonly ComparedItem[]): number {
  return items.reduce((sum, { ids, scoreFrom }) => sum + ids.length - scoreFrom, 0);
}

/** What two files say of one position, in the order of a row: the kept one first. Natural logs, double precision, full vocabulary. */
export const COMPARISON = {
  /** Σ p_kept (log p_kept − log p) over the vocabulary. */
  klForward: 0,
  klBackward: 1,
  /** Log-probability of the token that follows. */
  keptTarget: 2,
  target: 3,
  /** Id of the most likely token. */
  keptBest: 4,
  best: 5,
  /** Its lead over the second, nats. */
  keptMargin: 6,
  margin: 7,
  /** The first as llama-perplexity sums it, terms of a kept log-probability of -16 or less left out. */
  klLlama: 8,
  done: 9,
} as const;
export const COMPARISON_FIELDS = Object.keys(COMPARISON).length;

/** Seconds of one round. */
export interface SpeedSample {
  readonly promptTokens: number;
  readonly readSeconds: number;
  readonly generatedTokens: number;
  readonly generatingSeconds: number;
}

/**
 * How texts are put before a file. `usual`: as it asks, many rows at once; a graph, each text in one pass. `pieces`: another batch composition,
 * one text after the other. `steps`: a token at a time; a graph, and the text's beginning in one pass, as answers are made.
 */
export type Reading = "usual" | "pieces" | "steps";

export interface CompareChoices {
  readonly chat?: ChatFormat;
  /** Default `usual`. */
  readonly reading?: Reading;
}

/** An ONNX graph that onnxruntime evaluates. */
export interface GraphFile {
  readonly path: string;
  /** Key heads, and numbers of each. */
  readonly cacheShape: readonly [number, number];
  /** Tokens that each row of logits has. */
  readonly vocabulary: number;
}

/** What the process serves. */
export interface CompareMethods {
  open(
    modelPath: string,
    settings: SettledEngine,
    choices: CompareChoices,
  ): Promise<{ readonly manifest: EngineManifest; readonly facts: ModelFacts }>;
  /** In the place of what was open. @throws ONNX_PACKAGES, ONNX_RUN */
  openGraph(graph: GraphFile, settings: OnnxSettings, reading: Reading): Promise<void>;
  close(): Promise<void>;
  fileIds(text: string): { readonly ids: number[]; readonly bos?: number };
  prompts(
    prompts: readonly ({ readonly messages: readonly ChatMessage[] } & PromptRendering)[],
  ): Promise<Pick<RenderedPrompt, "tokenIds" | "opened">[]>;
  /** Keeps what the open model says of all positions, in the place of what was kept before. */
  keep(items: readonly ComparedItem[]): Promise<void>;
  /** Keeps what a base file says. */
  keepBase(path: string, firstWindow: number, windows: number): Promise<void>;
  /** @returns [positions × COMPARISON_FIELDS] of the open model against what is kept of the same items */
  compare(items: readonly ComparedItem[]): Promise<Float64Array>;
  appendBase(path: string, positions: number): Promise<void>;
  /** By the open graph: greedy answers, one after the other. */
  generate(questions: readonly OnnxQuestion[]): Promise<OnnxAnswer[]>;
  speed(prompt: readonly number[], answerTokens: number): Promise<SpeedSample>;
  /** The most that the process has held, bytes. */
  memory(): { readonly peakBytes: number };
}

/** Its notes are items that are done. */
export type CompareProcess = WorkerProcess<CompareMethods, number>;

/** End it when it has done its work. @param env beside this process's own, such as the one device that it sees */
export function startCompareProcess(
  settings: SettledEngine,
  env: Readonly<Record<string, string>> = {},
): CompareProcess {
  return new WorkerProcess<CompareMethods, number>({
    env: { ...engineEnvironment(settings), ...env },
    script: builtScript("./compare-worker.js", import.meta.url),
    owner: "comparison",
    crashCode: "ENGINE_CRASHED",
  });
}

/** Bytes that kept logits take at most. Not what memory allows at the moment: which texts are evaluated together is to be the same each time. */
const MOST_KEPT = 2 ** 29;

/** Positions that are kept at once, at least one. */
export function keptPositions(vocabulary: number): number {
  return Math.max(1, Math.floor(MOST_KEPT / (4 * vocabulary)));
}
