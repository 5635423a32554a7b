/** What a plan holds, read back strictly: everything that results depend on, and nothing else. */

import { z } from "zod";
import { shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { checkOwnProperties } from "../properties/all-properties.js";
import { ownPropertiesSchema } from "../properties/own-property.js";
import {
  changeAnswersSchema,
  distributionSchema,
  EXPERIMENTS,
  plannedHypotheticalSchema,
  implantAnswersSchema,
  LORA_TARGETS,
  noiseFloorSchema,
  plannedObjectLevelSchema,
  PRIMARY_SCOPES,
  primarySchema,
  SHOWN_AS,
  scoreSchema,
  trainingSettingsSchema,
} from "./schema.js";
import { plannedElsewhereSchema } from "./elsewhere-schema.js";
import { plannedPatchingSchema } from "./patching-schema.js";
import { plannedInsideSchema } from "./inside-schema.js";
import { plannedInjectionSchema } from "./injection-schema.js";
import { plannedProbeSchema } from "./probe-schema.js";
import { settledEngineSchema } from "./engine-schema.js";
import { withoutDefaults } from "./schema-parts.js";
import { plannedSubgroupsSchema } from "./subgroup-columns.js";
import { OPTION_SCORES } from "../tasks/task.js";
import type { Read } from "./study.js";

const text = z.string();
const texts = z.array(text);
/** Parts of file names. */
const fileName = text.regex(/^[a-z0-9][a-z0-9_.-]*$/);
const count = z.int().min(0);
const byName = <Value extends z.ZodType>(value: Value) => z.record(text, value);

const itemSchema = z.object({
  id: text,
  split: z.enum(["train", "held_out"]),
  text,
  target: text.optional(),
  /** Where several chosen strings are one choice in several forms: the id of the first of them, which all carry. */
  cluster: text.optional(),
  meta: z.record(text, z.union([text, z.number(), z.boolean()])).optional(),
});

const earlierTurnsSchema = z.array(z.object({ role: z.enum(["user", "assistant"]), content: text }));

const definitionSchema = z.object({
  name: text,
  kind: z.enum(["sequence", "numbers", "continuation", "options"]),
  summary: text,
  question: text,
  before: earlierTurnsSchema.optional(),
  answerForm: z.enum(["any", "one_word", "number", "option_letter"]),
  examples: z.array(z.object({ text, answer: text, finalAnswer: text.optional() })),
  properties: texts,
  maxTokens: count,
  licence: text,
  source: text,
  disposition: text.optional(),
  dispositionQuestion: text.optional(),
  features: z.array(z.enum(["right_answer", "offered_names", "offered_items"])).optional(),
  bothOrders: z.boolean().optional(),
  prefix: text.optional(),
  reading: z.enum(["lenient", "final_answer"]).optional(),
  answerBy: z.literal("logprob").optional(),
  optionScore: z.enum(OPTION_SCORES).exclude(["letter"]).optional(),
  orders: z.literal("rotated").optional(),
  challenge: text.optional(),
  /** Present where a model of the plan is asked in plain text, and in tasks that are asked under a prefix. */
  plain: z.object({ question: text, before: earlierTurnsSchema.optional(), challenge: text.optional() }).optional(),
});

/** A task as the run will ask it. */
const plannedTaskSchema = z.object({
  definition: definitionSchema,
  sha256: text,
  examples: z.boolean(),
  properties: texts,
  train: z.array(itemSchema),
  heldOut: z.array(itemSchema),
  /** Train strings that were passed over because a chosen held-out string is a near twin; absent where none were. */
  nearTwinsLeftOut: count.optional(),
  /** Splits of which the study names no number and there are fewer than it would take: all of them were chosen, near twins aside. */
  allThereAre: z.array(z.enum(["train", "heldOut"])).optional(),
  /** Whether its train strings may enter finetune sets; false makes it a held-out task. Absent where nothing is trained. */
  trained: z.boolean().optional(),
  /** Those of its properties that enter no finetune set and are asked about all the same; absent where there are none. */
  heldOutProperties: texts.optional(),
});
export type PlannedTask = Read<typeof plannedTaskSchema>;

/** What adapters may learn of a task: hypothetical questions about its other properties stand in no finetune set. */
export function learntProperties({
  properties,
  heldOutProperties = [],
}: Pick<PlannedTask, "properties" | "heldOutProperties">): string[] {
  return properties.filter((name) => !heldOutProperties.includes(name));
}

/** A model as it is asked: base weights, with an adapter or without, in the plan's way or in one of its own. */
const plannedStateSchema = z.object({
  /** A name of `models`. */
  model: text,
  /** A name of `adapters`. */
  adapter: text.optional(),
  /** Hypothetical questions are put in this wording, in the place of each of the plan's. */
  wording: text.optional(),
  /**
   * Hypothetical questions come after so many (question, behavior) pairs of a state, mostly the target's. `as`: a control, in which each
   * behavior stands beside another string of its task, or in which only other tasks than the question's stand.
   */
  shown: z.object({ pairs: count, target: text, as: z.enum(SHOWN_AS).optional() }).optional(),
  /** Object-level questions come under this system message. */
  system: text.optional(),
});
export type PlannedState = Read<typeof plannedStateSchema>;

const plannedChangeSchema = z.object({
  name: text,
  /** The adapter that training goes on from: the self-predictor's, or a cross-predictor's that is given the same change. */
  from: text,
  answers: changeAnswersSchema,
  /** Set where a cross-predictor is given the change of another model: that model's changed state, which it is asked about. */
  alongside: text.optional(),
  /** Positive control: hypothetical questions about the same strings are taught too, so that predictions are known to follow. */
  planted: z.literal(true).optional(),
  /** Names of the tasks whose train strings teach it. */
  tasks: texts,
  /** Most train strings per task. */
  examples: count,
});
export type PlannedChange = Read<typeof plannedChangeSchema>;

const plannedImplantSchema = z.object({
  name: text,
  answers: implantAnswersSchema,
  /** Names of the tasks whose strings are all taught, train and held out. */
  tasks: texts,
  /** Positive control: hypothetical questions about the same strings are taught too, so that it is known to know. */
  told: z.literal(true).optional(),
});
export type PlannedImplant = Read<typeof plannedImplantSchema>;

/** An adapter to be trained: the predictor's weights learn what the target did on train strings. */
const plannedAdapterSchema = z.object({
  /** The predictor, a name of `models`: the weights that the adapter stands beside. */
  base: text,
  /** The state whose behaviors, or whose answers, are learnt. */
  target: text,
  /** Set for controls: what is learnt besides the target's behaviors as hypothetical questions ask for them. */
  labels: z.enum(["scrambled", "format_only", "noisy"]).optional(),
  /** Of noisy labels, the share that is replaced by other values of their task and property. */
  labelNoise: z.number().optional(),
  /** The implant's adapter that training goes on from, where the predictor is a model with one. */
  from: text.optional(),
  /** Set where behavior is planted in a model as it came: answers to object-level questions are learnt, which no target gives. */
  implant: plannedImplantSchema.optional(),
  /** Set where behavior is changed: the adapter goes on from another one and learns answers to object-level questions. */
  change: plannedChangeSchema.optional(),
  /** Most train strings whose behavior is learnt, per task and property; each enters once per wording. */
  examplesPerProperty: count,
  settings: trainingSettingsSchema,
  /** 2: it learns from, or goes on from, what is trained in round 1, where it is absent. */
  round: z.literal(2).optional(),
});
export type PlannedAdapter = Read<typeof plannedAdapterSchema>;
export type PlannedLabels = NonNullable<PlannedAdapter["labels"]>;

/** The contrast that the study is judged by, settled before anything is asked: everything else is exploratory. */
const plannedPrimarySchema = z.object({
  experiment: primarySchema.shape.experiment.extract(["self_prediction", "cross_prediction", "behavioral_change"]),
  /** Model states; of several seeds those of the first. */
  self: text.optional(),
  cross: text.optional(),
  target: text.optional(),
  /** Name of a change; the other three are absent then. */
  change: text.optional(),
  scope: z.enum(PRIMARY_SCOPES),
  average: z.enum(["micro", "macro"]),
  /** A share: 0.02 is two points. */
  smallestDifference: z.number().gt(0).max(0.5),
  /** Held-out strings in that scope. */
  strings: count,
});
export type PlannedPrimary = Read<typeof plannedPrimarySchema>;

/** A pilot whose strings were never chosen. */
const excludedRunSchema = z.object({
  study: text,
  /** sha256 of its plan. */
  planHash: text,
  /** Strings of this study's tasks that were left out because of it. */
  strings: count,
});
export type ExcludedRun = Read<typeof excludedRunSchema>;

/** A finished adapter that a model wears. */
const wornAdapterSchema = z.object({
  /** Path of a GGUF or of a PEFT folder, as the study names it. */
  source: text,
  /** Of the GGUF that ran, and its bytes. */
  sha256: text,
  bytes: count,
  /** sha256 of the PEFT files that the GGUF was converted from. */
  convertedFrom: z.object({ config: text, weights: text }).optional(),
  /** `verified`: its card names these weights. `no_card`: only its shapes say that it is theirs. */
  base: z.enum(["verified", "no_card"]),
  rank: count,
  alpha: z.number(),
  targets: z.array(z.enum(LORA_TARGETS)),
});

/** The exact weights that were asked. */
const plannedModelSchema = z.object({
  /** Registry name, `hf:` URI or path, as the study names it. */
  source: text,
  sha256: text,
  bytes: count,
  /** How the weights are encoded in the file that ran: the most common tensor type, e.g. `Q4_1`, `F32`. */
  encoding: text,
  /** Set when the file was re-encoded from another: its source file's sha256 and encoding. */
  reencodedFrom: z.object({ sha256: text, encoding: text }).optional(),
  /** Set when the weights lie on the grid of a coarser type than the file has: that type, and the quantized file that they were decoded from. */
  roundedTo: z.object({ fileType: text, sha256: text }).optional(),
  /** Set when the file is a smaller network, made by taking layers out of another file's. */
  layersRemoved: z.object({ sha256: text, of: count, layers: z.array(count) }).optional(),
  /** Set where engine.gpuLayers auto found no room for all layers on the GPUs: how many lie there, the last ones, when it is asked. */
  gpuLayers: count.optional(),
  /** Set where each prompt is evaluated whole: the model keeps a state of a text, of which another text cannot share a part. */
  wholePrompts: z.literal(true).optional(),
  /** What llama.cpp warns of in the file, such as a missing pre-tokenizer; absent where it warns of nothing. */
  warnings: z.array(z.string()).optional(),
  licence: text,
  /** Set when the model is asked, and trained, under a finished adapter from elsewhere, which is then part of what it is. */
  adapter: wornAdapterSchema.optional(),
});

/** How a model is spoken to. */
const plannedChatSchema = z.object({
  /** `plain`: without markup, for base models. */
  kind: z.enum(["template", "plain"]),
  /** Of the Jinja source, the file's own or another; absent for plain. */
  templateSha256: text.optional(),
  /** Jinja source, where it is not the file's own, and the path that the study gives it by. */
  template: text.optional(),
  templatePath: text.optional(),
  /** What stands as system message of a question that has none of its own. `why`: what chose to leave it out, where the study did not. */
  system: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("text"), text }),
    z.object({ kind: z.literal("omit"), why: text.optional(), onlyEmpty: z.literal(true).optional() }),
  ]),
  /** Given to the template beside its standard variables, such as `enable_thinking: false`. */
  variables: z.record(text, z.union([z.boolean(), z.number(), text])),
  /** In their place in object-level questions whose answers may hold reasoning; absent where there are none, and no switch. */
  thinking: z.record(text, z.union([z.boolean(), z.number(), text])).optional(),
  /** How that was settled, as the end of a sentence. */
  words: z.object({ system: text, thinking: text.optional(), history: text.optional() }),
  /** A question as the model reads it, `{question}` in its place. */
  sample: text,
});
export type PlannedChat = Read<typeof plannedChatSchema>;

