/**
 * Re-encodes a model's weights as F16 or F32, so that answers do not depend on what stands in a batch together.
 * The same source gives the same bytes, so the result can be checksummed.
 */

import { setImmediate as nextTurn } from "node:timers/promises";
import { InwardError } from "../errors.js";
import { canDequantize, dequantize, floatsToHalves, GGML_TYPES, type GgmlTypeName } from "./encodings.js";
import { dominantEncoding } from "./inspect-gguf.js";
import {
  type GgufFile,
  type GgufTensor,
  type GgufValue,
  readGguf,
  REMOVED_LAYERS_KEYS,
  SOURCE_ENCODING_KEY,
  SOURCE_SHA256_KEY,
} from "./read-gguf.js";
import { OpenWeights } from "./split-model.js";
import { copyTensor, type TensorSource, writeGguf, type WriteGgufOptions, type WrittenGguf } from "./write-gguf.js";

export interface ReencodeOptions extends WriteGgufOptions {
  /** Of the source file, hex; written into the new file's metadata. */
  readonly sourceSha256: string;
}

/** llama.cpp's ids for `general.file_type`. */
const FILE_TYPE = { f32: 0, f16: 1 } as const;
/** A whole number of blocks of every type, small enough that memory does not grow with the model. */
const CHUNK_ELEMENTS = 2 ** 20;

/**
 * Metadata stay as they are, byte for byte, but for `general.file_type`; two keys say what the source was. Vectors (norms) are
 * always F32, as llama.cpp wants them.
 * @param encoding f32 keeps every weight exactly; f16 rounds to nearest even
 * @throws InwardError MODEL_TENSOR_TYPE (a type that is not decoded, a weight beyond half precision), and what readGguf and writeGguf throw
 */
export async function reencodeGguf(
  sourcePath: string,
  targetPath: string,
  encoding: "f16" | "f32",
  options: ReencodeOptions,
): Promise<WrittenGguf> {
  const source = await readGguf(sourcePath);
  requireWeights(source);
  requireDecodable(source);
  const metadata = new Map<string, GgufValue | Uint8Array>(source.encodedMetadata);
  metadata.set("general.file_type", { type: "u32", value: FILE_TYPE[encoding] });
  metadata.set(SOURCE_SHA256_KEY, { type: "string", value: options.sourceSha256 });
  metadata.set(SOURCE_ENCODING_KEY, { type: "string", value: dominantEncoding(source) });

  const weights = await OpenWeights.of(source);
  try {
    const tensors = source.tensors.map((tensor): TensorSource => {
      const type = encoding === "f16" && tensor.dimensions.length > 1 ? "F16" : "F32";
      return {
        name: tensor.name,
        dimensions: tensor.dimensions,
        type,
        chunks: () => reencodeTensor(weights, source.path, tensor, type),
      };
    });
    return await writeGguf(targetPath, metadata, tensors, { ...options, alignment: source.alignment });
  } finally {
    await weights.close();
  }
}

/** @throws InwardError MODEL_NOT_GGUF for a file without weights */
export function requireWeights(source: GgufFile): void {
  if (source.tensors.length > 0) return;
  throw new InwardError("MODEL_NOT_GGUF", `${source.path} holds no weights to re-encode`);
}

/** What can be refused is refused before the first byte is written. */
function requireDecodable(source: GgufFile): void {
  const unknown = source.tensors.find((tensor) => !canDequantize(tensor.type));
  if (unknown !== undefined) {
    throw new InwardError(
      "MODEL_TENSOR_TYPE",
      `${source.path}: tensor ${unknown.name} is of type ${unknown.type}, which inward does not decode`,
    );
  }
}

