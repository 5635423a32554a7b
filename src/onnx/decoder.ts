/** What a graph needs to know of a model, from its GGUF's header; and which models no graph is written of, and why. */

import { InwardError } from "../errors.js";
import { canDequantize, dequantize } from "../gguf/encodings.js";
import { ownForwardFault } from "../gguf/own-forward.js";
import type { GgufFile, GgufTensor } from "../gguf/read-gguf.js";
import { OpenWeights } from "../gguf/split-model.js";

/** Those that a graph is written of. */
const PAIRS = { llama: "neighbours", qwen2: "halves", qwen3: "halves" } as const;
export type OnnxArchitecture = keyof typeof PAIRS;
export const ONNX_ARCHITECTURES = Object.keys(PAIRS) as readonly OnnxArchitecture[];

export interface Decoder {
  readonly architecture: OnnxArchitecture;
  readonly layers: number;
  readonly embedding: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headWidth: number;
  readonly feedForward: number;
  readonly vocabulary: number;
  /** Tokens. */
  readonly context: number;
  readonly normEpsilon: number;
  /** Which numbers of a head RoPE turns together: 2i and 2i + 1 (as the converter has permuted llama's rows), or i and i + half. */
  readonly pairs: "neighbours" | "halves";
  /** [headWidth / 2] radians a position, the header's scaling and factors in them. */
  readonly frequencies: Float64Array;
  readonly ropeBase: number;
}

/**
 * @throws ONNX_MODEL where the file has something that the graph would compute otherwise · MODEL_TRUNCATED
 */
export async function readDecoder(file: GgufFile): Promise<Decoder> {
  const name = String(file.metadata.get("general.architecture")?.value);
  const refuse = (why: string) => new InwardError("ONNX_MODEL", `${file.path}: no ONNX graph is written of it: ${why}`);
  if (!Object.hasOwn(PAIRS, name)) {
    const shown = /^[\w-]{1,50}$/.test(name) ? name : JSON.stringify(name.slice(0, 50));
    throw refuse(`its architecture is ${shown}; written are ${ONNX_ARCHITECTURES.join(", ")}`);
  }
  const fault = ownForwardFault(file) ?? undecodable(file);
  if (fault !== undefined) throw refuse(fault);
  const architecture = name as OnnxArchitecture;
  const get = (suffix: string) => file.metadata.get(`${architecture}.${suffix}`)?.value;
  const number = (suffix: string, otherwise?: number) => {
    const value = get(suffix);
    return value === undefined ? (otherwise as number) : Number(value);
  };
  const heads = number("attention.head_count");
  const embedding = number("embedding_length");
  const headWidth = number("attention.key_length", Math.floor(embedding / heads));
  const scaling = String(get("rope.scaling.type") ?? "linear");
  if (scaling !== "linear" && scaling !== "none") throw refuse(`its RoPE scaling is ${JSON.stringify(scaling)}`);
  const magnitude = number("rope.scaling.attn_factor", 1);
  if (magnitude !== 1) throw refuse(`its rope.scaling.attn_factor is ${magnitude}`);
  // As llama.cpp: there is an older key, 0 is none, and "none" passes over both.
  const factor = number("rope.scaling.factor", number("rope.scale_linear", 0)) || 1;
  const ropeBase = number("rope.freq_base", 10_000);
  const factors = await vectorOf(file, "rope_freqs.weight");
  const divisor = scaling === "none" ? 1 : factor;
  return {
    architecture,
    layers: number("block_count"),
    embedding,
    heads,
    keyValueHeads: number("attention.head_count_kv", heads),
    headWidth,
    feedForward: number("feed_forward_length"),
    vocabulary: tensorNamed(file, "token_embd.weight").elements / embedding,
    context: number("context_length"),
    normEpsilon: number("attention.layer_norm_rms_epsilon"),
    pairs: PAIRS[architecture],
    frequencies: Float64Array.from(
      { length: headWidth / 2 },
      (_, pair) => ropeBase ** ((-2 * pair) / headWidth) / (factors?.[pair] ?? 1) / divisor,
    ),
    ropeBase,
  };
}

function undecodable({ tensors }: GgufFile): string | undefined {
  const one = tensors.find(({ type }) => !canDequantize(type));
  return one && `its tensor ${one.name} is ${one.type}, which is not decoded here`;
}

/** @throws INTERNAL: what is asked for was found to be there */
export function tensorNamed({ tensors }: Pick<GgufFile, "tensors">, name: string): GgufTensor {
  const found = tensors.find((tensor) => tensor.name === name);
  if (found === undefined) throw new InwardError("INTERNAL", `the file has no tensor ${name}`);
  return found;
}

async function vectorOf(file: GgufFile, name: string): Promise<Float32Array | undefined> {
  const tensor = file.tensors.find((one) => one.name === name);
  if (tensor === undefined) return undefined;
  const weights = await OpenWeights.of(file);
  try {
    const bytes = new Uint8Array(tensor.byteLength);
    await weights.read(tensor, bytes, 0);
    return dequantize(tensor.type, bytes, tensor.elements);
  } finally {
    await weights.close();
  }
}
