/** The YAML of a study: strict, every default filled in here and nowhere else. */

import { z } from "zod";
import { InwardError } from "../errors.js";
import { FILE_TYPE_NAMES } from "../gguf/encodings.js";
import type {
  Study,
  StudyCalibration,
  StudyChange,
  StudyEngine,
  StudyLora,
  StudyModel,
  StudyPrediction,
} from "./study.js";

// The experiments that a study may name.

/** In the order in which a report tells of them. */
export const EXPERIMENTS = [
  "self_prediction",
  "cross_prediction",
  "calibration",
  "behavioral_change",
  "matrix",
  "limits",
] as const;
export type ExperimentName = (typeof EXPERIMENTS)[number];

// The `calibration` section of a study.

const count = (most: number) => z.int().min(1).max(most);

export const calibrationSchema = z.strictObject({
  strings: count(100_000).default(50).describe("Most held-out strings of each task whose distributions are measured."),
  properties: z
    .array(z.string())
    .min(1)
    .optional()
    .describe("For every task that they apply to; what the study asks of the task when absent."),
  epsilon: z.number().gt(0).lt(1).default(0.001).describe("Expanding ends when at most this much probability is open."),
  tokenBudget: count(100_000_000).default(4096).describe("Tokens that may be evaluated for one distribution."),
  mostTail: z
    .number()
    .min(0)
    .lt(1)
    .default(0.05)
    .describe("Where more stays open than this, answers are drawn instead."),
  samples: count(1_000_000).default(200).describe("Answers drawn where expanding is out of reach."),
});

export function toStudyCalibration({ properties, ...rest }: z.infer<typeof calibrationSchema>): StudyCalibration {
  return { ...rest, ...(properties === undefined ? {} : { properties }) };
}

/** The projections that a LoRA pair can stand beside; `gate`, `up` and `down` are the feed-forward's. */
export const LORA_TARGETS = ["q", "k", "v", "o", "gate", "up", "down"] as const;

export type LoraTarget = (typeof LORA_TARGETS)[number];

export interface LoraSettings {
  /** Rank r of A [r, in] and B [out, r]. */
  readonly rank: number;
  /** The pair is scaled by alpha / rank. */
  readonly alpha: number;
  /** Probability that an input of A is dropped while training, 0 to below 1. */
  readonly dropout: number;
  readonly targets: readonly LoraTarget[];
}

/** Everything that a training run's result depends on, besides the base, the data and the machine. */
export interface TrainingSettings {
  readonly lora: LoraSettings;
  /** Passes over the set. */
  readonly epochs: number;
  /** Optimizer steps after which training ends, whatever the epochs say; absent: none. */
  readonly maxSteps?: number;
  /** Examples per optimizer step: their answer tokens' mean loss is one step's loss. */
  readonly batchExamples: number;
  /** Most tokens evaluated at once; a batch is cut into microbatches and their gradients are summed. */
  readonly microbatchTokens: number;
  /** `by_prompt` shuffles groups of examples that share a prompt's beginning and keeps each group together; `shuffled` shuffles examples. */
  readonly order: "by_prompt" | "shuffled";
  /** Whether examples that share their beginning share its evaluation. The gradient is the same either way. */
  readonly treePacking: boolean;
  /** Peak learning rate. */
  readonly learningRate: number;
  readonly schedule: "constant" | "linear" | "cosine";
  /** Share of all steps over which the learning rate rises from 0. */
  readonly warmupShare: number;
  /** Decoupled (AdamW), of A and B alike. */
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Gradients are scaled down to this global L2 norm; 0 leaves them alone. */
  readonly maxGradientNorm: number;
  readonly seed: number;
  /** Share of the set's prompts held back to watch the loss; 0 for none. */
  readonly validationShare: number;
  /** Steps between two looks at the validation examples; 0 looks only at the end. */
  readonly validateEverySteps: number;
  /** Steps between two checkpoints. */
  readonly checkpointEverySteps: number;
  /** Recompute each layer's activations in the backward pass: less memory, more time. */
  readonly activationCheckpointing: boolean;
}

// The `lora` section of a study: flat keys, every default of training filled in here.

const share = z.number().min(0).lt(1);

