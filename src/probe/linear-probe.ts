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
  const problem = new SoftmaxProblem(data, penalty);
  const { classes } = data;
  let parameters = start ?? new Float64Array(classes * problem.wide);
  let here = problem.evaluate(parameters);
  const enough = 1e-12 * Math.max(1, data.rows.length);
  let steps = 0;
  for (; steps < MOST_STEPS && largest(here.gradient) > enough; steps++) {
    const step = problem.newtonStep(here);
    const slope = dot(step, here.gradient);
    if (!(slope < 0)) break;
    let [length, next, there] = [1, parameters, here];
    for (let half = 0; half < MOST_HALVINGS; half++, length /= 2) {
      next = parameters.map((value, at) => value + length * (step[at] as number));
      there = problem.evaluate(next);
      if (there.value <= here.value + 1e-4 * length * slope) break;
      // Too near the minimum for the value to tell: the gradient can.
      if (-slope < 1e-9 * (1 + Math.abs(here.value)) && largest(there.gradient) < largest(here.gradient)) break;
    }
    if (!(there.value < here.value || largest(there.gradient) < largest(here.gradient))) break;
    [parameters, here] = [next, there];
  }
  return { parameters, features: problem.wide - 1, classes, gradient: largest(here.gradient), steps };
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
  /** [rows × classes] */
  readonly probabilities: Float64Array;
}

/** What is minimized, with its slope and its curvature. */
class SoftmaxProblem {
  /** Numbers of a row, with a 1 behind them for the intercept. */
  readonly wide: number;
  private readonly count: number;
  /** [rows × wide] */
  private readonly rows: Float64Array;
  private readonly squares: Float64Array;

  constructor(
    private readonly data: SoftmaxRows,
    private readonly penalty: number,
  ) {
    this.count = data.rows.length;
    this.wide = (data.rows[0]?.length ?? 0) + 1;
    this.rows = new Float64Array(this.count * this.wide).fill(1);
    for (const [at, row] of data.rows.entries()) this.rows.set(row, at * this.wide);
    this.squares = this.rows.map((value) => value * value);
  }

  evaluate(parameters: Float64Array): Evaluated {
    const { labels, classes, offsets } = this.data;
    const gradient = this.penalized(parameters);
    let value = dot(gradient, parameters) / 2;
    const probabilities = this.scores(parameters);
    const errors = new Float64Array(probabilities.length);
    for (let row = 0; row < this.count; row++) {
      const scores = probabilities.subarray(row * classes, (row + 1) * classes);
      const own = offsets?.[row];
      if (own) for (let one = 0; one < classes; one++) scores[one] = (scores[one] as number) + (own[one] as number);
      const label = labels[row] as number;
      value -= toProbabilities(scores, label);
      errors.set(scores, row * classes);
      errors[row * classes + label] = (errors[row * classes + label] as number) - 1;
    }
    this.addProducts(gradient, errors);
    return { value, gradient, probabilities };
  }

  /** Solves curvature · step = −gradient by conjugate gradients, the closer the smaller the gradient is; entries are scaled by their own curvature. */
  newtonStep(here: Evaluated): Float64Array {
    const own = this.ownCurvatures(here.probabilities);
    const scaled = (vector: Float64Array) => vector.map((entry, at) => entry / (own[at] as number));
    const step = new Float64Array(here.gradient.length);
    const rest = here.gradient.map((entry) => -entry);
    const wanted = dot(rest, rest) * Math.min(1e-2, dot(rest, rest));
    let solved = scaled(rest);
    let direction = Float64Array.from(solved);
    let squares = dot(rest, solved);
    for (let turn = 0; turn < 2 * rest.length && dot(rest, rest) > wanted && squares > 0; turn++) {
      const bent = this.curved(direction, here.probabilities);
      const along = dot(direction, bent);
      if (!(along > 0)) break;
      subtract(step, direction, -squares / along);
      subtract(rest, bent, squares / along);
      solved = scaled(rest);
      const next = dot(rest, solved);
      const kept = next / squares;
      direction = direction.map((value, at) => (solved[at] as number) + kept * value);
      squares = next;
    }
    return step;
  }

  private penalized(parameters: Float64Array): Float64Array {
    return parameters.map((value, at) => ((at + 1) % this.wide === 0 ? 0 : this.penalty * value));
  }

