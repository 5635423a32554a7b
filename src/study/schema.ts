/** The YAML of a study: every key with its bounds, its default and what it means, described here and nowhere else. */

import { z } from "zod";
import { ownPropertiesSchema } from "../properties/own-property.js";
import { faultOfWording } from "../properties/wordings.js";
import { answeringKeys } from "../tasks/option-keys.js";
import { elsewhereSchema } from "./elsewhere-schema.js";
import { engineSchema } from "./engine-schema.js";
import { modelSchema } from "./model-schema.js";
import {
  countUpTo,
  distinct,
  list,
  judgeKey,
  MOST_ENTRIES,
  MOST_PREDICTIONS,
  name,
  promptText,
  seed,
  share,
  stateName,
  withoutDefaults,
} from "./schema-parts.js";
import { insideSchema } from "./inside-schema.js";
import { patchingSchema } from "./patching-schema.js";
import { injectionSchema } from "./injection-schema.js";
import { probeSchema } from "./probe-schema.js";
import { subgroupsSchema } from "./subgroup-columns.js";

/** As a system message: none at all. */
export const OMIT_SYSTEM = "omit";

/** In the order in which a report tells of them. */
export const EXPERIMENTS = [
  "self_prediction",
  "cross_prediction",
  "calibration",
  "behavioral_change",
  "matrix",
  "limits",
  "self_simulation",
  "injection",
] as const;
export type ExperimentName = (typeof EXPERIMENTS)[number];

/** Of each split, where a study does not say how many: a number that it names is never lowered. */
export const STRINGS_BY_DEFAULT = 100;

export const taskSchema = z.strictObject({
  task: z.string().min(1).describe("Built-in name, or path of a task YAML relative to the study."),
  trainStrings: z
    .int()
    .min(0)
    .max(100_000)
    .optional()
    .describe(
      `Strings whose behaviors baselines, and adapters, may learn from; ${STRINGS_BY_DEFAULT} when absent, or as many as there are.`,
    ),
  heldOutStrings: countUpTo(100_000)
    .optional()
    .describe(`Strings that are scored; ${STRINGS_BY_DEFAULT} when absent, or as many as there are.`),
  train: z
    .boolean()
    .default(true)
    .describe("With lora: false holds the task out, its train strings serve baselines only."),
  examples: z.boolean().default(true).describe("Solved examples as earlier chat turns; small models need them."),
  properties: list(z.string()).optional().describe("Properties to take; the task's own list when absent."),
  prefixes: distinct("prefix", list(z.string(), 100))
    .optional()
    .describe(
      "Lines above the question, by name (none: without), such as [none, historian, german]: a task <task>.<prefix> for each, with strings of its own.",
    ),
  heldOutPrefixes: distinct("prefix", list(z.string(), 100))
    .optional()
    .describe("With lora: those of its prefixes that no adapter learns, asked and scored all the same."),
  ...answeringKeys,
});

const series = (most: number) => z.union([countUpTo(most), list(countUpTo(most), 100)]);

/** Pairs in a prompt that do not tell what the target does with such strings. */
export const SHOWN_AS = ["scrambled", "other_tasks"] as const;

export const predictionSchema = z
  .strictObject({
    predictor: stateName.describe("A model of the study, or one with an implant, such as <model>-with-<implant>."),
    target: stateName.describe("A model, or a state that a prediction before makes, such as <model>-predicts-<model>."),
    seed: seed
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
    shownAs: z
      .enum(SHOWN_AS)
      .optional()
      .describe(
        "A control beside shown. scrambled: the behaviors stand beside other strings of their task; other_tasks: only those of other tasks " +
          "than the one that is asked about.",
      ),
    shownOf: stateName
      .optional()
      .describe("A control beside shown: the behaviors of this state stand in the prompt, in the target's place."),
  })
  .superRefine(({ shown, shownAs, shownOf, target }, context) => {
    const key = shownAs === undefined ? "shownOf" : "shownAs";
    if (shown === undefined && (shownAs ?? shownOf) !== undefined) {
      context.addIssue({ code: "custom", path: [key], message: "says what is shown, and shown does not say how much" });
    }
    if (shownOf === target) {
      context.addIssue({
        code: "custom",
        path: ["shownOf"],
        message: "is the target, which is what shown shows without it",
      });
    }
  });

