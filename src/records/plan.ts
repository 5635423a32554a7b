import type { ModelFile } from "./model-state.js";
import type { StudyEngine } from "./study.js";
import type { TaskDefinition, TaskItem } from "./task.js";

/** A task as the run will ask it. */
export interface PlannedTask {
  readonly definition: TaskDefinition;
  readonly sha256: string;
  readonly examples: boolean;
  readonly properties: readonly string[];
  readonly train: readonly TaskItem[];
  readonly heldOut: readonly TaskItem[];
}

/** The content of 01-plan.json: everything that results depend on, and nothing else. Later stages read the plan, never the YAML. */
export interface Plan {
  readonly planVersion: 1;
  readonly inwardVersion: string;
  readonly study: string;
  readonly seed: number;
  readonly models: Readonly<Record<string, Omit<ModelFile, "path">>>;
  readonly tasks: readonly PlannedTask[];
  readonly predictions: readonly { readonly predictor: string; readonly target: string }[];
  readonly system: string;
  readonly objectLevel: { readonly temperature: 0 | 1 };
  readonly hypothetical: { readonly variants: readonly string[]; readonly maxTokens: number; readonly temperature: 0 };
  readonly engine: StudyEngine;
  readonly noiseFloor: { readonly questions: number };
  readonly score: { readonly confidence: number; readonly bootstrapReplicates: number };
  /** Wording of every property and variant asked, so that the plan alone says what was asked. */
  readonly wordings: {
    readonly properties: Readonly<Record<string, string>>;
    readonly variants: Readonly<Record<string, string>>;
  };
}
