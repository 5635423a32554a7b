import { createHash } from "node:crypto";
import { nearestName } from "../base/nearest-name.js";
import { INWARD_VERSION } from "../base/version.js";
import { InwardError } from "../errors.js";
import type { RemovedLayers } from "../gguf/inspect-gguf.js";
import { propertyNamed } from "../properties/all-properties.js";
import type { BehaviorProperty } from "../properties/property.js";
import { hypotheticalVariant } from "../properties/wordings.js";
import type { Task, TaskDefinition, TaskItem } from "../tasks/task.js";
import { loadTask } from "./load-task.js";
import type { ExperimentName } from "./schema.js";
import { planTraining } from "./make-states.js";
import type { ChangeSource, DistributionSettings, SettledEngine, Study, StudyTask, TrainingSettings } from "./study.js";

/** A task as the run will ask it. */
export interface PlannedTask {
  readonly definition: TaskDefinition;
  readonly sha256: string;
  readonly examples: boolean;
  readonly properties: readonly string[];
  readonly train: readonly TaskItem[];
  readonly heldOut: readonly TaskItem[];
  /** Whether its train strings may enter finetune sets; false makes it a held-out task. Absent where nothing is trained. */
  readonly trained?: boolean;
}

/** A model as it is asked: base weights, with an adapter or without, in the plan's way or in one of its own. */
export interface PlannedState {
  /** A name of `models`. */
  readonly model: string;
  /** A name of `adapters`. */
  readonly adapter?: string;
  /** Hypothetical questions are put in this wording, in the place of each of the plan's. */
  readonly wording?: string;
  /** Hypothetical questions come after so many of the target's (question, behavior) pairs. */
  readonly shown?: { readonly pairs: number; readonly target: string };
  /** Object-level questions come under this system message. */
  readonly system?: string;
}

/** What an adapter learns besides the target's behaviors as hypothetical questions ask for them. */
export type PlannedLabels = "scrambled" | "format_only";

/** An adapter to be trained: the predictor's weights learn what the target did on train strings. */
export interface PlannedAdapter {
  /** The predictor, a name of `models`: the weights that the adapter stands beside. */
  readonly base: string;
  /** The state whose behaviors, or whose answers, are learnt. */
  readonly target: string;
  /** Set for controls. */
  readonly labels?: PlannedLabels;
  /** Set where behavior is changed: the adapter goes on from another one and learns answers to object-level questions. */
  readonly change?: PlannedChange;
  /** Most train strings whose behavior is learnt, per task and property; each enters once per wording. */
  readonly examplesPerProperty: number;
  readonly settings: TrainingSettings;
  /** 2: it learns from, or goes on from, what is trained in round 1, where it is absent. */
  readonly round?: 2;
}

export interface PlannedChange {
  readonly name: string;
  /** The adapter that training goes on from: the self-predictor's, or a cross-predictor's that is given the same change. */
  readonly from: string;
  readonly answers: ChangeSource;
  /** Set where a cross-predictor is given the change of another model: that model's changed state, which it is asked about. */
  readonly alongside?: string;
  /** Positive control: hypothetical questions about the same strings are taught too, so that predictions are known to follow. */
  readonly planted?: true;
  /** Names of the tasks whose train strings teach it. */
  readonly tasks: readonly string[];
  /** Most train strings per task. */
  readonly examples: number;
}

/** Whose distributions at temperature 1 are measured: both sides of every prediction. */
interface PlannedCalibration extends DistributionSettings {
  /** Most held-out strings of each task; the first ones. */
  readonly strings: number;
  /** By task; one that has none of the wanted properties is left out. */
  readonly properties: Readonly<Record<string, readonly string[]>>;
}

