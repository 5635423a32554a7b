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
});

const speedSchema = z.strictObject({
  promptTokens: countUpTo(100_000).default(256).describe("Tokens that are read at once."),
  answerTokens: countUpTo(100_000).default(48).describe("Tokens that are written, one after the other."),
  rounds: countUpTo(1000)
    .default(3)
    .describe("Each file once in each round, in an order that turns from round to round."),
});

export const benchmarkSchema = z
  .strictObject({
    quantize: name.describe("The benchmark's name; run folders carry it."),
    seed: studyKeys.seed,
    source: modelSchema.describe(
      "What all files are held against: F32, F16 or BF16. A quantized model wants encoding: f32. Paths are relative to this file.",
    ),
    types: distinct("type", list(z.enum([...FILE_TYPE_NAMES, ...IMATRIX_TYPE_NAMES])))
      .optional()
      .describe("What llama.cpp's quantizer makes of the source: byte for byte what llama-quantize writes."),
    files: z
      .record(name, z.string().min(1))
      .refine((files) => !Object.hasOwn(files, SOURCE), `call no file ${SOURCE}`)
      .default({})
      .describe("Files of the same model that were made elsewhere: names, and registry names, hf: URIs or paths."),
    imatrix: z
      .string()
      .min(1)
      .optional()
      .describe(
        "An importance matrix of llama-imatrix, relative to this file; types whose names begin with iq2 or iq3 need one.",
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
  const { source, text, imatrix, files, tasks, propertiesFrom, hypothetical } = benchmark;
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
    ...(text ? { text: { ...text, file: full(text.file) } } : {}),
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
export function answersStudy(
  { quantize, seed, source, tasks, engine, score, ...rest }: Benchmark,
  paths: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const { chat, system } = source;
  const names = Object.keys(paths);
  const others = names.filter((one) => one !== SOURCE);
  const given = (values: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
  return {
    study: quantize,
    seed,
    models: Object.fromEntries(names.map((one) => [one, given({ source: paths[one], chat, system })])),
    tasks,
    ...given(Object.fromEntries(ANSWER_KEYS.map((key) => [key, rest[key]]))),
    predictions: [
      ...names.map((one) => ({ predictor: one, target: one })),
      ...others.flatMap((one) => [
        { predictor: one, target: SOURCE },
        { predictor: SOURCE, target: one },
      ]),
    ],
    engine,
    score,
  };
}
