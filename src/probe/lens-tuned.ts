/**
 * The tuned lens (N. Belrose et al. 2023, arXiv 2303.08112): one affine map a layer, from what a layer leaves to what the last one leaves, before
 * the model's end is read off it. Here the map is found by ridge regression on train strings, not by the loss of what is said; how far what it says
 * is from what the model says is told on held-out strings, beside that of no map at all.
 */

import { inSeededOrder } from "../base/random.js";
import { InwardError } from "../errors.js";
import type { Estimate } from "../score/interval.js";
import type { ResamplingSettings } from "../score/resampling.js";
import type { Split } from "../tasks/task.js";
import { lensDivergences, type Unembedding } from "./lens-readings.js";
import { requireRows, type RowMatrix, RowSpace } from "./linear-probe.js";
import { estimateOverStrings, sumsByString } from "./string-estimates.js";

/** A map of residual vectors, which comes before a model's end reads them. */
export interface Lens {
  /** @param residuals [rows × width] @returns the same shape @throws PROBE_INVALID another width */
  apply(residuals: RowMatrix): RowMatrix & { readonly values: Float64Array };
}

/** x + shift + weights · (x − mean): at shift 0 and weights 0 the identity, which is the logit lens. */
export class TunedLens implements Lens {
  constructor(
    private readonly space: RowSpace | undefined,
    /** [basis][width] */
    private readonly weights: readonly Float64Array[],
    private readonly shift: Float64Array,
    /** What was chosen, beside the mean square of the train rows; undefined of the identity. */
    readonly ridge: number | undefined,
  ) {}

  static identity(width: number): TunedLens {
    return new TunedLens(undefined, [], new Float64Array(width), undefined);
  }

  apply(residuals: RowMatrix): RowMatrix & { readonly values: Float64Array } {
    const { width } = residuals;
    const rows = requireFit(residuals, this.shift.length);
    const values = Float64Array.from(residuals.values);
    for (let row = 0; row < rows; row++) {
      const from = row * width;
      add(values, from, this.shift, 1);
      const place = this.space?.place(residuals, row) ?? new Float64Array(0);
      for (const [at, value] of place.entries()) add(values, from, this.weights[at] as Float64Array, value);
    }
    return { values, width };
  }
}

/** An affine map of a file: weights · x + bias, and x beside it where `adds`. */
export interface AffineMap {
  readonly width: number;
  /** [width × width], a row an output. */
  readonly weights: Float32Array;
  /** [width]; none where absent. */
  readonly bias?: Float32Array;
  readonly adds: boolean;
}

function requireFit(residuals: RowMatrix, width: number): number {
  const rows = requireRows(residuals);
  if (residuals.width === width) return rows;
  throw new InwardError("PROBE_INVALID", `States ${residuals.width} wide do not fit a lens ${width} wide.`);
}

/**
 * A lens of a file: weights · x + bias, and x beside it where `adds`, in double precision.
 * @throws PROBE_INVALID numbers that are not finite, or not of that width
 */
export function affineLens({ width, weights, bias, adds }: AffineMap): Lens {
  if (requireRows({ values: weights, width }) !== width || (bias && bias.length !== width)) {
    throw new InwardError(
      "PROBE_INVALID",
      `A lens ${width} wide has ${weights.length} weights and ${bias?.length ?? 0} biases.`,
    );
  }
  if (bias) requireRows({ values: bias, width });
  return {
    apply: (residuals) => {
      const rows = requireFit(residuals, width);
      const own = Float64Array.from(residuals.values);
      const values = new Float64Array(rows * width);
      // A row of weights meets all states before the next one is fetched.
      for (let to = 0; to < width; to++) {
        for (let from = 0; from < own.length; from += width) {
          let sum = (adds ? (own[from + to] as number) : 0) + (bias?.[to] ?? 0);
          for (let at = 0, place = to * width; at < width; at++, place++)
            sum += (weights[place] as number) * (own[from + at] as number);
          values[from + to] = sum;
        }
      }
      return { values, width };
    },
  };
}

/** Of which string a row of states is. */
export interface LensRow {
  readonly string: string;
  readonly split: Split;
}

export interface TunedLensSettings extends ResamplingSettings {
  /** Beside the mean square of the train rows around their mean. */
  readonly ridges: readonly number[];
  readonly folds: number;
  /** Of more train rows as many are taken, whole strings in a seeded order: the work grows with their square. Absent: all. */
  readonly mostTrainRows?: number;
}

