/** Tiny models of every architecture that our own forward pass knows, and of what files of one architecture differ by: each is proven. */
import type { GgufValue } from "../../src/gguf/read-gguf.js";
import { TINY_ARCHITECTURES } from "./tiny-architectures.js";
import type { TinyModelOptions } from "./tiny-model.js";

const u32 = (value: number): GgufValue => ({ type: "u32", value });
const f32 = (value: number): GgufValue => ({ type: "f32", value });
const string = (value: string): GgufValue => ({ type: "string", value });
const none = string("none");

/** Gates so large that GELU's rounding to half precision is nothing beside them. */
export const loudGates: TinyModelOptions["adjust"] = ({ name, values }) => {
  const factor = name.endsWith("ffn_gate.weight") ? 2 ** 12 : name.endsWith("ffn_down.weight") ? 2 ** -12 : 1;
  return values.map((value) => factor * value);
};

export const ARCHITECTURE_VARIANTS: readonly [string, TinyModelOptions][] = [
  ...TINY_ARCHITECTURES.map((architecture): [string, TinyModelOptions] => [architecture, { architecture }]),
  ["qwen2 with a bias of the output", { architecture: "qwen2", outputBias: true }],
  ["qwen2 without biases, tied", { architecture: "qwen2", biases: false, tiedOutput: true }],
  ["qwen3 with biases, linear scaling", { architecture: "qwen3", biases: true, ropeScale: 3 }],
  ["gemma2 with a local RoPE of its own", gemma2({ "rope.freq_base_swa": f32(200) })],
  ["gemma2 with scaling in local layers only", gemma2({ "rope.scaling.factor": f32(3), "rope.scaling.type": none })],
  ["gemma3 with a usual period", { architecture: "gemma3", blocks: 7, metadata: { ...period("gemma3", 6) } }],
  ["gemma3 with a period of its own", { architecture: "gemma3", metadata: period("gemma3", 3) }],
  ["gemma3 without a window", { architecture: "gemma3", metadata: { "gemma3.attention.sliding_window": u32(0) } }],
  [
    "gemma3 with a cap, untied",
    { architecture: "gemma3", tiedOutput: false, metadata: { "gemma3.final_logit_softcapping": f32(5) } },
  ],
  ["phi3 with biases", { architecture: "phi3", biases: true }],
  ["granite with biases and factors", { architecture: "granite", biases: true, ropeFreqs: true }],
  [
    "granite without RoPE",
    { architecture: "granite", metadata: { "granite.rope.scaling.finetuned": { type: "bool", value: false } } },
  ],
  ["smollm3 with biases", { architecture: "smollm3", biases: true }],
  ["olmo2 without a window", { architecture: "olmo2", metadata: { "olmo2.attention.sliding_window": u32(0) } }],
  [
    "olmo2 with a base for local layers, which is ignored",
    { architecture: "olmo2", metadata: { "olmo2.rope.freq_base_swa": f32(50) } },
  ],
  ...TINY_ARCHITECTURES.map((architecture): [string, TinyModelOptions] => [
    `${architecture} with YaRN beyond its first context`,
    {
      architecture,
      ropeFreqs: architecture === "llama" || architecture === "granite",
      metadata: scaled(architecture, {
        type: string("yarn"),
        factor: f32(4),
        // A Phi is no longer than its first factors are for.
        ...(architecture === "phi3" ? {} : { original_context_length: u32(32) }),
      }),
    },
  ]),
  [
    "qwen3 with YaRN that leaves its first pairs alone, and a factor of the magnitude",
    {
      architecture: "qwen3",
      metadata: {
        ...scaled("qwen3", { type: string("yarn"), factor: f32(3), attn_factor: f32(1.2) }),
        "qwen3.rope.freq_base": f32(20),
        "qwen3.rope.scaling.original_context_length": u32(400),
        // Of mistral3; the ten have 32 and 1.
        "qwen3.rope.scaling.yarn_beta_fast": f32(4),
        "qwen3.rope.scaling.yarn_beta_slow": f32(2),
      },
    },
  ],
  [
    "gemma3 with YaRN that brings positions together",
    { architecture: "gemma3", metadata: scaled("gemma3", { type: string("yarn"), factor: f32(0.5) }) },
  ],
  [
    "granite with scales that are none, and one below 0",
    {
      architecture: "granite",
      metadata: {
        "granite.attention.scale": f32(0),
        "granite.embedding_scale": f32(0),
        "granite.residual_scale": f32(0),
        "granite.logit_scale": f32(-1.6),
        "granite.attention.layer_norm_rms_epsilon": f32(0),
      },
    },
  ],
  [
    "llama with a factor of 0, which is none",
    { metadata: { "llama.rope.scaling.factor": f32(0), "llama.rope.scale_linear": f32(4) } },
  ],
  ["llama with a factor below 0", { metadata: { "llama.rope.scaling.factor": f32(-2) } }],
  ["one key-value head", { architecture: "gemma3", keyValueHeads: 1 }],
];

function gemma2(keys: Readonly<Record<string, GgufValue>>): TinyModelOptions {
  const metadata = Object.fromEntries(Object.entries(keys).map(([key, value]) => [`gemma2.${key}`, value]));
  return { architecture: "gemma2", metadata };
}

function scaled(architecture: string, keys: Readonly<Record<string, GgufValue>>): Readonly<Record<string, GgufValue>> {
  return Object.fromEntries(Object.entries(keys).map(([key, value]) => [`${architecture}.rope.scaling.${key}`, value]));
}

function period(architecture: string, layers: number): Readonly<Record<string, GgufValue>> {
  return { [`${architecture}.attention.sliding_window_pattern`]: u32(layers) };
}
