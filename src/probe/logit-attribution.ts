/**
 * Direct logit attribution: a logit as the sum of what the embedding, each layer's attention and MLP, and each head have written into the
 * last residual. The scale of the last norm is taken as it came out for the token (frozen), so that the sum is exact; what a part does by
 * way of later layers, or to that scale, is in no part.
 */

import { InwardError } from "../errors.js";
import { readAdapter } from "../finetune/adapter/saved-adapter.js";
import { dequantize } from "../gguf/encodings.js";
import { type HeadMixing, headMixingOf } from "../gguf/own-forward.js";
import { type GgufFile, type GgufTensor, readGguf } from "../gguf/read-gguf.js";
import { OpenWeights } from "../gguf/split-model.js";
import type { AdapterChoice } from "../model/language-model.js";
import { type Site, siteName, type StateShape, stateShapeOf } from "../model/sites.js";
import { lengthOfVector } from "../base/vectors.js";
import { Unembedding } from "./lens-readings.js";

/** What one component has written, in logits of each token, in the order in which tokens are asked. */
export interface LogitPart {
  /** `embedding`, `attention.3`, `mlp.3`, `output_bias`; of attention `head.3.0`, `attention_bias.3`. */
  readonly component: string;
  readonly logits: readonly number[];
}

export interface AttributedLogits {
  /** Their sum is the logit of each token before any cap. */
  readonly parts: readonly LogitPart[];
  /** What the parts of attention are the sums of. */
  readonly heads: readonly LogitPart[];
  /** [tokens] From the last residual itself. */
  readonly uncapped: readonly number[];
  /** [tokens] As the model has them: others only where it caps logits. */
  readonly logits: readonly number[];
  /** By how much the parts' sum is off at most, and by how much single precision may be. */
  readonly apart: number;
  readonly rounding: number;
  /** 1 / √(mean square + epsilon) of the last residual. */
  readonly normScale: number;
}

/** States of one token, whose successor is asked about. */
export interface AttributedToken {
  /** For messages. */
  readonly name: string;
  /** By site: those of attributionSites. */
  readonly states: (site: string) => Float32Array;
  readonly tokenIds: readonly number[];
}

export function attributionSites({ layers }: StateShape): Site[] {
  const each = (["attention_output", "mlp_output", "head_values"] as const).flatMap((part) =>
    Array.from({ length: layers }, (_, layer): Site => ({ part, layer })),
  );
  return [{ part: "residual_before", layer: 0 }, ...each, { part: "residual_after", layer: layers - 1 }];
}

/** Twice the unit of single precision: of a sum's last digit, and of rounding both ways. */
const SINGLE = 2 ** -23;
/** States are the engine's to 2e-5 of a tensor's size (docs/probes.md); a product of a matrix with them to as much again. */
const OF_HEADS = 1e-4;

type Reader = Awaited<ReturnType<Unembedding["reader"]>>;

export class LogitAttribution {
  private constructor(
    private readonly file: GgufFile,
    private readonly weights: OpenWeights,
    private readonly mixing: HeadMixing,
    private readonly unembedding: Unembedding,
    private readonly adapter: { readonly scale: number; readonly tensors: LoraTensors } | undefined,
    readonly shape: StateShape,
  ) {}

  /**
   * Close it after use.
   * @throws MODEL_*, ADAPTER_* · PROBE_INVALID an architecture whose parts are not known here, or an adapter that changes the end
   */
  static async open(path: string, adapter?: AdapterChoice): Promise<LogitAttribution> {
    const file = await readGguf(path);
    const unembedding = await Unembedding.open(path);
    const close = async (error: unknown): Promise<never> => {
      await unembedding.close();
      throw error;
    };
    const worn = adapter && (await readAdapter(adapter.path).catch(close));
    const stray = [...(worn?.tensors.keys() ?? [])].find((name) => !name.startsWith("blk."));
    if (stray !== undefined) {
      await close(
        new InwardError(
          "PROBE_INVALID",
          `The adapter changes ${stray}: what logits are made of is not known here then.`,
        ),
      );
    }
    const weights = await OpenWeights.of(file).catch(close);
    return new LogitAttribution(
      file,
      weights,
      headMixingOf(file) as HeadMixing,
      unembedding,
      worn && { scale: ((adapter?.scale ?? 1) * worn.alpha) / worn.rank, tensors: worn.tensors },
      stateShapeOf(file, path),
    );
  }

  /** Whether the model caps logits: parts sum to what they are before. */
  get hasCap(): boolean {
    return this.unembedding.hasCap;
  }

