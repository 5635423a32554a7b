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
  /** From a file: weights of its tensors, whatever the architecture. Of a dense model the numbers above say them. */
  readonly counted?: {
    readonly parameters: number;
    /** Those of the layers that one token is multiplied with: of a mixture of experts, the experts that it is sent to. */
    readonly layerParameters: number;
  };
  /** Numbers that are kept of one text, however long, by layers that keep a state of it. */
  readonly state?: number;
  /** Projections that are one matrix, with one LoRA pair; each has its own where nothing is said. */
  readonly joined?: readonly (readonly LoraTarget[])[];
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
  if (shape.counted) return shape.counted.parameters;
  const { embedding, layers, vocabulary, tiedOutput, layerVectors = 2 * embedding } = shape;
  const projections = Object.values(projectionSizes(shape)).reduce(
    (sum, [inputs, outputs]) => sum + inputs * outputs,
    0,
  );
  return vocabulary * embedding * (tiedOutput ? 1 : 2) + layers * (projections + layerVectors) + embedding;
}

/** Weights that a token is multiplied with on its way through the layers; the output matrix only meets tokens that are read. */
export function layerParameters(shape: ModelShape): number {
  if (shape.counted) return shape.counted.layerParameters;
  const { embedding, vocabulary, tiedOutput } = shape;
  return parameterCount(shape) - vocabulary * embedding * (tiedOutput ? 1 : 2) - embedding;
}

/** Parameters of LoRA pairs of this rank beside these projections, in all layers. */
export function loraParameters(shape: ModelShape, rank: number, targets: readonly LoraTarget[]): number {
  const sizes = projectionSizes(shape);
  const joined = (shape.joined ?? []).filter((all) => all.some((one) => targets.includes(one)));
  const single = targets.filter((target) => !joined.flat().includes(target)).map((target) => [target]);
  const pairs = [...joined, ...single].map((all) => {
    const inputs = sizes[all[0] as LoraTarget][0];
    return rank * (inputs + all.reduce((sum, target) => sum + sizes[target][1], 0));
  });
  return shape.layers * pairs.reduce((sum, pair) => sum + pair, 0);
}

/** @throws STUDY_INVALID as layersToDrop */
export function withoutLayers(shape: ModelShape, share: number): ModelShape {
  const kept = 1 - layersToDrop(shape.layers, share).length / shape.layers;
  const { counted, state, embedding, vocabulary, tiedOutput } = shape;
  // As if all layers were alike.
  const outside = vocabulary * embedding * (tiedOutput ? 1 : 2);
  return {
    ...shape,
    layers: Math.round(shape.layers * kept),
    ...(counted && {
      counted: {
        parameters: Math.round(outside + (counted.parameters - outside) * kept),
        layerParameters: Math.round(counted.layerParameters * kept),
      },
    }),
    ...(state === undefined ? {} : { state: Math.round(state * kept) }),
  };
}

/**
 * Bits of a weight by file type: exact blocks, and for the mixtures (`_k_`, q2_k) what llama.cpp's documentation
 * lists for Llama 2 7B; another network's mixture differs by a few per cent.
 */
const BITS: Readonly<Record<FileTypeName, number>> = {
  f32: 32,
  f16: 16,
  bf16: 16,
  q8_0: 8.5,
  q6_k: 6.5625,
  q5_k_m: 5.68,
  q5_k_s: 5.52,
  q5_1: 6,
  q5_0: 5.5,
  q4_k_m: 4.84,
  q4_k_s: 4.57,
  q4_1: 5,
  q4_0: 4.5,
  iq4_nl: 4.5,
  iq4_xs: 4.25,
  q3_k_l: 4.27,
  q3_k_m: 3.91,
  q3_k_s: 3.5,
  q2_k: 3.35,
};

export function weightBytes(shape: ModelShape, type: FileTypeName): number {
  return Math.round((parameterCount(shape) * BITS[type]) / 8);
}

/** From a file's header. @returns undefined when it lacks a size @throws as readGguf */
export async function readShape(path: string): Promise<ModelShape | undefined> {
  return shapeOfFile(await readGguf(path));
}

