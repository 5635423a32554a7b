/** Every predictor about every target: verdicts, the heat map, cells and fits, Song et al.'s form, method and limits. */

import type { ObservedCell } from "../../score/matrix/cells.js";
import type { Coefficient, CoefficientInterval, MatrixFit } from "../../score/matrix/fit.js";
import type { FittedForm, MatrixScores, SongScores } from "../../score/matrix/matrix.js";
import { coefficientOf, matrixVerdicts } from "../../score/verdicts/matrix-verdict.js";
import type { Plan } from "../../study/plan.js";
import { withStanding } from "../standing.js";
import {
  decimalCell,
  decimalInterval,
  decimals,
  estimateCell,
  formatCount,
  formatDifference,
  formatInterval,
  formatMissing,
  type Inline,
  INTERVALS,
  left,
  aside,
  right,
  type Section,
  type Table,
  type TableCell,
  type TableRow,
} from "../document.js";
import { matrixFigure } from "../figures/comparison-figure.js";
import { joinWords, readableName, SCOPE_WORDS } from "../terms.js";
import { PREDICTOR_GROUPS, verdictBlock } from "../sentences.js";

// How the matrix was made and fitted, and what it does not show, in words.

function matrixMethod({ selfMeans, similarityMeans, song }: MatrixScores): Inline[][] {
  return [
    [
      { strong: "Cells. " },
      "A reply to a hypothetical question does not depend on whom it is held against: every predictor's replies are scored against every target's behavior, each predictor asked once. Micro: every trial counts the same.",
    ],
    [
      { strong: "Fit. " },
      "accuracy(i, j) = skill of i + predictability of j + δ · likeness(i, j) + γ · [i = j], by least squares over the cells. γ is what a state knows of itself beyond what anybody of its skill would, about a target that easy, that like it.",
    ],
    [{ strong: "Itself. " }, `${selfMeans}.`],
    [{ strong: "Likeness. " }, `${similarityMeans}.`],
    [
      { strong: "Relations. " },
      "The same base weights under another adapter or none, being what the predictor's adapter learnt from, and having learnt from the same: each of two different states, beside likeness.",
    ],
    [
      { strong: "−log(1 − accuracy). " },
      "On this scale knowing and guessing add up. A self effect of plain accuracies may come from unequally skilled predictors and unequally easy targets; one that stands on both scales does not.",
    ],
    [
      { strong: "Own or other's. " },
      "Among the trials in which two states behave differently: the share in which a state's reply is its own behavior, minus the share in which it is the other's. Each pair is taken both ways, so that an answer which is common to all counts for either side alike.",
    ],
    [{ strong: "Intervals. " }, INTERVALS, "."],
    ...(song.ok
      ? [
          [
            { strong: "Logprob differences. " },
            "For every string two items of the task's other strings, drawn by seed and without any model's part. Direct: how much more likely a state begins its answer with the first than with the second (sums of logprobs over tokens, the end of the turn left out). Asked: the logprob of the reply 1 minus that of 2 to a question which lists both, averaged over the two orders. After Song, Hu and Mahowald (2025), in our own wordings.",
          ] as Inline[],
        ]
      : []),
  ];
}

/** With so few states likeness between different ones is fitted by skill and predictability alone. */
const FEW_STATES = 3;

function matrixLimits({ states, cells, fits, song }: MatrixScores): string[] {
  const predictors = new Set(cells.map(({ predictor }) => predictor));
  const targets = new Set(cells.map(({ target }) => target));
  const models = new Set(states.map(({ model }) => model));
  const missing = cells.filter(({ accuracy, similarity }) => !accuracy.ok || !similarity.ok);
  const trainings = new Map<string, number>();
  for (const { model, learntFrom } of states) {
    if (learntFrom === undefined) continue;
    const key = JSON.stringify([model, learntFrom]);
    trainings.set(key, (trainings.get(key) ?? 0) + 1);
  }
  const oneSeed = trainings.size > 0 && [...trainings.values()].every((count) => count === 1);
  const unfitted = fits.filter(({ fit }) => !fit.ok);
  return [
    `${formatCount(predictors.size)} predictors, ${formatCount(targets.size)} targets, ${formatCount(models.size)} base ${models.size === 1 ? "model" : "models"}. Intervals say what other strings could have given; with other models γ may be another, and no interval here covers that.`,
    "A state that says what it would do itself is right about another as often as the two behave alike. So perfect self-knowledge gives δ = 1 and γ = 0 here, and r = d in logprobs: γ above 0 shows self-knowledge beyond likeness, γ near 0 does not refute it. Read δ, and what states say where they behave differently, beside it.",
    "Standard errors take the cells as independent. They share strings, predictors and targets: read the intervals.",
    "Likeness is measured on few strings and on the asked properties only. What chance takes off δ goes to γ, since a state is like itself without error; intervals do not cover this.",
    ...(Math.min(predictors.size, targets.size) <= FEW_STATES
      ? [
          `With ${FEW_STATES} states or fewer on a side, likeness and being the same state are hardly told from skills and predictabilities, or not at all: four or more are needed to read δ and γ apart.`,
        ]
      : []),
    ...(oneSeed ? ["Every adapter was trained once: how far cells vary between trainings is not measured."] : []),
    ...(missing.length > 0
      ? [
          `${formatCount(missing.length)} of ${formatCount(cells.length)} cells have no accuracy or no likeness and are left out of the fits: ${reasonsOf(missing)}.`,
        ]
      : []),
    ...(unfitted.length > 0
      ? [`${formatCount(unfitted.length)} of ${formatCount(fits.length)} fits have no solution; the table says why.`]
      : []),
    ...(song.ok
      ? [
          ...(song.leftOut ?? []).map(
            ({ count }) =>
              `Strings that the comparison of logprobs leaves out for all states, because the engine crashed on them for one: ${formatCount(count)}.`,
          ),
          "Beginnings differ in length: a longer word is less likely to every state, which d takes into account and r does not.",
          ...(song.baseline === "other"
            ? []
            : ["All states share weights or are made from each other: self is not compared with unrelated models."]),
        ]
      : []),
    "Fits stand side by side without a correction for their number: the first of each group is the one that was meant beforehand.",
  ];
}

