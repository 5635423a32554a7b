/** A classifier of strings: dictionary, penalty by cross-validation, weights. No randomness: the same pairs give the same one. */

import type { Share } from "../scores.js";
import { countValues } from "../tally.js";

// What can be read off a string without any model: the features of the input-only classifier.

/** In characters: the n-grams of the first and the last item. */
const LONGEST_GRAM = 3;
/** Items by place, from either end: a rule may look at the second one. */
const PLACES = 4;

/** Signs that no item keeps at its edges: an operator, a question mark, a quotation mark. */
const MARK = /[^\p{L}\p{N}\s]/gu;

/**
 * Items are words; where commas, semicolons or line breaks separate them, what stands between those. Case is kept out,
 * punctuation at an item's edge too, which has features of its own.
 * @returns feature name -> its value: 1 for what is there, how often for items and marks, natural logs for lengths
 */
export function stringFeatures(text: string): ReadonlyMap<string, number> {
  const plain = text.normalize("NFC").toLowerCase().trim();
  const items = listedItems(plain);
  const features = new Map<string, number>();
  features.set("log_characters", Math.log1p([...plain].length));
  features.set("log_items", Math.log1p(items.length));
  features.set(`items=${items.length}`, 1);
  for (const item of items) features.set(`has=${item}`, (features.get(`has=${item}`) ?? 0) + 1);
  for (const [mark] of plain.matchAll(MARK)) features.set(`mark=${mark}`, (features.get(`mark=${mark}`) ?? 0) + 1);
  features.set(`ends=${[...plain].at(-1) ?? ""}`, 1);
  for (let place = 0; place < Math.min(PLACES, items.length); place++) {
    const [first, last] = [items[place] as string, items[items.length - 1 - place] as string];
    features.set(`item_${place}=${first}`, 1);
    features.set(`item_-${place + 1}=${last}`, 1);
    features.set(`characters_${place}=${[...first].length}`, 1);
    features.set(`characters_-${place + 1}=${[...last].length}`, 1);
  }
  const often = mostFrequent(items);
  if (often !== undefined) features.set(`most_frequent=${often}`, 1);
  addGrams(features, "first", items[0]);
  addGrams(features, "last", items.at(-1));
  return features;
}

function listedItems(plain: string): string[] {
  const pieces = /[,;\n]/.test(plain) ? plain.split(/[,;\n]/) : plain.split(/\s+/);
  return pieces.map((piece) => piece.replace(/^[^\p{L}\p{N}+-]+|[^\p{L}\p{N}]+$/gu, "")).filter((item) => item !== "");
}

/** The last among the most frequent; nothing where all stand once, since then it would be the last item again. */
function mostFrequent(items: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  const most = Math.max(0, ...counts.values());
  return most < 2 ? undefined : items.findLast((item) => counts.get(item) === most);
}

/** Grams at the beginning and at the end of the item are features of their own. */
function addGrams(features: Map<string, number>, which: "first" | "last", item: string | undefined): void {
  if (item === undefined) return;
  const characters = [...item];
  for (let size = 1; size <= Math.min(LONGEST_GRAM, characters.length); size++) {
    features.set(`${which}_begins=${characters.slice(0, size).join("")}`, 1);
    features.set(`${which}_ends=${characters.slice(-size).join("")}`, 1);
    for (let start = 0; start + size <= characters.length; start++) {
      features.set(`${which}_holds=${characters.slice(start, start + size).join("")}`, 1);
    }
    if (size > 1) features.set(`${which}_character_${size}=${characters[size - 1]}`, 1);
  }
}

// Which features a classifier knows, from train strings only, and strings as sparse rows of them.

interface SparseRow {
  readonly columns: Int32Array;
  readonly values: Float64Array;
}

interface FeatureDictionary {
  readonly size: number;
  /** A feature that no train string has is left out. @param featuresOf stringFeatures, or what remembers it */
  readonly encode: (text: string, featuresOf?: typeof stringFeatures) => SparseRow;
}

/** A feature of one train string says nothing about another. */
const FEWEST_STRINGS = 2;

/**
 * Every column is scaled to a standard deviation of at most 1 over the train strings: those that vary more (lengths, counts)
 * are divided by it and centred; rare ones are left as they are, since scaling them up would make single strings loud.
 * A feature that is the same in all train strings is left out. Features that no train string tells apart share a column: k equal
 * columns under a squared penalty are one column √k times as large, and a string that has only m of them gets m / √k of it.
 * @param texts train strings, each once
 */
