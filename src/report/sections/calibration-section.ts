/** Calibration at temperature 1: verdicts, the reliability figure, every measure beside the constant predictor, method and limits. */

import type {
  CalibrationDifference,
  CalibrationMetrics,
  CalibrationRow,
  CalibrationScores,
  DistributionCost,
  TailBounds,
} from "../../score/calibration/score-calibration.js";
import { sideOfZero } from "../../score/interval.js";
import {
  answer,
  type Block,
  type Column,
  decimalCell,
  decimals,
  decimalText,
  estimateCell,
  type Figure,
  formatCount,
  formatMissing,
  type Inline,
  INTERVALS,
  aside,
  pairCell,
  type Section,
  shareCell,
  type Table,
  type TableCell,
  type TableRow,
} from "../document.js";
import type { Verdict } from "../../score/verdicts/verdict.js";
import { verdictBlock } from "../sentences.js";
import { reliabilityFigure } from "../figures/reliability.js";
import type { Scope } from "../../score/scope.js";
import { type PairNames, plural, readableName, SCOPE_WORDS } from "../terms.js";

// How calibration was measured, and what it does not show, in words.

function calibrationMethod({ klMixing }: CalibrationScores): Inline[][] {
  return [
    [
      { strong: "Two distributions. " },
      "At temperature 1 the target's answer has a distribution over the values of a property, and so has the predictor's reply to the hypothetical question. They are found by expanding the tree of continuations, or, where that is out of reach, from samples.",
    ],
    [
      { strong: "Answers without a value. " },
      "The target's probabilities are divided by their sum, as if only answers with a value were counted. The predictor's are not: what it gives to replies that do not comply, or to continuations that were not looked into, it gives to no value, and this counts against it.",
    ],
    [
      { strong: "Points. " },
      "For each string the three likeliest values of the target (fewer where it shows fewer), each with its probability and the one that was predicted; 0 for a value that the predictor does not list.",
    ],
    [
      { strong: "MAD. " },
      "Ten bins with as many points each, cut at quantiles of the target's probability, equal edges merged: the mean over bins of the distance between mean probability and mean predicted probability.",
    ],
    [
      { strong: "From 20 samples. " },
      "What the procedure of the paper would show: 20 answers and 20 predictions of each string, drawn from the distributions, the same points and bins; the mean over 200 such draws. Their noise is part of it, so a perfect predictor has some too; it is the number to set beside published ones.",
    ],
    [
      { strong: "Correlations. " },
      "Pearson and Spearman over the points; per string, Spearman over the values that the target shows, averaged over the strings where it is defined.",
    ],
    [
      { strong: "Brier. " },
      "The expected squared distance between the target's value and the predicted probabilities of all values, 0 to 2; 1 for a predictor that names no value. “By the tails”: between which numbers its mean must lie, whatever the continuations that were not looked into hold. Beyond entropy: what is left after taking off the score of a predictor that knows the target's probabilities.",
    ],
    [
      { strong: "ECE. " },
      "For the likeliest predicted value, ten bins of equal width: the mean distance between how likely it was held to be and how likely it is. Replies without any value are left out.",
    ],
    [
      { strong: "Total variation and KL. " },
      `One minus what the two distributions share; and the divergence from the target's to the predictor's, which is mixed with ${Number((100 * klMixing).toFixed(6))} % of a uniform distribution over the values that the target shows, since it would else be infinite where a behavior is not predicted at all. “By the tails”: between which numbers the mean must lie, whatever the continuations that were not looked into hold (for KL: among the values seen).`,
    ],
    [
      { strong: "Constant predictor. " },
      "Knows nothing about the string: always the mean of the target's probabilities over the other strings of the task. Skill: one minus Brier divided by its Brier; 0 is no better than it, 1 is perfect. Its own bounds come from the tails of those other strings. It always gives a value: a predictor whose replies do not all have one is charged for it, unless only replies with a value are counted, which a table of its own does.",
    ],
    [
      { strong: "Cost. " },
      "Tokens that were evaluated, prompts included, for expansions; the number of answers for samples.",
    ],
    [{ strong: "Intervals. " }, INTERVALS, "."],
  ];
}

