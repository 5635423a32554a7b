/**
 * Where a graph's weights lie: F32 tensors where the GGUF has them; others in one file of copies, decoded, or quantized as onnxruntime's
 * operators want them. Block quantizations of 32 are what MatMulNBits computes, so that Q4_0, Q4_1 and Q8_0 go over without loss.
 */

import { dequantize, GGML_TYPES, HALF_TO_FLOAT } from "../gguf/encodings.js";
import type { GgufFile, GgufTensor } from "../gguf/read-gguf.js";
import { OpenWeights } from "../gguf/split-model.js";
import type { Decoder } from "./decoder.js";
import { tensorNamed } from "./decoder.js";
import type { GraphWeights, MatrixName } from "./decoder-graph.js";
import type { GraphBuilder, OnnxDataType } from "./model-proto.js";

/**
 * `none`: floats. `blocks`: the file's own Q4_0, Q4_1 and Q8_0 blocks as MatMulNBits, everything else floats: the file's very weights.
 * `nbits4`, `nbits8`: every matrix as MatMulNBits, rounded to blocks of 32 where the file has none such. `int8`: every matrix rounded by
 * output, and activations while it runs, by all rows that are computed together (what onnxruntime calls dynamic quantization).
 */
export const ONNX_QUANTIZATIONS = ["none", "blocks", "nbits4", "nbits8", "int8"] as const;
export type OnnxQuantization = (typeof ONNX_QUANTIZATIONS)[number];

/** How matrices stand in the graph: how many of each kind. */
export interface MatrixCounts {
  readonly float: number;
  /** Blocks of the file, as they are. */
  readonly mapped: number;
  /** To blocks of 32, or by output. */
  readonly rounded: number;
}

/** Names of the files beside the graph. */
export const COPIES = "model.onnx_data";
export const partName = (part: number): string => `weights-${part + 1}.gguf`;

/** Elements of a block, in a row, that share a scale. */
const BLOCK = 32;
/** So that every copy begins where a page may. */
const ALIGNMENT = 4096;
/** Weights that are decoded at once. */
const CHUNK = 1 << 22;

/** Bytes that the file of copies holds at this place, made when they are written. */
interface Copy {
  readonly offset: number;
  readonly length: number;
  /** Pieces in order, of `length` bytes together. */
  pieces(weights: OpenWeights): AsyncIterable<Uint8Array>;
}

/** Rows of a tensor, from the first that is meant. */
interface Rows {
  readonly tensor: GgufTensor;
  readonly first: number;
  readonly rows: number;
  readonly columns: number;
}

export class FileWeights implements GraphWeights {
  readonly output: MatrixName;
  readonly copies: Copy[] = [];
  /** Parts of the model's file that the graph points into. */
  readonly parts = new Set<number>();
  /** Of all weights that the graph reads, wherever they lie. */
  bytes = 0;
  /** Weights by what they are in the graph; an embedding that also makes the logits counts twice where it lies twice. */
  readonly kinds: Record<string, number> = {};
  private copied = 0;
  private readonly counts = { float: 0, mapped: 0, rounded: 0 };
  private readonly made = new Map<string, string>();
  private readonly names: ReadonlySet<string>;

  /** @param accuracyLevel of MatMulNBits: 4 rounds activations to 8 bits, 0 keeps them */
  constructor(
    private readonly file: GgufFile,
    private readonly decoder: Decoder,
    private readonly quantization: OnnxQuantization,
    private readonly accuracyLevel: 0 | 4,
  ) {
    this.names = new Set(file.tensors.map(({ name }) => name));
    const name = this.names.has("output.weight") ? "output" : "token_embd";
    this.output = { name, rows: decoder.vocabulary, columns: decoder.embedding };
  }

  get matrices(): MatrixCounts {
    return this.counts;
  }

  /** Of the file of copies. */
  get copiedBytes(): number {
    return this.copied;
  }

  embeddings(graph: GraphBuilder): string {
    const tensor = tensorNamed(this.file, "token_embd.weight");
    const { vocabulary: rows, embedding: columns } = this.decoder;
    return this.floats(graph, "token_embd.weight", { tensor, first: 0, rows, columns }, [rows, columns]);
  }

  vector(graph: GraphBuilder, name: string): string {
    const tensor = tensorNamed(this.file, name);
    return this.floats(graph, name, { tensor, first: 0, rows: 1, columns: tensor.elements }, [tensor.elements]);
  }

