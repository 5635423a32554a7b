/** Which experiments a study has, and that it has what they need: known before anything is asked. */
import { InwardError } from "../errors.js";
import { EXPERIMENTS, type ExperimentName } from "../plan/experiment-names.js";
import type { Study } from "../records/study.js";

type Unsettled = Omit<Study, "experiments"> & { readonly experiments?: readonly ExperimentName[] | undefined };

/** Why a study cannot have an experiment; undefined where it can. */
const LACKS: Readonly<Record<ExperimentName, (study: Unsettled) => string | undefined>> = {
  self_prediction: ({ predictions }) =>
    predictions.some(isSelf) ? undefined : "no prediction of a model about itself (predictions)",
  cross_prediction: ({ predictions }) =>
    predictions.some((one) => !isSelf(one)) ? undefined : "no prediction of another model (predictions)",
  calibration: ({ calibration }) => (calibration ? undefined : "no calibration section"),
  behavioral_change: ({ changes }) => (changes.length > 0 ? undefined : "no changes section"),
  matrix: ({ predictions }) =>
    new Set(predictions.map(({ target }) => target)).size >= 2 &&
    new Set(predictions.map(({ predictor }) => predictor)).size >= 2
      ? undefined
      : "fewer than two targets or two predictors (predictions)",
  limits: () => undefined,
};

/** Experiments that nobody has who does not ask for them: they cost questions, or mean something only for chosen tasks. */
const ASKED_FOR: readonly ExperimentName[] = ["matrix", "limits"];

/** @throws STUDY_INVALID when an experiment is named that the study lacks something for */
export function settleExperiments(study: Unsettled): Study {
  const named = study.experiments;
  for (const name of named ?? []) {
    const lack = LACKS[name](study);
    if (lack) throw new InwardError("STUDY_INVALID", `experiments names ${name}, and the study has ${lack}.`);
  }
  const possible = EXPERIMENTS.filter((name) => !ASKED_FOR.includes(name) && LACKS[name](study) === undefined);
  const wanted = named ? EXPERIMENTS.filter((name) => named.includes(name)) : possible;
  return { ...study, experiments: wanted };
}

function isSelf({ predictor, target }: { predictor: string; target: string }): boolean {
  return predictor === target;
}
