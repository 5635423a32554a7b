/** Every predictor about every target: is there anything left for "itself" once skill, predictability and likeness are taken out? */

import { type Estimate, type Side, sideOfZero } from "../interval.js";
import type { Coefficient, MatrixFit } from "../matrix/fit.js";
import type { FittedForm, MatrixScores } from "../matrix/matrix.js";
import {
  type Experiment,
  type FitName,
  intervalFinding,
  type MeasureName,
  type Verdict,
  type VerdictBecause,
  type VerdictNumber,
} from "./verdict.js";

export const matrix: Experiment = {
  name: "matrix",
  judge: ({ matrix: scores }) => (scores ? matrixVerdicts(scores) : "no_matrix"),
};

/** @returns one for each group of predictors, then one on logprob differences where they were measured */
export function matrixVerdicts(scores: MatrixScores): Verdict[] {
  return [...scores.fits.filter(isMain).map((main) => verdictOf(scores, main)), ...songVerdicts(scores)];
}

/** The fit that was meant beforehand. */
function isMain({ average, scale, form }: FittedForm): boolean {
  return average === "micro" && scale === "accuracy" && form === "similarity";
}

function verdictOf(scores: MatrixScores, main: FittedForm): Verdict {
  const { predictors, fit } = main;
  const own = scores.fits.filter((one) => one.predictors === predictors);
  const without = own.find(({ form, average }) => form === "self" && average === "micro");
  const preference = scores.preferences.find((one) => one.predictors === predictors && one.relation === "any");
  const finding = intervalFinding(sideOf(fit));
  return {
    about: { kind: "predictors", predictors },
    finding,
    decidedBy: "self_coefficient",
    numbers: [
      coefficientNumber(scores, fit, "self", "self_coefficient", "difference"),
      coefficientNumber(scores, fit, "similarity", "likeness_coefficient", "difference"),
      ...(without ? [coefficientNumber(scores, without.fit, "self", "self_without_likeness", "difference")] : []),
      ...(preference
        ? [
            {
              key: "own_minus_other",
              measure: "own_minus_other" as const,
              estimate: preference.difference,
              unit: "difference" as const,
              baselines: { own: preference.own, others: preference.others },
              intervalMethod: scores.intervalMethod,
            },
          ]
        : []),
    ],
    because: [
      { kind: "self_effect", key: "self_coefficient", finding, reason: fit.ok ? undefined : fit.reason },
      ...likeness(fit, without),
      ...otherFits(main, own),
      ...(preference
        ? [{ kind: "own_or_other" as const, key: "own_minus_other", side: sideOfZero(preference.difference) }]
        : []),
    ],
    reservations: [],
  };
}

function likeness(fit: MatrixFit, without: FittedForm | undefined): VerdictBecause[] {
  if (!without?.fit.ok) return [];
  return [
    {
      kind: "likeness_explains",
      key: "self_without_likeness",
      withoutLikeness: sideOf(without.fit),
      withLikeness: sideOf(fit),
    },
  ];
}

/** Whether the finding stands where cells are weighted, scaled or explained otherwise. */
function otherFits(main: FittedForm, own: readonly FittedForm[]): VerdictBecause[] {
  const side = sideOf(main.fit);
  if (side !== "above" && side !== "below") return [];
  const others = own.filter((one) => one !== main && one.form !== "self");
  const nameOf = ({ average, scale, form }: FittedForm): FitName => ({ average, scale, form });
  return [
    {
      kind: "other_fits",
      agree: others.filter(({ fit }) => sideOf(fit) === side).map(nameOf),
      differ: others.filter(({ fit }) => sideOf(fit) !== side).map(nameOf),
    },
  ];
}

function songVerdicts(scores: MatrixScores): Verdict[] {
  const { song } = scores;
  if (!song.ok) return [];
  const { regression, withModelEffects, intervalMethod } = song;
  const finding = intervalFinding(sideOf(regression));
  return [
    {
      about: { kind: "logprob_differences" },
      finding,
      decidedBy: "self_coefficient",
      numbers: [
        { ...coefficientNumber(scores, regression, "self", "self_coefficient", "plain"), intervalMethod },
        ...(withModelEffects.ok
          ? [{ ...coefficientNumber(scores, withModelEffects, "self", "self_with_effects", "plain"), intervalMethod }]
          : []),
      ],
      because: [
        {
          kind: "self_effect",
          key: "self_coefficient",
          finding,
          reason: regression.ok ? undefined : regression.reason,
        },
        ...(withModelEffects.ok ? [{ kind: "with_effects" as const, key: "self_with_effects" }] : []),
      ],
      reservations: [],
    },
  ];
}

/** Where a coefficient's interval lies. */
function sideOf(fit: MatrixFit, name = "self"): Side {
  return sideOfZero(coefficientOf(fit, name)?.interval ?? { ok: false });
}

export function coefficientOf(fit: MatrixFit, name: string): Coefficient | undefined {
  return fit.ok ? fit.coefficients.find((one) => one.name === name) : undefined;
}

function coefficientNumber(
  { clusters, intervalMethod }: MatrixScores,
  fit: MatrixFit,
  name: string,
  measure: MeasureName,
  unit: VerdictNumber["unit"],
): VerdictNumber {
  return {
    key: measure,
    measure,
    estimate: coefficientEstimate(fit, name, clusters),
    unit,
    baselines: {},
    intervalMethod,
  };
}

/** n counts cells of the matrix. */
function coefficientEstimate(fit: MatrixFit, name: string, clusters: number): Estimate {
  if (!fit.ok) return { ok: false, reason: fit.reason };
  const found = coefficientOf(fit, name);
  if (!found) return { ok: false, reason: `the fit has no ${name}` };
  if (!found.interval.ok) return { ok: false, reason: found.interval.reason };
  const { low, high } = found.interval;
  return { ok: true, value: found.value, low, high, n: fit.cells, clusters };
}
