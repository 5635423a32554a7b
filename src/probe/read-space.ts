/**
 * What a model can read of a state at a site: the span of the rows of every weight that the state is multiplied by, from there to the logits. What is
 * orthogonal to it is in the null space of all of them, and reaches nothing but the scale of a norm. A patch along directions that hold such a
 * part can carry over by it what the model does not use, and move the answer by another part that it never uses by itself.
 */

import { InwardError } from "../errors.js";
import { readAdapter } from "../finetune/adapter/saved-adapter.js";
import { canDequantize, dequantize } from "../gguf/encodings.js";
import { endingOf, ownForwardFault, type ResidualReader, residualReadersOf } from "../gguf/own-forward.js";
import { type GgufFile, type GgufTensor, readGguf } from "../gguf/read-gguf.js";
import { OpenWeights } from "../gguf/split-model.js";
import type { AdapterChoice } from "../model/language-model.js";
import { type Site, siteNumbers, type StatePart, stateShapeOf } from "../model/sites.js";
import { lengthOfVector } from "../base/vectors.js";

/** What is left of a row beside those before it, as a share of the row: below it, it is the rounding of weights in single precision. */
export const INDEPENDENT_ROW = 1e-6;
/** A row of which less is left than this is orthogonalized once more. */
const CANCELLED = 0.1;

/** Rows of a matrix that are in memory at once. */
const ROWS_AT_ONCE = 1024;

/** The span of rows, as rows of length 1 that are orthogonal to each other. */
export class RowSpan {
  private readonly rows: Float64Array[] = [];

  constructor(readonly width: number) {}

  get basis(): readonly Float64Array[] {
    return this.rows;
  }

  get isWhole(): boolean {
    return this.rows.length >= this.width;
  }

  /** Nothing where it lies in the span already. @param row is not changed */
  add(row: ArrayLike<number>): void {
    if (this.isWhole) return;
    const left = Float64Array.from(row);
    const before = lengthOfVector(left);
    if (before === 0) return;
    this.takeOut(left);
    let after = lengthOfVector(left);
    if (after < CANCELLED * before) {
      this.takeOut(left);
      after = lengthOfVector(left);
    }
    if (!(after > INDEPENDENT_ROW * before)) return;
    this.rows.push(left.map((one) => one / after));
  }

  /** What of a vector lies in the span. */
  within(vector: ArrayLike<number>): Float64Array {
    const left = Float64Array.from(vector);
    this.takeOut(left);
    this.takeOut(left);
    return left.map((one, at) => (vector[at] as number) - one);
  }

  private takeOut(vector: Float64Array): void {
    for (const row of this.rows) {
      let along = 0;
      for (let at = 0; at < vector.length; at++) along += (row[at] as number) * (vector[at] as number);
      if (along === 0) continue;
      for (let at = 0; at < vector.length; at++) vector[at] = (vector[at] as number) - along * (row[at] as number);
    }
  }
}

/** What attention and the MLP add is read where it has been added. */
const READ_AS: Partial<Record<StatePart, StatePart>> = {
  attention_output: "residual_middle",
  mlp_output: "residual_after",
};

/** In the order of a layer. */
const RESIDUALS: readonly StatePart[] = ["residual_before", "residual_middle", "residual_after"];

/** Reads weights of a model until they span all of a site, or none is left. Close it after use. */
export class ModelReading {
  private readonly known = new Map<string, RowSpan>();
  /** The last site of the residual behind which all of a state is read: so it is behind every site before. */
  private whole: { readonly order: number; readonly span: RowSpan } | undefined;

  private constructor(
    private readonly file: GgufFile,
    private readonly weights: OpenWeights,
    private readonly lora: Lora | undefined,
  ) {}

  /** @throws MODEL_*, ADAPTER_* · PROBE_INVALID an architecture whose readers are not known here */
  static async open(path: string, adapter?: AdapterChoice): Promise<ModelReading> {
    const file = await readGguf(path);
    if (residualReadersOf(file) === undefined)
      throw new InwardError(
        "PROBE_INVALID",
        `What reads the states of ${path} is not known here: ${ownForwardFault(file)}.`,
      );
    const lora = adapter && adapter.scale !== 0 ? (await readAdapter(adapter.path)).tensors : undefined;
    return new ModelReading(file, await OpenWeights.of(file), lora);
  }

