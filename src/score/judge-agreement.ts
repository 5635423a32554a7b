/**
 * A judge's scores of answers become values: calibrated on labelled answers, and held against labels that the calibration has not seen.
 * Arithmetic alone.
 */

import type { OptionScores } from "../tasks/answer.js";
import { type Estimate, estimate, type IntervalOptions } from "./interval.js";
import type { OwnProperties } from "../properties/own-property.js";
import { withWhatTheyRead } from "../study/load-properties.js";
import { drawResamples, type ResamplingSettings } from "./resampling.js";

/** What a judge's scores of one answer say before they are calibrated. */
export interface JudgedScores {
  /** [values] Natural log of each value's share among the values, averaged over the orders in which they were listed; its shares again sum to 1. */
  readonly logShares: readonly number[];
  /** Whether the likeliest value is another in another order. */
  readonly hangsOnOrder: boolean;
}

/** @param by whose sums count: those of the options' letters, or of their texts */
export function judgedScores({ letters, orders }: OptionScores, by: "letter" | "text"): JudgedScores {
  const shares = orders.map((order) => logShares(order[by]));
  const mean = letters.map((_, at) => shares.reduce((sum, one) => sum + (one[at] as number), 0) / shares.length);
  return { logShares: logShares(mean), hangsOnOrder: new Set(shares.map(likeliest)).size > 1 };
}

function logShares(scores: readonly number[]): number[] {
  const most = Math.max(...scores);
  const all = most + Math.log(scores.reduce((sum, one) => sum + Math.exp(one - most), 0));
  return scores.map((one) => one - all);
}

/** Scores closer than this are equal, and the first value counts: what a fit leaves between two that are equal is rounding. */
const EQUAL_NATS = 1e-7;

function likeliest(scores: readonly number[]): number {
  const most = Math.max(...scores);
  return scores.findIndex((one) => one >= most - EQUAL_NATS);
}

/**
 * From log shares to calibrated scores: (log share − centre) × scale + bias, for each value. The centre takes off what the judge likes
 * whatever it reads (contextual calibration), the scale and the biases are fitted.
 */
export interface JudgeCalibration {
  readonly centres: readonly number[];
  /** Not below 0: a judge that says the opposite of the labels is not turned round, it says nothing. */
  readonly scale: number;
  readonly biases: readonly number[];
}

interface LabelledScores {
  readonly logShares: readonly number[];
  /** Place of its label among the values. */
  readonly label: number;
}

/** Standard deviation of the normal prior of the scale, per spread of the scores, and of each bias: keeps them finite where labels are parted without a fault. */
const PRIOR_DEVIATION = 5;
const MOST_STEPS = 200;

/**
 * Multinomial logistic regression with one slope and a bias for each value. Every value's labels weigh the same together, so that the
 * proportions of the labelled set, which somebody chose, do not lean on answers that come in other proportions.
 * @param values how many there are; each has a label at least
 */
export function calibrateJudge(labelled: readonly LabelledScores[], values: number): JudgeCalibration {
  const counts = Array.from({ length: values }, (_, at) => labelled.filter(({ label }) => label === at).length);
  const weights = labelled.map(({ label }) => labelled.length / (values * (counts[label] as number)));
  const places = counts.map((_, at) => at);
  const mean = (of: (row: LabelledScores) => number) =>
    labelled.reduce((sum, row, at) => sum + (weights[at] as number) * of(row), 0) / labelled.length;
  const centres = places.map((at) => mean(({ logShares: one }) => one[at] as number));
  const centred = labelled.map(({ logShares: one }) =>
    places.map((at) => (one[at] as number) - (centres[at] as number)),
  );
  const spread = Math.sqrt(
    centred.reduce((sum, row, at) => sum + (weights[at] as number) * row.reduce((all, one) => all + one * one, 0), 0) /
      (labelled.length * values),
  );
  const none = { centres, scale: 0, biases: places.map(() => 0) };
  if (spread < EQUAL_NATS) return none;
  const rows = centred.map((row, at) => ({
    scores: row.map((one) => one / spread),
    label: (labelled[at] as LabelledScores).label,
    weight: weights[at] as number,
  }));
  const [slope = 0, ...biases] = fitted(rows, values);
  return slope <= 0 ? none : { centres, scale: slope / spread, biases };
}

interface WeightedRow {
  readonly scores: readonly number[];
  readonly label: number;
  readonly weight: number;
}