/** Which projections of a file's layers are one matrix, one below the other. */
export function joinedProjections({ tensors }: Pick<GgufFile, "tensors">): LoraTarget[][] {
  // In any layer: a file may join them in some.
  const found = new Set(tensors.map(({ name }) => name.replace(/^blk\.\d+\./, "")));
  const has = (name: string) => found.has(`${name}.weight`);
  const joined: LoraTarget[][] = [];
  if (has("attn_qkv")) joined.push(["q", "k", "v"]);
  if (has("ffn_up") && !has("ffn_gate")) joined.push(["gate", "up"]);
  return joined;
}

export function shapeOfFile(file: GgufFile): ModelShape | undefined {
  const { metadata, tensors } = file;
  const architecture = metadata.get("general.architecture")?.value;
  /** Of one for all layers, or one for each. */
  const counts = (key: string): number[] => {
    const value = metadata.get(`${architecture}.${key}`);
    const all = value === undefined ? [] : value.type === "array" ? value.value : [value.value];
    return all.map(Number).filter((one) => Number.isSafeInteger(one) && one >= 0);
  };
  const most = (key: string) => Math.max(0, ...counts(key)) || undefined;
  const [layers, embedding] = [most("block_count"), most("embedding_length")];
  const tokens = tensors.find(({ name }) => name === "token_embd.weight");
  if (!layers || !embedding || !tokens) return undefined;
  const heads = most("attention.head_count") ?? 0;
  const ownKeyHeads = counts("attention.head_count_kv");
  const keyHeads = ownKeyHeads.length > 0 ? ownKeyHeads : [heads];
  const width = heads > 0 ? embedding / heads : 0;
  const [keyWidth, valueWidth] = [most("attention.key_length") ?? width, most("attention.value_length") ?? width];
  const used =
    (most("expert_used_count") ?? 0) * (most("expert_feed_forward_length") ?? most("feed_forward_length") ?? 0);
  const weights = {
    embedding,
    vocabulary: tokens.elements / embedding,
    tiedOutput: !tensors.some(({ name }) => name === "output.weight"),
  };
  const joined = joinedProjections(file);
  const isDense = tensors.every(({ name }) => !name.startsWith("blk.") || DENSE.test(name)) && heads > 0;
  return {
    ...weights,
    layers,
    heads,
    keyValueHeads: keyHeads.reduce((sum, one) => sum + one) / keyHeads.length,
    headWidth: (keyWidth + valueWidth) / 2,
    feedForward: most("feed_forward_length") ?? used,
    ...(joined.length > 0 ? { joined } : {}),
    ...(isDense
      ? {}
      : {
          counted: countedWeights(
            file,
            used > 0 ? (most("expert_used_count") as number) / (most("expert_count") ?? 1) : 1,
          ),
        }),
    ...stateOf(most, keyHeads.filter((one) => one === 0).length || layers, embedding),
  };
}

/** What llama.cpp keeps of a text in each layer that has no cells: of a state space, of RWKV, of a short convolution. */
function stateOf(
  most: (key: string) => number | undefined,
  layers: number,
  embedding: number,
): Pick<ModelShape, "state"> {
  const [inner, width] = [most("ssm.inner_size"), most("ssm.state_size") ?? 0];
  const [head, convolution] = [most("wkv.head_size"), most("shortconv.l_cache")];
  if (inner !== undefined) {
    const read = inner + 2 * (most("ssm.group_count") ?? 0) * width;
    return { state: layers * (inner * width + ((most("ssm.conv_kernel") ?? 1) - 1) * read) };
  }
  if (head !== undefined) return { state: layers * embedding * (head + (most("token_shift_count") ?? 2)) };
  return convolution === undefined ? {} : { state: layers * embedding * (convolution - 1) };
}

/** Matrices and norms of which the sizes above say how many weights they have. */
const DENSE = /^blk\.\d+\.(?:(?:attn|ffn)_norm|attn_(?:q|k|v|output)|ffn_(?:gate|up|down))\.weight$/;
const OF_AN_EXPERT = /_exps\.(?:weight|bias)$/;

/** @param share of its experts that a token is sent to */
function countedWeights({ tensors }: GgufFile, share: number): ModelShape["counted"] {
  const sum = (some: GgufFile["tensors"]) => some.reduce((total, { elements }) => total + elements, 0);
  const layers = tensors.filter(({ name }) => name.startsWith("blk."));
  const experts = layers.filter(({ name }) => OF_AN_EXPERT.test(name));
  return {
    parameters: sum(tensors),
    layerParameters: Math.round(sum(layers) - sum(experts) * (1 - share)),
  };
}
