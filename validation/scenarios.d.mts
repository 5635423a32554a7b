import type { PlantedWorld } from "./planted-truth.mjs";
import type { ChangeWorld } from "./planted-change.mjs";
import type { Scoring } from "./scoring.mjs";

export interface StudySettings {
  readonly confidence: number;
  readonly bootstrapReplicates: number;
  readonly bootstrapSeed: number;
  readonly noiseFloorNats: number;
}

export interface Scenario {
  readonly name: string;
  readonly question: string;
  readonly world: PlantedWorld | ChangeWorld;
  /** What a share is of, and where it must lie. */
  readonly measures: Readonly<Record<string, { readonly what: string; readonly within?: readonly [number, number] }>>;
  /** undefined: the study has no such interval. */
  readonly study: (
    scoring: Scoring,
    seed: number,
    settings: StudySettings,
  ) => {
    readonly seen: Readonly<Record<string, boolean | undefined>>;
    readonly numbers: Readonly<Record<string, number | undefined>>;
  };
}

export const SCENARIOS: readonly Scenario[];