export const TUNED_LENS_SETTINGS: TunedLensSettings = {
  ridges: [1e-4, 1e-3, 1e-2, 0.1, 1, 10],
  folds: 4,
  confidence: 0.95,
  bootstrapReplicates: 2000,
  bootstrapSeed: 0,
};

/** Over held-out rows, nats from what the model says to what a lens says; why not, where no row is held out. */
export type LensHeldOut =
  | {
      readonly ok: true;
      readonly tunedNats: Estimate;
      readonly logitLensNats: Estimate;
      /** By how much the map lowers it. */
      readonly loweredNats: Estimate;
    }
  | { readonly ok: false; readonly reason: string };

/** @param through [rows] with the map @param plain [rows] without */
export function lensHeldOut(
  about: readonly LensRow[],
  through: ArrayLike<number>,
  plain: ArrayLike<number>,
  settings: ResamplingSettings,
): LensHeldOut {
  if (about.length === 0) return { ok: false, reason: "no string is held out" };
  const over = (nats: (at: number) => number): Estimate => {
    const rows = about.map(({ string }, at) => ({ string, value: nats(at) }));
    return estimateOverStrings(sumsByString(rows), undefined, settings);
  };
  return {
    ok: true,
    tunedNats: over((at) => through[at] as number),
    logitLensNats: over((at) => plain[at] as number),
    loweredNats: over((at) => (plain[at] as number) - (through[at] as number)),
  };
}

export interface TunedLayer {
  readonly lens: TunedLens;
  readonly trainStrings: number;
  readonly heldOut: LensHeldOut;
}

/**
 * @param states [rows × width] after a layer @param ends [rows × width] after the last one, of the same tokens
 * @throws PROBE_INVALID shapes that do not match, a string on both sides of the split, fewer than two train strings a fold
 */
export async function tuneLens(
  unembedding: Unembedding,
  states: RowMatrix,
  ends: RowMatrix,
  about: readonly LensRow[],
  settings: TunedLensSettings = TUNED_LENS_SETTINGS,
): Promise<TunedLayer> {
  const rows = requireRows(states);
  const refuse = (why: string): never => {
    throw new InwardError("PROBE_INVALID", why);
  };
  if (requireRows(ends) !== rows || about.length !== rows || ends.width !== states.width)
    refuse(`${rows} states stand beside ${ends.values.length / ends.width} ends and ${about.length} rows.`);
  const sides = new Map<string, Split>();
  for (const { string, split } of about) {
    if ((sides.get(string) ?? split) !== split)
      refuse(`The string ${JSON.stringify(string)} is on both sides of the split.`);
    sides.set(string, split);
  }
  const all = about.flatMap(({ split }, row) => (split === "train" ? [row] : []));
  const train = someStrings(about, all, settings);
  const strings = [...new Set(train.map((row) => (about[row] as LensRow).string))];
  if (strings.length < 2 * settings.folds)
    refuse(`${strings.length} train strings are too few to choose a ridge in ${settings.folds} folds.`);
  const order = inSeededOrder(strings, (string) => `tuned lens/${settings.bootstrapSeed}/${string}`);
  const foldOf = new Map(order.map((string, at) => [string, at % settings.folds]));
  const sorted = [...settings.ridges].sort((a, b) => b - a);
  const errors = sorted.map(() => 0);
  for (let fold = 0; fold < settings.folds; fold++) {
    const inFold = (row: number) => foldOf.get((about[row] as LensRow).string) === fold;
    const [rest, tested] = [train.filter((row) => !inFold(row)), train.filter(inFold)];
    const fits = ridgeFits(states, ends, rest, sorted);
    for (const [at, lens] of fits.entries()) {
      errors[at] = (errors[at] as number) + squaredError(lens.apply(some(states, tested)), some(ends, tested));
    }
  }
  const ridge = sorted[errors.indexOf(Math.min(...errors))] as number;
  const [lens] = ridgeFits(states, ends, train, [ridge]) as [TunedLens];
  const heldOut = about.flatMap(({ split }, row) => (split === "held_out" ? [row] : []));
  const [left, said] = [some(states, heldOut), some(ends, heldOut)];
  const tuned = await lensDivergences(unembedding, said, lens.apply(left));
  const plain = await lensDivergences(unembedding, said, left);
  const ofHeldOut = heldOut.map((row) => about[row] as LensRow);
  return { lens, trainStrings: strings.length, heldOut: lensHeldOut(ofHeldOut, tuned, plain, settings) };
}

