/** A llama model in float64, as its GGUF defines it. */
import { dequantize } from "../../../src/gguf/encodings.js";
import { type GgufFile, openGguf, readFully, readGguf } from "../../../src/gguf/read-gguf.js";
import { Matrix } from "./matrix.js";

/** One frozen weight matrix [out × in] and its bias [1 × out]. */
export interface Projection {
  /** The tensor's name in the file, e.g. `blk.0.attn_q.weight`: LoRA tensors are called after it. */
  readonly name: string;
  readonly weight: Matrix;
  readonly bias: Matrix | undefined;
}

export interface ReferenceBlock {
  /** [1 × width] */
  readonly attentionNorm: Matrix;
  readonly q: Projection;
  readonly k: Projection;
  readonly v: Projection;
  readonly o: Projection;
  /** [1 × width] */
  readonly feedForwardNorm: Matrix;
  readonly gate: Projection;
  readonly up: Projection;
  readonly down: Projection;
}

export interface ReferenceModel {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headWidth: number;
  readonly normEpsilon: number;
  /** Radians per position of each pair of a head's dimensions, [headWidth / 2]. */
  readonly ropeAngles: readonly number[];
  /** [vocabulary × width] */
  readonly embeddings: Matrix;
  readonly blocks: readonly ReferenceBlock[];
  /** [1 × width] */
  readonly outputNorm: Matrix;
  /** [vocabulary × width]: the embeddings themselves when the output is tied. */
  readonly output: Matrix;
}

/** Reads and decodes a GGUF of llama architecture. @throws Error when a key or tensor is missing; MODEL_* for a bad file */
export async function readReferenceModel(path: string): Promise<ReferenceModel> {
  const file = await readGguf(path);
  const tensors = await readTensors(file);
  const optional = (name: string) => tensors.get(name);
  const tensor = (name: string) => tensors.get(name) ?? fail(`${path} has no tensor ${name}`);
  const projection = (name: string): Projection => ({
    name: `${name}.weight`,
    weight: tensor(`${name}.weight`),
    bias: optional(`${name}.bias`),
  });
  const heads = number(file, "llama.attention.head_count");
  const embeddings = tensor("token_embd.weight");
  const headWidth = number(file, "llama.attention.key_length", embeddings.columns / heads);
  return {
    heads,
    keyValueHeads: number(file, "llama.attention.head_count_kv", heads),
    headWidth,
    normEpsilon: number(file, "llama.attention.layer_norm_rms_epsilon"),
    ropeAngles: ropeAngles(file, headWidth, optional("rope_freqs.weight")),
    embeddings,
    blocks: Array.from({ length: number(file, "llama.block_count") }, (_, block) => ({
      attentionNorm: tensor(`blk.${block}.attn_norm.weight`),
      q: projection(`blk.${block}.attn_q`),
      k: projection(`blk.${block}.attn_k`),
      v: projection(`blk.${block}.attn_v`),
      o: projection(`blk.${block}.attn_output`),
      feedForwardNorm: tensor(`blk.${block}.ffn_norm.weight`),
      gate: projection(`blk.${block}.ffn_gate`),
      up: projection(`blk.${block}.ffn_up`),
      down: projection(`blk.${block}.ffn_down`),
    })),
    outputNorm: tensor("output_norm.weight"),
    output: optional("output.weight") ?? embeddings,
  };
}

/** θ_i = base^(−2i / headWidth), divided by the linear scaling factor and by the pair's own factor. */
function ropeAngles(file: GgufFile, headWidth: number, factors: Matrix | undefined): number[] {
  const base = number(file, "llama.rope.freq_base", 10_000);
  const scaling = number(file, "llama.rope.scaling.factor", 1);
  return Array.from({ length: headWidth / 2 }, (_, pair) => {
    return base ** ((-2 * pair) / headWidth) / scaling / (factors?.at(0, pair) ?? 1);
  });
}

/** ggml's [columns, rows] is a row-major matrix; a vector becomes one row. */
async function readTensors(file: GgufFile): Promise<Map<string, Matrix>> {
  const handle = await openGguf(file.path);
  try {
    const tensors = new Map<string, Matrix>();
    for (const { name, type, dimensions, elements, offset, byteLength } of file.tensors) {
      const bytes = new Uint8Array(byteLength);
      await readFully(handle, bytes, file.dataOffset + offset);
      const values = Float64Array.from(dequantize(type, bytes, elements));
      tensors.set(name, new Matrix(dimensions[1] ?? 1, dimensions[0] as number, values));
    }
    return tensors;
  } finally {
    await handle.close();
  }
}

function number(file: GgufFile, key: string, whenAbsent?: number): number {
  const value = file.metadata.get(key)?.value ?? whenAbsent;
  return typeof value === "number" ? value : fail(`${file.path}: ${key} is ${String(value)}`);
}

function fail(message: string): never {
  throw new Error(message);
}
