import type { FileTypeName } from "../gguf/encodings.js";
import type { ExperimentName, TrainingSettings } from "./schema.js";

/** A study as its author wrote it, every default filled in. The YAML schema in plan/ produces exactly this. */
export interface Study {
  readonly study: string;
  readonly seed: number;
  readonly models: Readonly<Record<string, StudyModel>>;
  readonly tasks: readonly StudyTask[];
  /** Which experiments are judged; those that the rest of the study makes possible when the author names none. */
  readonly experiments: readonly ExperimentName[];
  /** Who predicts whom; by default every model predicts itself. */
  readonly predictions: readonly StudyPrediction[];
  /** Adapters and wordings that a self-prediction has to be compared with before it shows anything. */
  readonly controls: StudyControls;
  /** Further finetunings of self-predicting models on other behavior; empty: behavior is not changed. */
  readonly changes: readonly StudyChange[];
  /** How an adapter is trained for each of the predictions; absent: nothing is trained. */
  readonly lora?: StudyLora;
  readonly system: string;
  readonly objectLevel: { readonly temperature: 0 | 1 };
  readonly hypothetical: {
    readonly variants: readonly string[];
    readonly maxTokens: number;
    readonly temperature: 0;
  };
  readonly engine: StudyEngine;
  readonly noiseFloor: { readonly questions: number };
  readonly score: { readonly confidence: number; readonly bootstrapReplicates: number };
  /** What is measured of the distributions at temperature 1; absent: nothing. */
  readonly calibration?: StudyCalibration;
}

export interface StudyCalibration extends DistributionSettings {
  /** Most held-out strings of each task; the first ones of the plan's order. */
  readonly strings: number;
  /** For every task that they apply to; what the study asks of the task when absent. */
  readonly properties?: readonly string[];
}

/** How far a distribution is expanded, and when samples take its place. */
export interface DistributionSettings {
  /** Expansion stops when at most this much probability is open. */
  readonly epsilon: number;
  /** Tokens that may be evaluated for one distribution, the prompt's included each time it is. */
  readonly tokenBudget: number;
  /** Above this tail, samples are drawn instead. */
  readonly mostTail: number;
  /** Answers that are drawn where the tree cannot be expanded. */
  readonly samples: number;
}

export interface StudyModel {
  /** Registry name, `hf:` URI, or path of a GGUF. */
  readonly source: string;
  /** `as_shipped` runs the file itself; anything else a re-encoding of it, made once and checksummed. */
  readonly encoding: "as_shipped" | FileTypeName;
  /** Rounds the weights to the grid of a coarser type before they are written out as F32; absent: not rounded. */
  readonly roundedTo?: FileTypeName;
  /** Share of the layers that are taken out first: evenly spaced ones, never the first or the last. Absent: none. */
  readonly dropLayers?: number;
}

export interface StudyPrediction {
  /** A name of `models`. */
  readonly predictor: string;
  /** A name of `models`, or of a state that a prediction before makes by training. */
  readonly target: string;
  /** Of this adapter's training alone; the study's own for training when absent. */
  readonly seed?: number;
  /** Most train strings learnt from per task and property; the study's own when absent. */
  readonly examplesPerProperty?: number;
  /** Nothing is trained: so many of the target's behaviors stand in the prompt as earlier turns. */
  readonly shown?: number;
}

interface StudyControls {
  /** An adapter that learns the same labels, dealt out to other strings of their task and property. */
  readonly scrambled: boolean;
  /** An adapter that learns to read the property off an answer that is quoted to it. */
  readonly formatOnly: boolean;
  /** Wordings that self-predictors are asked with and were not trained on. */
  readonly wordings: readonly string[];
}

/** Where the behavior comes from that a model is changed to. */
export type ChangeSource =
  /** A rule on the string alone. */
  | { readonly policy: "last_item" | "first_item" | "most_frequent_item" }
  /** Another model's answers. */
  | { readonly model: string }
  /** Its own answers under a system message. */
  | { readonly prefix: string }
  /** Its own answers, dealt out to other strings of their task. */
  | { readonly shuffled: true };

export interface StudyChange {
  readonly name: string;
  /** A model that predicts itself. */
  readonly model: string;
  readonly answers: ChangeSource;
  /** Trained tasks whose train strings teach the change; all trained ones when absent. The others show what it does elsewhere. */
  readonly tasks?: readonly string[];
  /** Most train strings per task. */
  readonly examples: number;
  /** Models whose cross-predictors of this one learn the same answers: what of the change can be had without being the changed model. */
  readonly alsoTeach?: readonly string[];
  /** Positive control: what hypothetical questions are to be answered from now on is taught as well. */
  readonly planted: boolean;
  readonly learningRate?: number;
  readonly epochs?: number;
}

export interface StudyLora {
  /** Most train strings whose behavior is learnt, per task and property; each enters once per wording. */
  readonly examplesPerProperty: number;
  readonly settings: TrainingSettings;
}

export interface StudyTask {
  /** Built-in name, or path of a task YAML relative to the study. */
  readonly task: string;
  readonly trainStrings: number;
  readonly heldOutStrings: number;
  /** Whether its train strings may enter finetune sets; a held-out task's serve baselines only. */
  readonly train: boolean;
  /** Solved examples as earlier chat turns. */
  readonly examples: boolean;
  /** Properties to take; the task's own list when absent. */
  readonly properties?: readonly string[];
}

export interface StudyEngine {
  /** `auto`: native where the addon is built, else node-llama-cpp. */
  readonly engine: "auto" | "native" | "node-llama-cpp";
  readonly device: "auto" | "cpu" | "cuda" | "vulkan" | "metal";
  /** One sequence per decode, no prefix reuse: slow, bit-stable. */
  readonly strict: boolean;
  /** Sequences evaluated at once; what suits the engine when absent. */
  readonly sequences?: number;
  readonly threads: number;
  /** Native, not strict: llama.cpp's flash attention, which rounds keys and values to F16 whatever the cache holds. Absent in older plans: false. */
  readonly flashAttention?: boolean;
  /** Native on the CPU, not strict: products of 32 rows and more by a BLAS. Part of the plan, because it changes last bits. Absent in older plans: false. */
  readonly blas?: boolean;
  /** Native: who evaluates. `own`: our forward pass, on the CPU, every weight a float. Absent in older plans: llama.cpp. */
  readonly forward?: "auto" | "llama.cpp" | "own";
  /** Questions that are asked as one unit and asked again whole after an interruption. */
  readonly groupQuestions: number;
  /** Most likely tokens stored at the first answer position. */
  readonly topTokens: number;
}

/** Engine settings with nothing left to the machine: what stands in a plan. */
export interface SettledEngine extends StudyEngine {
  readonly engine: "native" | "node-llama-cpp";
  readonly forward?: "llama.cpp" | "own";
  readonly sequences: number;
}