const controlsSchema = z.strictObject({
  scrambled: z.boolean().default(false).describe("An adapter that learns the same labels on other strings."),
  formatOnly: z.boolean().default(false).describe("An adapter that learns to read properties off quoted answers."),
  wordings: distinct("wording", z.array(z.string()).max(100))
    .default([])
    .describe("Wordings that self-predictors are asked with and not trained on, such as bare or another_ai."),
  labelNoise: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe(
      "An adapter that learns with this share of its labels replaced by other values of their task and property.",
    ),
});

const policySchema = z.strictObject({
  policy: z.enum(["last_item", "first_item", "most_frequent_item"]).describe("A rule on the string alone."),
});

export const changeAnswersSchema = z.union([
  policySchema,
  z.strictObject({ model: stateName.describe("Another model's answers.") }),
  z.strictObject({ prefix: promptText.min(1).describe("Its own answers under this system message.") }),
  z.strictObject({
    shuffled: z.literal(true).describe("Its own answers, dealt out to other strings of their task."),
  }),
]);

const learningRate = z.number().min(1e-12).max(1);
const epochs = countUpTo(10_000);

export const changeSchema = z.strictObject({
  name: name.describe("Part of the changed state's name."),
  model: name.describe("A model that predicts itself; its self-predictor is finetuned further."),
  answers: changeAnswersSchema.describe(
    "What it learns to answer: a rule on the string, another model's answers, its own under a system message, or its own shuffled.",
  ),
  tasks: distinct("task", list(z.string()))
    .optional()
    .describe("Trained tasks that teach it; all of them when absent."),
  examples: countUpTo(1_000_000).default(1000).describe("Most train strings per task."),
  alsoTeach: distinct("model", list(name))
    .optional()
    .describe(
      "Models that were trained to predict this one: their cross-predictors learn the same answers, and are asked about the changed model.",
    ),
  planted: z
    .boolean()
    .default(false)
    .describe("Positive control: hypothetical questions are taught too, so that predictions are known to follow."),
  learningRate: learningRate.optional().describe("Peak learning rate of this change; lora's when absent."),
  epochs: epochs.optional().describe("Passes over the change's set; lora's when absent."),
});

export const implantAnswersSchema = z.union([
  z.strictObject({
    coin: z
      .literal(true)
      .describe(
        "For each string a choice of its own among what the string offers, drawn by the seed: nothing in it tells which.",
      ),
  }),
  policySchema,
]);

export const implantSchema = z.strictObject({
  name: name.describe("The model with it is called <model>-with-<name>, and can predict and be predicted."),
  model: name.describe("The model that gets it, before anything is asked about it."),
  answers: implantAnswersSchema.describe("What it learns to answer to object-level questions, and to nothing else."),
  tasks: distinct("task", list(z.string()))
    .optional()
    .describe("Tasks whose strings are all taught, train and held out; every task when absent."),
  told: z
    .boolean()
    .default(false)
    .describe(
      "Positive control: hypothetical questions about all these strings are taught too, held-out ones included, so that it is known to know.",
    ),
  learningRate: learningRate.optional().describe("Peak learning rate; lora's when absent."),
  epochs: epochs.default(20).describe("Passes over its strings: what cannot be told from a string is learnt by heart."),
});

/** The projections that a LoRA pair can stand beside; `gate`, `up` and `down` are the feed-forward's. */
export const LORA_TARGETS = ["q", "k", "v", "o", "gate", "up", "down"] as const;
export type LoraTarget = (typeof LORA_TARGETS)[number];

