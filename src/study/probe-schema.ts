/** The section of a study that looks inside: where states are taken, and what probes read off them. */

import { z } from "zod";
import { lensFactsSchema } from "./lens-facts.js";
import { countUpTo, distinct, list, nameUpTo, stateName, withoutDefaults } from "./schema-parts.js";
import type { Read } from "./study.js";

/** What a probe reads: the answer's first word, its property, the two as one label, or one of them where the other is known already. */
export const PROBE_LABELS = [
  "behavior",
  "property",
  "both",
  "behavior_given_property",
  "property_given_behavior",
] as const;
export type ProbeLabel = (typeof PROBE_LABELS)[number];

/** What stands between a state and the model's end that reads it: nothing, or a map that the study finds on its train strings. */
const OWN_LENSES = ["logit", "tuned"] as const;
type OwnLens = (typeof OWN_LENSES)[number];

const lensOfFile = z.strictObject({
  name: nameUpTo(40)
    .refine((one) => !OWN_LENSES.includes(one as OwnLens), "is the name of a lens that the study has itself")
    .describe("What the lens is called in files and in the report."),
  file: z
    .string()
    .min(1)
    .max(1000)
    .describe(
      "A lens that others made, from the study's folder: the folder or params.pt that tuned-lens saved, a Jacobian lens (.pt), or safetensors of the same.",
    ),
  model: stateName
    .optional()
    .describe(
      "Which model of the study it is of; may be left out where there is only one. Trained, it is read as well.",
    ),
});

/** Names of lenses, in the order in which a study has them. */
export function lensNames(lenses: readonly (OwnLens | { readonly name: string })[]): string[] {
  return lenses.map((one) => (typeof one === "string" ? one : one.name));
}

const IN_BOTH = "string|item_[1-9][0-9]{0,2}|question|instruction|last_prompt_token";
const spanNames = (names: string, known: string) =>
  z.string().regex(new RegExp(`^(${names})$`), `name a span: ${known}`);
const KNOWN = "string, item_1, item_2, …, question, instruction, last_prompt_token";

const spansShape = z.strictObject({
  hypothetical: distinct(
    "span",
    list(spanNames(`${IN_BOTH}|quotation|property|wording`, `${KNOWN}, quotation, property, wording`), 100),
  )
    .default(["string", "question", "last_prompt_token"])
    .describe("Of hypothetical questions."),
  objectLevel: distinct("span", z.array(spanNames(IN_BOTH, KNOWN)).max(100))
    .default(["last_prompt_token"])
    .describe("Of object-level questions; an empty list for none."),
});

const probeShape = z.strictObject({
  sites: z
    .string()
    .min(1)
    .max(1000)
    .default("residual_after")
    .describe(
      "Where in the model, comma-separated, as npx inward states --sites has it: residual_after, mlp_output.0-5, …; not attention_weights. The embedding " +
        "(residual_before.0) is always taken: it is what every site stands beside.",
    ),
  spans: spansShape.prefault({}).describe("Of which words of a question states are taken, by name (docs/probes.md)."),
  tokens: z
    .enum(["last", "mean"])
    .default("last")
    .describe("What stands for a span of several tokens: the states of its last token, or the mean over them all."),
  strings: countUpTo(100_000)
    .default(100)
    .describe("Most train strings and most held-out strings of each task; the first of the plan's order."),
  dtype: z.enum(["f16", "f32"]).default("f32").describe("Numbers of the files."),
  labels: distinct("label", list(z.enum(PROBE_LABELS)))
    .default(["property", "behavior_given_property"])
    .describe(
      "What probes read: behavior (the first word of the target's answer), property, both as one label, or one of the two beyond what the " +
        "other tells.",
    ),
  lenses: z
    .array(z.union([z.enum(OWN_LENSES), lensOfFile]))
    .max(20)
    .superRefine((all, context) => {
      const names = lensNames(all);
      const twice = names.find((one, at) => names.indexOf(one) < at);
      if (twice !== undefined)
        context.addIssue({ code: "custom", message: `name each lens once; "${twice}" stands twice` });
    })
    .default(["logit", "tuned"])
    .describe(
      "Which lenses read the declared residuals (docs/probes.md#lenses-in-a-study): logit, the model's own end; tuned, an affine map before " +
        "it, found on the train strings' states; or one of a file, by name. An empty list for none.",
    ),
  wholePrompts: countUpTo(1000)
    .optional()
    .describe(
      "Of how many held-out strings of each task, the first of those that are looked into, lenses read the prompts at every token, and not at " +
        "the spans alone. None when absent.",
    ),
  randomWeights: z
    .boolean()
    .default(true)
    .describe(
      "Beside every probe one on the states of a model of the same shape with random weights, which is written for the time of capturing " +
        "(half precision) and asked the same prompts.",
    ),
});

export const probeSchema = probeShape.superRefine(({ wholePrompts, lenses }, context) => {
  if (wholePrompts === undefined || lenses.length > 0) return;
  context.addIssue({
    code: "custom",
    path: ["wholePrompts"],
    message: "has whole prompts read by lenses, and there is none; name one in lenses, or leave it out",
  });
});

/** A lens of a file, as it was when the study was planned. */
const plannedLensSchema = lensFactsSchema.extend({
  name: z.string(),
  file: z.string(),
  model: z.string(),
  sha256: z.string(),
});
export type PlannedLens = Read<typeof plannedLensSchema>;

/** In a plan every default stands written out. */
export const plannedProbeSchema = withoutDefaults(probeShape).extend({
  spans: z.object({ hypothetical: z.array(z.string()), objectLevel: z.array(z.string()) }),
  /** Plans that are older have neither. */
  lenses: z.array(z.union([z.enum(OWN_LENSES), plannedLensSchema])).optional(),
  randomWeights: z.boolean().optional(),
});