export const loraSchema = z.strictObject({
  examplesPerProperty: count(1_000_000)
    .default(1000)
    .describe("Most train strings learnt from per task and property; each enters once per wording."),
  rank: count(4096).default(16),
  alpha: z.number().gt(0).default(32).describe("The adapter's product is scaled by alpha / rank."),
  dropout: share.default(0),
  targets: z
    .array(z.enum(LORA_TARGETS))
    .min(1)
    .refine((targets) => new Set(targets).size === targets.length, "name each target once")
    .default([...LORA_TARGETS])
    .describe("Projections that get a LoRA pair."),
  epochs: count(10_000).default(1).describe("Passes over the set."),
  maxSteps: count(100_000_000).optional().describe("Optimizer steps after which training ends, whatever epochs says."),
  batchExamples: count(100_000).default(16).describe("Examples per optimizer step."),
  microbatchTokens: count(1_000_000).default(512).describe("Most tokens evaluated at once: lower needs less memory."),
  order: z
    .enum(["by_prompt", "shuffled"])
    .default("by_prompt")
    .describe("Shuffle groups of examples that share a prompt's beginning, or single examples."),
  treePacking: z
    .boolean()
    .default(true)
    .describe("Evaluate a shared beginning once; exact, and faster with by_prompt."),
  learningRate: z.number().gt(0).default(5e-4).describe("Peak learning rate."),
  schedule: z.enum(["constant", "linear", "cosine"]).default("linear"),
  warmupShare: z.number().min(0).max(1).default(0.1).describe("Share of the steps over which the rate rises from 0."),
  weightDecay: z.number().min(0).default(0),
  beta1: share.default(0.9),
  beta2: share.default(0.999),
  epsilon: z.number().gt(0).default(1e-8),
  maxGradientNorm: z.number().min(0).default(1).describe("Gradients are clipped to this global norm; 0 for no limit."),
  seed: z.int().min(0).optional().describe("Of initial weights, order and dropout; the study's seed when absent."),
  validationShare: share.default(0.05).describe("Share of the set's prompts held back to watch the loss."),
  validateEverySteps: z.int().min(0).default(10).describe("0 looks at them only at the end."),
  checkpointEverySteps: count(1_000_000).default(10).describe("What an interruption costs at most."),
  activationCheckpointing: z.boolean().default(false).describe("Less memory, more time."),
});

/** @param seed the study's, which training takes when it names none */
export function toStudyLora(
  { examplesPerProperty, rank, alpha, dropout, targets, maxSteps, ...rest }: z.infer<typeof loraSchema>,
  seed: number,
): StudyLora {
  return {
    examplesPerProperty,
    settings: {
      ...rest,
      lora: { rank, alpha, dropout, targets },
      ...(maxSteps === undefined ? {} : { maxSteps }),
      seed: rest.seed ?? seed,
    },
  };
}

// A model of a study: where it comes from, and what is made of it before it is asked.

export const modelSchema = z
  .strictObject({
    source: z.string().min(1).describe("Registry name, hf: URI, or path of a GGUF file."),
    encoding: z
      .enum(["as_shipped", ...FILE_TYPE_NAMES])
      .default("as_shipped")
      .describe(
        "Run the file itself, or a re-encoding of it: f32 and f16 do not care what stands in a batch together; the others need the addon.",
      ),
    roundedTo: z
      .enum(FILE_TYPE_NAMES)
      .exclude(["f32"])
      .optional()
      .describe(
        "With encoding: f32, the weights of a coarser quantization, computed in F32: another model without more batch noise. Needs the addon but for f16.",
      ),
    dropLayers: z
      .number()
      .gt(0)
      .lt(1)
      .optional()
      .describe(
        "Share of the layers taken out, side by side in the middle, never the first or the last: another network.",
      ),
  })
  .refine(({ encoding, roundedTo }) => roundedTo === undefined || encoding === "f32", {
    path: ["roundedTo"],
    message: "wants encoding: f32; for the quantization itself, say encoding: q4_0 alone",
  });

export function toStudyModel({ roundedTo, dropLayers, ...model }: z.infer<typeof modelSchema>): StudyModel {
  return {
    ...model,
    ...(roundedTo === undefined ? {} : { roundedTo }),
    ...(dropLayers === undefined ? {} : { dropLayers }),
  };
}

/** Names that become parts of file names. */
export const nameSchema = z.string().regex(/^[a-z0-9][a-z0-9_.-]*$/, "use lower-case letters, digits, _ . and -");

// Who predicts whom, what that is compared with, and how behavior is changed: the sections of a study that make model states.

const series = (most: number) => z.union([count(most), z.array(count(most)).min(1)]);

export const predictionSchema = z.strictObject({
  predictor: nameSchema,
  target: nameSchema.describe("A model, or a state that a prediction before makes, such as <model>-predicts-<model>."),
  seed: z
    .int()
    .min(0)
    .optional()
    .describe(
      "Of this adapter's training alone: initial weights, order, dropout. The state is then <predictor>-predicts-<target>-seed-<seed>.",
    ),
  examplesPerProperty: series(1_000_000)
    .optional()
    .describe("Most train strings learnt from per task and property, in the place of lora's; a list makes a series."),
  shown: series(10_000)
    .optional()
    .describe("Trains nothing: so many of the target's behaviors stand in the prompt; a list makes a series."),
});