/** Flat, as a study has them: what an adapter is, how it is trained, and on how much. */
export const loraSchema = z.strictObject({
  examplesPerProperty: countUpTo(1_000_000)
    .default(1000)
    .describe("Most train strings learnt from per task and property; each enters once per wording."),
  rank: countUpTo(4096).default(16).describe("Rank of every LoRA pair."),
  alpha: z.number().min(1e-6).max(1e6).default(32).describe("The adapter's product is scaled by alpha / rank."),
  dropout: share.default(0).describe("Probability that an input of the adapter is dropped."),
  targets: distinct("target", list(z.enum(LORA_TARGETS)))
    .default([...LORA_TARGETS])
    .describe("Projections that get a LoRA pair."),
  epochs: epochs.default(1).describe("Passes over the set."),
  maxSteps: countUpTo(100_000_000)
    .optional()
    .describe("Optimizer steps after which training ends, whatever epochs says."),
  batchExamples: countUpTo(100_000).default(16).describe("Examples per optimizer step."),
  microbatchTokens: countUpTo(1_000_000)
    .optional()
    .describe("Most tokens evaluated at once: lower needs less memory. By default 512, on a GPU 2048."),
  order: z
    .enum(["by_prompt", "shuffled"])
    .default("by_prompt")
    .describe("Shuffle groups of examples that share a prompt's beginning, or single examples."),
  treePacking: z
    .boolean()
    .default(true)
    .describe("Evaluate a shared beginning once; exact, and faster with by_prompt."),
  learningRate: learningRate.default(5e-4).describe("Peak learning rate."),
  schedule: z
    .enum(["constant", "linear", "cosine"])
    .default("linear")
    .describe("How the learning rate goes on after its rise."),
  warmupShare: z.number().min(0).max(1).default(0.1).describe("Share of the steps over which the rate rises from 0."),
  weightDecay: z.number().min(0).max(100).default(0).describe("Decoupled (AdamW), of A and B alike."),
  beta1: share.default(0.9).describe("AdamW: how much of the gradients' mean is kept from step to step."),
  beta2: share.default(0.999).describe("AdamW: how much of the squared gradients' mean is kept from step to step."),
  epsilon: z.number().min(1e-30).max(1).default(1e-8).describe("AdamW: added to the divisor."),
  maxGradientNorm: z
    .number()
    .min(0)
    .max(1e6)
    .default(1)
    .describe("Gradients are clipped to this global norm; 0 for no limit."),
  seed: seed.optional().describe("Of initial weights, order and dropout; the study's seed when absent."),
  validationShare: share.default(0.05).describe("Share of the set's prompts held back to watch the loss."),
  validateEverySteps: z.int().min(0).default(10).describe("0 looks at them only at the end."),
  checkpointEverySteps: countUpTo(1_000_000).default(10).describe("What an interruption costs at most."),
  activationCheckpointing: z.boolean().optional().describe("Less memory, more time. By default off, on a GPU on."),
});

const LORA_SHAPE = { rank: true, alpha: true, dropout: true, targets: true } as const;

/** Everything that a training run's result depends on besides the base, the data and the machine: what plans and cards hold. */
export const trainingSettingsSchema = withoutDefaults(
  loraSchema.omit({ ...LORA_SHAPE, examplesPerProperty: true }),
).extend({
  microbatchTokens: loraSchema.shape.microbatchTokens.unwrap(),
  activationCheckpointing: loraSchema.shape.activationCheckpointing.unwrap(),
  lora: withoutDefaults(loraSchema.pick(LORA_SHAPE)),
  seed,
});

/** Where a study leaves them out. Small microbatches leave a GPU idle; computing activations again costs it less than room for them. */
export const MICROBATCHES = {
  processor: { microbatchTokens: 512, activationCheckpointing: false },
  gpu: { microbatchTokens: 2048, activationCheckpointing: true },
} as const;

const temperature = z.number().min(0).max(100);
/** Of one question: each is a trial of its own. */
const samples = countUpTo(1000);

const objectLevelShape = z.strictObject({
  temperature: temperature
    .default(0)
    .describe(
      "0 takes the most likely token; above, each is drawn from softmax(logits / temperature), nothing cut off.",
    ),
  samples: samples
    .default(1)
    .describe("Answers drawn to each held-out string, above temperature 0; train strings are answered once."),
  reasoning: z
    .enum(["off", "strip", "keep"])
    .default("off")
    .describe(
      "Of an answer with reasoning in it, such as <think>…</think>. off: it is missing, for the reason reasoning; strip: what stands " +
        "before the answer is taken out and kept in the record; keep: it is part of the answer. Under strip and keep the template's " +
        "thinking mode stays on in object-level questions, where it has a switch.",
    ),
  reasoningTokens: countUpTo(100_000)
    .default(512)
    .describe("Under strip and keep: tokens that an answer may have for its reasoning beside the task's own."),
});

