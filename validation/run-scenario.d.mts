import type { Scenario } from "./scenarios.mjs";
import type { Scoring } from "./scoring.mjs";

export interface MeasuredShare {
  readonly name: string;
  readonly what: string;
  readonly count: number;
  readonly of: number;
  /** Absent when no study had such an interval. */
  readonly share?: number;
  readonly low?: number;
  readonly high?: number;
  readonly within?: readonly [number, number];
  readonly ok?: boolean;
}

export interface ScenarioResult {
  readonly name: string;
  readonly question: string;
  readonly replications: number;
  readonly measures: readonly MeasuredShare[];
  readonly means: Readonly<Record<string, number>>;
}

export function runScenario(
  scoring: Scoring,
  scenario: Scenario,
  settings: {
    readonly replications: number;
    readonly firstSeed: number;
    readonly confidence: number;
    readonly bootstrapReplicates: number;
  },
): ScenarioResult;
