/**
 * Writes a real, tiny, random model (by default of llama architecture, 2 blocks, 64 wide, about 0.4 MB as F32) that llama.cpp loads
 * and runs. The same options give the same bytes. Its answers are lower-case gibberish that ends its turn now and then.
 * Of another architecture it has that architecture's full set of keys and tensors (tiny-architectures.ts).
 */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { GgufValue } from "../../src/gguf/read-gguf.js";
import { GGML_TYPES } from "../../src/gguf/encodings.js";
import { writeGguf } from "../../src/gguf/write-gguf.js";
import { type TinyTraits, tinyTraits } from "./tiny-architectures.js";
import { encodeWeights, type TinyEncoding } from "./tiny-encodings.js";
import { type TinyChat, type TinyVocabulary, tinyVocabulary } from "./tiny-vocabulary.js";

export type { TinyEncoding } from "./tiny-encodings.js";

export interface TinyModelOptions extends Partial<TinyShape> {
  /** Default 1. */
  readonly seed?: number;
  /** Which control tokens, pre-tokenizer and template; default chatml. */
  readonly chat?: TinyChat;
  /** Another template, or false for none. */
  readonly chatTemplate?: string | false;
  /** Default: false for chatml, true for llama3, as the real models have it. */
  readonly addBos?: boolean;
  /** general.architecture and the prefix of its keys. One that nobody knows makes a file that must be refused. Default llama. */
  readonly architecture?: string;
  /** false leaves the token list out. */
  readonly vocabulary?: boolean;
  /** How matrices are written; vectors are F32. A K-quant needs rows of whole 256s: a width and feedForward of 256. Default F32. */
  readonly encoding?: TinyEncoding;
  /** Tokens; default 512. */
  readonly contextLength?: number;
  /** No output.weight: the token embeddings are the output too. Default: as the architecture has it. A llama may then say any token. */
  readonly tiedOutput?: boolean;
  /** Adds rope_freqs.weight as Llama 3.1 has it: 1 for the high frequencies, rising to 8 for the lowest. */
  readonly ropeFreqs?: boolean;
  /** Linear RoPE scaling: positions are divided by this factor. */
  readonly ropeScale?: number;
  /** Small random biases on all projections that may have them. Default: true for qwen2. */
  readonly biases?: boolean;
  /** A bias of the output. */
  readonly outputBias?: boolean;
  /** Standard deviation of the norms' weights, as a share of their mean; default 0 for llama, 0.2 for others */
  readonly normSpread?: number;
  /** Other values for a tensor's. */
  readonly adjust?: (tensor: TinyTensor) => Float32Array;
  /** Added last, replacing a key of the same name. */
  readonly metadata?: Readonly<Record<string, GgufValue>>;
}

export interface TinyShape {
  readonly blocks: number;
  readonly width: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  /** Default width / heads; another one also writes attention.key_length and value_length. */
  readonly headWidth: number;
  readonly feedForward: number;
}

export interface TinyModel {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly vocabulary: TinyVocabulary;
}

/** Standard deviation of a speakable token's logit at the output; all other logits are 0. */
const LOGIT_SPREAD = 4;

/** Of the biases, small beside the projections' outputs, which are about 1. */
const BIAS_DEVIATION = 0.1;
const OUTPUT_BIAS_DEVIATION = 0.5;
const GREATEST_ROPE_FACTOR = 8;
const GREATEST_SHORT_FACTOR = 3;

export async function writeTinyModel(path: string, options: TinyModelOptions = {}): Promise<TinyModel> {
  const vocabulary = tinyVocabulary(options.chat ?? "chatml");
  const encoding = options.encoding ?? "F32";
  const traits = tinyTraits(options.architecture ?? "llama");
  const shape = shapeOf(options, traits);
  const tensors = weights(vocabulary, shape, options, traits).map(({ name, dimensions, values }) => {
    const type = dimensions.length === 1 ? "F32" : encoding;
    if ((dimensions[0] as number) % GGML_TYPES[type].blockElements !== 0) {
      throw new Error(`${name} has rows of ${dimensions[0]}: not whole blocks of ${type}`);
    }
    const adjusted = options.adjust?.({ name, dimensions, values }) ?? values;
    return { name, dimensions, type, chunks: () => [encodeWeights(type, adjusted)] };
  });
  const written = await writeGguf(path, metadata(vocabulary, shape, options, traits), tensors);
  return { path, ...written, vocabulary };
}

function shapeOf(options: TinyModelOptions, traits: TinyTraits): TinyShape {
  const shape = { ...traits.shape, ...options };
  const { blocks = 2, width = 64, heads = 4, keyValueHeads = 2, feedForward = 128, headWidth = width / heads } = shape;
  return { blocks, width, heads, keyValueHeads, feedForward, headWidth };
}