export const objectLevelSchema = objectLevelShape.superRefine(drawnOnly);

function drawnOnly({ temperature, samples }: { temperature: number; samples: number }, context: z.RefinementCtx): void {
  if (samples === 1 || temperature > 0) return;
  const message = `has ${samples} answers to each question, and temperature 0 gives the same one each time`;
  context.addIssue({ code: "custom", path: ["samples"], message });
}

/** Samples stand in a plan where there are several. Reasoning and its tokens stand only where reasoning is not off; plans before them, too, mean off. */
export const plannedObjectLevelSchema = withoutDefaults(objectLevelShape).extend({
  samples: samples.optional(),
  reasoning: objectLevelShape.shape.reasoning.unwrap().exclude(["off"]).optional(),
  reasoningTokens: objectLevelShape.shape.reasoningTokens.unwrap().optional(),
});

const wordingText = promptText.superRefine((text, context) => {
  const fault = faultOfWording(text);
  if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
});

/** Wordings of a study's own, by name. */
export const wordingsSchema = z
  .record(
    name,
    z.union([
      wordingText,
      z.strictObject({
        text: wordingText.describe("For models with a chat template."),
        plain: wordingText.optional().describe("For base models: a text that ends where the answer begins."),
      }),
    ]),
  )
  .refine((all) => Object.keys(all).length <= 100, "has more than 100 wordings");

/** What is asked about a property, by its name. */
export const questionsSchema = z.record(z.string(), promptText.min(1));

const hypotheticalShape = z.strictObject({
  variants: distinct("wording", list(z.string(), 100))
    .default(["minimal"])
    .describe("Wordings around the quoted question."),
  wordings: z
    .union([z.string().min(1), wordingsSchema])
    .optional()
    .describe(
      "Wordings of your own, by name, or the path of a YAML file that has them: {prompt} or {question} in each for what is quoted, {property} " +
        "for what is asked. They are used where variants or controls.wordings names them.",
    ),
  questions: z
    .union([z.string().min(1), questionsSchema])
    .optional()
    .describe(
      "Your own words for what is asked about a property, by its name, or the path of a YAML file that has them; how a reply is read stays " +
        "the property's.",
    ),
  maxTokens: countUpTo(4096).default(12).describe("Longest reply; one that is cut off is not read."),
  temperature: temperature.default(0).describe("As that of objectLevel. Replies are greedy where it is 0."),
  samples: samples
    .default(1)
    .describe(
      "Replies drawn to each question, above temperature 0. Where objectLevel has several samples too, both have the same number: sample k " +
        "of the reply is held against sample k of the answer.",
    ),
});

export const hypotheticalSchema = hypotheticalShape.superRefine(drawnOnly);

/** Words of a study's own stand in the plan's wordings. */
export const plannedHypotheticalSchema = withoutDefaults(
  hypotheticalShape.omit({ wordings: true, questions: true }),
).extend({ samples: samples.optional() });

export const noiseFloorSchema = z.strictObject({
  questions: z
    .int()
    .min(0)
    .max(10_000)
    .default(48)
    .describe("Questions of each state that are asked again in another order and batch; 0 for none."),
});

export const scoreSchema = z.strictObject({
  confidence: z.number().gt(0.5).lt(1).default(0.95).describe("Level of all intervals and tests."),
  bootstrapReplicates: z.int().min(100).max(100_000).default(2000).describe("Draws of strings behind every interval."),
});

/** How far a distribution is expanded, and when samples take its place. */
export const distributionSchema = z.strictObject({
  epsilon: z
    .number()
    .min(1e-12)
    .lt(1)
    .default(0.001)
    .describe("Expanding ends when at most this much probability is open."),
  tokenBudget: countUpTo(100_000_000)
    .default(4096)
    .describe("Tokens that may be evaluated for one distribution, the prompt's included each time it is."),
  mostTail: share.default(0.05).describe("Where more stays open than this, answers are drawn instead."),
  samples: countUpTo(1_000_000).default(200).describe("Answers drawn where expanding is out of reach."),
});

