/**
 * Multinomial logistic regression with an L2 penalty, whose minimum is scikit-learn's: what is minimized is C · Σ −ln P(class | row) +
 * ½ Σ weights², intercepts free; of two classes scikit-learn has one row of weights, the difference of ours. In double precision
 * whatever the rows are, to where the gradient ends, by Newton's method: no randomness.
 *
 * The weights at the minimum are sums of rows, so all is done in the space that the rows span, by an orthonormal basis: as many
 * numbers as there are rows and not as the states are wide, and the same penalty.
 */

import { InwardError } from "../errors.js";

/** [rows × width], row after row. */
export interface RowMatrix {
  readonly values: ArrayLike<number>;
  readonly width: number;
}

/** How many rows there are. @throws PROBE_INVALID the numbers do not fill whole rows, or one is not finite */
export function requireRows({ values, width }: RowMatrix): number {
  const rows = values.length / width;
  if (!Number.isSafeInteger(width) || width < 1 || !Number.isInteger(rows)) {
    throw new InwardError("PROBE_INVALID", `${values.length} numbers are no whole rows of ${width}.`);
  }
  for (let at = 0; at < values.length; at++) {
    if (Number.isFinite(values[at])) continue;
    const [row, column] = [Math.floor(at / width), at % width];
    throw new InwardError("PROBE_INVALID", `Row ${row} has ${values[at]} at ${column}: probes need finite numbers.`);
  }
  return rows;
}

/** Rows' mean, and a basis of what they span around it. */
export class RowSpace {
  private constructor(
    readonly width: number,
    readonly mean: Float64Array,
    /** Orthonormal, each as wide as a row. */
    private readonly basis: readonly Float64Array[],
    /** Root of the mean square of the rows' lengths around the mean; 0 where all are alike. */
    readonly spread: number,
  ) {}

  get size(): number {
    return this.basis.length;
  }

  /** By Gram and Schmidt, the row that sticks out most first, each twice for the last digits. */
  static of(matrix: RowMatrix, chosen: readonly number[]): RowSpace {
    const { width } = matrix;
    const mean = new Float64Array(width);
    for (const row of chosen)
      for (let at = 0; at < width; at++) mean[at] = (mean[at] as number) + numberAt(matrix, row, at) / chosen.length;
    const left = chosen.map((row) => Float64Array.from(mean, (centre, at) => numberAt(matrix, row, at) - centre));
    const squares = left.map((row) => dot(row, row));
    const all = squares.reduce((sum, one) => sum + one, 0);
    // Around a mean that is rounded, rows that are all alike are not quite 0.
    const floor = chosen.reduce((most, row) => Math.max(most, squaresOf(matrix, row)), 0);
    const most = Math.max(0, ...squares);
    const basis: Float64Array[] = [];
    while (basis.length < Math.min(width, left.length)) {
      const next = squares.indexOf(Math.max(...squares));
      if (!((squares[next] as number) > Math.max(RANK * most, ROUNDING * floor))) break;
      const direction = left[next] as Float64Array;
      for (const other of basis) subtract(direction, other, dot(direction, other));
      const length = Math.sqrt(dot(direction, direction));
      squares[next] = 0;
      if (!(length > 0)) continue;
      const unit = direction.map((value) => value / length);
      basis.push(unit);
      for (const [row, rest] of left.entries()) {
        if (squares[row] === 0) continue;
        subtract(rest, unit, dot(rest, unit));
        squares[row] = dot(rest, rest);
      }
    }
    return new RowSpace(width, mean, basis, Math.sqrt(all / Math.max(1, chosen.length)));
  }

  /** A row's place along the basis; what sticks out of it no weight sees. */
  place(matrix: RowMatrix, row: number): Float64Array {
    const centred = Float64Array.from(this.mean, (centre, at) => numberAt(matrix, row, at) - centre);
    return Float64Array.from(this.basis, (unit) => dot(unit, centred));
  }

  /** Weights along the basis as weights of a row's own numbers. */
  unfold(weights: ArrayLike<number>): Float64Array {
    const unfolded = new Float64Array(this.width);
    for (const [at, unit] of this.basis.entries()) subtract(unfolded, unit, -(weights[at] as number));
    return unfolded;
  }
}

/** Of a square beside the largest around the mean, and beside the largest from 0: what is below is rounding. */
const RANK = 1e-18;
const ROUNDING = 1e-16;

function squaresOf(matrix: RowMatrix, row: number): number {
  let sum = 0;
  for (let at = 0; at < matrix.width; at++) sum += numberAt(matrix, row, at) ** 2;
  return sum;
}

function numberAt({ values, width }: RowMatrix, row: number, at: number): number {
  return values[row * width + at] as number;
}

