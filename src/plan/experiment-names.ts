/** The experiments that a study may name. */

/** In the order in which a report tells of them. */
export const EXPERIMENTS = [
  "self_prediction",
  "cross_prediction",
  "calibration",
  "behavioral_change",
  "matrix",
  "limits",
] as const;
export type ExperimentName = (typeof EXPERIMENTS)[number];