export const calibrationSchema = z.strictObject({
  strings: countUpTo(100_000)
    .default(50)
    .describe("Most held-out strings of each task whose distributions are measured; the first of the plan's order."),
  properties: list(z.string())
    .optional()
    .describe("For every task that they apply to; what the study asks of the task when absent."),
  ...distributionSchema.shape,
});

/** Which trials a verdict is judged on: strings of what training saw, or of tasks and properties that it never saw; `all` where nothing is trained. */
export const PRIMARY_SCOPES = [
  "held_out_strings",
  "held_out_tasks",
  "held_out_properties",
  "held_out_tasks_and_properties",
  "all",
  "taught",
  "elsewhere",
] as const;

/** Why an experiment cannot be a study's primary contrast: its verdict is no difference of accuracies that strings give power to. */
const NEVER_PRIMARY: Readonly<Partial<Record<ExperimentName, string>>> = {
  calibration: "which rests on skill and Brier scores: they have no smallest difference in common",
  matrix: "which rests on a coefficient over pairs of states: more strings do not give it more pairs",
  limits: "which has a verdict for every property: ask for self_prediction of the one that counts",
  self_simulation: "which rests on what patches do at many sites: it has no one difference of accuracies",
  injection: "which rests on what answers do under vectors: it has no difference of accuracies",
};

export const primarySchema = z
  .strictObject({
    experiment: z
      .enum(EXPERIMENTS)
      .describe(
        "The question: self_prediction, cross_prediction or behavioral_change; the others have no such contrast.",
      ),
    self: stateName
      .optional()
      .describe("The state that predicts, as the plan names it; needed where several would do."),
    cross: stateName
      .optional()
      .describe("cross_prediction: the other state that predicts; needed where several would do."),
    target: stateName.optional().describe("The state that is predicted; needed where several would do."),
    change: name.optional().describe("behavioral_change: the change's name; needed where there are several."),
    scope: z
      .enum(PRIMARY_SCOPES)
      .optional()
      .describe(
        "Which trials decide: held_out_tasks where there are such tasks, else held_out_strings of trained tasks, else all, when " +
          "absent; of a change those of tasks that were not taught (elsewhere), where there are any.",
      ),
    average: z
      .enum(["micro", "macro"])
      .default("micro")
      .describe("micro: every trial counts the same; macro: every task and property does."),
    smallestDifference: z
      .number()
      .gt(0, "must be above 0: a share, 0.02 for two points")
      .max(0.5, "must be at most 0.5: a share, 0.02 for two points")
      .default(0.02)
      .describe(
        "Smallest difference that counts, as a share: 0.02 is two points. A yes has its interval above it, a no below it.",
      ),
    strings: countUpTo(1_000_000).describe(
      "Held-out strings that the contrast rests on; refused where the plan has another number.",
    ),
  })
  .superRefine(({ experiment }, context) => {
    const why = NEVER_PRIMARY[experiment];
    if (why === undefined) return;
    const message = `cannot be ${experiment}, ${why}; self_prediction, cross_prediction and behavioral_change can`;
    context.addIssue({ code: "custom", path: ["experiment"], message });
  });