  async close(): Promise<void> {
    await this.weights.close();
    await this.unembedding.close();
  }

  /**
   * Matrices are read once, whatever the number of tokens.
   * @throws PROBE_PARTS parts do not sum to the logits · PROBE_INVALID no such token
   */
  async attribute(asked: readonly AttributedToken[]): Promise<AttributedLogits[]> {
    const readers = new Map<number, Reader>();
    for (const id of new Set(asked.flatMap(({ tokenIds }) => tokenIds))) {
      if (!Number.isInteger(id) || id < 0 || id >= this.unembedding.vocabulary) {
        throw new InwardError(
          "PROBE_INVALID",
          `Token ${id} is not in the vocabulary of ${this.unembedding.vocabulary}.`,
        );
      }
      readers.set(id, await this.unembedding.reader(id));
    }
    const made = asked.map((one) => this.residualParts(one, readers));
    for (let layer = 0; layer < this.shape.layers; layer++) {
      if ((this.shape.heads[layer] ?? 0) === 0) continue;
      const mixed = await this.outputMatrix(layer);
      // What each token's logit is of heads' values, by token.
      const looks = new Map([...readers].map(([id, reader]) => [id, mixed.look(reader.direction)] as const));
      for (const [at, one] of asked.entries()) this.addHeads(made[at] as Making, one, layer, mixed, looks, readers);
    }
    return made.map(({ parts, heads, uncapped, apart, rounding, normScale }) => ({
      ...{ parts, heads, uncapped, apart, rounding, normScale },
      logits: uncapped.map((logit) => this.unembedding.capped(logit)),
    }));
  }

  private residualParts({ name, states, tokenIds }: AttributedToken, readers: ReadonlyMap<number, Reader>): Making {
    const { layers, heads } = this.shape;
    const own = tokenIds.map((id) => readers.get(id) as Reader);
    const end = states(siteName({ part: "residual_after", layer: layers - 1 }));
    const normScale = this.unembedding.normScale(end);
    const read = (state: ArrayLike<number>) => own.map(({ direction }) => normScale * dotProduct(direction, state));
    const begun = states("residual_before.0");
    const running = Float64Array.from(begun);
    let longest = lengthOfVector(running);
    const parts: LogitPart[] = [{ component: "embedding", logits: read(begun) }];
    for (let layer = 0; layer < layers; layer++) {
      for (const [component, part] of [
        ["attention", "attention_output"],
        ["mlp", "mlp_output"],
      ] as const) {
        if (part === "attention_output" && (heads[layer] ?? 0) === 0) continue;
        const state = states(siteName({ part, layer }));
        parts.push({ component: `${component}.${layer}`, logits: read(state) });
        for (let at = 0; at < running.length; at++) running[at] = (running[at] as number) + (state[at] as number);
        longest = Math.max(longest, lengthOfVector(running));
      }
    }
    if (own.some(({ bias }) => bias !== 0))
      parts.push({ component: "output_bias", logits: own.map(({ bias }) => bias) });
    const uncapped = read(end).map((logit, at) => logit + (own[at] as Reader).bias);
    const sums = own.map((_, token) => parts.reduce((sum, { logits }) => sum + (logits[token] as number), 0));
    // Each addition to the residual is off by the last digit of what it is then.
    const steepest = Math.max(...own.map(({ direction }) => lengthOfVector(direction)));
    const rounding = (2 * layers + 1) * SINGLE * normScale * steepest * longest;
    const apart = Math.max(...sums.map((sum, token) => Math.abs(sum - (uncapped[token] as number))));
    if (!(apart <= rounding)) {
      throw new InwardError(
        "PROBE_PARTS",
        `${name}: what layers add sums to logits that are ${apart.toExponential(1)} from the last residual's, and rounding is ${rounding.toExponential(1)} at most`,
      );
    }
    return { parts, heads: [], uncapped, apart, rounding, normScale };
  }

