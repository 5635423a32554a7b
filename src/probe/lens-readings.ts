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

/** The last norm and the unembedding of a model, whose rows are read from the file as they are needed: memory holds a block of them. */
export class Unembedding {
  private constructor(
    readonly width: number,
    readonly vocabulary: number,
    private readonly ending: ModelEnding,
    private readonly gains: Float32Array,
    private readonly bias: Float32Array | undefined,
    private readonly output: GgufTensor,
    private readonly weights: OpenWeights,
  ) {}

  /** Close it after use. @throws MODEL_* · PROBE_INVALID an architecture whose end is not known here */
  static async open(path: string): Promise<Unembedding> {
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
      return new Unembedding(width, vocabulary, ending, gains, bias, output, weights);
    } catch (error) {
      await weights.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.weights.close();
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
      const squares = vector.reduce((sum, value) => sum + value * value, 0);
      const scale = 1 / Math.sqrt(squares / width + this.ending.normEpsilon);
      return vector.map((value, at) => value * scale * (this.gains[at] as number));
    });
  }

  /** Calls with every token's logit of every row, a block of tokens after the other: [rows][tokens of the block]. */
  async eachLogits(
    normed: readonly Float64Array[],
    visit: (firstToken: number, logits: readonly Float64Array[]) => void,
  ): Promise<void> {
    for (let first = 0; first < this.vocabulary; first += BLOCK_TOKENS) {
      const count = Math.min(BLOCK_TOKENS, this.vocabulary - first);
      visit(first, this.logitsOf(normed, await this.tokenRows(first, count), first));
    }
  }

  /** [rows][ids] */
  async logitsAt(normed: readonly Float64Array[], ids: readonly number[]): Promise<Float64Array[]> {
    const logits = normed.map(() => new Float64Array(ids.length));
    for (const [place, id] of ids.entries()) {
      if (!Number.isInteger(id) || id < 0 || id >= this.vocabulary) {
        throw new InwardError("PROBE_INVALID", `Token ${id} is not in the vocabulary of ${this.vocabulary}.`);
      }
      const own = this.logitsOf(normed, await this.tokenRows(id, 1), id);
      for (const [row, [logit]] of own.entries()) (logits[row] as Float64Array)[place] = logit as number;
    }
    return logits;
  }

  private async tokenRows(first: number, count: number): Promise<Float32Array> {
    const { blockElements, blockBytes } = GGML_TYPES[this.output.type];
    const rowBytes = (this.width / blockElements) * blockBytes;
    const bytes = new Uint8Array(count * rowBytes);
    await this.weights.read(this.output, bytes, first * rowBytes);
    return dequantize(this.output.type, bytes, count * this.width);
  }

  private logitsOf(normed: readonly Float64Array[], rows: Float32Array, first: number): Float64Array[] {
    const { width, bias } = this;
    const { logitScale, logitCap } = this.ending;
    const count = rows.length / width;
    return normed.map((vector) => {
      const logits = new Float64Array(count);
      for (let token = 0; token < count; token++) {
        let sum = 0;
        for (let at = 0, place = token * width; at < width; at++, place++) {
          sum += (vector[at] as number) * (rows[place] as number);
        }
        const logit = logitScale * (sum + (bias?.[first + token] ?? 0));
        logits[token] = logitCap === 0 ? logit : logitCap * Math.tanh(logit / logitCap);
      }
      return logits;
    });
  }
}

const BLOCK_TOKENS = 1024;

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
  /** In the order of the targets. */
  readonly targets: readonly TargetReading[];
}

/**
 * The logit lens, or what a tuned lens made of states.
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
  const normed = unembedding.normed(residuals);
  const ids = targets.flatMap(({ tokenIds }) => [...new Set(tokenIds)]);
  const own = await unembedding.logitsAt(normed, ids);
  let from = 0;
  const places = targets.map(({ tokenIds }) => {
    const all = [...new Set(tokenIds)];
    from += all.length;
    return { first: from - all.length, end: from, ids: new Set(all) };
  });
  const best = own.map((logits) => places.map(({ first, end }) => Math.max(...logits.subarray(first, end))));
  const sums = normed.map(() => new LogitSum());
  const above = normed.map(() => places.map(() => 0));
  const tied = normed.map(() => places.map(() => 0));
  await unembedding.eachLogits(normed, (firstToken, block) => {
    for (const [row, logits] of block.entries()) {
      for (let at = 0; at < logits.length; at++) {
        const logit = logits[at] as number;
        (sums[row] as LogitSum).add(logit, firstToken + at);
        for (const [target, place] of places.entries()) {
          const against = best[row]?.[target] as number;
          if (logit < against || place.ids.has(firstToken + at)) continue;
          const counts = (logit > against ? above[row] : tied[row]) as number[];
          counts[target] = (counts[target] as number) + 1;
        }
      }
    }
  });
  return normed.map((_, row) => {
    const sum = sums[row] as LogitSum;
    return {
      entropyNats: sum.entropy,
      topToken: sum.topToken,
      targets: places.map(({ first, end }, target) => {
        const logprobs = Array.from((own[row] as Float64Array).subarray(first, end), (logit) => logit - sum.logSum);
        return {
          logprob: Math.min(0, logOfSum(logprobs)),
          rank: 1 + (above[row]?.[target] as number),
          tied: tied[row]?.[target] as number,
        };
      }),
    };
  });
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

/** Log-sum-exp and entropy of logits that come one after the other. */
class LogitSum {
  topToken = -1;
  private most = Number.NEGATIVE_INFINITY;
  private total = 0;
  /** Σ e^(logit − most) · (logit − most) */
  private weighted = 0;

  add(logit: number, token: number): void {
    if (logit > this.most) {
      const shift = this.most - logit;
      const shrink = Math.exp(shift);
      this.weighted = this.total === 0 ? 0 : shrink * (this.weighted + shift * this.total);
      this.total *= shrink;
      this.most = logit;
      this.topToken = token;
    }
    const share = Math.exp(logit - this.most);
    this.total += share;
    this.weighted += share * (logit - this.most);
  }

  get logSum(): number {
    return this.most + Math.log(this.total);
  }

  get entropy(): number {
    return Math.max(0, Math.log(this.total) - this.weighted / this.total);
  }
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
  const rows = said.length;
  const sums = Array.from({ length: 2 * rows }, () => new LogitSum());
  const both = [...said, ...guessed];
  await unembedding.eachLogits(both, (firstToken, block) => {
    for (const [row, logits] of block.entries())
      for (const [at, logit] of logits.entries()) (sums[row] as LogitSum).add(logit, firstToken + at);
  });
  const divergences = new Float64Array(rows);
  await unembedding.eachLogits(both, (_, block) => {
    for (let row = 0; row < rows; row++) {
      const [p, q] = [block[row] as Float64Array, block[rows + row] as Float64Array];
      const [logP, logQ] = [(sums[row] as LogitSum).logSum, (sums[rows + row] as LogitSum).logSum];
      for (let at = 0; at < p.length; at++) {
        const [one, other] = [(p[at] as number) - logP, (q[at] as number) - logQ];
        divergences[row] = (divergences[row] as number) + Math.exp(one) * (one - other);
      }
    }
  });
  return divergences.map((value) => Math.max(0, value));
}
