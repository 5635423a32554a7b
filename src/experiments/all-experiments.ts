import { behavioralChange } from "./behavioral-change.js";
import { calibration } from "./calibration.js";
import { crossPrediction } from "./cross-prediction.js";
import type { Experiment } from "./experiment.js";
import { limits } from "./limits.js";
import { matrix } from "./matrix.js";
import { selfPrediction } from "./self-prediction.js";

/** In the order in which a report tells of them. */
export const ALL_EXPERIMENTS: readonly Experiment[] = [
  selfPrediction,
  crossPrediction,
  calibration,
  behavioralChange,
  matrix,
  limits,
];
