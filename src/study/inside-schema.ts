/** The section of a study that takes a model's answers apart: what parts of it write them, and what becomes of them without, or with another's. */

import { z } from "zod";
import type { Read } from "./study.js";
import { countUpTo, distinct, list, promptText, stateName, withoutDefaults } from "./schema-parts.js";

/** What one question's strings are told apart by: the first word of the state's answer, or the property of it. */
export const INSIDE_LABELS = ["behavior", "property"] as const;
export type InsideLabel = (typeof INSIDE_LABELS)[number];

const sites = z.string().min(1).max(1000);

const attributionShape = z.strictObject({});

const headsShape = z.strictObject({
  sites: sites
    .default("head_values")
    .describe("Heads of which layers, comma-separated, such as head_values.3-5; head_values for all."),
});

const subspaceShape = z.strictObject({
  sites: sites
    .default("residual_after")
    .describe("Where it is written, comma-separated, as npx inward states --sites has it; not attention_weights."),
  of: distinct("label", list(z.enum(INSIDE_LABELS)))
    .default([...INSIDE_LABELS])
    .describe(
      "What the directions are those of: the mean object-level states of train strings with each behavior (the first word of the answer), or " +
        "with each value of the property, less each other.",
    ),
  randomSeeds: countUpTo(100).default(3).describe("Subspaces by chance beside each, of as many directions."),
});

const patchscopeShape = z.strictObject({
  sites: sites
    .default("residual_after")
    .describe("Where states are taken, comma-separated, as npx inward states --sites has it; not attention_weights."),
  into: sites.optional().describe("Where they are written; each where it was taken when absent."),
  target: promptText
    .min(1)
    .max(10_000)
    .optional()
    .describe(
      "The prompt that is written into, at its last token, such as one that repeats what stands before it; the object-level question about the " +
        "task's first train string when absent.",
    ),
  maxTokens: countUpTo(1000).default(12).describe("Longest reply."),
});

const insideShape = z.strictObject({
  strings: countUpTo(10_000)
    .default(16)
    .describe("Held-out strings of each task that are looked at; the first of the plan's order."),
  trainStrings: countUpTo(10_000)
    .default(100)
    .describe("Train strings of each task that a subspace's directions are found on; the first of the plan's order."),
  predictors: distinct("state", list(stateName))
    .optional()
    .describe("States that are looked into, by name; all that predict themselves when absent."),
  properties: distinct("property", list(z.string()))
    .optional()
    .describe("Those that are looked at, of every task that asks about them; all when absent."),
  values: z
    .int()
    .min(2)
    .max(100)
    .default(8)
    .describe(
      "Most answers that probabilities are told of, for each question: those that the state itself gives most often. Strings with another one are left out.",
    ),
  attribution: attributionShape
    .optional()
    .describe(
      "Direct logit attribution: what the embedding, each layer's attention and MLP, and each head write of the answers' first tokens. {} for it.",
    ),
  heads: headsShape
    .optional()
    .describe(
      "What each head looks at, and what becomes of the answers where it is knocked out. {} takes all defaults.",
    ),
  subspace: subspaceShape
    .optional()
    .describe(
      "What of another string's state lies in the directions of behavior, written into a hypothetical question. {} takes all defaults.",
    ),
  patchscope: patchscopeShape
    .optional()
    .describe(
      "States written into another prompt, whose reply tells what the model makes of them. {} takes all defaults.",
    ),
});

/** In the order in which they are asked. */
export const INSIDE_READINGS = ["attribution", "heads", "subspace", "patchscope"] as const;
export type InsideReading = (typeof INSIDE_READINGS)[number];

export const insideSchema = insideShape.superRefine((inside, context) => {
  if (INSIDE_READINGS.some((reading) => inside[reading] !== undefined)) return;
  context.addIssue({
    code: "custom",
    message: `does nothing yet: give it ${INSIDE_READINGS.join(", ")}, or some of them`,
  });
});

/** In a plan every default stands written out. */
export const plannedInsideSchema = withoutDefaults(insideShape).extend({
  heads: withoutDefaults(headsShape).optional(),
  subspace: withoutDefaults(subspaceShape).optional(),
  patchscope: withoutDefaults(patchscopeShape).optional(),
});
export type PlannedInside = Read<typeof plannedInsideSchema>;