export function featureDictionary(texts: readonly string[], featuresOf = stringFeatures): FeatureDictionary {
  const seen = new Map<string, { places: number[]; values: number[] }>();
  for (const [place, text] of texts.entries()) {
    for (const [name, value] of featuresOf(text)) {
      const of = seen.get(name);
      if (of) {
        of.places.push(place);
        of.values.push(value);
      } else seen.set(name, { places: [place], values: [value] });
    }
  }
  const alike = new Map<string, string[]>();
  const scales = new Map<string, { offset: number; scale: number }>();
  // Most names are of one string alone; the others are sorted.
  const shared = [...seen].filter(([, { places }]) => places.length >= FEWEST_STRINGS);
  for (const [name, { places, values }] of shared.sort(([a], [b]) => compare(a, b))) {
    const mean = values.reduce((sum, value) => sum + value, 0) / texts.length;
    const squares = values.reduce((sum, value) => sum + value ** 2, 0) / texts.length;
    const deviation = Math.sqrt(Math.max(0, squares - mean ** 2));
    if (deviation < 1e-9) continue;
    // Only a feature that every string has can be centred without making rows dense.
    const dense = name.startsWith("log_");
    scales.set(name, { offset: dense ? mean : 0, scale: dense ? deviation : Math.max(1, deviation) });
    const key = dense ? name : `${places.join()}:${values.join()}`;
    const names = alike.get(key);
    if (names) names.push(name);
    else alike.set(key, [name]);
  }
  const columns = new Map<string, { column: number; offset: number; scale: number }>();
  for (const [column, names] of [...alike.values()].entries()) {
    for (const name of names) {
      const { offset, scale } = scales.get(name) as { offset: number; scale: number };
      columns.set(name, { column, offset, scale: scale * Math.sqrt(names.length) });
    }
  }
  return {
    size: alike.size,
    encode: (text, ofText = stringFeatures) => {
      const sums = new Map<number, number>();
      for (const [name, value] of ofText(text)) {
        const entry = columns.get(name);
        if (entry) sums.set(entry.column, (sums.get(entry.column) ?? 0) + (value - entry.offset) / entry.scale);
      }
      return { columns: Int32Array.from(sums.keys()), values: Float64Array.from(sums.values()) };
    },
  };
}

// The minimum of a smooth convex function by L-BFGS: deterministic, no step size to choose.

interface Evaluation {
  readonly value: number;
  readonly gradient: Float64Array;
}

interface Minimum {
  readonly point: Float64Array;
  readonly value: number;
  /** The greatest absolute entry of the gradient where it stopped. */
  readonly gradientNorm: number;
  readonly steps: number;
}

interface MinimizeSettings {
  /** Stops when no entry of the gradient is greater. */
  readonly gradientTolerance: number;
  readonly mostSteps: number;
}

/** Pairs of steps and gradient changes that are remembered. */
const MEMORY = 6;
/** A step must win this share of what the slope promises (Armijo's condition). */
const ENOUGH = 1e-4;
const MOST_HALVINGS = 50;

/** Nocedal and Wright, Numerical Optimization (2006), algorithms 7.4 and 7.5, with a halving line search. */
export function minimize(
  evaluate: (point: Float64Array) => Evaluation,
  start: Float64Array,
  { gradientTolerance, mostSteps }: MinimizeSettings,
): Minimum {
  let point = start;
  let { value, gradient } = evaluate(point);
  const past: { step: Float64Array; change: Float64Array; inverse: number }[] = [];
  let steps = 0;
  for (; steps < mostSteps && greatest(gradient) > gradientTolerance; steps++) {
    let direction = towards(gradient, past);
    let slope = dot(direction, gradient);
    if (!(slope < 0)) {
      past.length = 0;
      direction = negated(gradient);
      slope = dot(direction, gradient);
    }
    // Nothing is known of the size of a first step.
    let length = past.length === 0 ? Math.min(1, 1 / Math.sqrt(-slope)) : 1;
    let next = move(point, direction, length);
    let there = evaluate(next);
    for (let half = 0; half < MOST_HALVINGS && !(there.value <= value + ENOUGH * length * slope); half++) {
      length /= 2;
      next = move(point, direction, length);
      there = evaluate(next);
    }
    // No step wins: the value is as small as rounding lets it become.
    if (!(there.value < value)) break;
    // Plain loops: a callback for each of ten thousands of entries would take most of the time.
    const step = new Float64Array(direction.length);
    const change = new Float64Array(direction.length);
    for (let index = 0; index < step.length; index++) {
      step[index] = (direction[index] as number) * length;
      change[index] = (there.gradient[index] as number) - (gradient[index] as number);
    }
    const curvature = dot(step, change);
    if (curvature > 1e-12 * dot(change, change)) {
      past.push({ step, change, inverse: 1 / curvature });
      if (past.length > MEMORY) past.shift();
    }
    point = next;
    ({ value, gradient } = there);
  }
  return { point, value, gradientNorm: greatest(gradient), steps };
}

