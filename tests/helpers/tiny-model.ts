/**
 * Writes a real, tiny, random model of llama architecture (by default 2 blocks, 64 wide, about 0.4 MB as F32) that llama.cpp loads
 * and runs. The same options give the same bytes. Its answers are lower-case gibberish that ends its turn now and then.
 */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { GgufValue } from "../../src/gguf/read-gguf.js";
import { GGML_TYPES } from "../../src/gguf/encodings.js";
import { writeGguf } from "../../src/gguf/write-gguf.js";
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
  /** general.architecture and the prefix of its keys; anything but llama makes a file that must be refused. */
  readonly architecture?: string;
  /** false leaves the token list out. */
  readonly vocabulary?: boolean;
  /** How matrices are written; vectors are F32. A K-quant needs rows of whole 256s: a width and feedForward of 256. Default F32. */
  readonly encoding?: TinyEncoding;
  /** Tokens; default 512. */
  readonly contextLength?: number;
  /** No output.weight: the token embeddings are the output too, and the model may say any token. */
  readonly tiedOutput?: boolean;
  /** Adds rope_freqs.weight as Llama 3.1 has it: 1 for the high frequencies, rising to 8 for the lowest. */
  readonly ropeFreqs?: boolean;
  /** Linear RoPE scaling: positions are divided by this factor. */
  readonly ropeScale?: number;
  /** Small random biases on all seven projections. */
  readonly biases?: boolean;
  /** Standard deviation of the norms' weights around 1; default 0. */
  readonly normSpread?: number;
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
const GREATEST_ROPE_FACTOR = 8;

export async function writeTinyModel(path: string, options: TinyModelOptions = {}): Promise<TinyModel> {
  const vocabulary = tinyVocabulary(options.chat ?? "chatml");
  const encoding = options.encoding ?? "F32";
  const shape = shapeOf(options);
  const tensors = weights(vocabulary, shape, options).map(({ name, dimensions, values }) => {
    const type = dimensions.length === 1 ? "F32" : encoding;
    if ((dimensions[0] as number) % GGML_TYPES[type].blockElements !== 0) {
      throw new Error(`${name} has rows of ${dimensions[0]}: not whole blocks of ${type}`);
    }
    return { name, dimensions, type, chunks: () => [encodeWeights(type, values)] };
  });
  const written = await writeGguf(path, metadata(vocabulary, shape, options), tensors);
  return { path, ...written, vocabulary };
}

function shapeOf(options: TinyModelOptions): TinyShape {
  const { blocks = 2, width = 64, heads = 4, keyValueHeads = 2, feedForward = 128 } = options;
  return { blocks, width, heads, keyValueHeads, feedForward, headWidth: options.headWidth ?? width / heads };
}

function metadata(vocabulary: TinyVocabulary, shape: TinyShape, options: TinyModelOptions): Map<string, GgufValue> {
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

interface Weights {
  readonly name: string;
  readonly dimensions: readonly number[];
  readonly values: Float32Array;
}

function weights(vocabulary: TinyVocabulary, shape: TinyShape, options: TinyModelOptions): Weights[] {
  const { blocks, width, feedForward } = shape;
  const queryWidth = shape.heads * shape.headWidth;
  const keyWidth = shape.keyValueHeads * shape.headWidth;
  const seed = options.seed ?? 1;
  const draw = drawer(seed);
  // Another stream, so that the matrices of a seed are the same with and without biases and uneven norms.
  const drawVector = drawer(seed ^ 0x5eed);
  const projection = (name: string, columns: number, rows: number): Weights[] => {
    const values = draw(columns * rows, 1 / Math.sqrt(columns));
    const matrix = { name: `${name}.weight`, dimensions: [columns, rows], values };
    if (!options.biases) return [matrix];
    return [matrix, { name: `${name}.bias`, dimensions: [rows], values: drawVector(rows, BIAS_DEVIATION) }];
  };
  const norm = (name: string): Weights => ({
    name,
    dimensions: [width],
    values: drawVector(width, options.normSpread ?? 0).map((value) => 1 + value),
  });
  const size = vocabulary.tokens.length;
  const output = new Float32Array(width * size);
  for (const id of vocabulary.speakableIds) output.set(draw(width, LOGIT_SPREAD / Math.sqrt(width)), width * id);
  const layers = Array.from({ length: blocks }, (_, block) => [
    norm(`blk.${block}.attn_norm.weight`),
    ...projection(`blk.${block}.attn_q`, width, queryWidth),
    ...projection(`blk.${block}.attn_k`, width, keyWidth),
    ...projection(`blk.${block}.attn_v`, width, keyWidth),
    ...projection(`blk.${block}.attn_output`, queryWidth, width),
    norm(`blk.${block}.ffn_norm.weight`),
    ...projection(`blk.${block}.ffn_gate`, width, feedForward),
    ...projection(`blk.${block}.ffn_up`, width, feedForward),
    ...projection(`blk.${block}.ffn_down`, feedForward, width),
  ]).flat();
  // A tied matrix is an output as well: its spread is the logits'.
  const embeddingDeviation = options.tiedOutput ? LOGIT_SPREAD / Math.sqrt(width) : 1;
  return [
    { name: "token_embd.weight", dimensions: [width, size], values: draw(width * size, embeddingDeviation) },
    ...(options.ropeFreqs ? [ropeFrequencyFactors(shape.headWidth / 2)] : []),
    ...layers,
    norm("output_norm.weight"),
    ...(options.tiedOutput ? [] : [{ name: "output.weight", dimensions: [width, size], values: output }]),
  ];
}

/** Uniform numbers, `count` of them with this standard deviation. */
function drawer(seed: number): (count: number, deviation: number) => Float32Array {
  const random = xoroshiro128plus(seed);
  return (count, deviation) =>
    Float32Array.from({ length: count }, () => (random.next() / 2 ** 31) * Math.sqrt(3) * deviation);
}

/** 1 for the first quarter of the pairs, then rising evenly. */
function ropeFrequencyFactors(pairs: number): Weights {
  const share = (pair: number) => Math.max(0, (pair / (pairs - 1) - 0.25) / 0.75);
  const values = Float32Array.from({ length: pairs }, (_, pair) => 1 + (GREATEST_ROPE_FACTOR - 1) * share(pair));
  return { name: "rope_freqs.weight", dimensions: [pairs], values };
}