function dot(one: Float64Array, other: Float64Array): number {
  let sum = 0;
  for (let at = 0; at < one.length; at++) sum += (one[at] as number) * (other[at] as number);
  return sum;
}

function subtract(from: Float64Array, what: Float64Array, times: number): void {
  for (let at = 0; at < from.length; at++) from[at] = (from[at] as number) - times * (what[at] as number);
}

// The regression, on places along the basis.

export interface SoftmaxFit {
  /** [classes × (features + 1)], a class's intercept after its weights. */
  readonly parameters: Float64Array;
  readonly features: number;
  readonly classes: number;
  /** Greatest absolute entry of the gradient where it ended. */
  readonly gradient: number;
  readonly steps: number;
}

export interface SoftmaxRows {
  /** [rows] of as many numbers each */
  readonly rows: readonly Float64Array[];
  /** [rows] from 0 */
  readonly labels: readonly number[];
  readonly classes: number;
  /** [rows][classes] added to the scores, and not learnt; none when absent. */
  readonly offsets?: readonly (readonly number[])[];
}

const MOST_STEPS = 200;
const MOST_HALVINGS = 40;

/** @param penalty above 0: of ½ Σ weights² @param start parameters to begin at */
export function fitSoftmax(data: SoftmaxRows, penalty: number, start?: Float64Array): SoftmaxFit {
  const { rows, classes } = data;
  const features = rows[0]?.length ?? 0;
  let parameters = start ?? new Float64Array(classes * (features + 1));
  let here = evaluate(data, parameters, penalty, features);
  const enough = 1e-12 * Math.max(1, rows.length);
  let steps = 0;
  for (; steps < MOST_STEPS && largest(here.gradient) > enough; steps++) {
    const step = newtonStep(data, here, penalty, features);
    const slope = dot(step, here.gradient);
    if (!(slope < 0)) break;
    let [length, next, there] = [1, parameters, here];
    for (let half = 0; half < MOST_HALVINGS; half++, length /= 2) {
      next = parameters.map((value, at) => value + length * (step[at] as number));
      there = evaluate(data, next, penalty, features);
      if (there.value <= here.value + 1e-4 * length * slope) break;
      // Too near the minimum for the value to tell: the gradient can.
      if (-slope < 1e-9 * (1 + Math.abs(here.value)) && largest(there.gradient) < largest(here.gradient)) break;
    }
    if (!(there.value < here.value || largest(there.gradient) < largest(here.gradient))) break;
    [parameters, here] = [next, there];
  }
  return { parameters, features, classes, gradient: largest(here.gradient), steps };
}

/** Natural logs of the classes' probabilities. */
export function softmaxLogprobs(
  { parameters, features, classes }: Pick<SoftmaxFit, "parameters" | "features" | "classes">,
  row: Float64Array,
  offsets?: readonly number[],
): Float64Array {
  const scores = new Float64Array(classes);
  for (let one = 0; one < classes; one++) {
    const from = one * (features + 1);
    let score = (parameters[from + features] as number) + (offsets?.[one] ?? 0);
    for (let at = 0; at < features; at++) score += (parameters[from + at] as number) * (row[at] as number);
    scores[one] = score;
  }
  const most = Math.max(...scores);
  const total = Math.log(scores.reduce((sum, score) => sum + Math.exp(score - most), 0)) + most;
  return scores.map((score) => score - total);
}

interface Evaluated {
  readonly value: number;
  readonly gradient: Float64Array;
  /** [rows] of the classes. */
  readonly probabilities: readonly Float64Array[];
}

function evaluate(data: SoftmaxRows, parameters: Float64Array, penalty: number, features: number): Evaluated {
  const { rows, labels, classes, offsets } = data;
  const wide = features + 1;
  const gradient = new Float64Array(parameters.length);
  let value = 0;
  for (let one = 0; one < classes; one++) {
    for (let at = one * wide; at < one * wide + features; at++) {
      const weight = parameters[at] as number;
      value += (penalty / 2) * weight * weight;
      gradient[at] = penalty * weight;
    }
  }
  const probabilities = rows.map((row, index) => {
    const logprobs = softmaxLogprobs({ parameters, features, classes }, row, offsets?.[index]);
    const label = labels[index] as number;
    value -= logprobs[label] as number;
    const chances = logprobs.map(Math.exp);
    addToClasses(gradient, row, (one) => (chances[one] as number) - Number(one === label), classes);
    return chances;
  });
  return { value, gradient, probabilities };
}

/** Adds to each class's entries a factor times the row, and the factor to its intercept. */
function addToClasses(to: Float64Array, row: Float64Array, factorOf: (one: number) => number, classes: number): void {
  const wide = row.length + 1;
  for (let one = 0; one < classes; one++) {
    const factor = factorOf(one);
    const from = one * wide;
    for (let at = 0; at < row.length; at++) to[from + at] = (to[from + at] as number) + factor * (row[at] as number);
    to[from + row.length] = (to[from + row.length] as number) + factor;
  }
}

