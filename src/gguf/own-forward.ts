/**
 * Which files our own forward pass and the trainer compute, as native/core/shared/architectures.cpp and base-model.cpp decide it from
 * the same keys and tensors: what is chosen here is never refused there.
 */
import type { GgmlTypeName } from "./encodings.js";
import type { GgufHeader, GgufTensor, GgufValue } from "./read-gguf.js";

type File = Pick<GgufHeader, "metadata" | "tensors">;

/** What one architecture has beside what all have: tensors that are there, tensors that may be, keys that are read. */
interface OwnArchitecture {
  /** Of each layer. */
  readonly norms: readonly string[];
  readonly mayHave?: readonly string[];
  /** ffn_up is gate and up, one below the other. */
  readonly gateInUp?: true;
  /** Biases beside those of q, k and v, which any may have. */
  readonly projectionBiases?: true;
  /** RoPE may leave the last numbers of each head alone, and may be scaled by factors of the file. */
  readonly longRope?: true;
  readonly floats?: readonly string[];
  readonly truths?: readonly string[];
  readonly needed?: readonly string[];
  /** Has layers that see a window; the number says whether it does where the file does not. */
  readonly windowUnlessSaid?: number;
}

const BEFORE = ["attn_norm", "ffn_norm"];
const AFTER = ["post_attention_norm", "post_ffw_norm"];
const OF_HEADS = ["attn_q_norm", "attn_k_norm"];

const OWN: Readonly<Record<string, OwnArchitecture>> = {
  llama: { norms: BEFORE, mayHave: ["rope_freqs.weight"], projectionBiases: true },
  qwen2: { norms: BEFORE, mayHave: ["output.bias"] },
  qwen3: { norms: [...BEFORE, ...OF_HEADS] },
  gemma: { norms: BEFORE },
  gemma2: {
    norms: [...BEFORE, ...AFTER],
    floats: ["attn_logit_softcapping", "final_logit_softcapping", "rope.freq_base_swa"],
    windowUnlessSaid: 4096,
  },
  gemma3: {
    norms: [...BEFORE, ...AFTER, ...OF_HEADS],
    floats: ["final_logit_softcapping", "rope.freq_base_swa"],
    windowUnlessSaid: 0,
  },
  phi3: {
    norms: BEFORE,
    mayHave: ["rope_factors_short.weight", "rope_factors_long.weight"],
    gateInUp: true,
    longRope: true,
  },
  granite: {
    norms: BEFORE,
    mayHave: ["rope_freqs.weight"],
    projectionBiases: true,
    floats: ["logit_scale", "residual_scale", "embedding_scale", "attention.scale"],
    truths: ["rope.scaling.finetuned"],
    needed: ["logit_scale"],
  },
  smollm3: { norms: BEFORE },
  olmo2: { norms: [...AFTER, ...OF_HEADS], windowUnlessSaid: 0 },
};
/** Of these, the ones that the evaluators compute. */
const COMPUTED: readonly string[] = ["llama"];

const WHOLE_TYPES = ["u32", "i32", "u64", "u16"];
const COUNTS = [
  "block_count",
  "embedding_length",
  "attention.head_count",
  "feed_forward_length",
  "context_length",
] as const;
const OTHER_COUNTS = [
  "attention.head_count_kv",
  "attention.key_length",
  "attention.value_length",
  "expert_count",
  "rope.dimension_count",
  "rope.scaling.original_context_length",
];
const FLOATS = [
  "attention.layer_norm_rms_epsilon",
  "rope.freq_base",
  "rope.scaling.factor",
  "rope.scale_linear",
  "rope.scaling.attn_factor",
];
/** What the core can turn into floats. */
const ENCODINGS: readonly GgmlTypeName[] = [
  "F32",
  "F16",
  "BF16",
  "Q8_0",
  "Q4_0",
  "Q4_1",
  "Q5_0",
  "Q5_1",
  "Q4_K",
  "Q5_K",
  "Q6_K",
];

/** @returns what is not computed, or undefined */
export function ownForwardFault(file: File): string | undefined {
  const name = String(file.metadata.get("general.architecture")?.value);
  const own = COMPUTED.includes(name) ? OWN[name] : undefined;
  if (own === undefined) return `its architecture is ${name}`;
  return keyFault(file, name, own) ?? tensorFault(file, name, own);
}