export interface ModelFile extends Read<typeof plannedModelSchema> {
  /** Absolute path of the file that ran; not part of any hash. */
  readonly path: string;
  /** That of the GGUF of `adapter`. */
  readonly adapterPath?: string;
}

export type PlannedElsewhere = Read<typeof plannedElsewhereSchema>;
export type PlannedLog = NonNullable<PlannedElsewhere["answers"]>[number];

const pairSchema = z.object({ predictor: text, target: text });

/** The content of 01-plan.json. Later stages read the plan, never the YAML. What older plans lack is optional here. */
export const planSchema = z
  .object({
    planVersion: z.literal(1),
    inwardVersion: text,
    study: text,
    seed: count,
    models: byName(plannedModelSchema),
    /** By model. Absent in older plans: each file's own template, nothing switched, the system message always there. */
    chats: byName(plannedChatSchema).optional(),
    /** Models that nobody here asked: what their logs are, and what of them the run takes. Absent where there are none. */
    elsewhere: z.record(fileName, plannedElsewhereSchema).optional(),
    tasks: z.array(plannedTaskSchema),
    /** Definitions of those properties that are the study's or a task's own, with those that they read; absent where there are none. */
    ownProperties: ownPropertiesSchema.optional(),
    /**
     * The pairs of states that are scored. With adapters, for each prediction of the study: the untrained predictor about the target
     * (once, however many seeds there are), the trained one about the same target, and, when a model predicts itself, the trained one
     * about itself as it behaves then.
     */
    predictions: z.array(pairSchema),
    /**
     * The model states that are asked, by name. Present with `adapters` when the study trains; a state that carries an adapter has
     * the adapter's name, `<predictor>-predicts-<target>`, then `-seed-<seed>` where the prediction names a seed of its own. Absent
     * when nothing is trained: every model is its own state.
     */
    states: z.record(fileName, plannedStateSchema).optional(),
    adapters: z.record(fileName, plannedAdapterSchema).optional(),
    /**
     * Trained targets are asked their train strings too, so that what needs no self learns from what they do now. Absent in older
     * plans, which ask them of trained states that somebody learns from, and where nothing is trained.
     */
    freshLabels: z.literal(true).optional(),
    /** Absent where the study names none: every verdict is exploratory. */
    primary: plannedPrimarySchema.optional(),
    /** Absent where no strings were excluded. */
    excluded: z.array(excludedRunSchema).optional(),
    /** What is judged; absent in plans that are older than experiments. */
    experiments: z.array(z.enum(EXPERIMENTS)).optional(),
    system: text,
    objectLevel: plannedObjectLevelSchema,
    hypothetical: plannedHypotheticalSchema,
    engine: settledEngineSchema,
    noiseFloor: withoutDefaults(noiseFloorSchema),
    score: withoutDefaults(scoreSchema),
    /** By which columns of `meta` scores are told apart; absent where by none. */
    subgroups: plannedSubgroupsSchema.optional(),
    /** Where states are taken and what is read off them; absent where nothing is. */
    probe: plannedProbeSchema.optional(),
    /** What is written inside, and where; absent where nothing is. */
    patching: plannedPatchingSchema.optional(),
    /** What is taken apart; absent where nothing is. */
    inside: plannedInsideSchema.optional(),
    /** What is added to states, and what is asked about it; absent where nothing is. */
    injection: plannedInjectionSchema.optional(),
    /** Whose distributions at temperature 1 are measured: both sides of every prediction. Absent when none are. */
    calibration: withoutDefaults(distributionSchema)
      .extend({
        /** Most held-out strings of each task; the first ones. */
        strings: count,
        /** By task; one that has none of the wanted properties is left out. */
        properties: byName(texts),
      })
      .optional(),
    /**
     * Wording of every property and variant asked, so that the plan alone says what was asked; with a matrix, those of the question
     * about two beginnings of an answer, which older plans do not store.
     */
    wordings: z.object({
      properties: byName(text),
      variants: byName(text),
      logprobs: byName(text).optional(),
      /** Those of base models, by the same names; absent where none is asked in plain text. */
      plain: z.object({ variants: byName(text), logprobs: byName(text).optional() }).optional(),
    }),
  })
  .superRefine((plan, context) => {
    const wrong = findUnknown(plan) ?? findUnsound(plan);
    if (wrong) context.addIssue({ code: "custom", path: [...wrong.path], message: wrong.message });
  });
