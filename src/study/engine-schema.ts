/** The section `engine` of a study's YAML: who evaluates, and on what. */

import { z } from "zod";
import { deviceSchema } from "./devices.js";
import { countUpTo, withoutDefaults } from "./schema-parts.js";

/** As many as anybody reads: a line of an answer of thousands of tokens has them all. */
const MOST_ALTERNATIVES = 100;

/** Of a likely token in a line of answers: id, text and logprob. */
export const ALTERNATIVE_BYTES = 40;

/** More than any network has. */
const MOST_LAYERS = 10_000;

export const engineSchema = z.strictObject({
  engine: z
    .enum(["auto", "native", "node-llama-cpp"])
    .default("auto")
    .describe("auto: native where it is built, else node-llama-cpp; the plan says which one it was."),
  device: deviceSchema
    .default("auto")
    .describe(
      "Where models are evaluated and trained: auto (the best kind that is there), cpu, or GPUs of one kind: cuda (all of them), " +
        "vulkan:1, cuda:0,cuda:1. With cpu before them, training computes on the processor what they have no room for.",
    ),
  gpuLayers: z
    .union([z.enum(["auto", "all"]), z.int().min(0).max(MOST_LAYERS)])
    .default("auto")
    .describe(
      "Layers whose weights lie on the GPUs, the last ones. auto: as many as there is room for; the plan says how many where not all. " +
        "Asked, the others are computed on the processor; in training they are sent to the GPU one after the other.",
    ),
  split: z
    .enum(["layer", "none"])
    .default("layer")
    .describe("Over several devices: layer after layer; or none, only the first of them."),
  forward: z
    .enum(["auto", "llama.cpp", "own"])
    .default("auto")
    .describe(
      "Native engine: who evaluates. own: inward's forward pass on the CPU, whose numbers depend on nothing but the prompt and the " +
        "processor's instruction set; the file's weights exactly, where llama.cpp's CPU kernels round activations to 8 bits beside " +
        "quantized weights. auto: own on the CPU, where it knows all models' architectures and encodings, they have room, and neither " +
        "flashAttention nor blas is on; the plan says which one it was.",
    ),
  strict: z.boolean().default(false).describe("One sequence per decode, no prefix reuse: slow and bit-stable."),
  sequences: countUpTo(128)
    .optional()
    .describe(
      "Sequences evaluated at once; by default 64 (native, on a GPU), 32 (native, own forward pass), 16 (native) or 8 (node-llama-cpp).",
    ),
  threads: countUpTo(512).default(2).describe("CPU threads. Part of the plan: a thread count can change last bits."),
  exact: z
    .boolean()
    .default(false)
    .describe(
      "Native engine and training: products of floats stay in single precision on a GPU too, which rounds them otherwise (docs/gpu.md).",
    ),
  invariant: z
    .boolean()
    .default(false)
    .describe(
      "Native engine with llama.cpp: every evaluation has one of two shapes, filled up, so that numbers do not depend on what else is " +
        "asked; slower. Our own forward pass is so without it.",
    ),
  flashAttention: z
    .boolean()
    .optional()
    .describe(
      "Native engine: faster where many sequences share a cache, with keys and values rounded to half precision. By default on where a " +
        "GPU evaluates and all models are quantized.",
    ),
  blas: z
    .boolean()
    .default(false)
    .describe(
      "Native engine on the CPU: ggml's BLAS plugin. Changes last bits, with quantized weights more; bench/README.md.",
    ),
  groupQuestions: countUpTo(10_000)
    .default(96)
    .describe("Questions asked as one unit; an interruption costs at most one."),
  cache: z
    .boolean()
    .default(true)
    .describe(
      "Answers that were asked before, of the same file, prompt, settings, engine and machine, are taken from the answer cache. Results " +
        "do not depend on it, so the plan does not have it; manifest.json counts what came from there. The noise floor is always asked.",
    ),
  topTokens: countUpTo(1000).default(10).describe("Most likely tokens stored at the first answer position."),
  alternatives: countUpTo(MOST_ALTERNATIVES)
    .optional()
    .describe(
      "Most likely tokens stored at every position of each answer, for people who look at it: with their exact logprobs, and the " +
        "answer's own tokens as texts. Of answers made elsewhere as many of those that their log has. Absent: none.",
    ),
});

/**
 * What stands in a plan: nothing is left to the machine. The settings that came later than the first plans mean off, and llama.cpp's
 * evaluation, where they are absent. How many layers gpuLayers auto came to stands with each model.
 */
export const settledEngineSchema = withoutDefaults(engineSchema.omit({ cache: true })).extend({
  engine: z.enum(["native", "node-llama-cpp"]),
  sequences: engineSchema.shape.sequences.unwrap(),
  forward: z.enum(["llama.cpp", "own"]).optional(),
  exact: z.boolean().optional(),
  invariant: z.boolean().optional(),
  flashAttention: z.boolean().optional(),
  blas: z.boolean().optional(),
  gpuLayers: engineSchema.shape.gpuLayers.unwrap().optional(),
  split: engineSchema.shape.split.unwrap().optional(),
});