/** Minus the gradient, times the inverse of the curvature that past steps showed. */
function towards(
  gradient: Float64Array,
  past: readonly { step: Float64Array; change: Float64Array; inverse: number }[],
): Float64Array {
  const direction = negated(gradient);
  const shares = past.map(() => 0);
  for (let index = past.length - 1; index >= 0; index--) {
    const { step, change, inverse } = past[index] as (typeof past)[number];
    shares[index] = inverse * dot(step, direction);
    add(direction, change, -(shares[index] as number));
  }
  const last = past.at(-1);
  if (last) {
    const scale = 1 / (last.inverse * dot(last.change, last.change));
    for (let index = 0; index < direction.length; index++) direction[index] = (direction[index] as number) * scale;
  }
  past.forEach(({ step, change, inverse }, index) => {
    add(direction, step, (shares[index] as number) - inverse * dot(change, direction));
  });
  return direction;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let index = 0; index < a.length; index++) sum += (a[index] as number) * (b[index] as number);
  return sum;
}

function add(to: Float64Array, what: Float64Array, times: number): void {
  for (let index = 0; index < to.length; index++) to[index] = (to[index] as number) + times * (what[index] as number);
}

function negated(values: Float64Array): Float64Array {
  const made = new Float64Array(values.length);
  for (let index = 0; index < made.length; index++) made[index] = -(values[index] as number);
  return made;
}

function move(point: Float64Array, direction: Float64Array, length: number): Float64Array {
  const next = new Float64Array(point.length);
  for (let index = 0; index < next.length; index++) {
    next[index] = (point[index] as number) + length * (direction[index] as number);
  }
  return next;
}

function greatest(values: Float64Array): number {
  let most = 0;
  for (let index = 0; index < values.length; index++) most = Math.max(most, Math.abs(values[index] as number));
  return most;
}

// Multinomial logistic regression with an L2 penalty: P(class | row) = softmax(intercepts + weights · row). What is minimized is
// the sum over rows of −ln P(their class), plus penalty / 2 times the sum of all squared weights; intercepts are free.

interface LabelledRows {
  readonly rows: readonly SparseRow[];
  /** A class of each row, from 0; every class occurs. */
  readonly labels: readonly number[];
  /** At least 2. */
  readonly classes: number;
  readonly features: number;
}

interface LogisticModel {
  readonly classes: number;
  readonly features: number;
  /** `[feature * classes + class]`, the intercepts after the last feature. */
  readonly parameters: Float64Array;
  /** Σ −ln P, nats, without the penalty. */
  readonly lossNats: number;
  readonly objective: number;
  readonly gradientNorm: number;
  readonly steps: number;
}

interface LogisticSettings {
  /** Above 0. */
  readonly penalty: number;
  /** Of the gradient; the minimum's objective is then off by about its square over the penalty. */
  readonly tolerance: number;
  readonly mostSteps: number;
  /** Where to begin, the model of a near-by penalty; all zeros when absent. The minimum is the same. */
  readonly start?: Float64Array;
}

export function fitLogistic(data: LabelledRows, settings: LogisticSettings): LogisticModel {
  const { classes, features } = data;
  const start = settings.start ?? new Float64Array(classes * (features + 1));
  const found = minimize((parameters) => objective(data, parameters, settings.penalty), start, {
    gradientTolerance: settings.tolerance,
    mostSteps: settings.mostSteps,
  });
  return {
    classes,
    features,
    parameters: found.point,
    lossNats: found.value - (settings.penalty / 2) * squaredWeights(found.point, classes, features),
    objective: found.value,
    gradientNorm: found.gradientNorm,
    steps: found.steps,
  };
}

/** @returns natural log of every class's probability */
export function logProbabilities({ classes, features, parameters }: LogisticModel, row: SparseRow): Float64Array {
  return logSoftmax(scores(parameters, row, features, new Float64Array(classes)));
}

