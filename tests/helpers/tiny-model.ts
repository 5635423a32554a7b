/**
 * Writes a real, tiny, random model of llama architecture (2 blocks, 64 wide, about 0.4 MB as F32) that llama.cpp loads and runs.
 * The same options give the same bytes. Its answers are lower-case gibberish that ends its turn now and then.
 */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { GgufValue } from "../../src/model/gguf/gguf-file.js";
import { floatsToHalves } from "../../src/model/gguf/half.js";
import { writeGguf } from "../../src/model/gguf/write-gguf.js";
import { type TinyChat, type TinyVocabulary, tinyVocabulary } from "./tiny-vocabulary.js";

export interface TinyModelOptions {
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
  /** How matrices are written; vectors are F32. Default F32. */
  readonly encoding?: TinyEncoding;
  /** Tokens; default 512. */
  readonly contextLength?: number;
  /** Added last, replacing a key of the same name. */
  readonly metadata?: Readonly<Record<string, GgufValue>>;
}

export type TinyEncoding = "F32" | "F16" | "Q8_0" | "Q4_1";

export interface TinyModel {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly vocabulary: TinyVocabulary;
}

const BLOCKS = 2;
const WIDTH = 64;
const HEADS = 4;
const KV_HEADS = 2;
const HEAD_WIDTH = WIDTH / HEADS;
const FEED_FORWARD = 128;
/** Standard deviation of a speakable token's logit at the output; all other logits are 0. */
const LOGIT_SPREAD = 4;

export async function writeTinyModel(path: string, options: TinyModelOptions = {}): Promise<TinyModel> {
  const vocabulary = tinyVocabulary(options.chat ?? "chatml");
  const encoding = options.encoding ?? "F32";
  const tensors = weights(vocabulary, options.seed ?? 1).map(({ name, dimensions, values }) => {
    const type = dimensions.length === 1 ? "F32" : encoding;
    return { name, dimensions, type, chunks: () => [ENCODERS[type](values)] };
  });
  const written = await writeGguf(path, metadata(vocabulary, options), tensors);
  return { path, ...written, vocabulary };
}