function calibrationLimits({ rows, differences }: CalibrationScores): string[] {
  const pooled = rows.filter(({ property }) => property === undefined);
  const kinds = new Set(pooled.map(({ kind }) => kind));
  const sampled = pooled.reduce((sum, row) => sum + row.sampled.count, 0);
  const compared = pooled.reduce((sum, row) => sum + row.sampled.of, 0);
  const missing = (["self", "cross", "untrained"] as const).filter((kind) => !kinds.has(kind));
  return [
    ...missing.map((kind) => NOT_RUN[kind]),
    ...(kinds.has("self") && kinds.has("cross") && !differences.some(({ kind }) => kind === "self_minus_cross")
      ? ["Self- and cross-predictions are about different targets: they are not compared."]
      : []),
    ...(sampled > 0
      ? [
          `${formatCount(sampled)} of ${formatCount(compared)} comparisons rest on samples: their chance errors are part of MAD, Brier, KL and total variation, and the bounds by the tails do not cover them.`,
        ]
      : []),
    "Low MAD of the second and third behavior is partly because their probabilities are small: read it beside the constant predictor's.",
    "Pooled over properties, every comparison counts the same, so properties that many tasks share weigh more.",
    "Differences and properties stand side by side without a correction for their number.",
  ];
}

const NOT_RUN = {
  self: "No trained self-prediction was measured: what training does to calibration is not shown.",
  cross:
    "No cross-prediction was measured: whether another model would be as well calibrated about the same behavior is not shown.",
  untrained: "No untrained prediction was measured: how calibrated the model is without training is not shown.",
} as const;

// What the calibration of one predictor says in words; only an interval that excludes zero makes a difference.

function about({ predictor, target }: Pick<CalibrationRow, "predictor" | "target">): string {
  return predictor === target ? `${predictor} about itself` : `${predictor} about ${target}`;
}

/** @param row over all properties */
export function calibrationSentence(row: CalibrationRow): string {
  const { metrics, constant, skill, strings, points } = row;
  const who = `${about(row)} (${row.kind})`;
  if (!metrics.madPoints.ok) return `${who}: there is no calibration to show (${metrics.madPoints.reason}).`;
  const mad = `${who}: predicted probabilities are off by ${decimalText(metrics.madPoints, 1)} percentage points in the mean of the bins (${plural(points, "point", formatCount(points))}, ${plural(strings, "string", formatCount(strings))})`;
  const other = constant.madPoints.ok
    ? `, those of the constant predictor by ${decimalText(constant.madPoints, 1)}`
    : "";
  if (!skill.ok) return `${mad}${other}; no skill over it can be given (${skill.reason}).`;
  const worth = `Brier skill ${decimalText(skill, 2)}`;
  const side = sideOfZero(skill);
  if (side === "above") return `${mad}${other}; knowing the string, it beats that constant predictor (${worth}).`;
  return side === "below"
    ? `${mad}${other}; it is worse than that constant predictor (${worth}).`
    : `${mad}${other}; it is not shown to beat that constant predictor (${worth}, which includes 0).`;
}

/** @param difference over all properties */
export function calibrationDifferenceSentence(difference: CalibrationDifference): string {
  const { predictor, minus, target, kind, totalVariation } = difference;
  const other = kind === "self_minus_cross" ? `${minus}, which has other weights,` : `${minus}, which is untrained,`;
  if (!totalVariation.ok) {
    return `${predictor} and ${minus} about ${target}: no difference can be given (${totalVariation.reason}).`;
  }
  const by = `total variation ${decimalText(totalVariation, 3)} on ${formatCount(totalVariation.n)} comparisons of ${plural(totalVariation.clusters, "string", formatCount(totalVariation.clusters))}`;
  const side = sideOfZero(totalVariation);
  if (side === "below") return `${predictor} is nearer to what ${target} does than ${other} is (${by}).`;
  return side === "above"
    ? `${predictor} is further from what ${target} does than ${other} is (${by}).`
    : `${predictor} is not shown to differ from ${other} in how near it is to what ${target} does (${by}, which includes 0).`;
}

// Every measure of calibration with n and interval, the constant predictor's below each predictor's.

type Metric = readonly [title: string, cell: (metrics: CalibrationMetrics) => TableCell];