function objective(
  { rows, labels, classes, features }: LabelledRows,
  parameters: Float64Array,
  penalty: number,
): Evaluation {
  const weights = classes * features;
  const gradient = new Float64Array(parameters.length);
  let squares = 0;
  for (let index = 0; index < weights; index++) {
    const weight = parameters[index] as number;
    gradient[index] = penalty * weight;
    squares += weight * weight;
  }
  let value = (penalty / 2) * squares;
  const errors = new Float64Array(classes);
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] as SparseRow;
    const { columns, values } = row;
    logSoftmax(scores(parameters, row, features, errors));
    const label = labels[index] as number;
    value -= errors[label] as number;
    for (let one = 0; one < classes; one++) {
      const error = Math.exp(errors[one] as number) - Number(one === label);
      errors[one] = error;
      gradient[weights + one] = (gradient[weights + one] as number) + error;
    }
    for (let entry = 0; entry < columns.length; entry++) {
      const start = (columns[entry] as number) * classes;
      const times = values[entry] as number;
      for (let one = 0; one < classes; one++) {
        gradient[start + one] = (gradient[start + one] as number) + times * (errors[one] as number);
      }
    }
  }
  return { value, gradient };
}

/** @param all [classes] what they are written into */
function scores(
  parameters: Float64Array,
  { columns, values }: SparseRow,
  features: number,
  all: Float64Array,
): Float64Array {
  const classes = all.length;
  all.set(parameters.subarray(classes * features));
  for (let entry = 0; entry < columns.length; entry++) {
    const start = (columns[entry] as number) * classes;
    const times = values[entry] as number;
    for (let one = 0; one < classes; one++) {
      all[one] = (all[one] as number) + times * (parameters[start + one] as number);
    }
  }
  return all;
}

/** In place. */
function logSoftmax(all: Float64Array): Float64Array {
  let most = Number.NEGATIVE_INFINITY;
  for (let one = 0; one < all.length; one++) most = Math.max(most, all[one] as number);
  let sum = 0;
  for (let one = 0; one < all.length; one++) sum += Math.exp((all[one] as number) - most);
  const normalizer = most + Math.log(sum);
  for (let one = 0; one < all.length; one++) all[one] = (all[one] as number) - normalizer;
  return all;
}

function squaredWeights(parameters: Float64Array, classes: number, features: number): number {
  let sum = 0;
  for (let index = 0; index < classes * features; index++) sum += (parameters[index] as number) ** 2;
  return sum;
}

/** A string and the value that belongs to it. */
interface LabelledString {
  readonly text: string;
  /** Of strings that are one choice in several forms: they are all in one fold, so that none is tested on what another taught. */
  readonly cluster?: string;
  readonly value: string;
}

export interface StringClassifier {
  /** Of the values that train strings have, the likeliest; of equally likely ones the first in code-unit order. */
  readonly classify: (text: string) => string;
  /** What it can say, in code-unit order. */
  readonly values: readonly string[];
  /** Rarer values of train strings, which it never says. */
  readonly valuesLeftOut: number;
  readonly features: number;
  /** Absent where all train strings have one value: there is nothing to learn. */
  readonly fitted?: {
    readonly penalty: number;
    /** Right answers about train strings by classifiers that had not seen them, with that penalty. */
    readonly crossValidated: Share;
    readonly model: LogisticModel;
  };
}

/** From strong to weak. With the first, hardly more than the most common value is learnt. */
export const PENALTIES = [10_000, 100, 10, 1, 0.1] as const;
const FOLDS = 5;
/** The most common values; of rarer ones a few hundred strings teach next to nothing, while the time grows with their number. */
export const MOST_VALUES = 64;
/** A gradient is a sum over strings: within this, no class is predicted more or less often than it occurs by a hundredth string. */
const SETTINGS = { tolerance: 0.01, mostSteps: 200 } as const;
/** Which penalty is best shows sooner. */
const ROUGH_SETTINGS = { tolerance: 0.1, mostSteps: 50 } as const;

/**
 * The penalty is the one that is most often right in cross-validation, of equal ones the strongest. Not the usual more careful
 * choice (the strongest within an error of the best), since a third party that is made weak would flatter the model.
 * @param pairs at least one; a string may stand several times, as sampled behaviors do
 */