  /** The curvature times a direction. */
  private curved(direction: Float64Array, probabilities: Float64Array): Float64Array {
    const { classes } = this.data;
    const changes = this.scores(direction);
    for (let row = 0; row < this.count; row++) {
      const from = row * classes;
      let mean = 0;
      for (let at = from; at < from + classes; at++) mean += (probabilities[at] as number) * (changes[at] as number);
      for (let at = from; at < from + classes; at++)
        changes[at] = (probabilities[at] as number) * ((changes[at] as number) - mean);
    }
    const result = this.penalized(direction);
    this.addProducts(result, changes);
    return result;
  }

  /** [rows × classes]: each row times each class's numbers. */
  private scores(parameters: Float64Array): Float64Array {
    const { rows, wide, count } = this;
    const { classes } = this.data;
    const scores = new Float64Array(count * classes);
    for (let one = 0; one < classes; one++) {
      const own = parameters.subarray(one * wide, (one + 1) * wide);
      let row = 0;
      // Four sums at once: one alone waits for itself.
      for (; row + 4 <= count; row += 4) {
        const [b, c, d] = [(row + 1) * wide, (row + 2) * wide, (row + 3) * wide];
        let [first, second, third, fourth] = [0, 0, 0, 0];
        for (let at = 0, a = row * wide; at < wide; at++, a++) {
          const weight = own[at] as number;
          first += weight * (rows[a] as number);
          second += weight * (rows[b + at] as number);
          third += weight * (rows[c + at] as number);
          fourth += weight * (rows[d + at] as number);
        }
        scores[row * classes + one] = first;
        scores[(row + 1) * classes + one] = second;
        scores[(row + 2) * classes + one] = third;
        scores[(row + 3) * classes + one] = fourth;
      }
      for (; row < count; row++) {
        let sum = 0;
        for (let at = 0, from = row * wide; at < wide; at++) sum += (own[at] as number) * (rows[from + at] as number);
        scores[row * classes + one] = sum;
      }
    }
    return scores;
  }

  /** Adds to each class's numbers all rows, each as often as its factor says. @param factors [rows × classes] */
  private addProducts(to: Float64Array, factors: Float64Array): void {
    const { rows, wide, count } = this;
    const { classes } = this.data;
    for (let one = 0; one < classes; one++) {
      const own = to.subarray(one * wide, (one + 1) * wide);
      let row = 0;
      for (; row + 4 <= count; row += 4) {
        const [a, b, c, d] = [row * wide, (row + 1) * wide, (row + 2) * wide, (row + 3) * wide];
        const first = factors[row * classes + one] as number;
        const second = factors[(row + 1) * classes + one] as number;
        const third = factors[(row + 2) * classes + one] as number;
        const fourth = factors[(row + 3) * classes + one] as number;
        for (let at = 0; at < wide; at++) {
          own[at] =
            (own[at] as number) +
            first * (rows[a + at] as number) +
            second * (rows[b + at] as number) +
            third * (rows[c + at] as number) +
            fourth * (rows[d + at] as number);
        }
      }
      for (; row < count; row++)
        subtract(own, rows.subarray(row * wide, (row + 1) * wide), -(factors[row * classes + one] as number));
    }
  }

  /** What the curvature has on its diagonal. */
  private ownCurvatures(probabilities: Float64Array): Float64Array {
    const { classes } = this.data;
    const spreads = probabilities.map((chance) => chance * (1 - chance));
    const curvatures = new Float64Array(classes * this.wide).fill(this.penalty);
    for (let one = 0; one < classes; one++) {
      const own = curvatures.subarray(one * this.wide, (one + 1) * this.wide);
      // An intercept has no penalty, and no curvature either where its class is certain.
      own[this.wide - 1] = 1e-12;
      for (let row = 0; row < this.count; row++) {
        const factor = spreads[row * classes + one] as number;
        for (let at = 0, from = row * this.wide; at < this.wide; at++)
          own[at] = (own[at] as number) + factor * (this.squares[from + at] as number);
      }
    }
    return curvatures;
  }
}

/** Scores become probabilities. @returns ln of the label's */
function toProbabilities(scores: Float64Array, label: number): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let at = 0; at < scores.length; at++) most = Math.max(most, scores[at] as number);
  const own = (scores[label] as number) - most;
  let sum = 0;
  for (let at = 0; at < scores.length; at++) {
    scores[at] = Math.exp((scores[at] as number) - most);
    sum += scores[at] as number;
  }
  for (let at = 0; at < scores.length; at++) scores[at] = (scores[at] as number) / sum;
  return own - Math.log(sum);
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
