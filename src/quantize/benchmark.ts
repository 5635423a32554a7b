/** The YAML of a benchmark of one model's encodings: every key with its bounds, its default and what it means. */

import { dirname, resolve } from "node:path";
import { z } from "zod";
import { decodeUtf8, readPlainFile } from "../base/untrusted.js";
import { MOST_YAML_BYTES } from "../base/yaml.js";
import { InwardError } from "../errors.js";
import { FILE_TYPE_NAMES, IMATRIX_TYPE_NAMES } from "../gguf/encodings.js";
import { parseBySchema } from "../study/load-study.js";
import { modelSchema } from "../study/model-schema.js";
import { studySchema } from "../study/schema.js";
import { countUpTo, distinct, list, name } from "../study/schema-parts.js";
import type { Read } from "../study/study.js";
import { isOnnxKind, ONNX_KIND_NAMES } from "./onnx-variants.js";
import { SOURCE } from "./variants.js";

const studyKeys = studySchema.shape;

/** What a study of the answers is made of, as a study has it. */
const ANSWER_KEYS = [
  "properties",
  "ownProperties",
  "propertiesFrom",
  "ownPrefixes",
  "judge",
  "system",
  "objectLevel",
  "hypothetical",
  "calibration",
  "noiseFloor",
] as const;

const textSchema = z.strictObject({
  file: z.string().min(1).describe("Path of a UTF-8 text, relative to this file. Nothing in it is a control token."),
  context: z
    .int()
    .min(8)
    .max(1 << 20)
    .default(512)
    .describe("Tokens of a window; the first is read as BOS where the model wants one, the second half is looked at."),
  windows: countUpTo(1_000_000).optional().describe("Most windows, the first ones; all of the text when absent."),
  writeBase: z
    .boolean()
    .default(false)
    .describe("Keep a base file of the source in the run folder, for llama-perplexity --kl-divergence."),
  base: z
    .string()
    .min(1)
    .optional()
    .describe(
      "A base file that llama-perplexity --kl-divergence-base wrote of the same text, relative to this file: all files, the source too, are also held against it.",
    ),
});

const speedSchema = z.strictObject({
  promptTokens: countUpTo(100_000).default(256).describe("Tokens that are read at once."),
  answerTokens: countUpTo(100_000).default(48).describe("Tokens that are written, one after the other."),
  rounds: countUpTo(1000)
    .default(3)
    .describe("Each file once in each round, in an order that turns from round to round."),
  llamaCpp: z
    .boolean()
    .default(true)
    .describe("Beside our own forward pass also time llama.cpp's kernels on the same file, in the same rounds."),
});

/** The state that wears on one file what another learnt. */
export function wornName(trainedOn: string, askedOn: string): string {
  return `${trainedOn}-on-${askedOn}`;
}

const adaptersSchema = z.strictObject({
  trainedOn: distinct("file", list(name)).describe(
    "Files, by name, of which each learns to predict itself: source, a type, a name of files.",
  ),
  askedOn: distinct("file", list(name))
    .optional()
    .describe("Files that wear each of these adapters and are asked; trainedOn when absent."),
  lora: studyKeys.lora.unwrap().prefault({}).describe("How they are trained, as in a study."),
});