  product(graph: GraphBuilder, input: string, matrix: MatrixName): string {
    const rows = this.rowsOf(matrix);
    const bias = this.bias(graph, matrix);
    const kind = this.kindOf(rows);
    this.counts[kind === "float" ? "float" : kind === "mapped" ? "mapped" : "rounded"]++;
    if (kind === "float") {
      const weight = this.floats(graph, `${matrix.name}.weight`, rows, [matrix.rows, matrix.columns]);
      return graph.op("Gemm", bias === undefined ? [input, weight] : [input, weight, bias], { transB: 1 });
    }
    const made =
      kind === "int8" ? this.integers(graph, input, matrix, rows) : this.blocks(graph, input, matrix, rows, kind);
    return bias === undefined ? made : graph.op("Add", [made, bias]);
  }

  private kindOf({ tensor: { type }, columns }: Rows): "float" | "mapped" | "rounded" | "int8" {
    const { quantization } = this;
    if (quantization === "none") return "float";
    if (quantization === "int8") return "int8";
    const mapped = MAPPED[type];
    if (mapped !== undefined && (quantization === "blocks" || quantization === `nbits${mapped}`)) return "mapped";
    return quantization === "blocks" || columns % BLOCK !== 0 ? "float" : "rounded";
  }

  /** Where q, k and v are one tensor they lie below each other. */
  private rowsOf({ name, rows, columns }: MatrixName, suffix = "weight"): Rows {
    if (this.names.has(`${name}.${suffix}`))
      return { tensor: tensorNamed(this.file, `${name}.${suffix}`), first: 0, rows, columns };
    const { heads, keyValueHeads, headWidth } = this.decoder;
    const before = { q: 0, k: heads, v: heads + keyValueHeads }[name.slice(-1)] ?? 0;
    const tensor = tensorNamed(this.file, `${name.replace(/_[qkv]$/, "_qkv")}.${suffix}`);
    return { tensor, first: before * headWidth, rows, columns };
  }

  private bias(graph: GraphBuilder, { name, rows }: MatrixName): string | undefined {
    const own = name === "token_embd" ? "output" : name;
    const joined = own.replace(/_[qkv]$/, "_qkv");
    if (!this.names.has(`${own}.bias`) && !this.names.has(`${joined}.bias`)) return undefined;
    const { tensor, first } = this.rowsOf({ name: own, rows, columns: 1 }, "bias");
    return this.floats(graph, `${own}.bias`, { tensor, first, rows, columns: 1 }, [rows]);
  }

  /** As they lie in the file where they are F32; else a decoded copy. */
  private floats(graph: GraphBuilder, name: string, rows: Rows, dimensions: readonly number[]): string {
    const known = this.made.get(name);
    if (known !== undefined) return known;
    const { tensor, first, columns } = rows;
    const length = 4 * rows.rows * columns;
    this.tally("F32", length / 4);
    if (tensor.type !== "F32") {
      return this.copy(graph, name, "float", dimensions, length, async function* (weights) {
        for await (const { values } of decoded(weights, rows)) yield bytesOf(values);
      });
    }
    const { part = 0 } = tensor;
    const { dataOffset } = this.file.parts[part] as GgufFile["parts"][number];
    const offset = dataOffset + tensor.offset + 4 * first * columns;
    this.parts.add(part);
    this.bytes += length;
    this.made.set(name, name);
    return graph.initializer({ name, type: "float", dimensions, data: { location: partName(part), offset, length } });
  }

  private tally(kind: string, weights: number): void {
    this.kinds[kind] = (this.kinds[kind] ?? 0) + weights;
  }

  private copy(
    graph: GraphBuilder,
    name: string,
    type: OnnxDataType,
    dimensions: readonly number[],
    length: number,
    pieces: Copy["pieces"],
  ): string {
    const offset = Math.ceil(this.copied / ALIGNMENT) * ALIGNMENT;
    this.copied = offset + length;
    this.bytes += length;
    this.copies.push({ offset, length, pieces });
    this.made.set(name, name);
    return graph.initializer({ name, type, dimensions, data: { location: COPIES, offset, length } });
  }