/** Newton's method on a strictly convex function. @returns slope, then a bias for each value */
function fitted(rows: readonly WeightedRow[], values: number): number[] {
  let at = new Array<number>(values + 1).fill(0);
  let loss = lossAt(rows, at);
  for (let step = 0; step < MOST_STEPS; step++) {
    const { gradient, hessian } = slopeAt(rows, at);
    const move = solved(hessian, gradient);
    let length = 1;
    let next = at;
    let lower = loss;
    for (; length > 1e-10; length /= 2) {
      next = at.map((one, index) => one - length * (move[index] as number));
      lower = lossAt(rows, next);
      if (lower <= loss) break;
    }
    const gained = loss - lower;
    if (!(gained >= 0)) break;
    [at, loss] = [next, lower];
    if (gained < 1e-14 * (1 + Math.abs(loss))) break;
  }
  return at;
}

function lossAt(rows: readonly WeightedRow[], [slope = 0, ...biases]: readonly number[]): number {
  const prior = [slope, ...biases].reduce((sum, one) => sum + one * one, 0) / (2 * PRIOR_DEVIATION ** 2);
  return rows.reduce((sum, { scores, label, weight }) => {
    const shares = logShares(scores.map((one, at) => slope * one + (biases[at] as number)));
    return sum - weight * (shares[label] as number);
  }, prior);
}

function slopeAt(rows: readonly WeightedRow[], at: readonly number[]) {
  const [slope = 0, ...biases] = at;
  const size = at.length;
  const precision = 1 / PRIOR_DEVIATION ** 2;
  const gradient = at.map((one) => one * precision);
  const hessian = at.map((_, row) => at.map((__, column) => (row === column ? precision : 0)));
  for (const { scores, label, weight } of rows) {
    const shares = logShares(scores.map((one, place) => slope * one + (biases[place] as number))).map(Math.exp);
    // How each parameter moves each value's score: the slope by the score itself, a bias its own value's by 1.
    const moves = shares.map((_, place) =>
      at.map((__, index) => (index === 0 ? (scores[place] as number) : Number(index === place + 1))),
    );
    const expected = at.map((_, index) =>
      shares.reduce((sum, share, place) => sum + share * (moves[place]?.[index] as number), 0),
    );
    for (let row = 0; row < size; row++) {
      gradient[row] =
        (gradient[row] as number) + weight * ((expected[row] as number) - (moves[label]?.[row] as number));
      const own = hessian[row] as number[];
      for (let column = 0; column < size; column++) {
        const both = shares.reduce(
          (sum, share, place) => sum + share * (moves[place]?.[row] as number) * (moves[place]?.[column] as number),
          0,
        );
        own[column] =
          (own[column] as number) + weight * (both - (expected[row] as number) * (expected[column] as number));
      }
    }
  }
  return { gradient, hessian };
}

/** Gaussian elimination with the largest pivot; the matrix is positive definite. */
function solved(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const rows = matrix.map((row, at) => [...row, right[at] as number]);
  const size = rows.length;
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++) {
      if (Math.abs(rows[row]?.[column] as number) > Math.abs(rows[pivot]?.[column] as number)) pivot = row;
    }
    [rows[column], rows[pivot]] = [rows[pivot] as number[], rows[column] as number[]];
    const top = rows[column] as number[];
    for (const [at, row] of rows.entries()) {
      if (at === column) continue;
      const factor = (row[column] as number) / (top[column] as number);
      for (let place = column; place <= size; place++)
        row[place] = (row[place] as number) - factor * (top[place] as number);
    }
  }
  return rows.map((row, at) => (row[size] as number) / (row[at] as number));
}

/** What a calibrated judge says of one answer. */
export interface JudgedAs {
  /** Place of the value among the values. */
  readonly value: number;
  /** Of it among the values. */
  readonly probability: number;
  /** Before the second, nats, on the scale of the judge's own log shares; 0 where the judge says nothing. */
  readonly lead: number;
}

export function judgedAs(shares: readonly number[], { centres, scale, biases }: JudgeCalibration): JudgedAs {
  const scores = shares.map((one, at) => scale * (one - (centres[at] as number)) + (biases[at] as number));
  const value = likeliest(scores);
  const second = Math.max(...scores.filter((_, at) => at !== value));
  return {
    value,
    probability: Math.exp(logShares(scores)[value] as number),
    lead: scale === 0 ? 0 : Math.max(0, (scores[value] as number) - second) / scale,
  };
}

