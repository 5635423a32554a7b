/** One place of the matrix of every predictor about every target. */

/** A mean over trials, or why there is none. */
export type CellMean =
  | {
      readonly ok: true;
      readonly value: number;
      /** What it averages: trials, or compared behaviors. Unknown for a published table. */
      readonly n?: number;
      /** The same mean over the strings that a bootstrap replicate drew; undefined when it drew none that count. */
      readonly inReplicate?: (replicate: number) => number | undefined;
    }
  | { readonly ok: false; readonly reason: string };

export interface MatrixCell {
  readonly predictor: string;
  readonly target: string;
  /** The predictor's accuracy about the target. In any unit: what is fitted has the same. */
  readonly accuracy: CellMean;
  /** How alike the two behave, in [0, 1]. Given for all cells or for none. */
  readonly similarity?: CellMean;
}