function metadata(vocabulary: TinyVocabulary, options: TinyModelOptions): Map<string, GgufValue> {
  const architecture = options.architecture ?? "llama";
  const template = options.chatTemplate ?? vocabulary.chatTemplate;
  const string = (value: string): GgufValue => ({ type: "string", value });
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  const f32 = (value: number): GgufValue => ({ type: "f32", value });
  const entries: [string, GgufValue][] = [
    ["general.architecture", string(architecture)],
    ["general.name", string("Tiny Random")],
    ["general.license", string("mit")],
    [`${architecture}.block_count`, u32(BLOCKS)],
    [`${architecture}.context_length`, u32(options.contextLength ?? 512)],
    [`${architecture}.embedding_length`, u32(WIDTH)],
    [`${architecture}.feed_forward_length`, u32(FEED_FORWARD)],
    [`${architecture}.attention.head_count`, u32(HEADS)],
    [`${architecture}.attention.head_count_kv`, u32(KV_HEADS)],
    [`${architecture}.attention.layer_norm_rms_epsilon`, f32(1e-5)],
    [`${architecture}.rope.freq_base`, f32(10_000)],
    [`${architecture}.rope.dimension_count`, u32(HEAD_WIDTH)],
    [`${architecture}.vocab_size`, u32(vocabulary.tokens.length)],
  ];
  if (options.vocabulary ?? true) {
    entries.push(
      ["tokenizer.ggml.model", string("gpt2")],
      ["tokenizer.ggml.pre", string(vocabulary.pre)],
      ["tokenizer.ggml.tokens", { type: "array", elementType: "string", value: vocabulary.tokens }],
      ["tokenizer.ggml.token_type", { type: "array", elementType: "i32", value: vocabulary.tokenTypes }],
      ["tokenizer.ggml.merges", { type: "array", elementType: "string", value: vocabulary.merges }],
      ["tokenizer.ggml.bos_token_id", u32(vocabulary.bosId)],
      ["tokenizer.ggml.eos_token_id", u32(vocabulary.eosId)],
      ["tokenizer.ggml.add_bos_token", { type: "bool", value: options.addBos ?? options.chat === "llama3" }],
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

function weights(vocabulary: TinyVocabulary, seed: number): Weights[] {
  const random = xoroshiro128plus(seed);
  /** Uniform, with this standard deviation. */
  const draw = (count: number, deviation: number) =>
    Float32Array.from({ length: count }, () => (random.next() / 2 ** 31) * Math.sqrt(3) * deviation);
  const matrix = (name: string, columns: number, rows: number): Weights => ({
    name,
    dimensions: [columns, rows],
    values: draw(columns * rows, 1 / Math.sqrt(columns)),
  });
  const ones = (name: string): Weights => ({ name, dimensions: [WIDTH], values: new Float32Array(WIDTH).fill(1) });
  const size = vocabulary.tokens.length;
  const output = new Float32Array(WIDTH * size);
  for (const id of vocabulary.speakableIds) output.set(draw(WIDTH, LOGIT_SPREAD / Math.sqrt(WIDTH)), WIDTH * id);
  const blocks = Array.from({ length: BLOCKS }, (_, block) => [
    ones(`blk.${block}.attn_norm.weight`),
    matrix(`blk.${block}.attn_q.weight`, WIDTH, WIDTH),
    matrix(`blk.${block}.attn_k.weight`, WIDTH, KV_HEADS * HEAD_WIDTH),
    matrix(`blk.${block}.attn_v.weight`, WIDTH, KV_HEADS * HEAD_WIDTH),
    matrix(`blk.${block}.attn_output.weight`, WIDTH, WIDTH),
    ones(`blk.${block}.ffn_norm.weight`),
    matrix(`blk.${block}.ffn_gate.weight`, WIDTH, FEED_FORWARD),
    matrix(`blk.${block}.ffn_up.weight`, WIDTH, FEED_FORWARD),
    matrix(`blk.${block}.ffn_down.weight`, FEED_FORWARD, WIDTH),
  ]).flat();
  return [
    { name: "token_embd.weight", dimensions: [WIDTH, size], values: draw(WIDTH * size, 1) },
    ...blocks,
    ones("output_norm.weight"),
    { name: "output.weight", dimensions: [WIDTH, size], values: output },
  ];
}

const ENCODERS: Record<TinyEncoding, (values: Float32Array) => Uint8Array> = {
  F32: (values) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  F16: (values) => new Uint8Array(halves(values).buffer),
  Q8_0: (values) => inBlocks(values, 34, encodeQ8Block),
  Q4_1: (values) => inBlocks(values, 20, encodeQ4Block),
};

function inBlocks(
  values: Float32Array,
  blockBytes: number,
  encode: (block: Float32Array, out: Uint8Array) => void,
): Uint8Array {
  const blocks = values.length / 32;
  const bytes = new Uint8Array(blocks * blockBytes);
  for (let block = 0; block < blocks; block++) {
    encode(values.subarray(32 * block, 32 * block + 32), bytes.subarray(blockBytes * block, blockBytes * (block + 1)));
  }
  return bytes;
}

/** A half-precision scale, 32 signed bytes. */
function encodeQ8Block(block: Float32Array, out: Uint8Array): void {
  const scale = Math.max(...block.map(Math.abs)) / 127;
  out.set(new Uint8Array(halves(Float32Array.of(scale)).buffer));
  out.set(
    Array.from(block, (value) => (scale === 0 ? 0 : Math.round(value / scale)) & 0xff),
    2,
  );
}

/** A half-precision scale and minimum, 16 bytes of nibbles: weights 0-15 in the low ones, 16-31 in the high ones. */
function encodeQ4Block(block: Float32Array, out: Uint8Array): void {
  const minimum = Math.min(...block);
  const scale = (Math.max(...block) - minimum) / 15;
  out.set(new Uint8Array(halves(Float32Array.of(scale, minimum)).buffer));
  const quant = (index: number) => (scale === 0 ? 0 : Math.round(((block[index] as number) - minimum) / scale));
  for (let index = 0; index < 16; index++) out[4 + index] = quant(index) | (quant(index + 16) << 4);
}

function halves(values: Float32Array): Uint16Array {
  const result = new Uint16Array(values.length);
  if (floatsToHalves(values, result) !== -1) throw new Error("a weight of the tiny model is beyond half precision");
  return result;
}