/** How far a judge agrees with labels that its calibration has not seen. */
export interface JudgeAgreement {
  /** Labelled answers that were judged, and those that were not because the engine crashed on them. */
  readonly n: number;
  readonly setAside: number;
  readonly values: readonly string[];
  /** Folds of the cross-validation. */
  readonly folds: number;
  /** Share of labels that are the judge's value. */
  readonly agreement: Estimate;
  /** Cohen's. */
  readonly kappa: Estimate;
  /** The most common label, and its share. */
  readonly mode: { readonly value: string; readonly share: number };
  /** Agreement minus the share of the mode. */
  readonly overMode: Estimate;
  /** [label][judged] counts, in the order of the values. */
  readonly confusion: readonly (readonly number[])[];
  /** Share of labels that are the judge's likeliest value as it came, without any calibration. */
  readonly uncalibrated: number;
  /** Of each labelled answer that was judged, places among the values: its label, and what a calibration without its fold says, how surely. */
  readonly rows: readonly { readonly label: number; readonly said: number; readonly probability: number }[];
  /** Orders in which the values were listed, and answers whose likeliest value is another in another order. */
  readonly orders: number;
  readonly hangOnOrder: number;
  /** Of all labelled answers: what the study's answers are read with. */
  readonly calibration: JudgeCalibration;
  /** Whether it agrees with the labels more than naming the mode does: the whole interval of overMode above 0. */
  readonly fit: boolean;
}

export const JUDGES_VERSION = 1;

/** The content of 02-judges.json. */
export interface Judges {
  readonly judgesVersion: typeof JUDGES_VERSION;
  readonly confidence: number;
  readonly judges: readonly PropertyJudge[];
}

/** A judge, and how far it agrees with the labels that ship with its property. */
export interface PropertyJudge extends JudgeAgreement {
  readonly property: string;
  /** A name of the plan's models. */
  readonly model: string;
  /** Whether what it judges are answers of the very same network, as it came or under an adapter. */
  readonly judgesItself: boolean;
  readonly by: "letter" | "text";
}

/** What stands beside every number that rests on a judge. */
export interface JudgeStanding
  extends Pick<PropertyJudge, "property" | "model" | "judgesItself" | "n" | "agreement" | "kappa" | "mode" | "fit"> {}

export function standingOf(judge: PropertyJudge): JudgeStanding {
  const { property, model, judgesItself, n, agreement, kappa, mode, fit: isFit } = judge;
  return { property, model, judgesItself, n, agreement, kappa, mode, fit: isFit };
}

/** Who stands behind a property: the judge of its own, or of what it reads. */
export function judgeBehind(
  property: string,
  own: OwnProperties,
  judges: readonly PropertyJudge[],
): JudgeStanding | undefined {
  const read = withWhatTheyRead([property], own);
  const judge = judges.find((one) => read.has(one.property));
  return judge && standingOf(judge);
}

/** As the beginning of a sentence: who judges, and how far it agrees with the labels. */
export function judgeText({ model, property, judgesItself, n, agreement, kappa, mode }: JudgeStanding): string {
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  const interval = (one: Estimate, text: (value: number) => string) =>
    one.ok ? `${text(one.value)} [${text(one.low)}, ${text(one.high)}]` : `not known (${one.reason})`;
  const itself = judgesItself ? ", which is the model whose answers they are," : "";
  return (
    `${model}${itself} judges of ${property}; it agrees with ${interval(agreement, percent)} of ${n} labels that its calibration did not see ` +
    `(Cohen's kappa ${interval(kappa, (value) => value.toFixed(2))}; always ${JSON.stringify(mode.value)}: ${percent(mode.share)})`
  );
}

/** A labelled answer and what the judge said of it. */
export interface JudgedLabel extends JudgedScores {
  /** Place of its label among the values. */
  readonly label: number;
}

const MOST_FOLDS = 10;

/**
 * @param judged at least two of every value
 * @param told how many orders there were, and labels that the engine crashed on
 * @param name of the property: its draws hang on no other's
 */
