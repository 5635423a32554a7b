/** 08-shifts.json: behavioral change. After a self-predictor was finetuned on other behavior, which behavior do predictions follow? */
import type { Finding, Judgement, ShiftScores, TestedDifference } from "./comparison.js";
import type { ChangeSource } from "./study.js";

/** `taught` tasks whose train strings taught the change · `elsewhere` the others, on which nothing was taught. */
export type ShiftScope = "all" | "taught" | "elsewhere";

/**
 * `changed` the changed model itself · `unchanged` the same as it was before · `cross` another that learnt what it did before ·
 * `cross_changed` the same, given the same change.
 */
export type ShiftRole = "changed" | "unchanged" | "cross" | "cross_changed";

/** One predictor about one change. */
export interface ShiftArm {
  readonly predictor: string;
  readonly role: ShiftRole;
  readonly scopes: Readonly<Partial<Record<ShiftScope, ShiftScores>>>;
  /** Whether its predictions follow the new behavior rather than the old, on all trials that shifted; by the micro average. */
  readonly judgement: Judgement;
  /** Of `cross_changed`: right about the new behavior, the changed model minus this one, on the trials that shifted. */
  readonly changedMinusThis?: { readonly micro: TestedDifference; readonly judgement: Judgement };
}

export interface ChangeShifts {
  readonly name: string;
  readonly before: string;
  readonly after: string;
  readonly answers: ChangeSource;
  readonly taughtTasks: readonly string[];
  readonly arms: readonly ShiftArm[];
  /** `exceeds` only where the changed model follows the new behavior and nobody does who never saw the change. */
  readonly finding: Finding;
  readonly because: readonly string[];
}

export interface Shifts {
  readonly shiftsVersion: 1;
  readonly confidence: number;
  readonly bootstrapReplicates: number;
  readonly bootstrapSeed: number;
  readonly changes: readonly ChangeShifts[];
}