  close(): Promise<void> {
    return this.weights.close();
  }

  /** @throws PROBE_SITE of attention weights, which are no state · PROBE_INVALID weights of an encoding that is not decoded here */
  async spanAt(site: Site): Promise<RowSpan> {
    const shape = stateShapeOf(this.file, this.file.path);
    if (site.part === "attention_weights")
      throw new InwardError("PROBE_SITE", "Attention weights are no state that is read.");
    const part = READ_AS[site.part] ?? site.part;
    const key = `${part}.${site.layer}`;
    const order = 3 * site.layer + RESIDUALS.indexOf(part);
    const known = this.known.get(key);
    if (known) return known;
    if (part !== "head_values" && this.whole && order <= this.whole.order) return this.whole.span;
    const span = new RowSpan(siteNumbers(site, shape, 1));
    const readers =
      part === "head_values" ? [headReader(site.layer)] : this.residualReaders(part, site.layer, shape.layers);
    for (const { gains, matrices } of readers) {
      if (span.isWhole) break;
      const gain = gains === undefined ? undefined : await this.valuesOf(gains);
      for (const matrix of matrices) await this.addReader(span, matrix, gain);
    }
    this.known.set(key, span);
    if (part !== "head_values" && span.isWhole) this.whole = { order, span };
    return span;
  }

  private residualReaders(part: StatePart, layer: number, layers: number): ResidualReader[] {
    const of = residualReadersOf(this.file) as NonNullable<ReturnType<typeof residualReadersOf>>;
    const readers: ResidualReader[] = [];
    for (let one = layer; one < layers; one++) {
      const { attention, mlp } = of(one);
      const isOwn = one === layer;
      if (!isOwn || part === "residual_before") readers.push(attention);
      if (!isOwn || part !== "residual_after") readers.push(mlp);
    }
    const { output } = endingOf(this.file) as NonNullable<ReturnType<typeof endingOf>>;
    return [...readers, { gains: "output_norm.weight", matrices: [output] }];
  }

  private async addReader(span: RowSpan, matrix: string, gains: Float32Array | undefined): Promise<void> {
    const pair = this.lora?.get(`${matrix}.lora_a`);
    if (pair) addRows(span, pair.values, gains);
    const { dimensions } = this.tensor(matrix);
    const rows = dimensions[1] as number;
    for (let first = 0; first < rows && !span.isWhole; first += ROWS_AT_ONCE)
      addRows(span, await this.valuesOf(matrix, first, Math.min(ROWS_AT_ONCE, rows - first)), gains);
  }

  private tensor(name: string): GgufTensor {
    return this.file.tensors.find((one) => one.name === name) as GgufTensor;
  }

  private async valuesOf(name: string, first = 0, count?: number): Promise<Float32Array> {
    const { type, elements, byteLength, dimensions, ...rest } = this.tensor(name);
    if (!canDequantize(type))
      throw new InwardError("PROBE_INVALID", `${this.file.path}: ${name} is ${type}, which is not decoded here.`);
    const rows = dimensions[1] ?? 1;
    const share = (count ?? rows) / rows;
    const bytes = new Uint8Array(byteLength * share);
    await this.weights.read({ type, elements, byteLength, dimensions, ...rest }, bytes, (byteLength / rows) * first);
    return dequantize(type, bytes, elements * share);
  }
}

type Lora = Awaited<ReturnType<typeof readAdapter>>["tensors"];

const headReader = (layer: number): ResidualReader => ({ matrices: [`blk.${layer}.attn_output.weight`] });

function addRows(span: RowSpan, values: Float32Array, gains: Float32Array | undefined): void {
  const { width } = span;
  for (let row = 0; row < values.length && !span.isWhole; row += width) {
    const own = values.subarray(row, row + width);
    span.add(gains ? own.map((one, at) => one * (gains[at] as number)) : own);
  }
}