export function trainClassifier(pairs: readonly LabelledString[]): StringClassifier {
  const sorted = [...pairs].sort((a, b) => compare(a.text, b.text) || compare(a.value, b.value));
  const values = learnableValues(sorted);
  const valuesLeftOut = new Set(sorted.map(({ value }) => value)).size - values.length;
  const first = values[0] as string;
  if (values.length === 1) return { classify: () => first, values, valuesLeftOut, features: 0 };
  const featuresOf = remembered(stringFeatures);
  const right = crossValidate(sorted, featuresOf);
  const best = right.indexOf(Math.max(...right));
  const path = fitPath(sorted, values, PENALTIES.slice(0, best + 1), SETTINGS, featuresOf);
  const model = path.models[best] as LogisticModel;
  return {
    classify: (text) => likeliest(values, model, path.dictionary.encode(text)),
    values,
    valuesLeftOut,
    features: path.dictionary.size,
    fitted: {
      penalty: PENALTIES[best] as number,
      crossValidated: { count: right[best] as number, of: sorted.length },
      model,
    },
  };
}

/** Every fold and every penalty reads the same strings. */
function remembered(featuresOf: typeof stringFeatures): typeof stringFeatures {
  const known = new Map<string, ReadonlyMap<string, number>>();
  return (text) => {
    const features = known.get(text) ?? featuresOf(text);
    known.set(text, features);
    return features;
  };
}

/** @returns for each penalty how many pairs are predicted right by what the other folds taught */
function crossValidate(pairs: readonly LabelledString[], featuresOf: typeof stringFeatures): number[] {
  const right = PENALTIES.map(() => 0);
  const folds = foldOf(pairs);
  for (let fold = 0; fold < FOLDS; fold++) {
    const learnt = pairs.filter((pair) => folds.get(foldKey(pair)) !== fold);
    const tested = pairs.filter((pair) => folds.get(foldKey(pair)) === fold);
    if (learnt.length === 0 || tested.length === 0) continue;
    const values = learnableValues(learnt);
    const { dictionary, models } = fitPath(learnt, values, PENALTIES, ROUGH_SETTINGS, featuresOf);
    const rows = tested.map(({ text }) => dictionary.encode(text, featuresOf));
    models.forEach((model, index) => {
      const isRight = ({ value }: LabelledString, at: number) =>
        likeliest(values, model, rows[at] as SparseRow) === value;
      const hits = tested.filter(isRight).length;
      right[index] = (right[index] as number) + hits;
    });
  }
  return right;
}

/** Strings dealt out in the order of their values, so that every fold has its share of each. */
function foldOf(pairs: readonly LabelledString[]): ReadonlyMap<string, number> {
  const values = new Map<string, string>();
  for (const pair of pairs) if (!values.has(foldKey(pair))) values.set(foldKey(pair), pair.value);
  const dealt = [...values].sort(([a, ofA], [b, ofB]) => compare(ofA, ofB) || compare(a, b));
  return new Map(dealt.map(([key], place) => [key, place % FOLDS]));
}

function foldKey({ text, cluster }: LabelledString): string {
  return cluster ?? text;
}

function learnableValues(pairs: readonly LabelledString[]): string[] {
  const counts = countValues(pairs.map(({ value }) => value));
  return counts
    .slice(0, MOST_VALUES)
    .map(({ value }) => value)
    .sort();
}

/** Each model begins where the one before ended. Pairs of other values are left out. */
function fitPath(
  all: readonly LabelledString[],
  values: readonly string[],
  penalties: readonly number[],
  settings: { readonly tolerance: number; readonly mostSteps: number },
  featuresOf: typeof stringFeatures,
) {
  const pairs = all.filter(({ value }) => values.includes(value));
  const dictionary = featureDictionary([...new Set(pairs.map(({ text }) => text))], featuresOf);
  const data = {
    rows: pairs.map(({ text }) => dictionary.encode(text, featuresOf)),
    labels: pairs.map(({ value }) => values.indexOf(value)),
    classes: values.length,
    features: dictionary.size,
  };
  const models: LogisticModel[] = [];
  // The intercepts of "always as often as it occurs", from which strong penalties hardly move.
  let start = new Float64Array(values.length * (dictionary.size + 1));
  for (const { value, count } of countValues(pairs.map((pair) => pair.value))) {
    start[values.length * dictionary.size + values.indexOf(value)] = Math.log(count);
  }
  for (const penalty of penalties) {
    const model = fitLogistic(data, { ...settings, penalty, start });
    models.push(model);
    start = Float64Array.from(model.parameters);
  }
  return { dictionary, models };
}

function likeliest(values: readonly string[], model: LogisticModel, row: SparseRow): string {
  const logprobs = logProbabilities(model, row);
  return values[logprobs.indexOf(Math.max(...logprobs))] as string;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