const CONSTANT = "constant predictor";
const CURVE: readonly Metric[] = [
  ["MAD, points", ({ madPoints }) => decimalCell(madPoints, 1)],
  ["… from 20 samples", ({ mad20Points }) => decimalCell(mad20Points, 1)],
  ["MAD of the likeliest behavior", ({ madByRankPoints: [first] }) => decimalCell(first, 1)],
  ["… second", ({ madByRankPoints: [, second] }) => decimalCell(second, 1)],
  ["… third", ({ madByRankPoints: [, , third] }) => decimalCell(third, 1)],
  ["Pearson", ({ pearson }) => decimalCell(pearson, 2)],
  ["Spearman", ({ spearman }) => decimalCell(spearman, 2)],
  ["Rank correlation per string", ({ rankCorrelation }) => decimalCell(rankCorrelation, 2)],
  ["ECE, points", ({ expectedCalibrationError }) => estimateCell(expectedCalibrationError)],
  ["Points / strings", ({ madPoints }) => pairCell(madPoints)],
];
const DISTANCE: readonly Metric[] = [
  ["Brier", ({ brier }) => decimalCell(brier, 3)],
  ["… by the tails", ({ brierBounds }) => boundsCell(brierBounds)],
  ["… beyond entropy", ({ excessBrier }) => decimalCell(excessBrier, 3)],
  ["Total variation", ({ totalVariation }) => decimalCell(totalVariation, 3)],
  ["… by the tails", ({ totalVariationBounds }) => boundsCell(totalVariationBounds)],
  ["KL, nats", ({ klNats }) => decimalCell(klNats, 2)],
  ["… by the tails", ({ klNatsBounds }) => boundsCell(klNatsBounds)],
  ["Comparisons / strings", ({ brier }) => pairCell(brier)],
];

/** @param rows over all properties @param percent of the intervals */
function curveTable(rows: readonly CalibrationRow[], percent: number): Table {
  return {
    kind: "table",
    caption: `Calibration of predicted probabilities, with ${percent} % intervals (cluster bootstrap by string) in brackets; lower MAD and ECE are better`,
    columns: [{ title: "Predictor", align: "left" }, ...columnsOf(CURVE)],
    rows: rows.flatMap((row) => withConstant(row, CURVE)),
  };
}

function distanceTable(rows: readonly CalibrationRow[], percent: number): Table {
  return {
    kind: "table",
    caption: `Distance between what is done and what is predicted, with ${percent} % intervals; lower is better, except skill`,
    columns: [
      { title: "Predictor", align: "left" },
      ...columnsOf(DISTANCE),
      { title: "Skill", align: "right" },
      { title: "… by the tails", align: "right" },
    ],
    rows: rows.flatMap((row) => {
      const [own, constant] = withConstant(row, DISTANCE);
      const none = { text: formatMissing("it is the measure"), missing: true };
      return [
        { cells: [...(own as TableRow).cells, decimalCell(row.skill, 2), skillBoundsCell(row.skillAtBounds)] },
        { cells: [...(constant as TableRow).cells, none, none] },
      ];
    }),
  };
}

/** The predictor's replies with a value alone, as the target's answers are: what it knows apart from whether it complies. */
function compliantTable(rows: readonly CalibrationRow[], percent: number): Table {
  const measures: readonly Metric[] = [
    ...CURVE.filter(([title]) => title.startsWith("MAD, points") || title === "… from 20 samples"),
    ["Brier", ({ brier }) => decimalCell(brier, 3)],
    ["… by the tails", ({ brierBounds }) => boundsCell(brierBounds)],
    ["Total variation", ({ totalVariation }) => decimalCell(totalVariation, 3)],
    ["Comparisons / strings", ({ brier }) => pairCell(brier)],
  ];
  const none = { text: formatMissing("it is the measure"), missing: true };
  return {
    kind: "table",
    caption: `The same among replies with a value, both sides divided by their sums, with ${percent} % intervals`,
    columns: [{ title: "Predictor", align: "left" }, ...columnsOf(measures), { title: "Skill", align: "right" }],
    rows: rows.flatMap((row) => {
      const [own, constant] = withConstant({ ...row, ...row.compliant }, measures) as [TableRow, TableRow];
      return [{ cells: [...own.cells, decimalCell(row.compliant.skill, 2)] }, { cells: [...constant.cells, none] }];
    }),
  };
}

function skillBoundsCell({ least, most }: CalibrationRow["skillAtBounds"]): TableCell {
  return least.ok && most.ok
    ? {
        text: `${decimals(least.value, 2)} to ${decimals(most.value, 2)}`,
        small: `[${decimals(least.low, 2)}, ${decimals(most.high, 2)}]`,
      }
    : { text: formatMissing("not computed"), missing: true };
}

