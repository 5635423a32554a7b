import type { Trial } from "../src/score/trial.js";

export interface PlantedState {
  readonly name: string;
  /** Chance of knowing its own behavior by access that nobody else has. */
  readonly access: number;
  /** Chance of knowing any target's behavior in a way open to all. 0 stays 0 in every task. */
  readonly skill: number;
  /** Of what it does not know: share answered with the simple rule's value, and with what it would do itself; the rest is guessed. */
  readonly heuristic: number;
  readonly projection: number;
  /** Chance that a reply fails its format, in all its replies alike. */
  readonly formatFailures: number;
  /** Chance of doing what most states do. */
  readonly likeness: number;
  /** Histogram of its own behaviors where it is not the world's. */
  readonly values?: readonly number[];
}

export interface PlantedWorld {
  readonly states: readonly PlantedState[];
  /** Predictor and target, by place. */
  readonly pairs: readonly (readonly [number, number])[];
  /** Of each task. */
  readonly strings: readonly number[];
  readonly properties: number;
  /** Histogram of behaviors, adding up to 1. */
  readonly values: readonly number[];
  readonly alike: number;
  readonly shared: number;
  /** Chance that a behavior is the simple rule's value. */
  readonly rule: number;
  /** Added to every skill in a task. */
  readonly taskOffsets: readonly number[];
  /** The same for each state alone, state by state. */
  readonly stateTaskOffsets?: readonly (readonly number[])[];
}

export function simulateStudy(world: PlantedWorld, seed: number): Trial[];
export function truthOf(world: PlantedWorld): {
  readonly accuracy: (predictor: number, target: number) => number;
  readonly similarity: (first: number, second: number) => number;
};
export function plantedState(name: string, planted?: Partial<Omit<PlantedState, "name">>): PlantedState;
export function plantedWorld(rest: Partial<Omit<PlantedWorld, "states">> & Pick<PlantedWorld, "states">): PlantedWorld;