function metadata(
  vocabulary: TinyVocabulary,
  shape: TinyShape,
  options: TinyModelOptions,
  traits: TinyTraits,
): Map<string, GgufValue> {
  const architecture = options.architecture ?? "llama";
  const template = options.chatTemplate ?? vocabulary.chatTemplate;
  const string = (value: string): GgufValue => ({ type: "string", value });
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  const f32 = (value: number): GgufValue => ({ type: "f32", value });
  const entries: [string, GgufValue][] = [
    ["general.architecture", string(architecture)],
    ["general.name", string("Tiny Random")],
    ["general.license", string("mit")],
    [`${architecture}.block_count`, u32(shape.blocks)],
    [`${architecture}.context_length`, u32(options.contextLength ?? 512)],
    [`${architecture}.embedding_length`, u32(shape.width)],
    [`${architecture}.feed_forward_length`, u32(shape.feedForward)],
    [`${architecture}.attention.head_count`, u32(shape.heads)],
    [`${architecture}.attention.head_count_kv`, u32(shape.keyValueHeads)],
    [`${architecture}.attention.layer_norm_rms_epsilon`, f32(1e-5)],
    [`${architecture}.rope.freq_base`, f32(10_000)],
    [`${architecture}.rope.dimension_count`, u32(shape.headWidth)],
    [`${architecture}.vocab_size`, u32(vocabulary.tokens.length)],
  ];
  if (shape.headWidth !== shape.width / shape.heads) {
    entries.push(
      [`${architecture}.attention.key_length`, u32(shape.headWidth)],
      [`${architecture}.attention.value_length`, u32(shape.headWidth)],
    );
  }
  for (const [key, value] of Object.entries(traits.keys(shape))) entries.push([`${architecture}.${key}`, value]);
  if (options.ropeScale !== undefined) {
    entries.push(
      [`${architecture}.rope.scaling.type`, string("linear")],
      [`${architecture}.rope.scaling.factor`, f32(options.ropeScale)],
    );
  }
  if (options.vocabulary ?? true) {
    entries.push(
      ["tokenizer.ggml.model", string(vocabulary.kind)],
      ["tokenizer.ggml.pre", string(vocabulary.pre)],
      ["tokenizer.ggml.tokens", { type: "array", elementType: "string", value: vocabulary.tokens }],
      ["tokenizer.ggml.token_type", { type: "array", elementType: "i32", value: vocabulary.tokenTypes }],
      vocabulary.kind === "gpt2"
        ? ["tokenizer.ggml.merges", { type: "array", elementType: "string", value: vocabulary.merges }]
        : ["tokenizer.ggml.scores", { type: "array", elementType: "f32", value: vocabulary.scores }],
      ["tokenizer.ggml.bos_token_id", u32(vocabulary.bosId)],
      ["tokenizer.ggml.eos_token_id", u32(vocabulary.eosId)],
      [
        "tokenizer.ggml.add_bos_token",
        { type: "bool", value: options.addBos ?? (options.chat ?? "chatml") !== "chatml" },
      ],
    );
    if (template !== false) entries.push(["tokenizer.chat_template", string(template)]);
  }
  return new Map([...entries, ...Object.entries(options.metadata ?? {})]);
}

export interface TinyTensor {
  readonly name: string;
  readonly dimensions: readonly number[];
  readonly values: Float32Array;
}