/** @param rows by property */
function propertyTable(rows: readonly CalibrationRow[], percent: number): Table {
  const number = (title: string): Column => ({ title, align: "right" });
  return {
    kind: "table",
    caption: `By property, all tasks pooled, with ${percent} % intervals`,
    groupTitle: "Property",
    columns: [
      { title: "Predictor", align: "left" },
      ...["MAD, points", "Constant's MAD", "Total variation", "Constant's", "Skill", "Points / strings"].map(number),
    ],
    rows: rows.map((row) => ({
      group: readableName(row.property ?? "all properties"),
      cells: [
        { text: about(row), small: row.kind },
        decimalCell(row.metrics.madPoints, 1),
        decimalCell(row.constant.madPoints, 1),
        decimalCell(row.metrics.totalVariation, 3),
        decimalCell(row.constant.totalVariation, 3),
        decimalCell(row.skill, 2),
        pairCell(row.metrics.madPoints),
      ],
    })),
  };
}

function differencesTable(differences: readonly CalibrationDifference[], percent: number): Table {
  return {
    kind: "table",
    caption: `One predictor minus another about the same behavior, paired on the same strings, with ${percent} % intervals; below 0 the first is nearer`,
    groupTitle: "Property",
    columns: [
      { title: "Difference", align: "left" },
      { title: "MAD, points", align: "right" },
      { title: "Brier", align: "right" },
      { title: "Total variation", align: "right" },
      { title: "Comparisons / strings", align: "right" },
    ],
    rows: differences.map(({ predictor, minus, target, kind, property, ...estimates }) => ({
      group: property === undefined ? "all properties" : readableName(property),
      cells: [
        { text: `${predictor} − ${minus}, about ${target}`, small: readableName(kind) },
        decimalCell(estimates.madPoints, 1, true),
        decimalCell(estimates.brier, 3, true),
        decimalCell(estimates.totalVariation, 3, true),
        pairCell(estimates.brier),
      ],
    })),
  };
}

/** @param rows over all properties */
function costTable(rows: readonly CalibrationRow[], percent: number): Table {
  return {
    kind: "table",
    caption: `What was measured and what it cost; mean probabilities with ${percent} % intervals`,
    columns: [
      { title: "Predictor", align: "left" },
      { title: "Behaviors have a value", align: "right" },
      { title: "Predictions have a value", align: "right" },
      { title: "KL infinite without mixing", align: "right" },
      { title: "With samples", align: "right" },
      { title: "Cost of behaviors", align: "right" },
      { title: "Cost of predictions", align: "right" },
      { title: "Left out", align: "left" },
    ],
    rows: rows.map((row) => ({
      cells: [
        { text: about(row), small: row.kind },
        estimateCell(row.objectCompliantMass),
        estimateCell(row.hypotheticalCompliantMass),
        shareCell(row.klInfinite),
        shareCell(row.sampled),
        { text: costText(row.objectCost) },
        { text: costText(row.hypotheticalCost) },
        { text: row.leftOut.map(({ reason, count }) => `${reason}: ${formatCount(count)}`).join("; ") || "none" },
      ],
    })),
  };
}

function withConstant(row: CalibrationRow, metrics: readonly Metric[]): TableRow[] {
  return [
    { cells: [{ text: about(row), small: row.kind }, ...metrics.map(([, cell]) => cell(row.metrics))] },
    { cells: [{ text: `… ${CONSTANT}` }, ...metrics.map(([, cell]) => cell(row.constant))] },
  ];
}

function columnsOf(metrics: readonly Metric[]): Column[] {
  return metrics.map(([title]) => ({ title, align: "right" }));
}

function boundsCell(bounds: TailBounds | undefined): TableCell {
  return bounds
    ? { text: `${decimals(bounds.least, 3)} to ${decimals(bounds.most, 3)}` }
    : { text: formatMissing("nothing to compare"), missing: true };
}

function costText({ expansions, evaluatedTokens, sampledDistributions, samples }: DistributionCost): string {
  const parts = [
    ...(expansions > 0 ? [`${formatCount(evaluatedTokens)} tokens for ${formatCount(expansions)} expansions`] : []),
    ...(sampledDistributions > 0
      ? [`${formatCount(samples)} samples for ${formatCount(sampledDistributions)} others`]
      : []),
  ];
  return parts.join("; ") || "nothing";
}

