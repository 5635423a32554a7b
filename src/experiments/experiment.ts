/** What every experiment is: a question, and a rule that answers it from the scores of a run. The corridor is the same for all. */
import type { CalibrationScores } from "../records/calibration-scores.js";
import type { Comparisons } from "../records/comparisons.js";
import type { ExperimentName } from "../plan/experiment-names.js";
import type { ExperimentResult, ExperimentVerdict } from "../records/experiments.js";
import type { Plan } from "../records/plan.js";
import type { Scores } from "../records/scores.js";
import type { Shifts } from "../records/shifts.js";
import type { MatrixScores } from "../score/matrix/matrix-scores.js";

/** The 08 files of a run; those of stages that its plan does not have are absent. */
export interface ExperimentInput {
  readonly plan: Plan;
  readonly scores: Scores;
  readonly comparisons?: Comparisons;
  readonly calibration?: CalibrationScores;
  readonly shifts?: Shifts;
  readonly matrix?: MatrixScores;
}

export interface Experiment {
  readonly name: ExperimentName;
  /** What it asks, in one sentence. */
  readonly question: string;
  /** @returns a verdict for each target, change, …; or why there is none */
  readonly judge: (input: ExperimentInput) => readonly ExperimentVerdict[] | string;
}

export function resultOf({ name, question, judge }: Experiment, input: ExperimentInput): ExperimentResult {
  const verdicts = judge(input);
  if (typeof verdicts === "string") return { name, question, verdicts: [], missing: verdicts };
  return verdicts.length > 0
    ? { name, question, verdicts }
    : { name, question, verdicts: [], missing: "the study has nothing for it to be judged on" };
}