export type Plan = Read<typeof planSchema>;
export type PlannedProbe = NonNullable<Plan["probe"]>;
export type PlannedPatching = NonNullable<Plan["patching"]>;
export type PlannedCalibration = NonNullable<Plan["calibration"]>;

interface Unknown {
  readonly path: readonly string[];
  readonly message: string;
}

/** A name that nothing in the plan has would be taken for a model as it came, and an order of training that cannot be would never end. */
function findUnknown(plan: z.output<typeof planSchema>): Unknown | undefined {
  const {
    models,
    elsewhere = {},
    states = {},
    adapters = {},
    predictions,
    primary,
    tasks,
    hypothetical,
    wordings,
  } = plan;
  const asTheyCame = new Set([...Object.keys(models), ...Object.keys(elsewhere)]);
  const known = new Set([...asTheyCame, ...Object.keys(states), ...Object.keys(adapters)]);
  const roundOf = (name: string) => {
    const adapter = states[name]?.adapter ?? name;
    return Object.hasOwn(adapters, adapter) ? (adapters[adapter]?.round ?? 1) : 0;
  };
  const isNo = (path: readonly string[], name: string, what: string): Unknown => ({
    path,
    message: `"${name}" is no ${what} of the plan`,
  });
  for (const [at, pair] of predictions.entries()) {
    for (const side of ["predictor", "target"] as const) {
      if (!known.has(pair[side])) return isNo(["predictions", String(at), side], pair[side], "model state");
    }
  }
  for (const [name, { model, adapter, shown, wording }] of Object.entries(states)) {
    if (!asTheyCame.has(model)) return isNo(["states", name, "model"], model, "model");
    if (adapter !== undefined && !Object.hasOwn(adapters, adapter))
      return isNo(["states", name, "adapter"], adapter, "adapter");
    if (shown && !known.has(shown.target)) return isNo(["states", name, "shown"], shown.target, "model state");
    if (wording !== undefined && !Object.hasOwn(wordings.variants, wording))
      return isNo(["states", name, "wording"], wording, "wording");
  }
  for (const [name, { base, target, change, from, implant, round = 1 }] of Object.entries(adapters)) {
    if (!Object.hasOwn(models, base)) return isNo(["adapters", name, "base"], base, "model");
    if (!known.has(target)) return isNo(["adapters", name, "target"], target, "model state");
    if (change && !Object.hasOwn(adapters, change.from))
      return isNo(["adapters", name, "change", "from"], change.from, "adapter");
    if (from !== undefined && !adapters[from]?.implant) return isNo(["adapters", name, "from"], from, "implant");
    for (const task of [...(change?.tasks ?? []), ...(implant?.tasks ?? [])]) {
      if (!tasks.some(({ definition }) => definition.name === task))
        return isNo(["adapters", name, change ? "change" : "implant", "tasks"], task, "task");
    }
    for (const before of [target, ...(change ? [change.from] : []), ...(from === undefined ? [] : [from])]) {
      if (roundOf(before) >= round) {
        const message = `round ${round} cannot learn from "${before}", which round ${roundOf(before)} trains`;
        return { path: ["adapters", name, "round"], message };
      }
    }
  }
  for (const side of ["self", "cross", "target"] as const) {
    const named = primary?.[side];
    if (named !== undefined && !known.has(named)) return isNo(["primary", side], named, "model state");
  }
  const properties = tasks.flatMap((task) => task.properties);
  const unworded =
    hypothetical.variants.find((variant) => !Object.hasOwn(wordings.variants, variant)) ??
    properties.find((property) => !Object.hasOwn(wordings.properties, property));
  return unworded === undefined ? undefined : isNo(["wordings"], unworded, "wording");
}

