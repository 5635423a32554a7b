/** The YAML of a study: strict, every default filled in here and nowhere else. */
import { z } from "zod";
import { EXPERIMENTS } from "../plan/experiment-names.js";
import type { Study, StudyEngine } from "../records/study.js";
import { calibrationSchema, toStudyCalibration } from "./calibration-schema.js";
import { loraSchema, toStudyLora } from "./lora-schema.js";
import { modelSchema, toStudyModel } from "./model-schema.js";
import {
  changeSchema,
  controlsSchema,
  predictionSchema,
  toStudyChange,
  toStudyPredictions,
} from "./prediction-schema.js";
import { nameSchema } from "./name-schema.js";
import { settleExperiments } from "./settle-experiments.js";

const count = (most: number) => z.int().min(1).max(most);

const task = z.strictObject({
  task: z.string().min(1).describe("Built-in name, or path of a task YAML relative to the study."),
  trainStrings: z
    .int()
    .min(0)
    .max(100_000)
    .default(100)
    .describe("Strings whose behaviors baselines, and adapters, may learn from."),
  heldOutStrings: count(100_000).default(100).describe("Strings that are scored."),
  train: z
    .boolean()
    .default(true)
    .describe("With lora: false holds the task out, its train strings serve baselines only."),
  examples: z.boolean().default(true).describe("Solved examples as earlier chat turns; small models need them."),
  properties: z.array(z.string()).min(1).optional().describe("Properties to take; the task's own list when absent."),
});

const engine = z.strictObject({
  engine: z
    .enum(["auto", "native", "node-llama-cpp"])
    .default("auto")
    .describe("auto: native where it is built, else node-llama-cpp; the plan says which one it was."),
  device: z.enum(["auto", "cpu", "cuda", "vulkan", "metal"]).default("auto"),
  forward: z
    .enum(["auto", "llama.cpp", "own"])
    .default("auto")
    .describe(
      "Native engine: who evaluates. own: inward's forward pass on the CPU, whose numbers depend on nothing but the prompt and the " +
        "processor's instruction set; weights as floats, whatever their encoding. auto: own where all models are F32, F16 or BF16, the " +
        "device is the CPU, and neither flashAttention nor blas is on; the plan says which one it was.",
    ),
  strict: z.boolean().default(false).describe("One sequence per decode, no prefix reuse: slow and bit-stable."),
  sequences: count(128)
    .optional()
    .describe(
      "Sequences evaluated at once; by default 32 (native, own forward pass), 16 (native) or 8 (node-llama-cpp).",
    ),
  threads: count(512).default(2).describe("CPU threads. Part of the plan: a thread count can change last bits."),
  flashAttention: z
    .boolean()
    .default(false)
    .describe(
      "Native engine: faster where many sequences share a cache, with keys and values rounded to half precision.",
    ),
  blas: z
    .boolean()
    .default(false)
    .describe(
      "Native engine on the CPU: ggml's BLAS plugin. Changes last bits, with quantized weights more; bench/README.md.",
    ),
  groupQuestions: count(10_000).default(96).describe("Questions asked as one unit; an interruption costs at most one."),
  topTokens: z.int().min(1).max(1000).default(10).describe("Most likely tokens stored at the first answer position."),
});

export const studySchema = z.strictObject({
  study: nameSchema.describe("The study's name; run folders carry it."),
  seed: z.int().min(0).default(0),
  models: z
    .record(nameSchema, modelSchema)
    .refine((models) => Object.keys(models).length > 0, "name at least one model"),
  tasks: z.array(task).min(1),
  properties: z.array(z.string()).min(1).optional().describe("For every task that does not choose its own."),
  experiments: z
    .array(z.enum(EXPERIMENTS))
    .min(1)
    .refine((names) => new Set(names).size === names.length, "name each experiment once")
    .optional()
    .describe("What is judged; by default whatever the rest of the study makes possible."),
  predictions: z
    .array(predictionSchema)
    .min(1)
    .optional()
    .describe("Who predicts whom; by default every model predicts itself."),
  controls: controlsSchema.prefault({}),
  changes: z
    .array(changeSchema)
    .default([])
    .describe("Further finetunings of self-predicting models on other behavior: do predictions follow?"),
  lora: loraSchema
    .optional()
    .describe("Train an adapter for each prediction, on the target's train strings; absent: nothing is trained."),
  system: z.string().default("").describe("System message of every prompt. Empty, it still stops a template's own."),
  objectLevel: z.strictObject({ temperature: z.union([z.literal(0), z.literal(1)]).default(0) }).prefault({}),
  hypothetical: z
    .strictObject({
      variants: z.array(z.string()).min(1).default(["minimal"]),
      maxTokens: count(4096).default(12),
      temperature: z.literal(0).default(0),
    })
    .prefault({}),
  engine: engine.prefault({}),
  noiseFloor: z.strictObject({ questions: z.int().min(0).max(10_000).default(48) }).prefault({}),
  score: z
    .strictObject({
      confidence: z.number().gt(0.5).lt(1).default(0.95),
      bootstrapReplicates: z.int().min(100).max(100_000).default(2000),
    })
    .prefault({}),
  calibration: calibrationSchema
    .optional()
    .describe("Compare whole distributions at temperature 1, behaviors with predictions; absent: only answers."),
});

export type StudyInput = z.infer<typeof studySchema>;

/** Settles what depends on other parts of the study. */
export function toStudy({ properties, predictions, lora, calibration, models, changes, ...input }: StudyInput): Study {
  return settleExperiments({
    ...input,
    engine: toStudyEngine(input.engine),
    models: Object.fromEntries(Object.entries(models).map(([state, one]) => [state, toStudyModel(one)])),
    tasks: input.tasks.map(({ properties: own, ...rest }) => {
      const chosen = own ?? properties;
      return { ...rest, ...(chosen ? { properties: chosen } : {}) };
    }),
    predictions:
      predictions?.flatMap(toStudyPredictions) ??
      Object.keys(models).map((state) => ({ predictor: state, target: state })),
    changes: changes.map(toStudyChange),
    ...(lora ? { lora: toStudyLora(lora, input.seed) } : {}),
    ...(calibration ? { calibration: toStudyCalibration(calibration) } : {}),
  });
}

export function toStudyEngine({ sequences, ...rest }: z.infer<typeof engine>): StudyEngine {
  return { ...rest, ...(sequences === undefined ? {} : { sequences }) };
}
