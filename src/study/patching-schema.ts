/** The section of a study that writes inside: where, with which donors, and how behavior is moved while the text stays. */

import { z } from "zod";
import { countUpTo, distinct, list, stateName, withoutDefaults } from "./schema-parts.js";

const SPANS = "string|item_[1-9][0-9]{0,2}|question|instruction|quotation|property|wording|last_prompt_token";

const patchingShape = z.strictObject({
  sites: z
    .string()
    .min(1)
    .max(1000)
    .default("residual_after")
    .describe(
      "Where in the model, comma-separated, as npx inward states --sites has it; not attention_weights. A lookup is told only where the layer at " +
        "which behavior is formed is among them, and the layer before it.",
    ),
  spans: distinct(
    "span",
    list(
      z
        .string()
        .regex(
          new RegExp(`^(${SPANS})$`),
          "name a span: string, item_1, …, question, instruction, quotation, property, wording, last_prompt_token",
        ),
      20,
    ),
  )
    .default(["last_prompt_token"])
    .describe(
      "Of the hypothetical question; of several tokens the last. Donors are read at the same span of object-level questions, or at their " +
        "last_prompt_token where these have none of the name. The string's own words are never evidence: what is written there is another text.",
    ),
  strings: countUpTo(10_000)
    .default(24)
    .describe("Held-out strings of each task that are patched; the first of the plan's order."),
  trainStrings: countUpTo(10_000)
    .default(200)
    .describe(
      "Train strings of each task that steering vectors are means over, and donors come from; the first of the plan's order.",
    ),
  predictors: distinct("state", list(stateName))
    .optional()
    .describe("States that are patched, by name; all that predict themselves when absent."),
  properties: distinct("property", list(z.string()))
    .optional()
    .describe("Those that are patched, of every task that asks about them; all when absent."),
  donors: countUpTo(20).default(1).describe("Donors of each kind, and steering vectors, for each string and site."),
  write: z
    .enum(["difference", "state"])
    .default("difference")
    .describe(
      "What of a donor is written: the difference between its object-level run and the string's own, added; or its state, in the place of what is " +
        "there, which brings along that the property was not asked for.",
    ),
  strength: z
    .number()
    .gt(0)
    .max(100)
    .default(1)
    .describe("Steering vectors are multiplied by it; 1 is the difference between two behaviors."),
  states: distinct("state", z.array(stateName).max(20))
    .default([])
    .describe(
      "Other states whose behavior differs on the same string: what they have at a site, less what the patched state has, is written. Another " +
        "adapter, or a model of the same shape and tokens, such as another quantization.",
    ),
  epsilon: z
    .number()
    .min(1e-12)
    .lt(1)
    .default(0.01)
    .describe("Expanding a distribution ends when at most this much probability is open."),
  tokenBudget: countUpTo(100_000_000)
    .default(4096)
    .describe("Tokens that may be evaluated for one distribution, the prompt's included each time it is."),
  mostTail: z
    .number()
    .min(0)
    .lt(1)
    .default(0.1)
    .describe("Where more stays open than this, answers are drawn instead."),
  samples: countUpTo(1_000_000).default(100).describe("Answers drawn where expanding is out of reach."),
});

export const patchingSchema = patchingShape;

/** In a plan every default stands written out. */
export const plannedPatchingSchema = withoutDefaults(patchingShape);
