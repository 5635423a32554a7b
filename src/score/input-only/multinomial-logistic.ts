/**
 * Multinomial logistic regression with an L2 penalty: P(class | row) = softmax(intercepts + weights · row). What is minimized is
 * the sum over rows of −ln P(their class), plus penalty / 2 times the sum of all squared weights; intercepts are free.
 */
import type { SparseRow } from "./feature-dictionary.js";
import { type Evaluation, minimize } from "./minimize.js";

export interface LabelledRows {
  readonly rows: readonly SparseRow[];
  /** A class of each row, from 0; every class occurs. */
  readonly labels: readonly number[];
  /** At least 2. */
  readonly classes: number;
  readonly features: number;
}

export interface LogisticModel {
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

export interface LogisticSettings {
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
  return logSoftmax(scores(parameters, row, classes, features));
}

function objective(
  { rows, labels, classes, features }: LabelledRows,
  parameters: Float64Array,
  penalty: number,
): Evaluation {
  const weights = classes * features;
  const gradient = new Float64Array(parameters.length);
  for (let index = 0; index < weights; index++) gradient[index] = penalty * (parameters[index] as number);
  let value = (penalty / 2) * squaredWeights(parameters, classes, features);
  for (const [index, row] of rows.entries()) {
    const { columns, values } = row;
    const errors = logSoftmax(scores(parameters, row, classes, features));
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

function scores(
  parameters: Float64Array,
  { columns, values }: SparseRow,
  classes: number,
  features: number,
): Float64Array {
  const all = parameters.slice(classes * features);
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
  for (const score of all) most = Math.max(most, score);
  let sum = 0;
  for (const score of all) sum += Math.exp(score - most);
  const normalizer = most + Math.log(sum);
  for (let one = 0; one < all.length; one++) all[one] = (all[one] as number) - normalizer;
  return all;
}

function squaredWeights(parameters: Float64Array, classes: number, features: number): number {
  let sum = 0;
  for (let index = 0; index < classes * features; index++) sum += (parameters[index] as number) ** 2;
  return sum;
}