export function judgeAgreement(
  name: string,
  values: readonly string[],
  judged: readonly JudgedLabel[],
  told: { readonly orders: number; readonly setAside: number },
  settings: ResamplingSettings,
): JudgeAgreement {
  const { folds, said } = crossValidated(judged, values.length);
  const counts = values.map((_, at) => judged.filter(({ label }) => label === at).length);
  const mode = counts.indexOf(Math.max(...counts));
  const rows = judged.map(({ label }, at) => {
    const { value, probability } = said[at] as JudgedAs;
    return { label, said: value, probability };
  });
  const confusion = values.map((_, label) =>
    values.map((__, as) => rows.filter((row) => row.label === label && row.said === as).length),
  );
  const { draws, replicates } = drawResamples(
    `judge/${name}`,
    rows.length,
    settings.bootstrapReplicates,
    settings.bootstrapSeed,
  );
  const drawn = (statistic: (weights: ArrayLike<number>) => number | undefined) =>
    Array.from({ length: replicates }, (_, replicate) =>
      statistic(draws.subarray(replicate * rows.length, (replicate + 1) * rows.length)),
    );
  const made = (
    statistic: (weights: ArrayLike<number>) => number | undefined,
    least: number,
    options: Pick<IntervalOptions, "unmoved" | "undefinedReplicates"> = {},
  ) => {
    const clusters = { n: rows.length, clusters: rows.length, tasks: 1 };
    const value = statistic(rows.map(() => 1));
    const undefinedBecause = "all labels and all of the judge's values are one: chance alone agrees";
    return estimate({ value, ...clusters, range: { least, most: 1 }, undefinedBecause }, drawn(statistic), {
      confidence: settings.confidence,
      ...options,
    });
  };
  const mean = (of: (row: (typeof rows)[number]) => number) => (weights: ArrayLike<number>) =>
    rows.reduce((sum, row, at) => sum + (weights[at] as number) * of(row), 0) / rows.length;
  const overMode = made(
    mean((row) => Number(row.said === row.label) - Number(row.label === mode)),
    -1,
  );
  const right = judged.filter(({ label, logShares: shares }) => likeliest(shares) === label).length;
  return {
    n: rows.length,
    setAside: told.setAside,
    values,
    folds,
    agreement: made(
      mean((row) => Number(row.said === row.label)),
      0,
    ),
    kappa: made((weights) => cohensKappa(rows, weights, values.length), -1),
    mode: { value: values[mode] as string, share: (counts[mode] as number) / rows.length },
    overMode,
    confusion,
    uncalibrated: right / rows.length,
    rows,
    orders: told.orders,
    hangOnOrder: judged.filter(({ hangsOnOrder }) => hangsOnOrder).length,
    calibration: calibrateJudge(judged, values.length),
    fit: overMode.ok && overMode.low > 0,
  };
}

/** Each label is judged by a calibration on the other folds; every fold has each value in near the same proportion. */
function crossValidated(
  judged: readonly JudgedLabel[],
  values: number,
): { readonly folds: number; readonly said: JudgedAs[] } {
  const counts = new Array<number>(values).fill(0);
  const places = judged.map(({ label }) => {
    const place = counts[label] as number;
    counts[label] = place + 1;
    return place;
  });
  const folds = Math.min(MOST_FOLDS, ...counts);
  const said = new Array<JudgedAs>(judged.length);
  for (let fold = 0; fold < folds; fold++) {
    const calibration = calibrateJudge(
      judged.filter((_, at) => (places[at] as number) % folds !== fold),
      values,
    );
    for (const [at, { logShares: shares }] of judged.entries()) {
      if ((places[at] as number) % folds === fold) said[at] = judgedAs(shares, calibration);
    }
  }
  return { folds, said };
}

/** J. Cohen 1960: (observed − expected) ÷ (1 − expected). @returns undefined where chance alone would agree always */
function cohensKappa(
  rows: readonly { readonly label: number; readonly said: number }[],
  weights: ArrayLike<number>,
  values: number,
): number | undefined {
  const labels = new Array<number>(values).fill(0);
  const sayings = new Array<number>(values).fill(0);
  let [same, all] = [0, 0];
  for (const [at, { label, said }] of rows.entries()) {
    const weight = weights[at] as number;
    labels[label] = (labels[label] as number) + weight;
    sayings[said] = (sayings[said] as number) + weight;
    if (label === said) same += weight;
    all += weight;
  }
  // In whole numbers, so that a judge that names one value whatever it reads has 0 and no rounding.
  const expected = labels.reduce((sum, count, at) => sum + count * (sayings[at] as number), 0);
  return all * all === expected ? undefined : (all * same - expected) / (all * all - expected);
}