export const benchmarkSchema = z
  .strictObject({
    quantize: name.describe("The benchmark's name; run folders carry it."),
    seed: studyKeys.seed,
    source: modelSchema.describe(
      "What all files are held against: F32, F16 or BF16. A quantized model wants encoding: f32. Paths are relative to this file.",
    ),
    types: distinct("type", list(z.enum([...FILE_TYPE_NAMES, ...IMATRIX_TYPE_NAMES, ...ONNX_KIND_NAMES])))
      .optional()
      .describe(
        "What is made of the source: by llama.cpp's quantizer, byte for byte what llama-quantize writes; or, where a name begins with onnx, an ONNX graph that onnxruntime evaluates (docs/onnx.md).",
      ),
    files: z
      .record(name, z.string().min(1))
      .refine((files) => !Object.hasOwn(files, SOURCE), `call no file ${SOURCE}`)
      .refine((files) => !Object.keys(files).some(isOnnxKind), `${ONNX_KIND_NAMES.join(", ")} are no names of files`)
      .default({})
      .describe("Files of the same model that were made elsewhere: names, and registry names, hf: URIs or paths."),
    imatrix: z
      .string()
      .min(1)
      .optional()
      .describe(
        "An importance matrix of llama-imatrix, relative to this file; types whose names begin with iq2 or iq3 need one.",
      ),
    imatrixTexts: list(z.string().min(1), 100)
      .optional()
      .describe(
        "Texts that the importance matrix was made from, relative to this file: their content is held against the text that is looked at.",
      ),
    text: textSchema.optional().describe("A text on which logits are compared, as llama-perplexity does it."),
    tasks: studyKeys.tasks
      .optional()
      .describe(
        "As in a study: what all files are asked, what they say of themselves, and the answers on which logits are compared.",
      ),
    ...(Object.fromEntries(ANSWER_KEYS.map((key) => [key, studyKeys[key]])) as Pick<
      typeof studyKeys,
      (typeof ANSWER_KEYS)[number]
    >),
    adapters: adaptersSchema
      .optional()
      .describe(
        "Adapters that are trained on one file and asked on another: who learns at one precision, and runs at another.",
      ),
    speed: z
      .union([speedSchema, z.literal(false)])
      .prefault({})
      .describe("How fast each file is, here and now; false: not measured."),
    floorTexts: z
      .int()
      .min(1)
      .max(10_000)
      .default(8)
      .describe("Windows, and answers, of which each file is held against itself in another batch composition."),
    engine: studyKeys.engine,
    score: studyKeys.score,
  })
  .refine(({ types, files }) => (types?.length ?? 0) + Object.keys(files).length > 0, {
    path: ["types"],
    message: "name at least one type, or a file under files",
  })
  .refine(({ types = [], files }) => types.every((type) => !Object.hasOwn(files, type)), {
    path: ["files"],
    message: "a file has the name of a type that is made",
  })
  .refine(({ adapters, tasks }) => adapters === undefined || tasks !== undefined, {
    path: ["adapters"],
    message: "learn and are asked what tasks names, and there are none",
  })
  .superRefine(({ adapters, types = [], files }, context) => {
    const names = [SOURCE, ...types, ...Object.keys(files)];
    for (const key of ["trainedOn", "askedOn"] as const) {
      const graph = adapters?.[key]?.find(isOnnxKind);
      if (graph !== undefined) {
        const message = `names ${graph}, which is an ONNX graph: those wear no adapters`;
        context.addIssue({ code: "custom", path: ["adapters", key], message });
        continue;
      }
      const strange = adapters?.[key]?.find((one) => !names.includes(one));
      if (strange === undefined) continue;
      const message = `names ${strange}, and the benchmark's files are ${names.join(", ")}`;
      context.addIssue({ code: "custom", path: ["adapters", key], message });
    }
    const crossed = adapters?.trainedOn.flatMap((from) =>
      (adapters.askedOn ?? adapters.trainedOn).map((on) => wornName(from, on)),
    );
    const twice = crossed?.find((one, at) => names.includes(one) || crossed.indexOf(one) < at);
    if (twice !== undefined) {
      const message = `an adapter on a file would be called ${twice}, and so is another: rename a file`;
      context.addIssue({ code: "custom", path: ["adapters"], message });
    }
  })
  .refine(({ imatrix, imatrixTexts }) => imatrixTexts === undefined || imatrix !== undefined, {
    path: ["imatrixTexts"],
    message: "are those that imatrix was made from, and there is none",
  })
  .refine(({ text, tasks, speed }) => text !== undefined || tasks !== undefined || speed !== false, {
    path: ["text"],
    message: "name a text, tasks, or speed: else there is nothing to measure",
  });

export type Benchmark = Read<typeof benchmarkSchema>;

