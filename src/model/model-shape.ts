// How large a network is, part by part: what memory and work are estimated from. Counts are exact; bytes of mixtures are not.

import { InwardError } from "../errors.js";
import type { FileTypeName } from "../gguf/encodings.js";
import { type GgufFile, readGguf } from "../gguf/read-gguf.js";
import type { LoraTarget } from "../study/schema.js";

/**
 * Which layers to take out so that the network is another one but still works: as many as the share says, rounded, side by side in
 * the middle. Neighbours there do the most alike work, and each cut breaks what the layers after it expect: on SmolLM2-135M six spread
 * layers of thirty cost 3.9 nats a token of its own answers, six side by side in the middle 1.3.
 * @param share above 0, below 1
 * @returns numbers from 0, ascending
 * @throws InwardError STUDY_INVALID when none would go, or more than there are between the first and the last
 */
export function layersToDrop(layers: number, share: number): number[] {
  const count = Math.round(share * layers);
  const between = layers - 2;
  if (count < 1 || count > between) {
    const why = count < 1 ? "which is none" : "and the first and the last are never removed";
    throw new InwardError("STUDY_INVALID", `dropLayers ${share} of ${layers} layers are ${count}, ${why}.`);
  }
  const first = 1 + Math.floor((between - count) / 2);
  return Array.from({ length: count }, (_, at) => first + at);
}

/** What the smaller network is called. @param layers as layersToDrop gives them */
export function shallowerId(id: string, layers: readonly number[], of: number): string {
  const [first, last] = [layers[0], layers.at(-1)];
  return `${id}.without-${first === last ? `layer-${first}` : `layers-${first}-to-${last}`}-of-${of}`;
}

export interface ModelShape {
  readonly layers: number;
  readonly embedding: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headWidth: number;
  readonly feedForward: number;
  readonly vocabulary: number;
  /** The token embeddings are the output matrix too. */
  readonly tiedOutput: boolean;
  /** Numbers in a layer that stand in no matrix: norms and biases. Two norms of the embedding's width unless given. */
  readonly layerVectors?: number;
}

/** Inputs and outputs of each projection. */
function projectionSizes(shape: ModelShape): Readonly<Record<LoraTarget, readonly [number, number]>> {
  const { embedding, feedForward } = shape;
  const [queries, keys] = [shape.heads * shape.headWidth, shape.keyValueHeads * shape.headWidth];
  return {
    q: [embedding, queries],
    k: [embedding, keys],
    v: [embedding, keys],
    o: [queries, embedding],
    gate: [embedding, feedForward],
    up: [embedding, feedForward],
    down: [feedForward, embedding],
  };
}

/** Weights of all matrices and norms. */
export function parameterCount(shape: ModelShape): number {
  const { embedding, layers, vocabulary, tiedOutput, layerVectors = 2 * embedding } = shape;
  const projections = Object.values(projectionSizes(shape)).reduce(
    (sum, [inputs, outputs]) => sum + inputs * outputs,
    0,
  );
  return vocabulary * embedding * (tiedOutput ? 1 : 2) + layers * (projections + layerVectors) + embedding;
}

/** Weights that a token is multiplied with on its way through the layers; the output matrix only meets tokens that are read. */
export function layerParameters(shape: ModelShape): number {
  const { embedding, vocabulary, tiedOutput } = shape;
  return parameterCount(shape) - vocabulary * embedding * (tiedOutput ? 1 : 2) - embedding;
}

/** Parameters of LoRA pairs of this rank beside these projections, in all layers. */
export function loraParameters(shape: ModelShape, rank: number, targets: readonly LoraTarget[]): number {
  const sizes = projectionSizes(shape);
  return shape.layers * targets.reduce((sum, target) => sum + rank * (sizes[target][0] + sizes[target][1]), 0);
}

/** @throws STUDY_INVALID as layersToDrop */
export function withoutLayers(shape: ModelShape, share: number): ModelShape {
  return { ...shape, layers: shape.layers - layersToDrop(shape.layers, share).length };
}

/**
 * Bits of a weight by file type: exact blocks, and for the mixtures (`_k_m`, q3_k_m, q2_k) what llama.cpp's documentation
 * lists for Llama 2 7B; another network's mixture differs by a few per cent.
 */
const BITS: Readonly<Record<FileTypeName, number>> = {
  f32: 32,
  f16: 16,
  bf16: 16,
  q8_0: 8.5,
  q6_k: 6.5625,
  q5_k_m: 5.68,
  q5_1: 6,
  q5_0: 5.5,
  q4_k_m: 4.84,
  q4_1: 5,
  q4_0: 4.5,
  q3_k_m: 3.91,
  q2_k: 3.35,
};

export function weightBytes(shape: ModelShape, type: FileTypeName): number {
  return Math.round((parameterCount(shape) * BITS[type]) / 8);
}

/** From a file's header. @returns undefined when it lacks a size @throws as readGguf */
export async function readShape(path: string): Promise<ModelShape | undefined> {
  return shapeOfFile(await readGguf(path));
}

export function shapeOfFile({ metadata, tensors }: GgufFile): ModelShape | undefined {
  const architecture = metadata.get("general.architecture")?.value;
  const count = (key: string) => {
    const value = Number(metadata.get(`${architecture}.${key}`)?.value);
    return Number.isSafeInteger(value) && value > 0 ? value : undefined;
  };
  const [layers, embedding, heads] = [count("block_count"), count("embedding_length"), count("attention.head_count")];
  const feedForward = count("feed_forward_length");
  const tokens = tensors.find(({ name }) => name === "token_embd.weight");
  if (!layers || !embedding || !heads || !feedForward || !tokens) return undefined;
  return {
    layers,
    embedding,
    heads,
    keyValueHeads: count("attention.head_count_kv") ?? heads,
    headWidth: count("attention.key_length") ?? embedding / heads,
    feedForward,
    vocabulary: tokens.elements / embedding,
    tiedOutput: !tensors.some(({ name }) => name === "output.weight"),
  };
}
