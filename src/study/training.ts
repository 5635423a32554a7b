/** Finetuning: what is trained on what, and how. */

import type { ChatMessage } from "../tasks/answer.js";

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

/** A line of a finetune set: an OpenAI chat of which the last assistant message is learnt. */
export interface TrainingExample {
  readonly messages: readonly ChatMessage[];
}

/** An example as the model reads it. The loss is on tokenIds[answerStart…]: the answer and its end-of-turn token. */
export interface EncodedExample {
  readonly tokenIds: readonly number[];
  readonly answerStart: number;
}

/** One optimizer step. */
export interface LossPoint {
  /** From 1. */
  readonly step: number;
  readonly epoch: number;
  /** Mean over the answer tokens of the step's batch, before its update. */
  readonly lossNatsPerToken: number;
  readonly answerTokens: number;
  readonly learningRate: number;
  /** Global L2 norm before clipping. */
  readonly gradientNorm: number;
}

/** A look at the validation examples after `step` updates. */
export interface ValidationPoint {
  readonly step: number;
  readonly lossNatsPerToken: number;
  /** Answers whose every token is the most likely one, teacher forced. */
  readonly answersRight: number;
  readonly answers: number;
}

/** Beside every adapter: what it is and how it came to be. */
export interface AdapterCard {
  readonly cardVersion: 1;
  readonly inwardVersion: string;
  readonly llamaCpp: string;
  readonly adapter: { readonly sha256: string; readonly bytes: number };
  readonly base: {
    readonly source: string;
    readonly sha256: string;
    readonly encoding: string;
    readonly architecture: string;
  };
  /** Set when the adapter was trained or converted for another base and put on this one by force. */
  readonly forcedOnto?: readonly { readonly sha256: string }[];
  /** sha256 of the encoded training examples in order, and their number. */
  readonly data: {
    readonly sha256: string;
    readonly examples: number;
    readonly validationExamples: number;
    readonly answerTokens: number;
  };
  readonly settings: TrainingSettings;
  readonly initialAdapter?: { readonly sha256: string };
  readonly machine: {
    readonly device: string;
    readonly cpu: string;
    readonly cpuFlags: readonly string[];
    readonly threads: number;
    /** Which kernel computes each kind of product, and what was measured to choose it. */
    readonly kernels: Readonly<Record<string, string>>;
    readonly blas?: string;
  };
  readonly losses: readonly LossPoint[];
  readonly validation: readonly ValidationPoint[];
}