/** @throws InwardError REPORT_FAILED */
export async function calibrationSection(
  scores: CalibrationScores,
  verdicts: readonly Verdict[],
  isMain: (pair: PairNames) => boolean,
): Promise<Section> {
  const targets = [...new Set(scores.rows.map(({ target }) => target))];
  const blocks: Block[] = [];
  for (const [index, target] of targets.entries()) {
    blocks.push(...(await targetBlocks(scores, target, targets.length > 1 ? `-${index + 1}` : "", isMain)));
  }
  return {
    id: "calibration",
    title: "Calibration at temperature 1",
    blocks: [
      aside(
        "Does what a predictor holds likely happen as often as it holds it likely? Both sides are whole distributions here, not single answers.",
      ),
      // Sentences say what was measured; a verdict that something weakens says what.
      ...verdicts.filter(({ reservations }) => reservations.length > 0).map((verdict) => verdictBlock(verdict)),
      ...(blocks.length > 0 ? [...onlyOn(scores.scope), ...blocks] : [aside("No prediction was to be compared.")]),
      ...(scores.beside ?? []).flatMap((one) => besideBlocks({ ...scores, ...one })),
      { kind: "subheading", title: "How calibration was measured" },
      { kind: "list", items: calibrationMethod(scores) },
      { kind: "subheading", title: "What it does not show" },
      { kind: "list", items: calibrationLimits(scores).map((text) => [text]) },
    ],
  };
}

function onlyOn(scope: Scope | undefined): Block[] {
  return scope === undefined || scope === "all"
    ? []
    : [aside(`On ${SCOPE_WORDS[scope]}; other questions stand apart.`)];
}

/** The numbers of a scope that does not come first, without figures. */
function besideBlocks({ scope = "all", rows, differences, confidence }: CalibrationScores): Block[] {
  const percent = Number((100 * confidence).toFixed(6));
  const pooled = rows.filter(({ property, comparisons }) => property === undefined && comparisons > 0);
  if (pooled.length === 0) return [];
  return [
    { kind: "subheading", title: `On ${SCOPE_WORDS[scope]}` },
    ...differences
      .filter(({ property }) => property === undefined)
      .map((one) => answer(calibrationDifferenceSentence(one))),
    ...pooled.map((row) => answer(calibrationSentence(row))),
    curveTable(pooled, percent),
    distanceTable(pooled, percent),
    compliantTable(pooled, percent),
  ];
}

async function targetBlocks(
  scores: CalibrationScores,
  target: string,
  suffix: string,
  isMain: (pair: PairNames) => boolean,
): Promise<Block[]> {
  const percent = Number((100 * scores.confidence).toFixed(6));
  const rows = scores.rows.filter((row) => row.target === target);
  const pooled = rows.filter(({ property }) => property === undefined);
  const byProperty = rows
    .filter(({ property }) => property !== undefined)
    .sort((a, b) => ((a.property as string) < (b.property as string) ? -1 : Number(a.property !== b.property)));
  const differences = scores.differences.filter((difference) => difference.target === target);
  const overAll = differences.filter(({ property }) => property === undefined);
  // Lines of many predictors could not be told apart; the tables have them all.
  const withBins = pooled.filter(({ bins }) => bins.length > 0);
  const main = withBins.filter(isMain);
  const drawn = main.length > 0 ? main : withBins;
  const verdicts = [...overAll.map(calibrationDifferenceSentence), ...pooled.map(calibrationSentence)];
  return [
    ...(suffix === "" ? [] : [{ kind: "subheading" as const, title: `Predictions about ${target}` }]),
    ...verdicts.map((text) => answer(text)),
    ...(drawn.length > 0 ? [await figureOf(target, drawn, suffix)] : []),
    curveTable(pooled, percent),
    distanceTable(pooled, percent),
    compliantTable(pooled, percent),
    ...(differences.length > 0 ? [differencesTable(differences, percent)] : []),
    ...(byProperty.length > pooled.length ? [propertyTable(byProperty, percent)] : []),
    costTable(pooled, percent),
  ];
}

async function figureOf(target: string, drawn: readonly CalibrationRow[], suffix: string): Promise<Figure> {
  const title = suffix === "" ? "Reliability of predicted probabilities" : `Reliability of predictions about ${target}`;
  const caption =
    "Each mark is a bin with about as many points as the others: the mean probability of its behaviors, and the mean that was predicted. On the dashed line both are the same; below it too little was predicted. Below: how many points, by the probability of the behavior.";
  return { kind: "figure", name: `calibration${suffix}`, title, caption, svg: await reliabilityFigure(title, drawn) };
}
