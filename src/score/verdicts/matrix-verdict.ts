/** Every predictor about every target: is there anything left for "itself" once skill, predictability and likeness are taken out? */

import type { Finding } from "../comparison/comparison.js";
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
  type VerdictReservation,
} from "./verdict.js";

export const matrix: Experiment = {
  name: "matrix",
  judge: ({ matrix: scores }) => (scores ? matrixVerdicts(scores) : "no_matrix"),
};

/** @returns one for each scope and group of predictors, the main scope first, then one on logprob differences where they were measured */
export function matrixVerdicts(scores: MatrixScores): Verdict[] {
  const scopes = [scores, ...(scores.beside ?? []).map((one) => ({ ...scores, ...one }))];
  return [
    ...scopes.flatMap((one) =>
      one.fits.filter(isMain).map((main): Verdict => ({ ...verdictOf(one, main), scope: one.scope })),
    ),
    ...songVerdicts(scores),
  ];
}

/** With fewer, states of one base weigh so much that likeness can hardly be told from being oneself. */
export const FEWEST_BASE_MODELS = 6;

/** The fit that was meant beforehand. */
function isMain({ average, scale, form }: FittedForm): boolean {
  return average === "micro" && scale === "accuracy" && form === "similarity";
}

/** The same on the scale on which skill and guessing add up, and no ceiling of either makes a self effect. */
function isOnMisses({ average, scale, form }: FittedForm): boolean {
  return average === "micro" && scale === "miss" && form === "similarity";
}

function verdictOf(scores: MatrixScores, main: FittedForm): Verdict {
  const { predictors, fit } = main;
  const own = scores.fits.filter((one) => one.predictors === predictors);
  const misses = own.find(isOnMisses);
  const without = own.find(({ form, average }) => form === "self" && average === "micro");
  const preference = scores.preferences.find((one) => one.predictors === predictors && one.relation === "any");
  const side = sideOf(fit);
  const onMisses = onMissesOf(fit, misses?.fit);
  const finding = onBothScales(intervalFinding(side), onMisses.finding);
  const decidedBy = finding === intervalFinding(side) ? "self_coefficient" : "self_on_misses";
  return {
    about: { kind: "predictors", predictors },
    finding,
    decidedBy,
    numbers: [
      coefficientNumber(scores, fit, "self", "self_coefficient", "difference"),
      ...(misses ? [coefficientNumber(scores, misses.fit, "self", "self_on_misses", "plain")] : []),
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
      {
        kind: "self_effect",
        key: "self_coefficient",
        finding: intervalFinding(side),
        reason: fit.ok ? undefined : fit.reason,
      },
      { kind: "self_on_misses", key: "self_on_misses", ...onMisses },
      ...likeness(fit, without),
      ...otherFits(main, own),
      ...(preference
        ? [{ kind: "own_or_other" as const, key: "own_minus_other", side: sideOfZero(preference.difference) }]
        : []),
    ],
    reservations: finding === "unknown" ? [] : [...fewBaseModels(scores), ...notRefuted(finding)],
  };
}

/** A cell that this scale leaves out and the other does not, may be what speaks against a self effect. */
function onMissesOf(main: MatrixFit, misses: MatrixFit | undefined): { finding: Finding; reason?: string } {
  if (!misses) return { finding: "unknown", reason: "it was not fitted" };
  if (!misses.ok) return { finding: "unknown", reason: misses.reason };
  const lost = misses.missing.length - main.missing.length;
  if (lost > 0) {
    const cells = lost === 1 ? "one cell has" : `${lost} cells have`;
    return { finding: "unknown", reason: `${cells} no miss, so no value on this scale` };
  }
  return { finding: intervalFinding(sideOf(misses)) };
}

/** Unequal skills and unequally easy targets look like a self effect on one scale; a true one stands on both. */
function onBothScales(accuracy: Finding, misses: Finding): Finding {
  return accuracy === "unknown" || accuracy === misses ? accuracy : "cannot_tell";
}

function fewBaseModels({ states }: MatrixScores): VerdictReservation[] {
  const models = new Set(states.map(({ model }) => model)).size;
  return models < FEWEST_BASE_MODELS ? [{ kind: "few_base_models", models, fewest: FEWEST_BASE_MODELS }] : [];
}

function notRefuted(finding: Finding): VerdictReservation[] {
  return finding === "exceeds" ? [] : [{ kind: "likeness_hides_self" }];
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
  const others = own.filter((one) => one !== main && one.form !== "self" && !isOnMisses(one));
  if (others.length === 0) return [];
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
      reservations: finding === "unknown" ? [] : fewBaseModels(scores),
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