/** The content of 01-plan.json: everything that results depend on, and nothing else. Later stages read the plan, never the YAML. */
export interface Plan {
  readonly planVersion: 1;
  readonly inwardVersion: string;
  readonly study: string;
  readonly seed: number;
  readonly models: Readonly<Record<string, Omit<ModelFile, "path">>>;
  readonly tasks: readonly PlannedTask[];
  /**
   * The model states that are asked, by name. Present with `adapters` when the study trains; a state that carries an adapter has
   * the adapter's name, `<predictor>-predicts-<target>`, then `-seed-<seed>` where the prediction names a seed of its own. Absent
   * when nothing is trained: every model is its own state.
   */
  readonly states?: Readonly<Record<string, PlannedState>>;
  readonly adapters?: Readonly<Record<string, PlannedAdapter>>;
  /**
   * The pairs of states that are scored. With adapters, for each prediction of the study: the untrained predictor about the target
   * (once, however many seeds there are), the trained one about the same target, and, when a model predicts itself, the trained one
   * about itself as it behaves then.
   */
  readonly predictions: readonly { readonly predictor: string; readonly target: string }[];
  /** What is judged; absent in plans that are older than experiments. */
  readonly experiments?: readonly ExperimentName[];
  readonly system: string;
  readonly objectLevel: { readonly temperature: 0 | 1 };
  readonly hypothetical: { readonly variants: readonly string[]; readonly maxTokens: number; readonly temperature: 0 };
  readonly engine: SettledEngine;
  readonly noiseFloor: { readonly questions: number };
  readonly score: { readonly confidence: number; readonly bootstrapReplicates: number };
  /** Absent when no distributions are measured. */
  readonly calibration?: PlannedCalibration;
  /** Wording of every property and variant asked, so that the plan alone says what was asked. */
  readonly wordings: {
    readonly properties: Readonly<Record<string, string>>;
    readonly variants: Readonly<Record<string, string>>;
  };
}

/** The exact weights that were asked. */
export interface ModelFile {
  /** Registry name, `hf:` URI or path, as the study names it. */
  readonly source: string;
  /** Absolute path of the file that ran; not part of any hash. */
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
  /** How the weights are encoded in the file that ran: the most common tensor type, e.g. `Q4_1`, `F32`. */
  readonly encoding: string;
  /** Set when the file was re-encoded from another: its source file's sha256 and encoding. */
  readonly reencodedFrom?: { readonly sha256: string; readonly encoding: string };
  /** Set when the weights lie on the grid of a coarser type than the file has: that type, and the quantized file that they were decoded from. */
  readonly roundedTo?: { readonly fileType: string; readonly sha256: string };
  /** Set when the file is a smaller network, made by taking layers out of another file's. */
  readonly layersRemoved?: RemovedLayers;
  readonly licence: string;
}