  private addHeads(
    { parts, heads, normScale, rounding }: Making,
    { name, states, tokenIds }: AttributedToken,
    layer: number,
    mixed: OutputMatrix,
    looks: ReadonlyMap<number, Look>,
    readers: ReadonlyMap<number, Reader>,
  ): void {
    const values = states(siteName({ part: "head_values", layer }));
    const { headWidth } = this.shape;
    const afterNorm = this.mixing.isNormed ? this.unembedding.normScale(mixed.times(values)) : 1;
    const scale = normScale * this.mixing.residualScale * afterNorm;
    const own = tokenIds.map((id) => looks.get(id) as Look);
    const made: LogitPart[] = [];
    for (let head = 0; head < (this.shape.heads[layer] as number); head++) {
      const [from, to] = [head * headWidth, (head + 1) * headWidth];
      const value = values.subarray(from, to);
      const logits = own.map(({ values: look }) => scale * dotProduct(look.subarray(from, to), value));
      made.push({ component: `head.${layer}.${head}`, logits });
    }
    if (mixed.bias) made.push({ component: `attention_bias.${layer}`, logits: own.map(({ bias }) => scale * bias) });
    const whole = parts.find(({ component }) => component === `attention.${layer}`) as LogitPart;
    const size = lengthOfVector(states(siteName({ part: "attention_output", layer })));
    for (const [token, id] of tokenIds.entries()) {
      const sum = made.reduce((all, { logits }) => all + (logits[token] as number), 0);
      const apart = Math.abs(sum - (whole.logits[token] as number));
      const may = OF_HEADS * normScale * lengthOfVector((readers.get(id) as Reader).direction) * size + rounding;
      if (apart <= may) continue;
      throw new InwardError(
        "PROBE_PARTS",
        `${name}: heads of layer ${layer} sum to a logit of ${sum.toFixed(5)}, and its attention has ${(whole.logits[token] as number).toFixed(5)}; ${may.toExponential(1)} apart is rounding`,
      );
    }
    heads.push(...made);
  }

  private async outputMatrix(layer: number): Promise<OutputMatrix> {
    const block = (what: string) => this.file.tensors.find(({ name }) => name === `blk.${layer}.${what}`);
    const read = async (tensor: GgufTensor) => {
      const bytes = new Uint8Array(tensor.byteLength);
      await this.weights.read(tensor, bytes, 0);
      return dequantize(tensor.type, bytes, tensor.elements);
    };
    const tensor = block("attn_output.weight") as GgufTensor;
    const [columns, rows] = tensor.dimensions as [number, number];
    const matrix = Float64Array.from(await read(tensor));
    const pair = (half: "a" | "b") => this.adapter?.tensors.get(`${tensor.name}.lora_${half}`);
    const [a, b] = [pair("a"), pair("b")];
    if (a && b && this.adapter) {
      const rank = a.dimensions[1];
      for (let row = 0; row < rows; row++) {
        for (let k = 0; k < rank; k++) {
          const share = this.adapter.scale * (b.values[row * rank + k] as number);
          for (let at = 0; at < columns; at++)
            matrix[row * columns + at] =
              (matrix[row * columns + at] as number) + share * (a.values[k * columns + at] as number);
        }
      }
    }
    const [bias, gains] = [block("attn_output.bias"), block("post_attention_norm.weight")];
    return new OutputMatrix(
      matrix,
      columns,
      bias && (await read(bias)),
      this.mixing.isNormed && gains ? await read(gains) : undefined,
    );
  }
}

type LoraTensors = Awaited<ReturnType<typeof readAdapter>>["tensors"];

interface Making extends Omit<AttributedLogits, "logits" | "heads"> {
  readonly heads: LogitPart[];
}

/** What a direction in the residual is of heads' values, and of the bias. */
interface Look {
  readonly values: Float64Array;
  readonly bias: number;
}

/** Of one layer's attention: heads' values to the residual. */
class OutputMatrix {
  constructor(
    /** [residual × heads' values] */
    private readonly matrix: Float64Array,
    private readonly columns: number,
    readonly bias: Float32Array | undefined,
    /** Of the norm behind it, where there is one. */
    private readonly gains: Float32Array | undefined,
  ) {}

  look(direction: Float64Array): Look {
    const values = new Float64Array(this.columns);
    let bias = 0;
    for (let row = 0; row < direction.length; row++) {
      const weight = (direction[row] as number) * (this.gains?.[row] ?? 1);
      bias += weight * (this.bias?.[row] ?? 0);
      for (let at = 0, place = row * this.columns; at < this.columns; at++, place++)
        values[at] = (values[at] as number) + weight * (this.matrix[place] as number);
    }
    return { values, bias };
  }

  /** Before the norm. */
  times(values: Float32Array): Float64Array {
    return Float64Array.from({ length: this.matrix.length / this.columns }, (_, row) => {
      const own = this.matrix.subarray(row * this.columns, (row + 1) * this.columns);
      return dotProduct(own, values) + (this.bias?.[row] ?? 0);
    });
  }
}

export function dotProduct(one: Float64Array, other: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < one.length; at++) sum += (one[at] as number) * (other[at] as number);
  return sum;
}
