/**
 * What a template may spend. A file from a stranger holds a program, and a program can run, write and nest without end.
 * Everything that grows asks here before it grows, so that rendering ends within a stated time and memory.
 */

/** A Python exception: what a template raises, or what jinja2 would raise at the same place. */
export class Raised extends Error {
  constructor(
    readonly kind: string,
    message: string,
  ) {
    super(message);
  }
}

/** The template asked for more than it may spend. Nothing in a template can catch it. */
export class OverBudget extends Error {}

/** What jinja2 can do and this engine refuses, by name. */
export class Unsupported extends Error {}

export interface Limits {
  /** Evaluated nodes of the template, and items that a filter or a loop walks over. */
  readonly steps: number;
  /** Characters of all texts, and items of all lists, ever made. */
  readonly units: number;
  /** Macros, loops and values inside each other. */
  readonly depth: number;
}

/** What we make ourselves, before and after a rendering, is not counted. */
const FREE: Limits = { steps: Infinity, units: Infinity, depth: Infinity };

let limits = FREE;
let steps = 0;
let units = 0;
let depth = 0;

/** Runs `work` with a fresh budget. Rendering is synchronous, so one budget is current at any time. */
export function withBudget<T>(own: Limits, work: () => T): T {
  const outer = { limits, steps, units, depth };
  limits = own;
  steps = units = depth = 0;
  try {
    return work();
  } finally {
    ({ limits, steps, units, depth } = outer);
  }
}

/** @throws OverBudget */
export function step(count = 1): void {
  steps += count;
  if (steps > limits.steps) throw new OverBudget(`it takes more than ${limits.steps} steps`);
}

/** Characters that an operation reads cost a step for each so many. */
const READ_AT_ONCE = 64;

/** @param characters about to be read @throws OverBudget */
export function read(characters: number): void {
  step(characters / READ_AT_ONCE);
}

/** @param count characters or items about to be made @throws OverBudget */
export function grow(count: number): void {
  units += count;
  if (!(units <= limits.units)) throw new OverBudget(`it makes more than ${limits.units} characters`);
}

/** @throws OverBudget */
export function nested<T>(work: () => T): T {
  if (depth >= limits.depth) throw new OverBudget(`it nests deeper than ${limits.depth} levels`);
  depth += 1;
  try {
    return work();
  } finally {
    depth -= 1;
  }
}