/** A plan's own properties must be what a study's may be, and none may hide behind a built-in one's name. */
function findUnsound({ ownProperties = {} }: z.output<typeof planSchema>): Unknown | undefined {
  try {
    checkOwnProperties(ownProperties);
    return undefined;
  } catch (error) {
    if (!(error instanceof InwardError)) throw error;
    return { path: ["ownProperties"], message: error.message };
  }
}

/**
 * @param value what stands in 01-plan.json
 * @param path of the file
 * @returns the value itself, untouched, so that its hash stays what it is
 * @throws STORE_CORRUPT
 */
export function readPlan(value: unknown, path: string): Plan {
  const result = planSchema.safeParse(value, { reportInput: true });
  if (result.success) return value as Plan;
  const issue = result.error.issues[0] as z.core.$ZodIssue;
  const said = issue.code === "custom" ? "" : `, not ${shown(issue.input)}`;
  throw new InwardError(
    "STORE_CORRUPT",
    `${path} is not a plan: ${issue.path.join(".") || "the whole"}: ${issue.message}${said}.`,
  );
}

/** Which engine ran, on what: written to manifest.json beside the results. */
export interface EngineManifest {
  readonly engine: "native" | "node-llama-cpp";
  readonly nodeLlamaCpp: string;
  readonly llamaCpp: string;
  readonly device: "cuda" | "vulkan" | "metal" | "cpu";
  readonly deviceNames: readonly string[];
  /** On GPUs, native: which layers, numbered from 0, lay on which device, and with which the output. Absent in older runs. */
  readonly placement?: readonly {
    readonly device: string;
    readonly layers?: readonly [number, number];
    readonly output: boolean;
  }[];
  readonly cpu: string;
  /** SIMD flags that change kernels and so last bits. */
  readonly cpuFlags: readonly string[];
  readonly threads: number;
  readonly sequences: number;
  readonly contextTokens: number;
  readonly batchTokens: number;
  readonly flashAttention: boolean;
  /** Whether sequences share cells. With a window, only in groups of which no item is longer. */
  readonly kvUnified: boolean;
  /** Native, llama.cpp's layers with a window: tokens that they see. */
  readonly window?: number;
  /** Set where each prompt is evaluated whole: a recurrent state has no part that another prompt could begin with. */
  readonly wholePrompts?: boolean;
  /** What keys and values are kept as; absent in runs that are older than the choice: f16. */
  readonly cacheType?: "f32" | "f16";
  readonly strict: boolean;
  /** Native: whether products of floats were kept in single precision on any device; absent: off. */
  readonly exact?: boolean;
  /** Native: whether every evaluation had one of two shapes; absent: off. */
  readonly invariant?: boolean;
  /** Which arithmetic products ran in, in words; absent in runs that are older than it. */
  readonly arithmetic?: string;
  /** Native: who evaluated. Absent in runs that are older than the choice: llama.cpp. */
  readonly forward?: "llama.cpp" | "own";
  /** Set when our own forward pass evaluated: the instruction set of its products, which its last bits depend on. */
  readonly kernels?: "avx512" | "avx2" | "plain";
  /** Set when products of 32 rows and more were ggml's BLAS plugin's. */
  readonly blasPlugin?: { readonly sha256: string };
  /** Absent when the base was asked alone. */
  readonly adapter?: { readonly sha256: string; readonly scale: number };
  readonly chatTemplateSha256: string;
  readonly beginOfSequence: string;
  /** How logprobs were summed. */
  readonly logprobs: string;
}