  private blocks(
    graph: GraphBuilder,
    input: string,
    matrix: MatrixName,
    rows: Rows,
    kind: "mapped" | "rounded",
  ): string {
    const { rows: outputs, columns } = matrix;
    const isMapped = kind === "mapped";
    const bits = isMapped ? (MAPPED[rows.tensor.type] as 4 | 8) : this.quantization === "nbits4" ? 4 : 8;
    const perRow = columns / BLOCK;
    const count = outputs * perRow;
    const hasZeros = isMapped && rows.tensor.type === "Q4_1";
    const part = (
      which: keyof PackedBlocks,
      name: string,
      type: OnnxDataType,
      dimensions: readonly number[],
      length: number,
    ) =>
      this.copy(graph, name, type, dimensions, length, async function* (weights) {
        for await (const packed of isMapped ? mappedBlocks(weights, rows) : roundedBlocks(weights, rows, bits)) {
          yield bytesOf(packed[which]);
        }
      });
    const name = `${matrix.name}.${bits}bits`;
    this.tally(`${bits} bits in blocks of ${BLOCK}`, outputs * columns);
    const parts = [
      part("quants", name, "uint8", [outputs, perRow, (BLOCK * bits) / 8], (count * BLOCK * bits) / 8),
      part("scales", `${name}.scales`, "float", [outputs, perRow], 4 * count),
      ...(hasZeros ? [part("zeros", `${name}.zeros`, "float", [outputs, perRow], 4 * count)] : []),
    ];
    const attributes = { K: columns, N: outputs, bits, block_size: BLOCK, accuracy_level: this.accuracyLevel };
    return graph.add("MatMulNBits", [input, ...parts], 1, attributes, "com.microsoft")[0] as string;
  }

  private integers(graph: GraphBuilder, input: string, matrix: MatrixName, rows: Rows): string {
    const { rows: outputs, columns } = matrix;
    const name = `${matrix.name}.int8`;
    this.tally("8 bits by output", outputs * columns);
    const quants = this.copy(graph, name, "int8", [columns, outputs], columns * outputs, async function* (weights) {
      yield bytesOf((await roundedByOutput(weights, rows)).quants);
    });
    const scales = this.copy(graph, `${name}.scales`, "float", [outputs], 4 * outputs, async function* (weights) {
      yield bytesOf((await roundedByOutput(weights, rows)).scales);
    });
    // Projections of one input share its rounding.
    const key = `rounded ${input}`;
    const known = this.made.get(key)?.split(" ");
    const [integers, scale, zero] = known ?? [...graph.add("DynamicQuantizeLinear", [input], 3)];
    if (known === undefined) this.made.set(key, [integers, scale, zero].join(" "));
    const sums = graph.op("MatMulInteger", [integers as string, quants, zero as string]);
    const factor = graph.op("Mul", [scale as string, scales]);
    return graph.op("Mul", [graph.op("Cast", [sums], { to: 1 }), factor]);
  }
}

/** Bits of the MatMulNBits that says the same as a block of this type. */
const MAPPED: Readonly<Partial<Record<GgufTensor["type"], 4 | 8>>> = { Q4_0: 4, Q4_1: 4, Q8_0: 8 };

/** What the file of copies holds, with the gaps between them. */
export async function* copiedBytes(file: GgufFile, copies: readonly Copy[]): AsyncGenerator<Uint8Array> {
  const weights = await OpenWeights.of(file);
  try {
    let at = 0;
    for (const { offset, length, pieces } of copies) {
      if (offset > at) yield new Uint8Array(offset - at);
      for await (const piece of pieces(weights)) yield piece;
      at = offset + length;
    }
  } finally {
    await weights.close();
  }
}

