// A model that is next to nothing but its vocabulary: one block, 32 wide, random. What reading logprobs costs shows beside it.
const { writeGguf } = await import("../../dist/gguf/write-gguf.js");

const WIDTH = 32;
const FEED_FORWARD = 64;
const END_OF_TURN = 256;
const CONTEXT_TOKENS = 1024;
/** Standard deviation of a logit. */
const LOGIT_SPREAD = 4;

/** Its end-of-turn token has a logit of 0, far from the greatest: greedy answers never end by themselves. */
export async function writeWideVocabulary(path, vocabularySize) {
  const string = (value) => ({ type: "string", value });
  const count = (value) => ({ type: "u32", value });
  const f32 = (value) => ({ type: "f32", value });
  const tokens = [
    ...byteAlphabet(),
    "<|end|>",
    ...Array.from({ length: vocabularySize - END_OF_TURN - 1 }, (_, at) => `token${at}`),
  ];
  const metadata = new Map([
    ["general.architecture", string("llama")],
    ["general.name", string("Wide Vocabulary")],
    ["llama.block_count", count(1)],
    ["llama.context_length", count(CONTEXT_TOKENS)],
    ["llama.embedding_length", count(WIDTH)],
    ["llama.feed_forward_length", count(FEED_FORWARD)],
    ["llama.attention.head_count", count(1)],
    ["llama.attention.head_count_kv", count(1)],
    ["llama.attention.layer_norm_rms_epsilon", f32(1e-5)],
    ["llama.rope.freq_base", f32(10_000)],
    ["llama.rope.dimension_count", count(WIDTH)],
    ["llama.vocab_size", count(vocabularySize)],
    ["tokenizer.ggml.model", string("gpt2")],
    ["tokenizer.ggml.pre", string("smollm")],
    ["tokenizer.ggml.tokens", strings(tokens)],
    ["tokenizer.ggml.token_type", int32s(tokens.map((_, id) => (id === END_OF_TURN ? 3 : 1)))],
    ["tokenizer.ggml.merges", { type: "array", elementType: "string", value: ["t h"] }],
    ["tokenizer.ggml.bos_token_id", count(END_OF_TURN)],
    ["tokenizer.ggml.eos_token_id", count(END_OF_TURN)],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: false }],
  ]);
  const next = random(vocabularySize);
  const tensor = (name, dimensions, deviation) => {
    const values = new Float32Array(dimensions.reduce((a, b) => a * b));
    for (let at = 0; at < values.length; at++) values[at] = deviation === 0 ? 1 : next() * Math.sqrt(12) * deviation;
    return { name, dimensions, type: "F32", values };
  };
  const matrix = (name, columns, rows) => tensor(`${name}.weight`, [columns, rows], 1 / Math.sqrt(columns));
  const embeddings = tensor("token_embd.weight", [WIDTH, vocabularySize], LOGIT_SPREAD / Math.sqrt(WIDTH));
  embeddings.values.fill(0, END_OF_TURN * WIDTH, (END_OF_TURN + 1) * WIDTH);
  const tensors = [
    embeddings,
    tensor("blk.0.attn_norm.weight", [WIDTH], 0),
    matrix("blk.0.attn_q", WIDTH, WIDTH),
    matrix("blk.0.attn_k", WIDTH, WIDTH),
    matrix("blk.0.attn_v", WIDTH, WIDTH),
    matrix("blk.0.attn_output", WIDTH, WIDTH),
    tensor("blk.0.ffn_norm.weight", [WIDTH], 0),
    matrix("blk.0.ffn_gate", WIDTH, FEED_FORWARD),
    matrix("blk.0.ffn_up", WIDTH, FEED_FORWARD),
    matrix("blk.0.ffn_down", FEED_FORWARD, WIDTH),
    tensor("output_norm.weight", [WIDTH], 0),
  ].map(({ values, ...rest }) => ({ ...rest, chunks: () => [new Uint8Array(values.buffer)] }));
  await writeGguf(path, metadata, tensors);
}

/** Long arrays as GGUF's bytes: writeGguf takes values for short ones. */
function strings(values) {
  const parts = values.flatMap((value) => {
    const text = Buffer.from(value);
    return [u64(text.length), text];
  });
  return Buffer.concat([u32(9), u32(8), u64(values.length), Buffer.concat(parts)]);
}

function int32s(values) {
  return Buffer.concat([u32(9), u32(5), u64(values.length), Buffer.from(Int32Array.from(values).buffer)]);
}

function u32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** GPT-2's printable stand-in for each byte. */
function byteAlphabet() {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(visible ? byte : next++);
  });
}

/** Seeded, even in [-0.5, 0.5): xorshift is plenty for weights that mean nothing. */
function random(seed) {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32 - 0.5;
  };
}