function someStrings(
  about: readonly LensRow[],
  rows: readonly number[],
  { mostTrainRows = Number.POSITIVE_INFINITY, bootstrapSeed }: TunedLensSettings,
): readonly number[] {
  if (rows.length <= mostTrainRows) return rows;
  const byString = new Map<string, number[]>();
  for (const row of rows) {
    const { string } = about[row] as LensRow;
    byString.set(string, [...(byString.get(string) ?? []), row]);
  }
  const taken: number[] = [];
  for (const string of inSeededOrder([...byString.keys()], (one) => `lens rows/${bootstrapSeed}/${one}`)) {
    const own = byString.get(string) as number[];
    if (taken.length + own.length > mostTrainRows) break;
    taken.push(...own);
  }
  return taken.sort((a, b) => a - b);
}

function some({ values, width }: RowMatrix, rows: readonly number[]): RowMatrix {
  const chosen = new Float64Array(rows.length * width);
  for (const [at, row] of rows.entries())
    for (let place = 0; place < width; place++) chosen[at * width + place] = values[row * width + place] as number;
  return { values: chosen, width };
}

function squaredError(one: RowMatrix, other: RowMatrix): number {
  let sum = 0;
  for (let at = 0; at < one.values.length; at++)
    sum += ((one.values[at] as number) - (other.values[at] as number)) ** 2;
  return sum;
}

/** A map for each ridge, of what the layers between add: (ZᵀZ + ridge · rows · spread²) W = Zᵀ(added − mean), Z the places of rows. */
function ridgeFits(
  states: RowMatrix,
  ends: RowMatrix,
  rows: readonly number[],
  ridges: readonly number[],
): TunedLens[] {
  const { width } = states;
  const space = RowSpace.of(states, rows);
  const places = rows.map((row) => space.place(states, row));
  const shift = new Float64Array(width);
  const added = rows.map((row) => {
    const from = row * width;
    return Float64Array.from(
      { length: width },
      (_, at) => (ends.values[from + at] as number) - (states.values[from + at] as number),
    );
  });
  for (const one of added) add(shift, 0, one, 1 / rows.length);
  const size = space.size;
  const squares = Array.from({ length: size }, () => new Float64Array(size));
  const along = Array.from({ length: size }, () => new Float64Array(width));
  for (const [row, place] of places.entries()) {
    for (let one = 0; one < size; one++) {
      add(squares[one] as Float64Array, 0, place, place[one] as number);
      add(along[one] as Float64Array, 0, added[row] as Float64Array, place[one] as number);
    }
  }
  return ridges.map((ridge) => {
    const penalty = ridge * rows.length * space.spread ** 2;
    const system = squares.map((row, at) => row.map((value, column) => value + (at === column ? penalty : 0)));
    return new TunedLens(space, solved(system, along), shift, ridge);
  });
}

/** By Cholesky; the ridge keeps it positive. @returns [size][width] */
function solved(system: readonly Float64Array[], right: readonly Float64Array[]): Float64Array[] {
  const size = system.length;
  const lower = system.map((row) => Float64Array.from(row));
  for (let column = 0; column < size; column++) {
    for (let row = column; row < size; row++) {
      let value = (lower[row] as Float64Array)[column] as number;
      for (let at = 0; at < column; at++)
        value -= ((lower[row] as Float64Array)[at] as number) * ((lower[column] as Float64Array)[at] as number);
      (lower[row] as Float64Array)[column] =
        row === column ? Math.sqrt(value) : value / ((lower[column] as Float64Array)[column] as number);
    }
  }
  const solution = right.map((row) => Float64Array.from(row));
  const at = (row: number, column: number) => (lower[row] as Float64Array)[column] as number;
  for (let row = 0; row < size; row++) {
    const own = solution[row] as Float64Array;
    for (let other = 0; other < row; other++) add(own, 0, solution[other] as Float64Array, -at(row, other));
    scale(own, 1 / at(row, row));
  }
  for (let row = size - 1; row >= 0; row--) {
    const own = solution[row] as Float64Array;
    for (let other = row + 1; other < size; other++) add(own, 0, solution[other] as Float64Array, -at(other, row));
    scale(own, 1 / at(row, row));
  }
  return solution;
}

function add(to: Float64Array, from: number, what: Float64Array, times: number): void {
  for (let at = 0; at < what.length; at++) to[from + at] = (to[from + at] as number) + times * (what[at] as number);
}

function scale(values: Float64Array, factor: number): void {
  for (let at = 0; at < values.length; at++) values[at] = (values[at] as number) * factor;
}
