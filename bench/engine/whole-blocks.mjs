// A model of random weights whose rows are whole blocks of 256, which those of SmolLM2 (576) are not: only so does Q4_K_M hold K-quants. Another
// model's vocabulary and template; llama, 20 layers, 768 wide.
const { writeGguf } = await import("../../dist/gguf/write-gguf.js");
const { readGguf } = await import("../../dist/gguf/read-gguf.js");
const { seededRandom } = await import("../../dist/base/random.js");

const [LAYERS, WIDTH, FEED_FORWARD, HEADS, KV_HEADS, HEAD] = [20, 768, 2048, 12, 4, 64];

/** @param sourcePath a llama model whose metadata it takes */
export async function writeWholeBlocks(sourcePath, path) {
  const source = await readGguf(sourcePath);
  const rows = source.tensors.find(({ name }) => name === "token_embd.weight").dimensions[1];
  const metadata = new Map(source.encodedMetadata);
  const shape = {
    block_count: LAYERS,
    embedding_length: WIDTH,
    feed_forward_length: FEED_FORWARD,
    "attention.head_count": HEADS,
    "attention.head_count_kv": KV_HEADS,
    "rope.dimension_count": HEAD,
  };
  for (const [key, value] of Object.entries(shape)) metadata.set(`llama.${key}`, { type: "u32", value });
  const vector = (name) => tensor(name, [WIDTH], () => 1);
  const matrix = (name, columns, count) => {
    const random = seededRandom(`whole blocks/${name}`);
    const bound = Math.sqrt(3 / columns);
    return tensor(name, [columns, count], () => (bound * (random.next() + 0.5)) / 2 ** 31);
  };
  const layer = (at) => [
    vector(`blk.${at}.attn_norm.weight`),
    matrix(`blk.${at}.attn_q.weight`, WIDTH, HEADS * HEAD),
    matrix(`blk.${at}.attn_k.weight`, WIDTH, KV_HEADS * HEAD),
    matrix(`blk.${at}.attn_v.weight`, WIDTH, KV_HEADS * HEAD),
    matrix(`blk.${at}.attn_output.weight`, HEADS * HEAD, WIDTH),
    vector(`blk.${at}.ffn_norm.weight`),
    matrix(`blk.${at}.ffn_gate.weight`, WIDTH, FEED_FORWARD),
    matrix(`blk.${at}.ffn_up.weight`, WIDTH, FEED_FORWARD),
    matrix(`blk.${at}.ffn_down.weight`, FEED_FORWARD, WIDTH),
  ];
  await writeGguf(path, metadata, [
    matrix("token_embd.weight", WIDTH, rows),
    ...Array.from({ length: LAYERS }, (_, at) => layer(at)).flat(),
    vector("output_norm.weight"),
  ]);
}

function tensor(name, dimensions, value) {
  return {
    name,
    dimensions,
    type: "F32",
    chunks: () => {
      const values = Float32Array.from({ length: dimensions.reduce((a, b) => a * b) }, value);
      return [new Uint8Array(values.buffer)];
    },
  };
}
