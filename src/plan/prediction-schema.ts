/** Who predicts whom, what that is compared with, and how behavior is changed: the sections of a study that make model states. */
import { z } from "zod";
import type { StudyChange, StudyPrediction } from "../records/study.js";
import { nameSchema } from "./name-schema.js";

const count = (most: number) => z.int().min(1).max(most);
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
