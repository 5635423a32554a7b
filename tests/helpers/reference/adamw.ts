/** AdamW with decoupled weight decay and clipping by the global norm, both as torch defines them. */
import { type LoraTensors, zerosLike } from "./adapter.js";

export interface AdamWSettings {
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

export interface AdamWState {
  readonly parameters: LoraTensors;
  readonly firstMoments: LoraTensors;
  readonly secondMoments: LoraTensors;
  /** Updates so far. */
  readonly steps: number;
}

export function adamWStart(parameters: LoraTensors): AdamWState {
  return { parameters, firstMoments: zerosLike(parameters), secondMoments: zerosLike(parameters), steps: 0 };
}

export function adamWStep(state: AdamWState, gradients: LoraTensors, settings: AdamWSettings): AdamWState {
  const { learningRate, weightDecay, beta1, beta2, epsilon } = settings;
  const steps = state.steps + 1;
  const firstMoments = combine(state.firstMoments, gradients, (m, g) => beta1 * m + (1 - beta1) * g);
  const secondMoments = combine(state.secondMoments, gradients, (v, g) => beta2 * v + (1 - beta2) * g * g);
  const corrected = combine(firstMoments, secondMoments, (m, v) => {
    return m / (1 - beta1 ** steps) / (Math.sqrt(v / (1 - beta2 ** steps)) + epsilon);
  });
  const parameters = combine(
    state.parameters,
    corrected,
    (p, u) => p - learningRate * weightDecay * p - learningRate * u,
  );
  return { parameters, firstMoments, secondMoments, steps };
}

/** L2 norm over all tensors together. */
export function globalNorm(tensors: LoraTensors): number {
  let squares = 0;
  for (const { values } of tensors.values()) for (const value of values) squares += value * value;
  return Math.sqrt(squares);
}

/** Scales the gradients down to a global norm of `maxNorm`; 0 leaves them alone. */
export function clipToNorm(gradients: LoraTensors, maxNorm: number): LoraTensors {
  if (maxNorm === 0) return gradients;
  return scaleBy(gradients, Math.min(1, maxNorm / (globalNorm(gradients) + 1e-6)));
}

export function scaleBy(tensors: LoraTensors, factor: number): LoraTensors {
  return combine(tensors, tensors, (value) => factor * value);
}

/** Element by element over two sets of the same tensors. */
export function combine(x: LoraTensors, y: LoraTensors, change: (x: number, y: number) => number): LoraTensors {
  return new Map(
    [...x].map(([name, matrix]) => {
      const other = y.get(name);
      if (other === undefined) throw new Error(`there is no ${name} on the other side`);
      return [name, matrix.map((value, row, column) => change(value, other.at(row, column)))];
    }),
  );
}
