import type { Trial } from "../src/score/trial.js";
import type { ShiftRole, StateChange } from "../src/study/states.js";

export interface ChangeArm {
  readonly name: string;
  readonly role: ShiftRole;
  /** Chance of saying the new behavior, and of saying the old one; 0 unless told. */
  readonly knowsNew?: number;
  readonly knowsOld?: number;
  /** Histogram of what it says else. */
  readonly says: readonly number[];
}

export interface ChangeWorld {
  readonly arms: readonly ChangeArm[];
  /** Strings of the task that was taught, and of the other. */
  readonly taught: number;
  readonly elsewhere: number;
  readonly properties: number;
  /** Histogram of old behavior, and of new behavior where it moves. */
  readonly values: readonly number[];
  readonly newValues: readonly number[];
  readonly moved: number;
  readonly alike: number;
}

export function simulateChange(world: ChangeWorld, seed: number): Trial[];
export function changeOf(world: Pick<ChangeWorld, "arms">): StateChange;
export function changeWorld(rest: Partial<ChangeWorld> & Pick<ChangeWorld, "arms">): ChangeWorld;