function keyFault({ metadata }: File, name: string, own: OwnArchitecture): string | undefined {
  const get = (suffix: string): GgufValue | undefined => metadata.get(`${name}.${suffix}`);
  const whole = (suffix: string): number | undefined => {
    const value = get(suffix)?.value;
    return typeof value === "number" || typeof value === "bigint" ? Number(value) : undefined;
  };
  const typed = (suffixes: readonly string[], types: readonly string[]) =>
    suffixes.find((suffix) => types.every((type) => get(suffix) !== undefined && get(suffix)?.type !== type));
  const wrong =
    typed([...COUNTS, ...OTHER_COUNTS], WHOLE_TYPES) ??
    typed([...FLOATS, ...(own.floats ?? [])], ["f32"]) ??
    typed(own.truths ?? [], ["bool"]) ??
    typed(["rope.scaling.type"], ["string"]);
  if (wrong !== undefined) return `${name}.${wrong} is of the type ${get(wrong)?.type}`;
  const absent = [...COUNTS, "attention.layer_norm_rms_epsilon", ...(own.needed ?? [])].find(
    (suffix) => !(Number(get(suffix)?.value) > 0),
  );
  if (absent !== undefined) return `its header lacks ${name}.${absent}`;

  const [layers, heads] = [whole("block_count") as number, whole("attention.head_count") as number];
  const width = whole("attention.key_length") ?? Math.floor((whole("embedding_length") as number) / heads);
  const turned = whole("rope.dimension_count") ?? width;
  if (layers > 1000 || heads > 2 ** 16) return `it has ${layers} layers of ${heads} heads`;
  if (heads % (whole("attention.head_count_kv") ?? heads) !== 0) return "its heads do not share keys and values evenly";
  if (width < 2 || width % 2 !== 0) return `its heads are ${width} wide`;
  if ((whole("attention.value_length") ?? width) !== width) return "keys and values differ in width";
  if ((whole("expert_count") ?? 0) !== 0) return "it is a mixture of experts";
  if (turned !== width && !own.longRope) return "RoPE turns only a part of each head";
  if (turned < 2 || turned % 2 !== 0 || turned > width) return `RoPE turns ${turned} of a head's ${width} numbers`;
  const scaling = get("rope.scaling.type")?.value ?? "linear";
  const scalings = ["linear", "none", ...(own.longRope ? ["longrope"] : [])];
  if (!scalings.includes(String(scaling))) return `its RoPE scaling is ${JSON.stringify(scaling)}`;
  return own.windowUnlessSaid === undefined ? undefined : windowFault(get, name, layers, own.windowUnlessSaid);
}

function windowFault(
  get: (suffix: string) => GgufValue | undefined,
  name: string,
  layers: number,
  unlessSaid: number,
): string | undefined {
  const [window, pattern] = [get("attention.sliding_window"), get("attention.sliding_window_pattern")];
  if (window !== undefined && !WHOLE_TYPES.includes(window.type))
    return `${name}.attention.sliding_window is of the type ${window.type}`;
  if (!(Number(window?.value ?? unlessSaid) > 0) || pattern === undefined) return undefined;
  if (pattern.type !== "array") {
    return WHOLE_TYPES.includes(pattern.type)
      ? undefined
      : `${name}.attention.sliding_window_pattern is of the type ${pattern.type}`;
  }
  if (!["bool", "i32", "u32"].includes(pattern.elementType))
    return `${name}.attention.sliding_window_pattern is no list of truth values`;
  // A list of none is as if there were no key.
  const listed = pattern.length ?? pattern.value.length;
  return listed > 0 && listed < layers
    ? `${name}.attention.sliding_window_pattern has ${listed} values for ${layers} layers`
    : undefined;
}

function tensorFault({ metadata, tensors }: File, name: string, own: OwnArchitecture): string | undefined {
  const layers = Number(metadata.get(`${name}.block_count`)?.value);
  const found = new Map<string, GgufTensor>(tensors.map((tensor) => [tensor.name, tensor]));
  const needed = ["token_embd.weight", "output_norm.weight"];
  const allowed = new Set([...needed, "output.weight", ...(own.mayHave ?? [])]);
  for (let layer = 0; layer < layers; layer++) {
    const block = (tensor: string) => `blk.${layer}.${tensor}`;
    const inputs = found.has(block("attn_qkv.weight")) ? ["attn_qkv"] : ["attn_q", "attn_k", "attn_v"];
    const others = ["attn_output", ...(own.gateInUp ? [] : ["ffn_gate"]), "ffn_up", "ffn_down"];
    const weights = [...own.norms, ...inputs, ...others].map((one) => block(`${one}.weight`));
    needed.push(...weights);
    const biases = [...inputs, ...(own.projectionBiases ? others : [])].map((one) => block(`${one}.bias`));
    for (const one of [...weights, ...biases]) allowed.add(one);
  }
  const absent = needed.find((one) => !found.has(one));
  if (absent !== undefined) return `it has no tensor ${absent}`;
  const unknown = tensors.find((tensor) => !allowed.has(tensor.name));
  if (unknown !== undefined) return `it has the tensor ${unknown.name}`;
  const odd = tensors.find(
    ({ type, dimensions }) => !ENCODINGS.includes(type) || (dimensions.length === 1 && type !== "F32"),
  );
  return odd && `its tensor ${odd.name} is ${odd.type}`;
}
