/** What a benchmark comes to before anything is made: files, texts, questions, and about how long on this machine. */

import { type FileTypeName, FILE_TYPE_NAMES } from "../gguf/encodings.js";
import { readGguf } from "../gguf/read-gguf.js";
import { openTokenizer } from "../model/engines/start-engine.js";
import { locateModel } from "../model/locate-model.js";
import { weightBytes } from "../model/model-shape.js";
import { onnxBytes } from "../onnx/write-onnx.js";
import { dryRun } from "../run/dry-run.js";
import { modelProgress, type WorkOptions } from "../run/open-model.js";
import type { AuthoredStudy } from "../run/run-study.js";
import { type Benchmark, answersStudy, loadBenchmark } from "./benchmark.js";
import { cutWindows, readTextFile } from "./text-windows.js";
import { isOnnxKind, ONNX_KINDS, type OnnxKindName, requireOnnxFor } from "./onnx-variants.js";
import { SOURCE } from "./variants.js";

export interface QuantizeEstimate {
  /** Bytes; null where nobody knows it before the file is made, or where a file given is not looked at. */
  readonly files: readonly { readonly name: string; readonly bytes: number | null }[];
  readonly text?: { readonly tokens: number; readonly windows: number; readonly positions: number };
  /** Of all files together. */
  readonly questions?: { readonly objectLevel: number; readonly hypothetical: number };
  /** Seconds, for all files, at the source's own rate; or why not. */
  readonly seconds:
    | { readonly ok: true; readonly value: number; readonly parts: Readonly<Record<string, number>> }
    | { readonly ok: false; readonly reason: string };
  readonly assumptions: readonly string[];
}

/** What opening a file takes, seconds, each time. */
const OPENING = 2;
/** A token that is written takes about as long as so many that are read together. */
const WRITING = 8;

/** @throws InwardError STUDY_*, MODEL_*, ENGINE_* */
export async function estimateQuantize(
  path: string,
  { set = [], ...options }: WorkOptions & { readonly set?: readonly string[]; readonly measure?: boolean } = {},
): Promise<QuantizeEstimate> {
  const benchmark = loadBenchmark(path, set);
  requireOnnxFor(benchmark.types ?? []);
  const { signal, onProgress } = options;
  const located = await locateModel(benchmark.source, { onProgress: modelProgress(onProgress), signal });
  const { shape, basePath } = located;
  const { types = [], files: given, text, tasks, speed, adapters, floorTexts } = benchmark;
  const sizeOf = (type: string) =>
    shape && (FILE_TYPE_NAMES as readonly string[]).includes(type) ? weightBytes(shape, type as FileTypeName) : null;
  const files = [
    { name: SOURCE, bytes: located.weights?.bytes ?? null },
    ...(await Promise.all(
      types.map(async (name) => ({ name, bytes: isOnnxKind(name) ? await graphBytes(basePath, name) : sizeOf(name) })),
    )),
    ...Object.keys(given).map((name) => ({ name, bytes: null })),
  ];
  const assumptions = [
    "Every file is taken to be as fast as the source; the sizes of mixtures are those of another model and rows of whole superblocks.",
  ];

  const windows = text && basePath !== undefined ? await countWindows(benchmark, basePath) : undefined;
  // The study of one file, on the source alone: prompts and questions are the same for all of them. Its rate is wanted without tasks too.
  const study = answersStudy(
    {
      ...benchmark,
      tasks: tasks ?? [{ task: "animals_long", trainStrings: 0, heldOutStrings: 4, train: true, examples: true }],
    },
    { [SOURCE]: benchmark.source.source },
  );
  const models = { [SOURCE]: { ...benchmark.source } };
  const one = await dryRun({ ...study, models } as unknown as AuthoredStudy, options);
  const stageSeconds = one.stages.map(({ time }) => time);
  const rate = one.models[0]?.rates.objectLevel;
  const unknown = stageSeconds.find((time) => !time.ok);
  const count = files.length;
  const graphs = types.filter(isOnnxKind).length;
  const questions = tasks
    ? { objectLevel: one.objectLevel * count, hypothetical: one.hypothetical * count }
    : undefined;
  const seconds = ((): QuantizeEstimate["seconds"] => {
    if (!rate?.ok) return { ok: false, reason: rate?.reason ?? "nothing was measured" };
    if (tasks && unknown && !unknown.ok) return { ok: false, reason: unknown.reason };
    const { tokensPerSecond } = rate.rate;
    const floors = text ? Math.min(floorTexts, windows?.windows ?? 0) * 2 * text.context : 0;
    const parts: Record<string, number> = {
      making: types.length * 3 * OPENING,
      ...(text && windows
        ? { text: count * ((windows.windows * text.context + floors) / tokensPerSecond + 4 * OPENING) }
        : {}),
      ...(tasks
        ? {
            answers: count * stageSeconds.reduce((sum, time) => sum + (time.ok ? time.seconds : 0), 0),
            "comparing answers": count * ((stageSeconds[0]?.ok ? stageSeconds[0].seconds : 0) / 2 + 4 * OPENING),
          }
        : {}),
      ...(speed
        ? {
            speed:
              speed.rounds *
              // llama.cpp's turn beside ours; it runs no graphs.
              (count + (speed.llamaCpp ? count - graphs : 0)) *
              (2 * OPENING + (speed.promptTokens + WRITING * speed.answerTokens) / tokensPerSecond),
          }
        : {}),
    };
    return { ok: true, value: Object.values(parts).reduce((sum, part) => sum + part, 0), parts };
  })();
  if (adapters) assumptions.push("Training the adapters and asking the files that wear them is not counted.");
  if (graphs > 0) {
    assumptions.push(
      "ONNX graphs are asked one question after the other, and each file is also read a token at a time: that takes longer than is counted.",
    );
  }
  if (text && basePath === undefined) assumptions.push("The model is not here: the text is not counted.");
  return {
    files,
    ...(windows ? { text: windows } : {}),
    ...(questions ? { questions } : {}),
    seconds,
    assumptions,
  };
}

/** @returns null where the model is not here @throws ONNX_MODEL */
async function graphBytes(path: string | undefined, kind: OnnxKindName): Promise<number | null> {
  return path === undefined ? null : onnxBytes(await readGguf(path), ONNX_KINDS[kind]);
}

async function countWindows(
  { text }: Benchmark,
  path: string,
): Promise<NonNullable<QuantizeEstimate["text"]> | undefined> {
  if (text === undefined) return undefined;
  const tokenizer = await openTokenizer(path);
  try {
    const [ids = []] = await tokenizer.plainIds([readTextFile(text.file).text]);
    const { windows, positions, tokens } = cutWindows({ ids }, text.context, text.windows);
    return { tokens, windows: windows.length, positions: windows.length * positions };
  } finally {
    await tokenizer.dispose();
  }
}
