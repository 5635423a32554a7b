/**
 * Tiny random models of architectures that are asked through llama.cpp alone: mixtures of experts, a state space, RWKV, a hybrid. Each
 * has the keys and tensors that llama.cpp wants of it, and weights under which every token of the context shows in the logits.
 */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { type GgufValue, readGguf } from "../../src/gguf/read-gguf.js";
import { writeGguf } from "../../src/gguf/write-gguf.js";
import { writeTinyModel } from "./tiny-model.js";

type Keys = Readonly<Record<string, GgufValue>>;
/** Name and dimensions; how its numbers are spread where not as a matrix's. */
type Tensor = readonly [name: string, dimensions: readonly number[], spread?: "norm" | "decay"];

interface Traits {
  readonly keys: Keys;
  readonly layer: (layer: number) => readonly Tensor[];
  readonly ends?: readonly Tensor[];
}

const u32 = (value: number): GgufValue => ({ type: "u32", value });
const f32 = (value: number): GgufValue => ({ type: "f32", value });
const WIDTH = 64;
const HEAD = 16;
const [HEADS, KEY_HEADS, EXPERTS, WIDE, LAYERS, STATE, RANK] = [4, 2, 4, 48, 2, 8, 6];
const INNER = 2 * WIDTH;

const ATTENTION: Keys = {
  "attention.head_count": u32(HEADS),
  "attention.head_count_kv": u32(KEY_HEADS),
  "rope.dimension_count": u32(HEAD),
};
const MIXTURE: Keys = { ...ATTENTION, expert_count: u32(EXPERTS), expert_used_count: u32(2) };

const norm = (name: string, width = WIDTH): Tensor => [`${name}.weight`, [width], "norm"];
const matrix = (name: string, ...dimensions: number[]): Tensor => [`${name}.weight`, dimensions];
const attention = (): Tensor[] => [
  norm("attn_norm"),
  matrix("attn_q", WIDTH, HEADS * HEAD),
  matrix("attn_k", WIDTH, KEY_HEADS * HEAD),
  matrix("attn_v", WIDTH, KEY_HEADS * HEAD),
  matrix("attn_output", HEADS * HEAD, WIDTH),
  norm("ffn_norm"),
];
const experts = (): Tensor[] => [
  matrix("ffn_gate_inp", WIDTH, EXPERTS),
  matrix("ffn_gate_exps", WIDTH, WIDE, EXPERTS),
  matrix("ffn_up_exps", WIDTH, WIDE, EXPERTS),
  matrix("ffn_down_exps", WIDE, WIDTH, EXPERTS),
];
const feedForward = (): Tensor[] => [
  matrix("ffn_gate", WIDTH, WIDE),
  matrix("ffn_up", WIDTH, WIDE),
  matrix("ffn_down", WIDE, WIDTH),
];
const headNorms = (): Tensor[] => [norm("attn_q_norm", HEAD), norm("attn_k_norm", HEAD)];

