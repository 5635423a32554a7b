/** A study as its author wrote it, every default filled in: its types follow from the schema. */

import type { z } from "zod";
import { InwardError } from "../errors.js";
import {
  type calibrationSchema,
  type changeAnswersSchema,
  type changeSchema,
  type implantSchema,
  type ExperimentName,
  EXPERIMENTS,
  type loraSchema,
  MICROBATCHES,
  type predictionSchema,
  type primarySchema,
  type studySchema,
  type taskSchema,
  type trainingSettingsSchema,
} from "./schema.js";
import { elsewhereAnswersSchema, elsewherePredictionsSchema } from "./elsewhere-schema.js";
import type { engineSchema, settledEngineSchema } from "./engine-schema.js";
import type { modelSchema } from "./model-schema.js";
import { MOST_PREDICTIONS } from "./schema-parts.js";

/** What a schema reads, as a value that nobody changes. */
export type Read<Schema extends z.ZodType> = Fixed<z.output<Schema>>;
type Fixed<Value> = Value extends (infer Entry)[]
  ? readonly Fixed<Entry>[]
  : Value extends object
    ? { readonly [Key in keyof Value]: Fixed<Value[Key]> }
    : Value;

export type StudyModel = Read<typeof modelSchema>;
export type StudyTask = Read<typeof taskSchema>;
export type StudyChange = Read<typeof changeSchema>;
export type StudyImplant = Read<typeof implantSchema>;
/** Where the behavior comes from that a model is changed to. */
export type ChangeSource = Read<typeof changeAnswersSchema>;
/** The contrast that a study is judged by, as its author names it. */
export type StudyPrimary = Read<typeof primarySchema>;
type StudyCalibration = Read<typeof calibrationSchema>;
/** How far a distribution is expanded, and when samples take its place. */
export type DistributionSettings = Omit<StudyCalibration, "strings" | "properties">;

/** One member of a series, where the study has a list. */
export interface StudyPrediction
  extends Pick<Read<typeof predictionSchema>, "predictor" | "target" | "seed" | "shownAs" | "shownOf"> {
  readonly examplesPerProperty?: number;
  readonly shown?: number;
}

/** Everything that a training run's result depends on, besides the base, the data and the machine. */
export type TrainingSettings = Read<typeof trainingSettingsSchema>;
export type LoraSettings = TrainingSettings["lora"];

export interface StudyLora {
  /** Most train strings whose behavior is learnt, per task and property; each enters once per wording. */
  readonly examplesPerProperty: number;
  readonly settings: TrainingSettings;
  /** What the study leaves open, as it is where a GPU trains. */
  readonly onGpu: Partial<TrainingSettings>;
}

/** Settings that came later: plans that are older lack them, which means llama.cpp's evaluation with neither. */
type LaterSetting = "forward" | "exact" | "invariant" | "flashAttention" | "blas" | "gpuLayers" | "split" | "cache";
export type StudyEngine = Omit<Read<typeof engineSchema>, LaterSetting> &
  Partial<Pick<Read<typeof engineSchema>, LaterSetting>>;

/** Engine settings with nothing left to the machine: what stands in a plan. */
export type SettledEngine = Read<typeof settledEngineSchema>;

type StudyInput = Read<typeof studySchema>;

/** A model that another program asked: the logs of its answers, each with what says what its samples are about. */
export interface StudyElsewhere {
  readonly answers?: readonly Read<typeof elsewhereAnswersSchema>[];
  readonly predictions?: readonly Read<typeof elsewherePredictionsSchema>[];
  readonly epochs?: number;
}

export interface Study
  extends Omit<
    StudyInput,
    "models" | "elsewhere" | "properties" | "predictions" | "experiments" | "lora" | "engine" | "excludeStringsOf"
  > {
  readonly models: NonNullable<StudyInput["models"]>;
  /** Models whose answers were made elsewhere; empty where there are none. */
  readonly elsewhere: Readonly<Record<string, StudyElsewhere>>;
  readonly engine: StudyEngine;
  /** Who predicts whom; by default every model predicts itself. */
  readonly predictions: readonly StudyPrediction[];
  /** Which experiments are judged; those that the rest of the study makes possible when the author names none. */
  readonly experiments: readonly ExperimentName[];
  /** Absent: nothing is trained. */
  readonly lora?: StudyLora;
  /** Run folders whose strings are never chosen, relative to the study. */
  readonly excludeStringsOf: readonly string[];
  /** Judged property -> the name in `models` of who judges it; settled by `withJudges`. */
  readonly judges?: Readonly<Record<string, string>>;
}

/**
 * Settles what depends on other parts of the study.
 * @throws STUDY_INVALID
 */
