/**
 * What the end of a model would say of a state in its middle: its last norm and its unembedding on any residual vector. "Readable" here
 * means that the unembedding sees it; a model need not use what is readable, nor is what it uses always readable.
 */

import { InwardError } from "../errors.js";
import { canDequantize, dequantize, GGML_TYPES } from "../gguf/encodings.js";
import { endingOf, type ModelEnding, ownForwardFault } from "../gguf/own-forward.js";
import { type GgufTensor, readGguf } from "../gguf/read-gguf.js";
import { OpenWeights } from "../gguf/split-model.js";
import { requireRows, type RowMatrix } from "./linear-probe.js";

/** Products of rows with rows in single precision: a is [m × k], b [n × k]. @returns [m × n] */
export type MultiplyRows = (a: Float32Array, m: number, b: Float32Array, n: number, k: number) => Float32Array;

/** The last norm and the unembedding of a model, read from its file as it is needed. */
export class Unembedding {
  /** Decoded rows of the unembedding, where all of them take little enough memory: by the first token of a block. */
  private readonly decoded = new Map<number, Float32Array>();

  private constructor(
    readonly width: number,
    readonly vocabulary: number,
    private readonly ending: ModelEnding,
    private readonly gains: Float32Array,
    private readonly bias: Float32Array | undefined,
    private readonly output: GgufTensor,
    private readonly weights: OpenWeights,
    private readonly multiply: MultiplyRows | undefined,
  ) {}