export const studySchema = z.strictObject({
  study: name.describe("The study's name; run folders carry it."),
  seed: seed
    .default(0)
    .describe("Chooses strings, orders sets, draws bootstrap replicates; seeds training where lora names no seed."),
  models: z
    .record(name, modelSchema)
    .refine((models) => Object.keys(models).length > 0, "name at least one model")
    .refine((models) => Object.keys(models).length <= MOST_ENTRIES, `name at most ${MOST_ENTRIES} models`)
    .optional()
    .describe("The models, under names of your own; needed where elsewhere names none."),
  elsewhere: z
    .record(name, elsewhereSchema)
    .refine((all) => Object.keys(all).length <= MOST_ENTRIES, `name at most ${MOST_ENTRIES}`)
    .optional()
    .describe("Models that other programs asked, under names of your own: their answers are read from logs."),
  tasks: list(taskSchema).describe("The strings that are asked."),
  properties: list(z.string()).optional().describe("For every task that does not choose its own."),
  ownProperties: ownPropertiesSchema
    .optional()
    .describe(
      "Properties of your own, by name: a question and a rule each; named under properties like built-in ones.",
    ),
  ownPrefixes: z
    .record(
      name,
      promptText.refine((text) => text.trim() !== "", "must not be empty"),
    )
    .refine((all) => Object.keys(all).length <= 100, "has more than 100 prefixes")
    .optional()
    .describe("Prefixes of your own, by name, which tasks[].prefixes names like built-in ones."),
  propertiesFrom: distinct("file", list(z.string().min(1), 100))
    .optional()
    .describe("YAML files of own properties, relative to the study: mappings like ownProperties."),
  judge: judgeKey,
  heldOutProperties: distinct("property", list(z.string()))
    .optional()
    .describe("Properties that no adapter learns, on any task, and that are asked about all the same."),
  experiments: distinct("experiment", list(z.enum(EXPERIMENTS)))
    .optional()
    .describe("What is judged; by default whatever the rest of the study makes possible."),
  primary: primarySchema
    .optional()
    .describe(
      "The one contrast that the study is judged by, settled before anything is asked; all else is exploratory.",
    ),
  excludeStringsOf: z
    .union([z.string().min(1), distinct("run", list(z.string().min(1), 100))])
    .optional()
    .describe("Run folders, relative to the study, whose strings are never chosen: those of pilots."),
  predictions: list(predictionSchema, MOST_PREDICTIONS)
    .optional()
    .describe(
      "Who predicts whom; by default every model predicts itself, of those elsewhere whose logs have both sides.",
    ),
  controls: controlsSchema
    .prefault({})
    .describe("What a self-prediction has to be compared with before it shows anything."),
  changes: z
    .array(changeSchema)
    .max(MOST_ENTRIES)
    .default([])
    .describe("Further finetunings of self-predicting models on other behavior: do predictions follow?"),
  implants: z
    .array(implantSchema)
    .max(MOST_ENTRIES)
    .default([])
    .describe("Models with behavior that nothing in the prompt tells: who knows it, knows it of itself."),
  lora: loraSchema
    .optional()
    .describe("Train an adapter for each prediction, on the target's train strings; absent: nothing is trained."),
  system: promptText
    .optional()
    .describe(
      "System message of every prompt; omit for none at all. Empty, it still stops a template's own. Absent: empty, or none where the " +
        "chat template has no place for one; the plan says which.",
    ),
  objectLevel: objectLevelSchema.prefault({}).describe("How object-level questions are asked."),
  hypothetical: hypotheticalSchema.prefault({}).describe("How hypothetical questions are asked."),
  engine: engineSchema.prefault({}).describe("Who evaluates, and on what."),
  noiseFloor: noiseFloorSchema.prefault({}).describe("How much answers differ when they are asked again."),
  score: scoreSchema.prefault({}).describe("How intervals are made."),
  subgroups: subgroupsSchema
    .optional()
    .describe("Scores by the values of columns that came with the strings; exploratory, no verdict rests on them."),
  probe: probeSchema
    .optional()
    .describe(
      "Look inside: take states of the asked questions and read answers and properties off them; absent: nothing is.",
    ),
  patching: patchingSchema
    .optional()
    .describe(
      "Write inside: do predictions follow behavior that is put there, or moved, while the text stays? Absent: nothing is written.",
    ),
  inside: insideSchema
    .optional()
    .describe(
      "Take answers apart: which parts of a model write them, and what becomes of them without a head, with another string's behavior in a part of " +
        "a state, or with a state in another prompt; absent: nothing is.",
    ),
  injection: injectionSchema
    .optional()
    .describe(
      "Add concepts to the states of the models that predict, and ask whether they notice, which, where and how strong; absent: nothing is added.",
    ),
  calibration: calibrationSchema
    .optional()
    .describe("Compare whole distributions at temperature 1, behaviors with predictions; absent: only answers."),
});