function reasonsOf(missing: MatrixScores["cells"]): string {
  const reasons = missing.flatMap(({ accuracy, similarity }) =>
    [accuracy, similarity].flatMap((one) => (one.ok ? [] : [one.reason])),
  );
  return joinWords([...new Set(reasons)]);
}

const FORMS: Readonly<Record<FittedForm["form"], string>> = {
  self: "without likeness",
  similarity: "with likeness",
  relations: "with likeness and relations",
};

const COEFFICIENTS: Readonly<Record<string, string>> = {
  similarity: "likeness (δ)",
  self: "itself (γ)",
  intercept: "intercept",
  same_weights: "same base weights",
  derived_weights: "weights made from each other",
  label_source: "what it learnt from",
  shared_label_source: "both learnt from one",
  other: "other weights",
};

// The matrix in numbers: its cells, its fits, and the correlations of Song et al.'s form.

type Song = Extract<SongScores, { ok: true }>;

/** @param percent of the intervals */
function cellsTable({ cells, fits }: MatrixScores, percent: number): Table {
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

function fitsTable({ fits }: MatrixScores, percent: number): Table {
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
    group: PREDICTOR_GROUPS[predictors],
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
  return { text: formatCount(fit.cells), small: missing > 0 ? `${formatCount(missing)} missing` : undefined };
}

function preferencesTable({ preferences }: MatrixScores, percent: number): Table {
  return {
    kind: "table",
    caption: `Trials in which two states behave differently: how often each says what it does itself and what the other does, each pair taken both ways; ${percent} % intervals (cluster bootstrap by string), the difference in points`,
    groupTitle: "Among",
    columns: [left("The two"), ...["Pairs", "Its own", "The other's", "Own − other's", "n"].map(right)],
    rows: preferences.map(({ predictors, relation, pairs, own, others, difference }) => ({
      group: PREDICTOR_GROUPS[predictors],
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

function songPairsTable({ pairs, items, prompts }: Song, percent: number): Table {
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

function songCoefficientsTable({ regression, withModelEffects, baseline }: Song, percent: number): Table {
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

/** @throws InwardError REPORT_FAILED */
export async function matrixSection(scores: MatrixScores, plan: Pick<Plan, "primary">): Promise<Section> {
  const percent = Number((100 * scores.confidence).toFixed(6));
  const title = "Every predictor about every target";
  const { song } = scores;
  return {
    id: "matrix",
    title,
    blocks: [
      aside(
        "Does a state predict itself better than it predicts others, once it is taken out who predicts well, who is easily predicted, and who behaves alike?",
      ),
      ...matrixVerdicts(scores).map((one) => verdictBlock(withStanding(plan, one))),
      ...(song.ok
        ? []
        : [
            aside(
              `Whether what a state says of its own probabilities follows them more than likeness explains was not measured: ${song.reason}.`,
            ),
          ]),
      {
        kind: "figure",
        name: "matrix",
        title,
        caption:
          "Percent of trials that are right. Each row is a predictor, each column the state whose behavior it is held against; frames where a state predicts itself. The table below gives intervals and baselines.",
        svg: await matrixFigure(title, scores.cells),
      },
      fitsTable(scores, percent),
      ...(scores.beside ?? []).flatMap((one) => [
        aside(`On ${SCOPE_WORDS[one.scope]}, which are never pooled with the others:`),
        fitsTable({ ...scores, ...one }, percent),
      ]),
      preferencesTable(scores, percent),
      cellsTable(scores, percent),
      ...(song.ok
        ? [
            { kind: "subheading" as const, title: "What states say of their probabilities" },
            songCoefficientsTable(song, percent),
            songPairsTable(song, percent),
          ]
        : []),
      { kind: "subheading", title: "How the matrix was made" },
      { kind: "list", items: matrixMethod(scores) },
      { kind: "subheading", title: "What the matrix does not show" },
      { kind: "list", items: matrixLimits(scores).map((text) => [text]) },
    ],
  };
}