function weights(
  vocabulary: TinyVocabulary,
  shape: TinyShape,
  options: TinyModelOptions,
  traits: TinyTraits,
): TinyTensor[] {
  const { blocks, width, headWidth, feedForward } = shape;
  const queryWidth = shape.heads * headWidth;
  const keyWidth = shape.keyValueHeads * headWidth;
  const seed = options.seed ?? 1;
  const draw = drawer(seed);
  // Another stream, so that the matrices of a seed are the same with and without biases and uneven norms.
  const drawVector = drawer(seed ^ 0x5eed);
  const tied = options.tiedOutput ?? traits.tied;
  // A tied matrix is an output as well: its spread is the logits'.
  const embeddingDeviation = tied ? LOGIT_SPREAD / Math.sqrt(width) : 1;
  const projection = (name: string, columns: number, rows: number, gain = 1): TinyTensor[] => {
    const values = draw(columns * rows, gain / Math.sqrt(columns));
    const matrix = { name: `${name}.weight`, dimensions: [columns, rows], values };
    const mayHaveBias = traits.allMayHaveBiases || /\.attn_(?:q|k|v|qkv)$/.test(name);
    if (!mayHaveBias || !(options.biases ?? traits.biases)) return [matrix];
    return [matrix, { name: `${name}.bias`, dimensions: [rows], values: drawVector(rows, BIAS_DEVIATION) }];
  };
  const spread = options.normSpread ?? traits.normSpread;
  const norm = (name: string, size = width, mean = 1): TinyTensor => ({
    name: `${name}.weight`,
    dimensions: [size],
    values: drawVector(size, spread).map((value) => mean * (1 + value)),
  });
  const only = (wanted: boolean, made: () => TinyTensor[]): TinyTensor[] => (wanted ? made() : []);
  const size = vocabulary.tokens.length;
  const output = new Float32Array(width * size);
  for (const id of vocabulary.speakableIds) output.set(draw(width, LOGIT_SPREAD / Math.sqrt(width)), width * id);
  const { normsBefore, normsAfter, normsOfHeads, fused, gain } = traits;
  const gainOfAdded = normsAfter ? 1 : gain;
  const normOfHeads = (name: string, all: number) =>
    only(normsOfHeads !== undefined, () => [norm(name, normsOfHeads === "each" ? headWidth : all)]);
  const layers = Array.from({ length: blocks }, (_, layer) => {
    const block = `blk.${layer}`;
    return [
      ...only(normsBefore, () => [norm(`${block}.attn_norm`)]),
      ...(fused
        ? projection(`${block}.attn_qkv`, width, queryWidth + 2 * keyWidth)
        : [
            ...projection(`${block}.attn_q`, width, queryWidth),
            ...projection(`${block}.attn_k`, width, keyWidth),
            ...projection(`${block}.attn_v`, width, keyWidth),
          ]),
      ...normOfHeads(`${block}.attn_q_norm`, queryWidth),
      ...normOfHeads(`${block}.attn_k_norm`, keyWidth),
      ...projection(`${block}.attn_output`, queryWidth, width, gainOfAdded),
      ...only(normsAfter, () => [norm(`${block}.post_attention_norm`, width, gain)]),
      ...only(normsBefore, () => [norm(`${block}.ffn_norm`)]),
      ...(fused
        ? projection(`${block}.ffn_up`, width, 2 * feedForward)
        : [
            ...projection(`${block}.ffn_gate`, width, feedForward),
            ...projection(`${block}.ffn_up`, width, feedForward),
          ]),
      ...projection(`${block}.ffn_down`, feedForward, width, gainOfAdded),
      ...only(normsAfter, () => [norm(`${block}.post_ffw_norm`, width, gain)]),
    ];
  }).flat();
  const embeddings = draw(width * size, embeddingDeviation);
  // Tokens that nobody should say are small as outputs; as inputs a norm makes up for it.
  if (traits.tied) quieten(embeddings, width, vocabulary.speakableIds);
  const bias = options.outputBias
    ? [{ name: "output.bias", dimensions: [size], values: drawVector(size, OUTPUT_BIAS_DEVIATION) }]
    : [];
  return [
    { name: "token_embd.weight", dimensions: [width, size], values: embeddings },
    ...ropeFactors(shape, options, traits),
    ...layers,
    norm("output_norm"),
    ...(tied ? [] : [{ name: "output.weight", dimensions: [width, size], values: output }]),
    ...bias,
  ];
}

const QUIET = 0.25;

function quieten(embeddings: Float32Array, width: number, loud: readonly number[]): void {
  const kept = new Set(loud);
  for (let at = 0; at < embeddings.length; at++) {
    if (!kept.has(Math.floor(at / width))) embeddings[at] = QUIET * (embeddings[at] as number);
  }
}

/** Uniform numbers, `count` of them with this standard deviation. */
function drawer(seed: number): (count: number, deviation: number) => Float32Array {
  const random = xoroshiro128plus(seed);
  return (count, deviation) =>
    Float32Array.from({ length: count }, () => (random.next() / 2 ** 31) * Math.sqrt(3) * deviation);
}

function ropeFactors(shape: TinyShape, options: TinyModelOptions, traits: TinyTraits): TinyTensor[] {
  const turned = traits.keys(shape)["rope.dimension_count"]?.value ?? shape.headWidth;
  const pairs = Number(turned) / 2;
  if (options.ropeFreqs) return [risingFactors("rope_freqs.weight", pairs, GREATEST_ROPE_FACTOR)];
  if (!traits.longAndShortFactors) return [];
  return [
    risingFactors("rope_factors_long.weight", pairs, GREATEST_ROPE_FACTOR),
    risingFactors("rope_factors_short.weight", pairs, GREATEST_SHORT_FACTOR),
  ];
}

/** 1 for the first quarter of the pairs, then rising evenly. */
function risingFactors(name: string, pairs: number, greatest: number): TinyTensor {
  const share = (pair: number) => Math.max(0, (pair / (pairs - 1) - 0.25) / 0.75);
  const values = Float32Array.from({ length: pairs }, (_, pair) => 1 + (greatest - 1) * share(pair));
  return { name, dimensions: [pairs], values };
}
