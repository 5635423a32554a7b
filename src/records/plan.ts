import type { ModelFile } from "./model-state.js";
import type { ExperimentName } from "../plan/experiment-names.js";
import type { ChangeSource, DistributionSettings, SettledEngine } from "./study.js";
import type { TaskDefinition, TaskItem } from "./task.js";
import type { TrainingSettings } from "./training.js";

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
export interface PlannedCalibration extends DistributionSettings {
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
