/** The matrix in numbers: its cells, its fits, and the correlations of Song et al.'s form. */
import type { CoefficientInterval } from "../../score/matrix/bootstrap-coefficients.js";
import type { Coefficient, MatrixFit } from "../../score/matrix/fit-matrix.js";
import type { FittedForm, MatrixScores, SongScores } from "../../score/matrix/matrix-scores.js";
import type { ObservedCell } from "../../score/matrix/observed-cells.js";
import { decimalCell, decimalInterval, decimals } from "../calibration/decimal-cell.js";
import type { Table, TableCell, TableRow } from "../document.js";
import { formatCount, formatDifference, formatInterval, formatMissing } from "../format-number.js";
import { estimateCell, left, right } from "../table-parts.js";
import { readableName } from "../readable-name.js";
import { COEFFICIENTS, FORMS, PREDICTORS } from "./matrix-names.js";
import { coefficientOf } from "./matrix-verdict.js";

type Song = Extract<SongScores, { ok: true }>;

/** @param percent of the intervals */
export function cellsTable({ cells, fits }: MatrixScores, percent: number): Table {
  const residuals = new Map((fits.find((fit) => fit.residuals)?.residuals ?? []).map((one) => [keyOf(one), one.value]));
  return {
    kind: "table",
    caption: `Every predictor about every target: right predictions with ${percent} % intervals (cluster bootstrap by string), beside always giving one answer and beside how alike the two behave; what the fit over all predictors leaves, in points`,
    groupTitle: "About",
    columns: [
      left("Predictor"),
      ...["Right", "Mode (train)", "Mode (oracle)", "Same behavior", "Left by the fit", "n"].map(right),
    ],
    rows: cells
      .toSorted((a, b) => (a.target < b.target ? -1 : Number(a.target > b.target)))
      .map((cell) => cellRow(cell, residuals.get(keyOf(cell)))),
  };
}

function cellRow(cell: ObservedCell, residual: number | undefined): TableRow {
  const { predictor, target, accuracy, modeBaselineTrain, modeBaselineOracle, similarity } = cell;
  return {
    group: target,
    cells: [
      { text: predictor === target ? [{ strong: predictor }, " (itself)"] : predictor },
      estimateCell(accuracy),
      estimateCell(modeBaselineTrain),
      estimateCell(modeBaselineOracle),
      estimateCell(similarity),
      residual === undefined
        ? { text: formatMissing("not fitted"), missing: true }
        : { text: formatDifference(residual) },
      accuracy.ok
        ? { text: formatCount(accuracy.n), small: `${formatCount(accuracy.clusters)} strings` }
        : { text: formatMissing("no trial"), missing: true },
    ],
  };
}

export function fitsTable({ fits }: MatrixScores, percent: number): Table {
  const names = ["similarity", "self", "same_weights", "label_source", "shared_label_source"];
  const known = names.filter((name) => fits.some(({ fit }) => coefficientOf(fit, name)));
  return {
    kind: "table",
    caption: `What explains the cells, by least squares with an effect of every predictor and every target; ${percent} % intervals (cluster bootstrap by string), standard errors as if cells were independent. In points, on the scale of −log(1 − accuracy) in its own unit`,
    groupTitle: "Rows",
    columns: [
      left("Fit"),
      ...known.map((name) => right(COEFFICIENTS[name] ?? readableName(name))),
      right("Left over, SD"),
      right("Cells"),
    ],
    rows: fits.map((form) => fitRow(form, known)),
  };
}

function fitRow(form: FittedForm, names: readonly string[]): TableRow {
  const { predictors, fit, scale } = form;
  const missing = { text: "—", missing: true };
  const shown = (value: number) => (scale === "miss" ? decimals(value, 3) : formatDifference(value));
  return {
    group: PREDICTORS[predictors],
    cells: [
      { text: formName(form) },
      ...names.map((name, index): TableCell => {
        if (!fit.ok) return index === 0 ? { text: formatMissing(fit.reason), missing: true } : missing;
        const found = coefficientOf(fit, name);
        return found ? coefficientCell(found, shown, (interval) => intervalIn(scale, interval)) : missing;
      }),
      fit.ok && fit.residualStandardDeviation.ok
        ? { text: shownSize(scale, fit.residualStandardDeviation.value) }
        : missing,
      cellsCell(fit),
    ],
  };
}

function formName({ average, scale, form }: FittedForm): string {
  return [
    FORMS[form],
    ...(average === "macro" ? ["macro"] : []),
    ...(scale === "miss" ? ["−log(1 − accuracy)"] : []),
  ].join(", ");
}