function bytesOf(values: Uint8Array | Int8Array | Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Some whole rows at a time; the bytes are those of the file. */
async function* encoded(
  weights: OpenWeights,
  { tensor, first, rows, columns }: Rows,
): AsyncGenerator<{ bytes: Uint8Array; count: number }> {
  // A bias is one row to the file.
  const { blockElements, blockBytes } = GGML_TYPES[tensor.type];
  const rowBytes = (columns / blockElements) * blockBytes;
  const most = Math.max(1, Math.floor(CHUNK / columns));
  for (let row = 0; row < rows; row += most) {
    const count = Math.min(most, rows - row);
    const bytes = new Uint8Array(count * rowBytes);
    await weights.read(tensor, bytes, (first + row) * rowBytes);
    yield { bytes, count };
  }
}

async function* decoded(weights: OpenWeights, rows: Rows): AsyncGenerator<{ values: Float32Array; count: number }> {
  for await (const { bytes, count } of encoded(weights, rows)) {
    yield { values: dequantize(rows.tensor.type, bytes, count * rows.columns), count };
  }
}

/** Blocks in MatMulNBits' order: a weight is (quant − zero) · scale; zero is 8 or 128 where it is not given. */
interface PackedBlocks {
  /** Four bits: two neighbours a byte, the first in the low half. */
  readonly quants: Uint8Array;
  readonly scales: Float32Array;
  /** Q4_1 alone. */
  readonly zeros: Float32Array;
}

async function* mappedBlocks(weights: OpenWeights, rows: Rows): AsyncGenerator<PackedBlocks> {
  const { type } = rows.tensor;
  const { blockBytes } = GGML_TYPES[type];
  for await (const { bytes } of encoded(weights, rows)) yield mapBlocks(type, bytes, bytes.length / blockBytes);
}

/** @param bytes of so many whole Q4_0, Q4_1 or Q8_0 blocks */
export function mapBlocks(type: GgufTensor["type"], bytes: Uint8Array, blocks: number): PackedBlocks {
  const { blockBytes } = GGML_TYPES[type];
  const bits = MAPPED[type] as 4 | 8;
  const size = (BLOCK * bits) / 8;
  const packed = {
    quants: new Uint8Array(blocks * size),
    scales: new Float32Array(blocks),
    zeros: new Float32Array(type === "Q4_1" ? blocks : 0),
  };
  const half = (at: number) => HALF_TO_FLOAT[(bytes[at] as number) | ((bytes[at + 1] as number) << 8)] as number;
  for (let block = 0; block < blocks; block++) {
    const at = block * blockBytes;
    const scale = half(at);
    packed.scales[block] = scale;
    const quants = packed.quants.subarray(block * size, (block + 1) * size);
    if (type === "Q8_0") {
      for (let i = 0; i < BLOCK; i++) quants[i] = (bytes[at + 2 + i] as number) ^ 0x80;
      continue;
    }
    const from = at + (type === "Q4_1" ? 4 : 2);
    for (let i = 0; i < 16; i += 2) {
      const [one, next] = [bytes[from + i] as number, bytes[from + i + 1] as number];
      quants[i / 2] = (one & 15) | ((next & 15) << 4);
      quants[8 + i / 2] = (one >>> 4) | (next & 0xf0);
    }
    if (type !== "Q4_1") continue;
    const minimum = half(at + 2);
    if (scale !== 0) {
      packed.zeros[block] = -minimum / scale;
      continue;
    }
    // All weights are the minimum: (0 + 1) · minimum.
    packed.scales[block] = minimum;
    packed.zeros[block] = -1;
    quants.fill(0);
  }
  return packed;
}

async function* roundedBlocks(weights: OpenWeights, rows: Rows, bits: 4 | 8): AsyncGenerator<PackedBlocks> {
  for await (const { values } of decoded(weights, rows)) yield roundBlocks(values, bits);
}

/** To the nearest, by the weight of each block that is farthest from 0, as ggml's Q4_0 and Q8_0; scales stay single precision. */
export function roundBlocks(values: Float32Array, bits: 4 | 8): PackedBlocks {
  const blocks = values.length / BLOCK;
  const size = (BLOCK * bits) / 8;
  const packed = {
    quants: new Uint8Array(blocks * size),
    scales: new Float32Array(blocks),
    zeros: new Float32Array(0),
  };
  for (let block = 0; block < blocks; block++) {
    let farthest = 0;
    for (let i = 0; i < BLOCK; i++) {
      const value = values[block * BLOCK + i] as number;
      if (Math.abs(value) > Math.abs(farthest)) farthest = value;
    }
    // Four bits hold −8, and not 8.
    const scale = Math.fround(bits === 4 ? farthest / -8 : Math.abs(farthest) / 127);
    packed.scales[block] = scale;
    for (let i = 0; i < BLOCK; i++) {
      const value = scale === 0 ? 0 : Math.round((values[block * BLOCK + i] as number) / scale);
      if (bits === 8) packed.quants[block * size + i] = Math.max(-128, Math.min(127, value)) + 128;
      else {
        const quant = Math.max(0, Math.min(15, value + 8));
        packed.quants[block * size + (i >> 1)] =
          (packed.quants[block * size + (i >> 1)] as number) | (quant << (4 * (i & 1)));
      }
    }
  }
  return packed;
}

/** Rounded to 8 bits by the greatest of each output; [columns, outputs], as MatMulInteger wants it. */
async function roundedByOutput(
  weights: OpenWeights,
  rows: Rows,
): Promise<{ readonly quants: Int8Array; readonly scales: Float32Array }> {
  const { rows: outputs, columns } = rows;
  const made = { quants: new Int8Array(outputs * columns), scales: new Float32Array(outputs) };
  let output = 0;
  for await (const { values, count } of decoded(weights, rows)) {
    for (let row = 0; row < count; row++, output++) {
      const own = values.subarray(row * columns, (row + 1) * columns);
      let greatest = 0;
      for (let i = 0; i < columns; i++) greatest = Math.max(greatest, Math.abs(own[i] as number));
      const scale = Math.fround(greatest / 127);
      made.scales[output] = scale;
      if (scale === 0) continue;
      for (let i = 0; i < columns; i++) made.quants[i * outputs + output] = Math.round((own[i] as number) / scale);
    }
  }
  return made;
}