/** @throws InwardError STUDY_NOT_FOUND, STUDY_NOT_YAML, STUDY_UNKNOWN_KEY, STUDY_INVALID, USAGE */
export function loadBenchmark(path: string, overrides: readonly string[] = []): Benchmark {
  const refuse = (why: string) =>
    new InwardError("STUDY_NOT_FOUND", `There is no benchmark that can be read at ${path} (${why}).`);
  const text = decodeUtf8(readPlainFile(path, MOST_YAML_BYTES, refuse), { code: "STUDY_NOT_YAML", place: path });
  return withFullPaths(parseBySchema(benchmarkSchema, text, path, overrides), dirname(resolve(path)));
}

const isPath = (text: string) => /[\\/]|\.(ya?ml|gguf)$/i.test(text);

/** Paths start at the benchmark's own folder, wherever the study of its answers is read. */
function withFullPaths(benchmark: Benchmark, folder: string): Benchmark {
  const full = (path: string) => resolve(folder, path);
  const { source, text, imatrix, imatrixTexts, files, tasks, propertiesFrom, hypothetical } = benchmark;
  const { wordings, questions } = hypothetical;
  const { chat } = source;
  return {
    ...benchmark,
    source: {
      ...source,
      source: isPath(source.source) && !source.source.startsWith("hf:") ? full(source.source) : source.source,
      ...(chat === undefined || chat === "template" || chat === "plain" ? {} : { chat: full(chat) }),
    },
    files: Object.fromEntries(
      Object.entries(files).map(([key, path]) => [key, isPath(path) && !path.startsWith("hf:") ? full(path) : path]),
    ),
    ...(imatrix === undefined ? {} : { imatrix: full(imatrix) }),
    ...(imatrixTexts === undefined ? {} : { imatrixTexts: imatrixTexts.map(full) }),
    ...(text
      ? { text: { ...text, file: full(text.file), ...(text.base === undefined ? {} : { base: full(text.base) }) } }
      : {}),
    ...(tasks ? { tasks: tasks.map((one) => (isPath(one.task) ? { ...one, task: full(one.task) } : one)) } : {}),
    ...(propertiesFrom ? { propertiesFrom: propertiesFrom.map(full) } : {}),
    hypothetical: {
      ...hypothetical,
      ...(typeof wordings === "string" ? { wordings: full(wordings) } : {}),
      ...(typeof questions === "string" ? { questions: full(questions) } : {}),
    },
  };
}

/** The study that asks all files the same, and everyone about itself and about the source, and the source about everyone. */
export function answersStudy(benchmark: Benchmark, paths: Readonly<Record<string, string>>): Record<string, unknown> {
  const names = Object.keys(paths);
  const others = names.filter((one) => one !== SOURCE);
  const models = Object.fromEntries(names.map((one) => [one, { path: paths[one] as string }]));
  return askedAlike(benchmark, models, {
    calibration: benchmark.calibration,
    noiseFloor: benchmark.noiseFloor,
    predictions: [
      ...names.map((one) => ({ predictor: one, target: one })),
      ...others.flatMap((one) => [
        { predictor: one, target: SOURCE },
        { predictor: SOURCE, target: one },
      ]),
    ],
  });
}

/** A study of files of one model that puts the benchmark's questions. @param more keys of the study */
export function askedAlike(
  { quantize, seed, source, tasks, engine, score, ...rest }: Benchmark,
  files: Readonly<Record<string, { readonly path: string; readonly adapter?: string }>>,
  more: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const { chat, system } = source;
  const given = (values: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
  return {
    study: quantize,
    seed,
    models: Object.fromEntries(
      Object.entries(files).map(([one, { path, adapter }]) => [one, given({ source: path, chat, system, adapter })]),
    ),
    tasks,
    ...given(Object.fromEntries(ANSWER_KEYS.map((key) => [key, rest[key]]))),
    calibration: undefined,
    noiseFloor: undefined,
    ...more,
    engine,
    score,
  };
}