  /**
   * Close it after use.
   * @param multiply who makes the products, in single precision; in double precision and slowly where absent
   * @throws MODEL_* · PROBE_INVALID an architecture whose end is not known here
   */
  static async open(path: string, multiply?: MultiplyRows): Promise<Unembedding> {
    const file = await readGguf(path);
    const ending = endingOf(file);
    if (ending === undefined) {
      throw new InwardError("PROBE_INVALID", `The end of ${path} is not known here: ${ownForwardFault(file)}.`);
    }
    const tensor = (name: string) => file.tensors.find((one) => one.name === name) as GgufTensor;
    const output = tensor(ending.output);
    const weights = await OpenWeights.of(file);
    try {
      const whole = async (name: string) => {
        const { type, elements, byteLength, ...rest } = tensor(name);
        const bytes = new Uint8Array(byteLength);
        await weights.read({ type, elements, byteLength, ...rest }, bytes, 0);
        return dequantize(type, bytes, elements);
      };
      if (!canDequantize(output.type)) {
        throw new InwardError("PROBE_INVALID", `${path}: ${output.name} is ${output.type}, which is not decoded here.`);
      }
      const [width, vocabulary] = output.dimensions as [number, number];
      const gains = await whole("output_norm.weight");
      const bias = ending.outputBias === undefined ? undefined : await whole(ending.outputBias);
      return new Unembedding(width, vocabulary, ending, gains, bias, output, weights, multiply);
    } catch (error) {
      await weights.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.weights.close();
  }

  /** Rows whose logits are in memory at once. */
  get rowsAtOnce(): number {
    return Math.max(1, Math.floor(LOGIT_BYTES / (this.vocabulary * (this.multiply ? 4 : 8))));
  }

  /** [rows][width] what the last norm makes of residual vectors. @throws PROBE_INVALID they are not as wide as the model */
  normed(residuals: RowMatrix): Float64Array[] {
    const rows = requireRows(residuals);
    const { width } = this;
    if (residuals.width !== width) {
      throw new InwardError("PROBE_INVALID", `States ${residuals.width} wide are not of a model ${width} wide.`);
    }
    return Array.from({ length: rows }, (_, row) => {
      const vector = Float64Array.from({ length: width }, (_, at) => residuals.values[row * width + at] as number);
      const scale = this.normScale(vector);
      return vector.map((value, at) => value * scale * (this.gains[at] as number));
    });
  }

  /** By what a norm of this model multiplies a vector, before its gains: 1 / √(mean square + epsilon). */
  normScale(vector: ArrayLike<number>): number {
    let squares = 0;
    for (let at = 0; at < vector.length; at++) squares += (vector[at] as number) ** 2;
    return 1 / Math.sqrt(squares / vector.length + this.ending.normEpsilon);
  }

  /** What a token's logit is of a residual vector times its normScale: direction · vector + bias, before any cap. */
  async reader(token: number): Promise<{ readonly direction: Float64Array; readonly bias: number }> {
    const first = token - (token % BLOCK_TOKENS);
    const rows = await this.tokenRows(first, Math.min(BLOCK_TOKENS, this.vocabulary - first));
    const start = (token - first) * this.width;
    const { logitScale } = this.ending;
    const direction = Float64Array.from(this.gains, (gain, at) => logitScale * gain * (rows[start + at] as number));
    return { direction, bias: logitScale * (this.bias?.[token] ?? 0) };
  }

  /** What the model makes of a logit at its end; the logit itself where it has no cap. */
  capped(logit: number): number {
    const { logitCap } = this.ending;
    return logitCap === 0 ? logit : logitCap * Math.tanh(logit / logitCap);
  }

  get hasCap(): boolean {
    return this.ending.logitCap !== 0;
  }

  /** [rows][vocabulary] every token's logit. */
  async logits(normed: readonly Float64Array[]): Promise<(Float32Array | Float64Array)[]> {
    const { width, vocabulary, multiply } = this;
    const made = normed.map(() => (multiply ? new Float32Array(vocabulary) : new Float64Array(vocabulary)));
    const packed = new Float32Array(multiply ? normed.length * width : 0);
    if (multiply) for (const [row, vector] of normed.entries()) packed.set(vector, row * width);
    for (let first = 0; first < vocabulary; first += BLOCK_TOKENS) {
      const count = Math.min(BLOCK_TOKENS, vocabulary - first);
      const rows = await this.tokenRows(first, count);
      const products = multiply?.(packed, normed.length, rows, count, width);
      for (const [row, logits] of made.entries()) {
        const vector = normed[row] as Float64Array;
        for (let token = 0; token < count; token++) {
          const product = products ? (products[row * count + token] as number) : dotOf(vector, rows, token);
          logits[first + token] = this.bent(product, first + token);
        }
      }
    }
    return made;
  }

  private bent(product: number, token: number): number {
    return this.capped(this.ending.logitScale * (product + (this.bias?.[token] ?? 0)));
  }

  private async tokenRows(first: number, count: number): Promise<Float32Array> {
    const known = this.decoded.get(first);
    if (known) return known;
    const { blockElements, blockBytes } = GGML_TYPES[this.output.type];
    const rowBytes = (this.width / blockElements) * blockBytes;
    const bytes = new Uint8Array(count * rowBytes);
    await this.weights.read(this.output, bytes, first * rowBytes);
    const rows = dequantize(this.output.type, bytes, count * this.width);
    if (4 * this.width * this.vocabulary <= KEPT_BYTES) this.decoded.set(first, rows);
    return rows;
  }
}

function dotOf(vector: Float64Array, rows: Float32Array, row: number): number {
  let sum = 0;
  for (let at = 0, place = row * vector.length; at < vector.length; at++, place++) {
    sum += (vector[at] as number) * (rows[place] as number);
  }
  return sum;
}

const BLOCK_TOKENS = 2048;
const LOGIT_BYTES = 2 ** 26;
const KEPT_BYTES = 2 ** 29;

// Readings.

/** Tokens that a value may begin with, such as those of `yes`, ` yes` and `Yes`. */
export interface LensTarget {
  readonly name: string;
  readonly tokenIds: readonly number[];
}

export interface LensTargets {
  readonly targets: readonly LensTarget[];
  /** Tokens with which several values begin: they tell none from the others, and are in no target. */
  readonly shared: readonly { readonly tokenId: number; readonly names: readonly string[] }[];
  /** Values that begin with such tokens alone. */
  readonly untold: readonly string[];
}

/** @param forms of each value by name, the token ids of the ways in which an answer may write it, such as `red`, ` red` and `Red` */
export function lensTargets(forms: Readonly<Record<string, readonly (readonly number[])[]>>): LensTargets {
  const namesOf = new Map<number, string[]>();
  for (const [name, ways] of Object.entries(forms)) {
    for (const id of new Set(ways.flatMap(([first]) => (first === undefined ? [] : [first])))) {
      namesOf.set(id, [...(namesOf.get(id) ?? []), name]);
    }
  }
  const own = (name: string) =>
    [...namesOf].flatMap(([id, names]) => (names.length === 1 && names[0] === name ? [id] : []));
  const all = Object.keys(forms).map((name): LensTarget => ({ name, tokenIds: own(name) }));
  return {
    targets: all.filter(({ tokenIds }) => tokenIds.length > 0),
    shared: [...namesOf].flatMap(([tokenId, names]) => (names.length > 1 ? [{ tokenId, names }] : [])),
    untold: all.filter(({ tokenIds }) => tokenIds.length === 0).map(({ name }) => name),
  };
}

export interface TargetReading {
  /** ln of the summed probability of its tokens. */
  readonly logprob: number;
  /** Of its likeliest token among all tokens, from 1. */
  readonly rank: number;
  /** Tokens not its own that are exactly as likely as that one: the rank may be as much lower. */
  readonly tied: number;
}

export interface LensReading {
  /** Over the vocabulary, nats. */
  readonly entropyNats: number;
  readonly topToken: number;
  /** Its ln P. */
  readonly topLogprob: number;
  /** In the order of the targets. */
  readonly targets: readonly TargetReading[];
}

/**
 * The logit lens, or what another lens made of states.
 * @param residuals [rows × width]
 * @returns [rows]
 * @throws PROBE_INVALID a target without tokens, or with one that is none of the vocabulary
 */
export async function readLens(
  unembedding: Unembedding,
  residuals: RowMatrix,
  targets: readonly LensTarget[],
): Promise<LensReading[]> {
  const empty = targets.find(({ tokenIds }) => tokenIds.length === 0);
  if (empty) throw new InwardError("PROBE_INVALID", `The target ${JSON.stringify(empty.name)} begins with no token.`);
  const { vocabulary, rowsAtOnce } = unembedding;
  const ids = targets.map(({ tokenIds }) => [...new Set(tokenIds)]);
  const stray = ids.flat().find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary);
  if (stray !== undefined) {
    throw new InwardError("PROBE_INVALID", `Token ${stray} is not in the vocabulary of ${vocabulary}.`);
  }
  const normed = unembedding.normed(residuals);
  const readings: LensReading[] = [];
  for (let first = 0; first < normed.length; first += rowsAtOnce) {
    const some = await unembedding.logits(normed.slice(first, first + rowsAtOnce));
    readings.push(...some.map((logits) => readingOf(logits, ids)));
  }
  return readings;
}