async function* reencodeTensor(
  source: OpenWeights,
  path: string,
  tensor: GgufTensor,
  target: "F16" | "F32",
): AsyncGenerator<Uint8Array> {
  const chunkElements = Math.min(CHUNK_ELEMENTS, tensor.elements);
  const bytes = new Uint8Array(bytesOf(tensor.type, chunkElements));
  const floats = new Float32Array(chunkElements);
  const halves = new Uint16Array(target === "F16" ? chunkElements : 0);
  for (let first = 0; first < tensor.elements; first += chunkElements) {
    const elements = Math.min(chunkElements, tensor.elements - first);
    const chunk = bytes.subarray(0, bytesOf(tensor.type, elements));
    await source.read(tensor, chunk, bytesOf(tensor.type, first));
    const weights = dequantize(tensor.type, chunk, elements, floats);
    if (target === "F32") {
      yield new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
    } else {
      const bad = floatsToHalves(weights, halves);
      if (bad !== -1) {
        throw new InwardError(
          "MODEL_TENSOR_TYPE",
          `${path}: weight ${first + bad} of tensor ${tensor.name} is ${weights[bad]}, beyond half precision (F16)`,
        );
      }
      yield new Uint8Array(halves.buffer, 0, 2 * elements);
    }
    // Lets Ctrl-C and progress bars in between chunks.
    await nextTurn();
  }
}

/** For a whole number of blocks. */
function bytesOf(type: GgmlTypeName, elements: number): number {
  return (elements / GGML_TYPES[type].blockElements) * GGML_TYPES[type].blockBytes;
}

// A smaller network made of a model's: some layers are taken out, the others move up, every weight that stays is as it was.

const LAYER_TENSOR = /^blk\.(\d+)\.(.+)$/;
/** Keys that may have a value for each layer instead of one for all. */
const BY_LAYER = ["attention.head_count", "attention.head_count_kv", "feed_forward_length"];

/**
 * Metadata stay as they are, byte for byte, but for the number of layers and general.name; three keys say what was removed of what.
 * @param layers numbers from 0 of those to remove
 * @throws InwardError what readGguf and writeGguf throw
 */
export async function writeWithoutLayers(
  sourcePath: string,
  targetPath: string,
  layers: readonly number[],
  options: ReencodeOptions,
): Promise<WrittenGguf> {
  const source = await readGguf(sourcePath);
  requireWeights(source);
  const weights = await OpenWeights.of(source);
  try {
    const tensors = source.tensors.flatMap((tensor): TensorSource[] => {
      const name = newName(tensor.name, layers);
      return name === undefined ? [] : [{ ...tensor, name, chunks: () => copyTensor(weights, tensor) }];
    });
    const metadata = metadataWithout(source, layers, options.sourceSha256);
    return await writeGguf(targetPath, metadata, tensors, { ...options, alignment: source.alignment });
  } finally {
    await weights.close();
  }
}

/** Undefined for a tensor of a removed layer. */
function newName(name: string, layers: readonly number[]): string | undefined {
  const [, number, rest] = LAYER_TENSOR.exec(name) ?? [];
  if (number === undefined) return name;
  if (layers.includes(Number(number))) return undefined;
  return `blk.${Number(number) - layers.filter((removed) => removed < Number(number)).length}.${rest}`;
}

function metadataWithout(
  { metadata, encodedMetadata }: GgufFile,
  layers: readonly number[],
  sourceSha256: string,
): Map<string, GgufValue | Uint8Array> {
  const architecture = String(metadata.get("general.architecture")?.value);
  const of = Number(metadata.get(`${architecture}.block_count`)?.value);
  const name = metadata.get("general.name")?.value ?? "a model";
  const changed = new Map<string, GgufValue | Uint8Array>(encodedMetadata);
  for (const key of BY_LAYER.map((one) => `${architecture}.${one}`)) {
    const found = metadata.get(key);
    if (found?.type !== "array") continue;
    changed.set(key, { ...found, value: found.value.filter((_, layer) => !layers.includes(layer)) });
  }
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  const string = (value: string): GgufValue => ({ type: "string", value });
  changed.set("general.name", string(`${name} without ${layers.length} of ${of} layers`));
  changed.set(`${architecture}.block_count`, u32(of - layers.length));
  changed.set(REMOVED_LAYERS_KEYS.sourceSha256, string(sourceSha256));
  changed.set(REMOVED_LAYERS_KEYS.of, u32(of));
  changed.set(REMOVED_LAYERS_KEYS.layers, { type: "array", elementType: "u32", value: layers });
  return changed;
}
