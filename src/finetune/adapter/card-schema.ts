/** An adapter card's JSON, strictly. */
import { z } from "zod";
import { type AdapterCard, LORA_TARGETS } from "../../records/training.js";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "64 lower-case hexadecimal digits");
const count = z.int().min(0);
const positive = z.int().min(1);
const share = z.number().min(0).max(1);

const settings = z.strictObject({
  lora: z.strictObject({
    rank: positive,
    alpha: z.number().positive(),
    dropout: z.number().min(0).lt(1),
    targets: z.array(z.enum(LORA_TARGETS)).min(1),
  }),
  epochs: z.number().min(0),
  maxSteps: positive.exactOptional(),
  batchExamples: positive,
  microbatchTokens: positive,
  order: z.enum(["by_prompt", "shuffled"]),
  treePacking: z.boolean(),
  learningRate: z.number().min(0),
  schedule: z.enum(["constant", "linear", "cosine"]),
  warmupShare: share,
  weightDecay: z.number().min(0),
  beta1: share,
  beta2: share,
  epsilon: z.number().min(0),
  maxGradientNorm: z.number().min(0),
  seed: z.int(),
  validationShare: share,
  validateEverySteps: count,
  checkpointEverySteps: count,
  activationCheckpointing: z.boolean(),
});

export const cardSchema: z.ZodType<AdapterCard> = z.strictObject({
  cardVersion: z.literal(1),
  inwardVersion: z.string().min(1),
  llamaCpp: z.string().min(1),
  adapter: z.strictObject({ sha256, bytes: positive }),
  base: z.strictObject({
    source: z.string().min(1),
    sha256,
    encoding: z.string().min(1),
    architecture: z.string().min(1),
  }),
  forcedOnto: z.array(z.strictObject({ sha256 })).min(1).exactOptional(),
  data: z.strictObject({ sha256, examples: count, validationExamples: count, answerTokens: count }),
  settings,
  initialAdapter: z.strictObject({ sha256 }).exactOptional(),
  machine: z.strictObject({
    device: z.string(),
    cpu: z.string(),
    cpuFlags: z.array(z.string()),
    threads: positive,
    kernels: z.record(z.string(), z.string()),
    blas: z.string().exactOptional(),
  }),
  losses: z.array(
    z.strictObject({
      step: positive,
      epoch: z.number().min(0),
      lossNatsPerToken: z.number(),
      answerTokens: count,
      learningRate: z.number(),
      gradientNorm: z.number(),
    }),
  ),
  validation: z.array(
    z.strictObject({
      step: count,
      lossNatsPerToken: z.number(),
      answersRight: count,
      answers: count,
    }),
  ),
});
