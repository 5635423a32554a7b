/** The minimum of a smooth convex function by L-BFGS: deterministic, no step size to choose. */

export interface Evaluation {
  readonly value: number;
  readonly gradient: Float64Array;
}

export interface Minimum {
  readonly point: Float64Array;
  readonly value: number;
  /** The greatest absolute entry of the gradient where it stopped. */
  readonly gradientNorm: number;
  readonly steps: number;
}

export interface MinimizeSettings {
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
      direction = gradient.map((entry) => -entry);
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
    const step = direction.map((entry) => entry * length);
    const change = there.gradient.map((entry, index) => entry - (gradient[index] as number));
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
  const direction = gradient.map((entry) => -entry);
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

function move(point: Float64Array, direction: Float64Array, length: number): Float64Array {
  const next = Float64Array.from(point);
  add(next, direction, length);
  return next;
}

function greatest(values: Float64Array): number {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most;
}