function shownSize(scale: FittedForm["scale"], value: number): string {
  return scale === "miss" ? decimals(value, 3) : formatDifference(value).replace(/^\+/, "");
}

function intervalIn(scale: FittedForm["scale"], interval: Extract<CoefficientInterval, { ok: true }>): string {
  return scale === "miss" ? decimalInterval(interval, 3) : formatInterval(interval);
}

function coefficientCell(
  { value, interval, standardError }: Coefficient,
  shown: (value: number) => string,
  range: (interval: Extract<CoefficientInterval, { ok: true }>) => string,
): TableCell {
  const error = standardError.ok ? `; SE ${shown(standardError.value).replace(/^\+/, "")}` : "";
  return { text: shown(value), small: `${interval.ok ? range(interval) : `(${interval.reason})`}${error}` };
}

function cellsCell(fit: MatrixFit): TableCell {
  const missing = fit.missing.length;
  if (!fit.ok) return { text: "—", missing: true };
  return { text: formatCount(fit.cells), ...(missing > 0 ? { small: `${formatCount(missing)} missing` } : {}) };
}

export function preferencesTable({ preferences }: MatrixScores, percent: number): Table {
  return {
    kind: "table",
    caption: `Trials in which two states behave differently: how often each says what it does itself and what the other does, each pair taken both ways; ${percent} % intervals (cluster bootstrap by string), the difference in points`,
    groupTitle: "Among",
    columns: [left("The two"), ...["Pairs", "Its own", "The other's", "Own − other's", "n"].map(right)],
    rows: preferences.map(({ predictors, relation, pairs, own, others, difference }) => ({
      group: PREDICTORS[predictors],
      cells: [
        { text: relation === "any" ? "any" : (COEFFICIENTS[relation] ?? readableName(relation)) },
        { text: formatCount(pairs) },
        estimateCell(own),
        estimateCell(others),
        estimateCell(difference, true),
        difference.ok
          ? { text: formatCount(difference.n), small: `${formatCount(difference.clusters)} strings` }
          : { text: "—", missing: true },
      ],
    })),
  };
}

export function songPairsTable({ pairs, items, prompts }: Song, percent: number): Table {
  return {
    kind: "table",
    caption: `What one state says (asked) against what another finds likely (probabilities of): r, the mean correlation over ${prompts} wordings, and d, the correlation of their probabilities; ${formatCount(items)} items each, ${percent} % intervals (bootstrap by item)`,
    groupTitle: "Probabilities of",
    columns: [left("Asked"), left("The two"), right("r"), right("d")],
    rows: pairs.map(({ judged, judge, matchType, agreement, similarity }) => ({
      group: judged,
      cells: [
        { text: judge },
        { text: matchType === "self" ? "itself" : (COEFFICIENTS[matchType] ?? readableName(matchType)) },
        decimalCell(agreement, 2),
        judged === judge ? { text: "1", small: "by definition" } : decimalCell(similarity, 2),
      ],
    })),
  };
}

export function songCoefficientsTable({ regression, withModelEffects, baseline }: Song, percent: number): Table {
  const fits = [
    { name: "one intercept", fit: regression },
    { name: "an effect of each judge and each judged state", fit: withModelEffects },
  ];
  return {
    kind: "table",
    caption: `r by d and what the two have in common, relative to ${COEFFICIENTS[baseline] ?? readableName(baseline)}; ${percent} % intervals (bootstrap by item), standard errors as if pairs were independent`,
    groupTitle: "Fit",
    columns: [left("Coefficient"), right("Value"), right("Pairs")],
    rows: fits.flatMap(({ name, fit }): TableRow[] =>
      fit.ok
        ? fit.coefficients.map((coefficient) => ({
            group: name,
            cells: [
              { text: songCoefficient(coefficient.name) },
              coefficientCell(
                coefficient,
                (value) => decimals(value, 3),
                (interval) => decimalInterval(interval, 3),
              ),
              cellsCell(fit),
            ],
          }))
        : [
            {
              group: name,
              cells: [{ text: "—", missing: true }, { text: formatMissing(fit.reason), missing: true }, cellsCell(fit)],
            },
          ],
    ),
  };
}

function songCoefficient(name: string): string {
  if (name === "similarity") return "d";
  return name === "self" ? "itself" : (COEFFICIENTS[name] ?? readableName(name));
}

function keyOf({ predictor, target }: { readonly predictor: string; readonly target: string }): string {
  return JSON.stringify([predictor, target]);
}
