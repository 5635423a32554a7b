/** What a report is made from and what it is made into: values only, so that the same input gives the same bytes. */
import type { CalibrationScores } from "../records/calibration-scores.js";
import type { Comparisons } from "../records/comparisons.js";
import type { ExperimentResults } from "../records/experiments.js";
import type { EngineManifest } from "../records/model-state.js";
import type { NoiseFloor } from "../records/noise-floor.js";
import type { Plan } from "../records/plan.js";
import type { Scores } from "../records/scores.js";
import type { Shifts } from "../records/shifts.js";
import type { TrainedAdapter } from "../records/trained-adapter.js";
import type { InputOnlyCell } from "../score/input-only/input-only-predictions.js";
import type { MatrixScores } from "../score/matrix/matrix-scores.js";
import type { SampleTrial } from "./sample-trial.js";

export interface ReportInput {
  readonly plan: Plan;
  readonly scores: Scores;
  readonly noiseFloors: readonly NoiseFloor[];
  /** By model state: the engine that asked it. */
  readonly manifests: Readonly<Record<string, EngineManifest>>;
  readonly samples: readonly SampleTrial[];
  /** Sentences about the run that a reader must know, such as what the check of a task found. */
  readonly taskWarnings: readonly string[];
  /** The plan's adapters, in its order; absent or empty when nothing was trained. */
  readonly training?: readonly TrainedAdapter[];
  /** Absent when no target has both a self and a cross predictor. */
  readonly comparisons?: Comparisons;
  /** By the state whose train behaviors a classifier of strings learnt: what it learnt from, or why there is none. */
  readonly inputOnly?: Readonly<Record<string, readonly InputOnlyCell[]>>;
  /** Absent when no distributions were measured. */
  readonly calibration?: CalibrationScores;
  /** Absent when the study asks for no matrix. */
  readonly matrix?: MatrixScores;
  /** Absent in runs that are older than experiments; there the report begins with its sections. */
  readonly experiments?: ExperimentResults;
  /** Absent when no behavior was changed. */
  readonly shifts?: Shifts;
}

export interface ReportFigure {
  /** File name without `.svg`. */
  readonly name: string;
  /** Stands alone: white background, fixed colours. */
  readonly svg: string;
}

export interface ReportFiles {
  /** One file that opens from disk: no script, nothing to load. */
  readonly html: string;
  /** The same content; its figures are `figures/<name>.svg` beside it. */
  readonly markdown: string;
  readonly figures: readonly ReportFigure[];
}
