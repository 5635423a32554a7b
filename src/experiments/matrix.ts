/** Every predictor about every target: is there anything left for "itself" once skill, predictability and likeness are taken out? */

import { coefficientOf, isMain, matrixVerdicts, sideOf, songVerdict } from "../report/sections/matrix-verdict.js";
import type { FittedForm, MatrixScores } from "../score/matrix/matrix.js";
import type { Estimate } from "../score/interval.js";
import { type Experiment, type ExperimentNumber, type ExperimentVerdict, intervalFinding } from "./experiments.js";

export const matrix: Experiment = {
  name: "matrix",
  question:
    "Over all predictors and targets, does a state predict itself better than its skill, the target's predictability and their likeness explain?",
  judge: ({ matrix: scores }) =>
    scores ? [...scores.fits.filter(isMain).map(verdictOf(scores)), ...song(scores)] : "no matrix was made",
};

function verdictOf(scores: MatrixScores) {
  const groups = [...new Set(scores.fits.map(({ predictors }) => predictors))];
  const sentences = matrixVerdicts(scores);
  return ({ predictors, fit }: FittedForm): ExperimentVerdict => {
    const without = scores.fits.find(
      (one) => one.predictors === predictors && one.form === "self" && one.average === "micro",
    );
    const preference = scores.preferences.find((one) => one.predictors === predictors && one.relation === "any");
    return {
      about: `${predictors} predictors`,
      finding: intervalFinding(sideOf(fit)),
      sentence: (sentences[groups.indexOf(predictors)] ?? []).join(" "),
      numbers: [
        coefficient(scores, fit, "self", "γ: self beyond skill, predictability and likeness", "difference"),
        coefficient(scores, fit, "similarity", "δ: behaving alike in everything instead of nothing", "difference"),
        ...(without ? [coefficient(scores, without.fit, "self", "γ without likeness", "difference")] : []),
        ...(preference
          ? [
              {
                label: "says its own behavior minus the other's, where two behave differently",
                estimate: preference.difference,
                unit: "difference" as const,
                baselines: { own: preference.own, others: preference.others },
                intervalMethod: scores.intervalMethod,
              },
            ]
          : []),
      ],
      because: fit.ok ? [] : [fit.reason],
    };
  };
}

function song(scores: MatrixScores): ExperimentVerdict[] {
  const { song: form } = scores;
  if (!form.ok) return [];
  return [
    {
      about: "logprob differences, direct against asked for (Song et al.)",
      finding: intervalFinding(sideOf(form.regression)),
      sentence: songVerdict(form).join(" "),
      numbers: [
        {
          ...coefficient(scores, form.regression, "self", "coefficient of self", "plain"),
          intervalMethod: form.intervalMethod,
        },
      ],
      because: [],
    },
  ];
}

function coefficient(
  { clusters, intervalMethod }: MatrixScores,
  fit: FittedForm["fit"],
  name: string,
  label: string,
  unit: ExperimentNumber["unit"],
): ExperimentNumber {
  return { label, estimate: estimateOf(fit, name, clusters), unit, baselines: {}, intervalMethod };
}

/** n counts cells of the matrix. */
function estimateOf(fit: FittedForm["fit"], name: string, clusters: number): Estimate {
  if (!fit.ok) return { ok: false, reason: fit.reason };
  const found = coefficientOf(fit, name);
  if (!found) return { ok: false, reason: `the fit has no ${name}` };
  if (!found.interval.ok) return { ok: false, reason: found.interval.reason };
  const { low, high } = found.interval;
  return { ok: true, value: found.value, low, high, n: fit.cells, clusters };
}