export const controlsSchema = z.strictObject({
  scrambled: z.boolean().default(false).describe("An adapter that learns the same labels on other strings."),
  formatOnly: z.boolean().default(false).describe("An adapter that learns to read properties off quoted answers."),
  wordings: z
    .array(z.string())
    .default([])
    .describe("Wordings that self-predictors are asked with and not trained on, such as bare or another_ai."),
});

const changeSource = z.union([
  z.strictObject({ policy: z.enum(["last_item", "first_item", "most_frequent_item"]) }),
  z.strictObject({ model: nameSchema }),
  z.strictObject({ prefix: z.string().min(1) }),
  z.strictObject({ shuffled: z.literal(true) }),
]);

export const changeSchema = z.strictObject({
  name: nameSchema,
  model: nameSchema.describe("A model that predicts itself; its self-predictor is finetuned further."),
  answers: changeSource.describe(
    "What it learns to answer: a rule on the string, another model's answers, its own under a system message, or its own shuffled.",
  ),
  tasks: z.array(z.string()).min(1).optional().describe("Trained tasks that teach it; all of them when absent."),
  examples: count(1_000_000).default(1000).describe("Most train strings per task."),
  alsoTeach: z
    .array(nameSchema)
    .min(1)
    .optional()
    .describe(
      "Models that were trained to predict this one: their cross-predictors learn the same answers, and are asked about the changed model.",
    ),
  planted: z
    .boolean()
    .default(false)
    .describe("Positive control: hypothetical questions are taught too, so that predictions are known to follow."),
  learningRate: z.number().gt(0).optional(),
  epochs: count(10_000).optional(),
});

/** One for each member of a series. */
export function toStudyPredictions({
  seed,
  examplesPerProperty,
  shown,
  ...pair
}: z.infer<typeof predictionSchema>): StudyPrediction[] {
  const sizes = listOf(examplesPerProperty).map((size) => (size === undefined ? {} : { examplesPerProperty: size }));
  const pairs = listOf(shown).map((size) => (size === undefined ? {} : { shown: size }));
  return sizes.flatMap((size) =>
    pairs.map((some) => ({ ...pair, ...(seed === undefined ? {} : { seed }), ...size, ...some })),
  );
}

function listOf(one: number | number[] | undefined): (number | undefined)[] {
  return Array.isArray(one) ? one : [one];
}

export function toStudyChange({
  tasks,
  alsoTeach,
  learningRate,
  epochs,
  ...change
}: z.infer<typeof changeSchema>): StudyChange {
  return {
    ...change,
    ...(tasks === undefined ? {} : { tasks }),
    ...(alsoTeach === undefined ? {} : { alsoTeach }),
    ...(learningRate === undefined ? {} : { learningRate }),
    ...(epochs === undefined ? {} : { epochs }),
  };
}

// Which experiments a study has, and that it has what they need: known before anything is asked.

type Unsettled = Omit<Study, "experiments"> & { readonly experiments?: readonly ExperimentName[] | undefined };

/** Why a study cannot have an experiment; undefined where it can. */
const LACKS: Readonly<Record<ExperimentName, (study: Unsettled) => string | undefined>> = {
  self_prediction: ({ predictions }) =>
    predictions.some(isSelf) ? undefined : "no prediction of a model about itself (predictions)",
  cross_prediction: ({ predictions }) =>
    predictions.some((one) => !isSelf(one)) ? undefined : "no prediction of another model (predictions)",
  calibration: ({ calibration }) => (calibration ? undefined : "no calibration section"),
  behavioral_change: ({ changes }) => (changes.length > 0 ? undefined : "no changes section"),
  matrix: ({ predictions }) =>
    new Set(predictions.map(({ target }) => target)).size >= 2 &&
    new Set(predictions.map(({ predictor }) => predictor)).size >= 2
      ? undefined
      : "fewer than two targets or two predictors (predictions)",
  limits: () => undefined,
};

/** Experiments that nobody has who does not ask for them: they cost questions, or mean something only for chosen tasks. */
const ASKED_FOR: readonly ExperimentName[] = ["matrix", "limits"];

/** @throws STUDY_INVALID when an experiment is named that the study lacks something for */
export function settleExperiments(study: Unsettled): Study {
  const named = study.experiments;
  for (const name of named ?? []) {
    const lack = LACKS[name](study);
    if (lack) throw new InwardError("STUDY_INVALID", `experiments names ${name}, and the study has ${lack}.`);
  }
  const possible = EXPERIMENTS.filter((name) => !ASKED_FOR.includes(name) && LACKS[name](study) === undefined);
  const wanted = named ? EXPERIMENTS.filter((name) => named.includes(name)) : possible;
  return { ...study, experiments: wanted };
}

function isSelf({ predictor, target }: { predictor: string; target: string }): boolean {
  return predictor === target;
}

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
