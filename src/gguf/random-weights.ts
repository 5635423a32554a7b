/**
 * A model's file with random weights in the place of its own: what any network of that shape would show. Matrices are drawn evenly from
 * an interval around 0, each with the mean square of the trained one; norms multiply by 1, biases are 0, factors of RoPE stay.
 */

import { setImmediate as nextTurn } from "node:timers/promises";
import { seededRandom } from "../base/random.js";
import { InwardError } from "../errors.js";
import { dequantize, floatsToHalves, GGML_TYPES } from "./encodings.js";
import { ownForwardFault } from "./own-forward.js";
import { type GgufTensor, type GgufValue, readGguf, SOURCE_SHA256_KEY } from "./read-gguf.js";
import { OpenWeights } from "./split-model.js";
import { type TensorSource, writeGguf, type WriteGgufOptions, type WrittenGguf } from "./write-gguf.js";

/** A whole number of blocks of every type. */
const CHUNK_ELEMENTS = 2 ** 20;
/** llama.cpp's id of half precision for `general.file_type`. */
const HALF_FILE = 1;

const isMatrix = ({ dimensions }: GgufTensor) => dimensions.slice(1).some((length) => length > 1);

/** Bytes of such a file, but for its header. */
export function randomWeightBytes(tensors: readonly GgufTensor[]): number {
  return tensors.reduce((sum, tensor) => sum + (isMatrix(tensor) ? 2 : 4) * tensor.elements, 0);
}

/**
 * The same source and seed give the same bytes: half precision, vectors in single precision.
 * @throws PROBE_INVALID tensors of which it is not known what they are · MODEL_*, STORE_*, INTERRUPTED
 */
export async function writeRandomWeights(
  sourcePath: string,
  targetPath: string,
  { seed, sourceSha256, ...options }: WriteGgufOptions & { readonly seed: number; readonly sourceSha256: string },
): Promise<WrittenGguf> {
  const source = await readGguf(sourcePath);
  const fault = ownForwardFault(source);
  if (fault !== undefined) {
    throw new InwardError("PROBE_INVALID", `${sourcePath} gets no random weights: ${fault}.`);
  }
  const metadata = new Map<string, GgufValue | Uint8Array>(source.encodedMetadata);
  metadata.set("general.file_type", { type: "u32", value: HALF_FILE });
  metadata.set(SOURCE_SHA256_KEY, { type: "string", value: sourceSha256 });
  const weights = await OpenWeights.of(source);
  try {
    const tensors = source.tensors.map(
      (tensor): TensorSource => ({
        name: tensor.name,
        dimensions: tensor.dimensions,
        type: isMatrix(tensor) ? "F16" : "F32",
        chunks: () => (isMatrix(tensor) ? randomMatrix(weights, tensor, seed) : plainVector(weights, tensor)),
      }),
    );
    return await writeGguf(targetPath, metadata, tensors, { ...options, alignment: source.alignment });
  } finally {
    await weights.close();
  }
}

async function* plainVector(weights: OpenWeights, tensor: GgufTensor): AsyncGenerator<Uint8Array> {
  const { name, elements, byteLength, type } = tensor;
  const values = new Float32Array(elements);
  if (name.endsWith("_norm.weight")) values.fill(1);
  else if (!name.endsWith(".bias")) {
    const bytes = new Uint8Array(byteLength);
    await weights.read(tensor, bytes, 0);
    values.set(dequantize(type, bytes, elements));
  }
  yield new Uint8Array(values.buffer);
}

async function* randomMatrix(weights: OpenWeights, tensor: GgufTensor, seed: number): AsyncGenerator<Uint8Array> {
  const { name, elements } = tensor;
  const bound = Math.sqrt(3 * (await meanSquare(weights, tensor)));
  const random = seededRandom(`random weights/${seed}/${name}`);
  const floats = new Float32Array(Math.min(CHUNK_ELEMENTS, elements));
  const halves = new Uint16Array(floats.length);
  for (let first = 0; first < elements; first += floats.length) {
    const count = Math.min(floats.length, elements - first);
    for (let at = 0; at < count; at++) floats[at] = (bound * (random.next() + 0.5)) / 2 ** 31;
    floatsToHalves(floats.subarray(0, count), halves);
    yield new Uint8Array(halves.buffer, 0, 2 * count);
    await nextTurn();
  }
}

async function meanSquare(weights: OpenWeights, tensor: GgufTensor): Promise<number> {
  const { type, elements } = tensor;
  const { blockElements, blockBytes } = GGML_TYPES[type];
  const bytesOf = (count: number) => (count / blockElements) * blockBytes;
  const chunk = Math.min(CHUNK_ELEMENTS, elements);
  const [bytes, floats] = [new Uint8Array(bytesOf(chunk)), new Float32Array(chunk)];
  let sum = 0;
  for (let first = 0; first < elements; first += chunk) {
    const count = Math.min(chunk, elements - first);
    await weights.read(tensor, bytes.subarray(0, bytesOf(count)), bytesOf(first));
    for (const value of dequantize(type, bytes.subarray(0, bytesOf(count)), count, floats)) sum += value * value;
    await nextTurn();
  }
  return sum / elements;
}