function readingOf(logits: Float32Array | Float64Array, targets: readonly (readonly number[])[]): LensReading {
  const { logSum, entropyNats, topToken } = totalOf(logits);
  const topLogprob = Math.min(0, (logits[topToken] as number) - logSum);
  const best = targets.map((ids) => ids.reduce((most, id) => Math.max(most, logits[id] as number), -Infinity));
  const levels = Float64Array.from(new Set(best)).sort();
  // Logits above so many of the levels and no more; and those that are one exactly.
  const above = new Float64Array(levels.length + 1);
  const same = new Float64Array(levels.length);
  const lowest = levels[0] ?? Infinity;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number;
    if (logit < lowest) continue;
    let [low, high] = [0, levels.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((levels[middle] as number) < logit) low = middle + 1;
      else high = middle;
    }
    above[low] = (above[low] as number) + 1;
    if (levels[low] === logit) same[low] = (same[low] as number) + 1;
  }
  const targetReadings = targets.map((ids, target): TargetReading => {
    const own = ids.map((id) => logits[id] as number);
    const level = levels.indexOf(best[target] as number);
    const higher = above.subarray(level + 1).reduce((sum, count) => sum + count, 0);
    const ties = (same[level] as number) - own.filter((logit) => logit === best[target]).length;
    return { logprob: Math.min(0, logOfSum(own.map((logit) => logit - logSum))), rank: 1 + higher, tied: ties };
  });
  return { entropyNats, topToken, topLogprob, targets: targetReadings };
}

/** By how many nats a target leads the likeliest of some others. @param others numbers of targets */
export function targetLead({ targets }: LensReading, target: number, others: readonly number[]): number {
  const logprob = (one: number) => (targets[one] as TargetReading).logprob;
  return logprob(target) - Math.max(...others.filter((one) => one !== target).map(logprob));
}

function logOfSum(logs: readonly number[]): number {
  const most = Math.max(...logs);
  return most + Math.log(logs.reduce((sum, one) => sum + Math.exp(one - most), 0));
}

function totalOf(logits: Float32Array | Float64Array) {
  let [most, topToken] = [-Infinity, -1];
  for (let id = 0; id < logits.length; id++) {
    if ((logits[id] as number) > most) [most, topToken] = [logits[id] as number, id];
  }
  let [total, weighted] = [0, 0];
  for (let id = 0; id < logits.length; id++) {
    const below = (logits[id] as number) - most;
    const share = Math.exp(below);
    total += share;
    weighted += share * below;
  }
  return { logSum: most + Math.log(total), entropyNats: Math.max(0, Math.log(total) - weighted / total), topToken };
}

/**
 * [rows] Σ p ln(p / q), nats, of what the model says at its end (p) and what a lens says (q).
 * @param ends residual vectors after the last layer @param lensed as many, as the lens leaves them
 */
export async function lensDivergences(
  unembedding: Unembedding,
  ends: RowMatrix,
  lensed: RowMatrix,
): Promise<Float64Array> {
  const [said, guessed] = [unembedding.normed(ends), unembedding.normed(lensed)];
  if (said.length !== guessed.length) {
    throw new InwardError("PROBE_INVALID", `${guessed.length} states of a lens stand beside ${said.length} ends.`);
  }
  const divergences = new Float64Array(said.length);
  const atOnce = Math.max(1, unembedding.rowsAtOnce >> 1);
  for (let first = 0; first < said.length; first += atOnce) {
    const own = said.slice(first, first + atOnce);
    const both = await unembedding.logits([...own, ...guessed.slice(first, first + atOnce)]);
    for (let row = 0; row < own.length; row++) {
      const [p, q] = [both[row], both[own.length + row]] as [Float64Array, Float64Array];
      const [logP, logQ] = [totalOf(p).logSum, totalOf(q).logSum];
      let sum = 0;
      for (let at = 0; at < p.length; at++) {
        const [one, other] = [(p[at] as number) - logP, (q[at] as number) - logQ];
        sum += Math.exp(one) * (one - other);
      }
      divergences[first + row] = Math.max(0, sum);
    }
  }
  return divergences;
}