/** Which engine ran, on what: written to manifest.json beside the results. */
export interface EngineManifest {
  readonly engine: "native" | "node-llama-cpp";
  readonly nodeLlamaCpp: string;
  readonly llamaCpp: string;
  readonly device: "cuda" | "vulkan" | "metal" | "cpu";
  readonly deviceNames: readonly string[];
  readonly cpu: string;
  /** SIMD flags that change kernels and so last bits. */
  readonly cpuFlags: readonly string[];
  readonly threads: number;
  readonly sequences: number;
  readonly contextTokens: number;
  readonly batchTokens: number;
  readonly flashAttention: boolean;
  readonly kvUnified: boolean;
  /** What keys and values are kept as; absent in runs that are older than the choice: f16. */
  readonly cacheType?: "f32" | "f16";
  readonly strict: boolean;
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

/** Whether answers to this task have this property. */
function appliesTo(
  { kinds, disposition, needs }: Pick<BehaviorProperty, "kinds" | "disposition" | "needs">,
  task: Pick<TaskDefinition, "kind" | "disposition" | "features" | "challenge">,
): boolean {
  if (needs === "challenge" && task.challenge === undefined) return false;
  if (needs !== undefined && needs !== "challenge" && task.features?.includes(needs) !== true) return false;
  return kinds.includes(task.kind) && (disposition === undefined || disposition === task.disposition);
}

// Which properties of which tasks a study compares as distributions.

/**
 * @returns undefined when the study measures no distributions
 * @throws PROPERTY_NOT_FOUND, PROPERTY_NOT_APPLICABLE when a property that was asked for applies to none of the tasks
 */
function planCalibration(
  { calibration }: Pick<Study, "calibration">,
  tasks: readonly PlannedTask[],
): PlannedCalibration | undefined {
  if (!calibration) return undefined;
  const { properties: wanted, ...settings } = calibration;
  for (const name of wanted ?? []) {
    if (!tasks.some(({ definition }) => isMeasured(name, definition))) {
      throw new InwardError("PROPERTY_NOT_APPLICABLE", `calibration: no task of the study has the property ${name}.`);
    }
  }
  const rows = tasks.map(({ definition, properties }): [string, string[]] => [
    definition.name,
    (wanted ? [...new Set(wanted)] : properties).filter((name) => isMeasured(name, definition)),
  ]);
  return { ...settings, properties: Object.fromEntries(rows.filter(([, names]) => names.length > 0)) };
}

/** A behavior of two answers, the second of which is about the first, has no distribution that one question tells. */
function isMeasured(name: string, definition: TaskDefinition): boolean {
  const property = propertyNamed(name);
  return property.needs !== "challenge" && appliesTo(property, definition);
}

// From a study to its plan: names resolved, strings chosen by seed, files hashed. The plan alone decides every result.

/**
 * @param study with its engine settled: a plan says which one answers
 * @param files the exact file of each model state
 * @param studyFolder where task paths start from
 * @throws STUDY_INVALID, STUDY_UNKNOWN_MODEL, STUDY_UNKNOWN_PROPERTY, STUDY_NOT_ENOUGH_STRINGS, PROPERTY_*, TASK_*
 */
export async function makePlan(
  study: Study & { readonly engine: SettledEngine },
  files: Readonly<Record<string, ModelFile>>,
  studyFolder: string,
): Promise<Plan> {
  checkPredictions(study);
  const tasks: PlannedTask[] = [];
  for (const wanted of study.tasks) {
    const planned = planTask(wanted, await loadTask(wanted.task, studyFolder), study);
    if (tasks.some((task) => task.definition.name === planned.definition.name)) {
      throw new InwardError("STUDY_INVALID", `The task ${planned.definition.name} stands twice in the study.`);
    }
    tasks.push(planned);
  }
  const calibration = planCalibration(study, tasks);
  const properties = new Set([
    ...tasks.flatMap((task) => task.properties),
    ...Object.values(calibration?.properties ?? {}).flat(),
  ]);
  return {
    planVersion: 1,
    inwardVersion: INWARD_VERSION,
    study: study.study,
    seed: study.seed,
    models: Object.fromEntries(Object.entries(files).map(([name, { path: _, ...file }]) => [name, file])),
    tasks,
    ...planTraining(study, tasks),
    experiments: study.experiments,
    system: study.system,
    objectLevel: study.objectLevel,
    hypothetical: study.hypothetical,
    engine: study.engine,
    noiseFloor: study.noiseFloor,
    score: study.score,
    ...(calibration ? { calibration } : {}),
    wordings: {
      properties: Object.fromEntries([...properties].sort().map((name) => [name, propertyNamed(name).question])),
      variants: Object.fromEntries(
        [...new Set([...study.hypothetical.variants, ...study.controls.wordings])].map((name) => [
          name,
          hypotheticalVariant(name).template,
        ]),
      ),
    },
  };
}

function checkPredictions({ models, predictions, changes, lora }: Study): void {
  const known = Object.keys(models);
  const named = [
    // Where something is trained, a target may be what an earlier prediction trains.
    ...predictions.flatMap(({ predictor, target }) => (lora ? [predictor] : [predictor, target])),
    ...changes.map(({ model }) => model),
  ];
  for (const name of named) {
    if (known.includes(name)) continue;
    const near = nearestName(name, known);
    throw new InwardError(
      "STUDY_UNKNOWN_MODEL",
      `predictions or changes names "${name}", which models does not have.${near ? ` Did you mean "${near}"?` : ""}`,
    );
  }
}

function planTask(wanted: StudyTask, task: Task, { seed, lora }: Study): PlannedTask {
  const { definition } = task;
  const properties = wanted.properties ?? definition.properties;
  for (const name of properties) {
    if (!appliesTo(propertyNamed(name), definition)) {
      throw new InwardError(
        "PROPERTY_NOT_APPLICABLE",
        `The answers of ${definition.name} (kind ${definition.kind}) have no property ${name}.`,
      );
    }
  }
  return {
    definition,
    sha256: task.sha256,
    examples: wanted.examples,
    properties: [...new Set(properties)],
    train: choose(task.train, wanted.trainStrings, `${definition.name}: trainStrings`, seed),
    heldOut: choose(task.heldOut, wanted.heldOutStrings, `${definition.name}: heldOutStrings`, seed),
    ...(lora ? { trained: wanted.train } : {}),
  };
}

/** The first `count` strings in the order of a seeded hash: asking for more strings keeps those that were chosen before. */
function choose(items: readonly TaskItem[], count: number, what: string, seed: number): TaskItem[] {
  if (count > items.length) {
    throw new InwardError("STUDY_NOT_ENOUGH_STRINGS", `${what} asks for ${count}; there are ${items.length}.`);
  }
  const rank = (item: TaskItem) => createHash("sha256").update(`${seed}/${item.split}/${item.id}`).digest("hex");
  return items
    .map((item) => ({ item, rank: rank(item) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, count)
    .map(({ item }) => item);
}
