/** Opens a written model in a process of its own: what aborts in onnxruntime is a coded error here. */

import type { ChatVariables } from "../model/chat/format.js";
import { builtScript, type Remote, WorkerProcess } from "../model/worker-process.js";
import type { ChatMessage } from "../tasks/answer.js";
import { findOnnxPackage } from "./onnx-packages.js";
import type { OnnxAnswer, OnnxQuestion, OnnxSequence, OnnxSettings, OnnxTiming } from "./onnx-session.js";
import type { RenderedThere } from "./transformers-js.js";
import { type WriteOnnxOptions, type WrittenOnnx, writeOnnx } from "./write-onnx.js";

/** What the worker's process serves. */
export interface OnnxMethods {
  open(path: string, settings: OnnxSettings, cacheShape: readonly [number, number]): Promise<void>;
  score(sequences: readonly OnnxSequence[], how: "whole" | "steps"): Promise<OnnxAnswer[]>;
  generate(questions: readonly OnnxQuestion[]): Promise<OnnxAnswer[]>;
  distribution(promptIds: readonly number[]): Promise<Float64Array>;
  logits(ids: readonly number[], kept: number): Promise<Float32Array[]>;
  hiddenStates(ids: readonly number[], names: readonly string[]): Promise<Record<string, Float32Array>>;
  time(prompts: readonly (readonly number[])[], answerTokens: number): Promise<OnnxTiming>;
  openTransformers(folder: string, settings: OnnxSettings, padId: number): Promise<void>;
  tokenize(texts: readonly string[]): number[][];
  template(conversations: readonly (readonly ChatMessage[])[], variables: ChatVariables): RenderedThere[];
  generateThere(
    prompts: readonly (readonly number[])[],
    maxTokens: number,
    endIds: readonly number[],
  ): Promise<number[][]>;
  dispose(): Promise<void>;
}

export interface OnnxNote {
  readonly answered: number;
}

/** A graph that is open in a process of its own. */
export interface OnnxEngine
  extends Pick<Remote<OnnxMethods>, "score" | "distribution" | "logits" | "hiddenStates" | "time"> {
  generate(
    questions: readonly OnnxQuestion[],
    options?: { onAnswer?: () => void; signal?: AbortSignal },
  ): Promise<OnnxAnswer[]>;
  dispose(): Promise<void>;
}

/** @throws ONNX_PACKAGES · ONNX_RUN · ENGINE_CRASHED */
export async function openOnnx({ path, decoder }: WrittenOnnx, settings: OnnxSettings): Promise<OnnxEngine> {
  const worker = startWorker();
  try {
    await worker.remote.open(path, settings, [decoder.keyValueHeads, decoder.headWidth]);
  } catch (error) {
    await worker.end();
    throw error;
  }
  const { score, distribution, logits, hiddenStates, time } = worker.remote;
  return {
    score,
    distribution,
    logits,
    hiddenStates,
    time,
    generate: (questions, { onAnswer, signal } = {}) =>
      worker.call("generate", [questions], { onNote: () => onAnswer?.(), signal }),
    dispose: () => worker.end(),
  };
}

/** The same folder in transformers.js. */
export interface OpenTransformersJs extends Pick<Remote<OnnxMethods>, "tokenize" | "template"> {
  generate: Remote<OnnxMethods>["generateThere"];
  dispose(): Promise<void>;
}

/** @param padId any token: what is padded is masked @throws ONNX_PACKAGES · ONNX_RUN · ENGINE_CRASHED */
export async function openTransformersJs(
  folder: string,
  settings: OnnxSettings,
  padId: number,
): Promise<OpenTransformersJs> {
  const worker = startWorker();
  try {
    await worker.remote.openTransformers(folder, settings, padId);
  } catch (error) {
    await worker.end();
    throw error;
  }
  const { tokenize, template, generateThere } = worker.remote;
  return { tokenize, template, generate: generateThere, dispose: () => worker.end() };
}

function startWorker(): WorkerProcess<OnnxMethods, OnnxNote> {
  // Said here, before a process is started in vain.
  findOnnxPackage("onnxruntime-node");
  return new WorkerProcess<OnnxMethods, OnnxNote>({
    script: builtScript("./onnx-worker.js", import.meta.url),
    owner: "onnxruntime",
    crashCode: "ENGINE_CRASHED",
  });
}

/** A file that can be benchmarked beside a GGUF's encodings: what it is called, what it weighs, and how it is opened. */
export interface OnnxVariant {
  /** As `onnx nbits4, 8-bit activations`. */
  readonly name: string;
  /** Of graph and weights. */
  readonly bytes: number;
  readonly written: WrittenOnnx;
  open(settings: OnnxSettings): Promise<OpenVariant>;
}

export interface OpenVariant {
  /** [sequences] of each token of the answers, natural log at temperature 1; and the likeliest token there. */
  logprobs(sequences: readonly OnnxSequence[], how?: "whole" | "steps"): Promise<OnnxAnswer[]>;
  /** Of the last so many positions of a text that is evaluated whole, [kept] raw logits by token: what a divergence is made of. */
  logits(ids: readonly number[], kept: number): Promise<Float32Array[]>;
  generate: OnnxEngine["generate"];
  dispose(): Promise<void>;
}

/** @param folder of this variant alone @throws as writeOnnx */
export async function onnxVariant(
  path: string,
  folder: string,
  options: Pick<WriteOnnxOptions, "quantization" | "accuracyLevel"> = {},
): Promise<OnnxVariant> {
  const { quantization = "none", accuracyLevel = 0 } = options;
  const written = await writeOnnx(path, folder, options);
  const activations = quantization !== "none" && accuracyLevel === 4 ? ", 8-bit activations" : "";
  return {
    name: `onnx ${quantization === "none" ? "f32" : quantization}${activations}`,
    bytes: written.bytes,
    written,
    async open(settings) {
      const { score, logits, generate, dispose } = await openOnnx(written, settings);
      return { logprobs: (sequences, how = "whole") => score(sequences, how), logits, generate, dispose };
    },
  };
}
