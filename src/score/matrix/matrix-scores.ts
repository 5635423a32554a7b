/** The content of 08-matrix.json: every predictor about every target, what explains it, and Song et al.'s form of the question. */
import type { SongRegression } from "../song/song-regression.js";
import type { CellResidual } from "./cell-residuals.js";
import type { MatrixFit } from "./fit-matrix.js";
import type { ObservedCell } from "./observed-cells.js";
import type { OwnOrOther } from "./own-or-other.js";
import type { Relation } from "./relation.js";

export interface MatrixState {
  readonly name: string;
  /** Its base weights, a name of the plan's models. */
  readonly model: string;
  readonly trained: boolean;
  /** The state whose behaviors its adapter learnt. */
  readonly learntFrom?: string;
}

export interface FittedForm {
  /** Whose rows: all, or those that were trained to predict, or those that were not. */
  readonly predictors: "all" | "trained" | "untrained";
  /** `micro` every trial counts the same; `macro` every task and property does. */
  readonly average: "micro" | "macro";
  /** `accuracy`, or `miss`: −log(1 − accuracy), on which skill and guessing add up. */
  readonly scale: "accuracy" | "miss";
  /**
   * What stands beside skill_i, predictability_j and γ·[i = j]: `self` nothing · `similarity` δ·similarity(i, j), the main one ·
   * `relations` that, and indicators of the same base weights, of the label source and of a shared label source, for i ≠ j.
   */
  readonly form: "self" | "similarity" | "relations";
  readonly fit: MatrixFit;
  /** Of the main form on micro accuracies. */
  readonly residuals?: readonly CellResidual[];
}

/** Over pairs of predictors of one group. */
export interface Preference extends OwnOrOther {
  readonly predictors: FittedForm["predictors"];
  readonly relation: "any" | Exclude<Relation, "same_state">;
}

export type SongScores =
  | ({
      readonly ok: true;
      readonly states: readonly string[];
      readonly wordings: readonly string[];
      /** Match type that the others are compared with. */
      readonly baseline: string;
      readonly intervalMethod: string;
    } & SongRegression)
  | { readonly ok: false; readonly reason: string };

export interface MatrixScores {
  readonly matrixVersion: 1;
  readonly confidence: number;
  readonly bootstrapReplicates: number;
  readonly bootstrapSeed: number;
  readonly intervalMethod: string;
  /** What i = j means. */
  readonly selfMeans: string;
  readonly similarityMeans: string;
  /** Strings that intervals resample. */
  readonly clusters: number;
  readonly states: readonly MatrixState[];
  /** Every predictor about every target, in code-unit order. */
  readonly cells: readonly ObservedCell[];
  readonly fits: readonly FittedForm[];
  /** What a state says where it and another behave differently. */
  readonly preferences: readonly Preference[];
  readonly song: SongScores;
}
