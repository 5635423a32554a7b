/** What the fits say of self-knowledge, in sentences that follow from their numbers alone. */

import { type Side, sideOfZero } from "../../score/interval.js";
import type { Coefficient, MatrixFit } from "../../score/matrix/fit.js";
import type { FittedForm, MatrixScores, Preference, SongScores } from "../../score/matrix/matrix.js";
import { formatDifference, formatInterval, formatPercent, formatPoints } from "../document.js";
import { decimalInterval, decimals } from "./calibration.js";

/** Where a coefficient's interval lies. */
export function sideOf(fit: MatrixFit, name = "self"): Side {
  return sideOfZero(coefficientOf(fit, name)?.interval ?? { ok: false });
}

export function coefficientOf(fit: MatrixFit, name: string): Coefficient | undefined {
  return fit.ok ? fit.coefficients.find((one) => one.name === name) : undefined;
}

const EXPLAINED = "than its skill, the target's predictability and their likeness explain";

/** @returns for each group of predictors its finding first, then what bears on it */
export function matrixVerdicts({ fits, preferences }: MatrixScores): string[][] {
  return [...new Set(fits.map(({ predictors }) => predictors))].map((predictors) => {
    const own = fits.filter((fit) => fit.predictors === predictors);
    const main = own.find(isMain);
    if (!main) return ["The matrix was not fitted."];
    const preference = preferences.find((one) => one.predictors === predictors && one.relation === "any");
    return [
      mainSentence(main),
      ...likenessSentences(main, own),
      ...otherSentences(main, own),
      ...(preference ? [preferenceSentence(preference)] : []),
    ];
  });
}

export function isMain({ average, scale, form }: FittedForm): boolean {
  return average === "micro" && scale === "accuracy" && form === "similarity";
}

function mainSentence({ predictors, fit }: FittedForm): string {
  const over = `Over ${PREDICTORS[predictors]}`;
  const gamma = points(fit, "self");
  switch (sideOf(fit)) {
    case "above":
      return `${over}, a state predicts itself better ${EXPLAINED}: γ = ${gamma}.`;
    case "below":
      return `${over}, a state predicts itself worse ${EXPLAINED}: γ = ${gamma}.`;
    case "across":
      return `${over}, whether a state predicts itself better ${EXPLAINED} cannot be told: γ = ${gamma}, which holds 0.`;
    case "unknown":
      return `${over}, whether a state predicts itself better ${EXPLAINED} is not known: ${fit.ok ? `γ = ${gamma}` : fit.reason}.`;
  }
}

function likenessSentences({ fit }: FittedForm, own: readonly FittedForm[]): string[] {
  const without = own.find(({ form }) => form === "self");
  if (!without?.fit.ok) return [];
  const [before, after] = [sideOf(without.fit), sideOf(fit)];
  const gamma = `Without likeness γ is ${points(without.fit, "self")}`;
  const becomes =
    before === "above" && after !== "above" && after !== "unknown"
      ? ": what looks like self-knowledge there is not told from likeness"
      : before === "above" && after === "above"
        ? ": it stays above 0 once likeness is taken out"
        : "";
  return [
    `${gamma}${becomes}.`,
    ...(fit.ok ? [`Behaving alike in everything instead of nothing is worth δ = ${points(fit, "similarity")}.`] : []),
  ];
}

/** Whether the finding stands where cells are weighted, scaled or explained otherwise. */
function otherSentences(main: FittedForm, own: readonly FittedForm[]): string[] {
  const finding = sideOf(main.fit);
  if (finding !== "above" && finding !== "below") return [];
  const others = own.filter((one) => one !== main && one.form !== "self");
  const apart = others.filter(({ fit }) => sideOf(fit) !== finding).map(describe);
  const known = others.filter(({ fit }) => sideOf(fit) === finding).map(describe);
  return [
    ...(known.length > 0 ? [`It stands as well ${known.join("; ")}.`] : []),
    ...(apart.length > 0 ? [`It does not stand, or is not known, ${apart.join("; ")}.`] : []),
  ];
}

function describe({ average, scale, form }: FittedForm): string {
  if (scale === "miss") return "on the scale of −log(1 − accuracy)";
  if (form === "relations") return "beside the other relations of predictor and target";
  return average === "macro" ? "where every task and property weighs the same" : "in another form";
}

function preferenceSentence({ own, others, difference }: Preference): string {
  const where = "Where two of them behave differently, a state says what it does itself";
  if (!own.ok || !others.ok || !difference.ok) {
    const reason = [own, others, difference].flatMap((one) => (one.ok ? [] : [one.reason]))[0] ?? "";
    return `${where} — (${reason}).`;
  }
  const side = sideOfZero(difference);
  const verdict =
    side === "above"
      ? "its own more often"
      : side === "below"
        ? "the other's more often"
        : "which of the two more often cannot be told";
  return `${where} in ${formatPercent(own.value)} and what the other does in ${formatPercent(others.value)} of trials, a difference of ${formatPoints(difference)}: ${verdict}.`;
}

/** @returns the finding on logprob differences first */
export function songVerdict(song: SongScores): string[] {
  const question = "what a state says of its own probabilities follows them more than likeness explains";
  if (!song.ok) return [`Whether ${question} was not measured: ${song.reason}.`];
  const { regression: fit, withModelEffects } = song;
  const beta = number(fit, "self");
  const finding = sideOf(fit);
  const first = {
    above: `In logprobs, ${question}: the coefficient of self is ${beta}.`,
    below: `In logprobs, what a state says of its own probabilities follows them less than likeness explains: the coefficient of self is ${beta}.`,
    across: `In logprobs, whether ${question} cannot be told: the coefficient of self is ${beta}, which holds 0.`,
    unknown: `In logprobs, whether ${question} is not known: ${fit.ok ? `the coefficient of self is ${beta}` : fit.reason}.`,
  }[finding];
  return [
    first,
    ...(withModelEffects.ok
      ? [`With an effect of each judge and each judged state it is ${number(withModelEffects, "self")}.`]
      : []),
  ];
}

/** +5.0 points [2.0, 8.0], or without interval and why. */
function points(fit: MatrixFit, name: string): string {
  const found = coefficientOf(fit, name);
  if (!found) return "— (not fitted)";
  const value = `${formatDifference(found.value)} points`;
  return found.interval.ok ? `${value} ${formatInterval(found.interval)}` : `${value} (${found.interval.reason})`;
}

function number(fit: MatrixFit, name: string): string {
  const found = coefficientOf(fit, name);
  if (!found) return "— (not fitted)";
  const { interval } = found;
  return `${decimals(found.value, 3)} ${interval.ok ? decimalInterval(interval, 3) : `(${interval.reason})`}`;
}

// How rows, forms and relations of the matrix are called.

export const PREDICTORS: Readonly<Record<FittedForm["predictors"], string>> = {
  all: "all predictors",
  trained: "trained predictors",
  untrained: "untrained predictors",
};