export function toStudy({
  properties,
  predictions,
  experiments,
  lora,
  excludeStringsOf = [],
  models = {},
  elsewhere: authored = {},
  ...input
}: StudyInput): Study {
  const elsewhere = Object.fromEntries(Object.entries(authored).map(([name, logs]) => [name, toElsewhere(logs)]));
  if (Object.keys(models).length + Object.keys(elsewhere).length === 0) {
    throw new InwardError(
      "STUDY_INVALID",
      "The study names no model: name at least one under models, or under elsewhere one whose answers another program has asked for.",
    );
  }
  const members = (predictions ?? []).reduce(
    (sum, { examplesPerProperty, shown }) => sum + listOf(examplesPerProperty).length * listOf(shown).length,
    0,
  );
  if (members > MOST_PREDICTIONS) {
    throw new InwardError(
      "STUDY_INVALID",
      `predictions come to ${members} with their series; ${MOST_PREDICTIONS} are the most.`,
    );
  }
  const bothSides = Object.keys(elsewhere).filter((name) => elsewhere[name]?.answers && elsewhere[name]?.predictions);
  const study = {
    ...input,
    models,
    elsewhere,
    excludeStringsOf: typeof excludeStringsOf === "string" ? [excludeStringsOf] : excludeStringsOf,
    tasks: input.tasks.map((task) => ({ ...task, properties: task.properties ?? properties })),
    predictions:
      predictions?.flatMap(toStudyPredictions) ??
      [...Object.keys(models), ...bothSides].map((model) => ({ predictor: model, target: model })),
    lora: lora && {
      examplesPerProperty: lora.examplesPerProperty,
      settings: toTrainingSettings(lora, input.seed),
      onGpu: gpuSettings(lora),
    },
  };
  return { ...study, experiments: settleExperiments(study, experiments) };
}

function toElsewhere({ answers, predictions, epochs }: NonNullable<StudyInput["elsewhere"]>[string]): StudyElsewhere {
  const each = <One>(given: string | One | readonly (string | One)[], toOne: (file: string) => One): One[] =>
    (Array.isArray(given) ? given : [given]).map((one) => (typeof one === "string" ? toOne(one) : one));
  return {
    ...(answers === undefined ? {} : { answers: each(answers, (file) => elsewhereAnswersSchema.parse({ file })) }),
    ...(predictions === undefined
      ? {}
      : { predictions: each(predictions, (file) => elsewherePredictionsSchema.parse({ file })) }),
    ...(epochs === undefined ? {} : { epochs }),
  };
}

/** One for each member of a series. */
function toStudyPredictions({ examplesPerProperty, shown, ...pair }: Read<typeof predictionSchema>): StudyPrediction[] {
  return listOf(examplesPerProperty).flatMap((size) =>
    listOf(shown).map((pairs) => ({ ...pair, examplesPerProperty: size, shown: pairs })),
  );
}

function listOf(one: number | readonly number[] | undefined): readonly (number | undefined)[] {
  return typeof one === "object" ? one : [one];
}

/** @param studySeed which training takes when it names none */
export function toTrainingSettings(
  { examplesPerProperty: _, rank, alpha, dropout, targets, ...rest }: Read<typeof loraSchema>,
  studySeed: number,
): TrainingSettings {
  return {
    ...MICROBATCHES.processor,
    ...given(rest),
    lora: { rank, alpha, dropout, targets },
    seed: rest.seed ?? studySeed,
  };
}

/** What is not said, as it is where a GPU trains. */
export function gpuSettings(lora: Partial<Read<typeof loraSchema>>): Partial<TrainingSettings> {
  const open = Object.entries(MICROBATCHES.gpu).filter(
    ([key]) => lora[key as keyof typeof MICROBATCHES.gpu] === undefined,
  );
  return Object.fromEntries(open);
}

/** Without keys that are there and undefined. */
function given<Values extends object>(values: Values): Values {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Values;
}

// Which experiments a study has, and that it has what they need: known before anything is asked.

type Unsettled = Omit<Study, "experiments">;

/** Why a study cannot have an experiment; undefined where it can. */
const LACKS: Readonly<Record<ExperimentName, (study: Unsettled) => string | undefined>> = {
  self_prediction: ({ predictions }) =>
    predictions.some(isSelf) ? undefined : "no prediction of a model about itself (predictions)",
  cross_prediction: ({ predictions }) =>
    predictions.some((one) => !isSelf(one)) ? undefined : "no prediction of another model (predictions)",
  calibration: ({ calibration }) => (calibration ? undefined : "no calibration section"),
  behavioral_change: ({ changes, implants, predictions }) =>
    changes.length > 0 || implants.some((one) => predictions.some((pair) => hasStaleLabels(pair, one)))
      ? undefined
      : "no changes section, and no model with an implant that learns another state's labels",
  matrix: ({ predictions }) =>
    new Set(predictions.map(({ target }) => target)).size >= 2 &&
    new Set(predictions.map(({ predictor }) => predictor)).size >= 2
      ? undefined
      : "fewer than two targets or two predictors (predictions)",
  limits: () => undefined,
  self_simulation: ({ patching }) => (patching ? undefined : "no patching section"),
  injection: ({ injection }) => (injection ? undefined : "no injection section"),
};

/** Experiments that nobody has who does not ask for them: they cost questions, or mean something only for chosen tasks. */
const ASKED_FOR: readonly ExperimentName[] = ["matrix", "limits"];

/** @throws STUDY_INVALID when an experiment is named that the study lacks something for */
function settleExperiments(study: Unsettled, named: readonly ExperimentName[] | undefined): ExperimentName[] {
  for (const name of named ?? []) {
    const lack = LACKS[name](study);
    if (lack) throw new InwardError("STUDY_INVALID", `experiments names ${name}, and the study has ${lack}.`);
  }
  return named
    ? EXPERIMENTS.filter((name) => named.includes(name))
    : EXPERIMENTS.filter((name) => !ASKED_FOR.includes(name) && LACKS[name](study) === undefined);
}

function hasStaleLabels({ predictor, target }: StudyPrediction, { name, model }: StudyImplant): boolean {
  return predictor === `${model}-with-${name}` && target !== predictor;
}

function isSelf({ predictor, target }: StudyPrediction): boolean {
  return predictor === target;
}
