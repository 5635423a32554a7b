/** The `lora` section of a study: flat keys, every default of training filled in here. */
import { z } from "zod";
import type { StudyLora } from "../records/study.js";
import { LORA_TARGETS } from "../records/training.js";

const count = (most: number) => z.int().min(1).max(most);
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