/** Solves curvature · step = −gradient by conjugate gradients, the closer the smaller the gradient is. */
function newtonStep({ rows, classes }: SoftmaxRows, here: Evaluated, penalty: number, features: number): Float64Array {
  const wide = features + 1;
  const curved = (direction: Float64Array): Float64Array => {
    const result = new Float64Array(direction.length);
    for (let one = 0; one < classes; one++)
      for (let at = one * wide; at < one * wide + features; at++) result[at] = penalty * (direction[at] as number);
    for (const [index, row] of rows.entries()) {
      const chances = here.probabilities[index] as Float64Array;
      const changes = chances.map((_, one) => {
        let sum = direction[one * wide + features] as number;
        for (let at = 0; at < features; at++) sum += (direction[one * wide + at] as number) * (row[at] as number);
        return sum;
      });
      const mean = dot(chances, changes);
      addToClasses(result, row, (one) => (chances[one] as number) * ((changes[one] as number) - mean), classes);
    }
    return result;
  };
  const step = new Float64Array(here.gradient.length);
  const rest = here.gradient.map((entry) => -entry);
  let direction = Float64Array.from(rest);
  let squares = dot(rest, rest);
  const wanted = squares * Math.min(1e-2, squares);
  for (let turn = 0; turn < 2 * rest.length && squares > wanted && squares > 0; turn++) {
    const bent = curved(direction);
    const along = dot(direction, bent);
    if (!(along > 0)) break;
    const length = squares / along;
    subtract(step, direction, -length);
    subtract(rest, bent, length);
    const next = dot(rest, rest);
    direction = direction.map((value, at) => (rest[at] as number) + (next / squares) * value);
    squares = next;
  }
  return step;
}

function largest(values: Float64Array): number {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most;
}

// A probe as others know it.

export interface LinearProbe {
  /** In the order of their names. */
  readonly classes: readonly string[];
  /** [classes][width] */
  readonly weights: readonly Float64Array[];
  /** [classes] */
  readonly intercepts: readonly number[];
  readonly gradient: number;
}

/** What ½ Σ weights² is multiplied by beside the plain sum of −ln P. Of two classes ours has two rows, w/2 and −w/2. */
export function penaltyOf(c: number, classes: number): number {
  return (classes === 2 ? 2 : 1) / c;
}

/**
 * @param c scikit-learn's C: the larger, the weaker the penalty
 * @throws PROBE_INVALID numbers that are not finite, rows and labels that do not match, fewer than two classes
 */
export function fitProbe(matrix: RowMatrix, labels: readonly string[], c: number): LinearProbe {
  const rows = requireRows(matrix);
  if (rows !== labels.length) throw new InwardError("PROBE_INVALID", `${rows} rows have ${labels.length} labels.`);
  if (!(c > 0 && c < Number.POSITIVE_INFINITY))
    throw new InwardError("PROBE_INVALID", `C is ${c}; it must be above 0.`);
  const classes = [...new Set(labels)].sort();
  if (classes.length < 2) {
    throw new InwardError(
      "PROBE_INVALID",
      `A probe tells classes apart; all ${rows} rows are ${classes[0] ?? "none"}.`,
    );
  }
  const space = RowSpace.of(matrix, [...labels.keys()]);
  const places = labels.map((_, row) => space.place(matrix, row));
  const numbered = labels.map((label) => classes.indexOf(label));
  const data = { rows: places, labels: numbered, classes: classes.length };
  const { parameters, features, gradient } = fitSoftmax(data, penaltyOf(c, classes.length));
  const weights = classes.map((_, one) => {
    return space.unfold(parameters.subarray(one * (features + 1), one * (features + 1) + features));
  });
  const intercepts = classes.map((_, one) => {
    return (parameters[one * (features + 1) + features] as number) - dot(weights[one] as Float64Array, space.mean);
  });
  return { classes, weights, intercepts, gradient };
}

/** [rows][classes] natural logs of probabilities. */
export function probeLogprobs({ weights, intercepts, classes }: LinearProbe, matrix: RowMatrix): Float64Array[] {
  const features = matrix.width;
  const parameters = Float64Array.from(weights.flatMap((row, one) => [...row, intercepts[one] as number]));
  return Array.from({ length: requireRows(matrix) }, (_, row) => {
    const numbers = Float64Array.from({ length: features }, (_, at) => numberAt(matrix, row, at));
    return softmaxLogprobs({ parameters, features, classes: classes.length }, numbers);
  });
}