const TRAITS = {
  // Mixtral is a llama with experts.
  llama: { keys: MIXTURE, layer: () => [...attention(), ...experts()] },
  qwen2moe: {
    keys: { ...MIXTURE, expert_feed_forward_length: u32(WIDE), expert_shared_feed_forward_length: u32(WIDE) },
    layer: () => [
      ...attention(),
      ...(["attn_q", "attn_k", "attn_v"] as const).map(
        (name): Tensor => [`${name}.bias`, [(name === "attn_q" ? HEADS : KEY_HEADS) * HEAD]],
      ),
      ...experts(),
      matrix("ffn_gate_inp_shexp", WIDTH),
      matrix("ffn_gate_shexp", WIDTH, WIDE),
      matrix("ffn_up_shexp", WIDTH, WIDE),
      matrix("ffn_down_shexp", WIDE, WIDTH),
    ],
  },
  qwen3moe: {
    keys: { ...MIXTURE, expert_feed_forward_length: u32(WIDE) },
    layer: () => [...attention(), ...headNorms(), ...experts()],
  },
  mamba: {
    keys: {
      "attention.head_count": u32(0),
      feed_forward_length: u32(0),
      "ssm.conv_kernel": u32(4),
      "ssm.inner_size": u32(INNER),
      "ssm.state_size": u32(STATE),
      "ssm.time_step_rank": u32(RANK),
    },
    layer: () => [
      norm("attn_norm"),
      matrix("ssm_in", WIDTH, 2 * INNER),
      matrix("ssm_conv1d", 4, INNER),
      ["ssm_conv1d.bias", [INNER]],
      matrix("ssm_x", INNER, RANK + 2 * STATE),
      matrix("ssm_dt", RANK, INNER),
      ["ssm_dt.bias", [INNER]],
      ["ssm_a", [STATE, INNER], "decay"],
      ["ssm_d", [INNER]],
      matrix("ssm_out", INNER, WIDTH),
    ],
  },
  // Short convolutions, and attention in the second layer.
  lfm2: {
    keys: {
      ...ATTENTION,
      "attention.head_count_kv": { type: "array", elementType: "u32", value: [0, KEY_HEADS] },
      "shortconv.l_cache": u32(3),
    },
    layer: (layer) =>
      layer === 1
        ? [...attention(), ...headNorms(), ...feedForward()]
        : [
            norm("attn_norm"),
            norm("ffn_norm"),
            matrix("shortconv.conv", 3, WIDTH),
            matrix("shortconv.in_proj", WIDTH, 3 * WIDTH),
            matrix("shortconv.out_proj", WIDTH, WIDTH),
            ...feedForward(),
          ],
    ends: [norm("token_embd_norm")],
  },
} as const satisfies Record<string, Traits>;

export type AskedArchitecture = keyof typeof TRAITS;
export const ASKED_ARCHITECTURES = Object.keys(TRAITS) as AskedArchitecture[];

/** @param metadata added last, as writeTinyModel's */
export async function writeAskedModel(
  path: string,
  architecture: AskedArchitecture,
  metadata: Keys = {},
): Promise<void> {
  // The vocabulary, the template and the other keys that every model has.
  await writeTinyModel(path);
  const base = await readGguf(path);
  const traits: Traits = TRAITS[architecture];
  const keys: Keys = {
    block_count: u32(LAYERS),
    context_length: u32(512),
    embedding_length: u32(WIDTH),
    feed_forward_length: u32(WIDE),
    "attention.layer_norm_rms_epsilon": f32(1e-5),
    vocab_size: u32(265),
    ...traits.keys,
  };
  const all = new Map<string, GgufValue>([
    ...[...base.metadata].filter(([key]) => !key.startsWith("llama.")),
    ["general.architecture", { type: "string", value: architecture }],
    ...Object.entries(keys).map(([key, value]): [string, GgufValue] => [`${architecture}.${key}`, value]),
    ...Object.entries(metadata),
  ]);
  const random = xoroshiro128plus(17);
  const uniform = (deviation: number) => (random.next() / 2 ** 31) * Math.sqrt(3) * deviation;
  const value = (dimensions: readonly number[], spread?: Tensor[2]): number => {
    if (spread === "norm") return 1 + uniform(0.2);
    if (spread === "decay") return -Math.exp(uniform(1));
    return uniform(dimensions.length === 1 ? 0.3 : 1 / Math.sqrt(dimensions[0] as number));
  };
  const ends: readonly Tensor[] = traits.ends ?? [norm("output_norm")];
  const tensors: Tensor[] = [
    ["token_embd.weight", [WIDTH, 265]],
    ...Array.from({ length: LAYERS }, (_, layer) =>
      traits.layer(layer).map(([name, ...rest]): Tensor => [`blk.${layer}.${name}`, ...rest]),
    ).flat(),
    ...ends,
    ["output.weight", [WIDTH, 265]],
  ];
  const written = tensors.map(([name, dimensions, spread]) => {
    const count = dimensions.reduce((product, one) => product * one);
    // Logits that differ by some nats, and embeddings of one.
    const gain = name === "output.weight" ? 4 : name === "token_embd.weight" ? Math.sqrt(WIDTH) : 1;
    const values = Float32Array.from({ length: count }, () => gain * value(dimensions, spread));
    return { name, dimensions, type: "F32" as const, chunks: () => [Buffer.from(values.buffer)] };
  });
  await writeGguf(path, all, written);
}
