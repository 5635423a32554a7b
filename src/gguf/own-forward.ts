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
  /** Whether the logits are made by the token embedding, or by output.weight, in every file; otherwise as it has them. */
  readonly output?: "embedding" | "own";
  readonly floats?: readonly string[];
  readonly truths?: readonly string[];
  readonly needed?: readonly string[];
  /** Keys with which its layers compute something else. */
  readonly without?: readonly string[];
  /** Norms of queries and keys are over all heads' numbers, not over each head's. */
  readonly overAllHeads?: true;
  /** Key by whose value logits are divided. */
  readonly logitDivisor?: string;
  /** Key of what bends logits, and what it is where a file does not say; 0 is none. */
  readonly logitCap?: { readonly key: string; readonly unlessSaid: number };
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
  gemma: { norms: BEFORE, output: "embedding" },
  gemma2: {
    norms: [...BEFORE, ...AFTER],
    output: "embedding",
    floats: ["attn_logit_softcapping", "final_logit_softcapping", "rope.freq_base_swa"],
    logitCap: { key: "final_logit_softcapping", unlessSaid: 30 },
    windowUnlessSaid: 4096,
  },
  gemma3: {
    norms: [...BEFORE, ...AFTER, ...OF_HEADS],
    floats: ["final_logit_softcapping", "rope.freq_base_swa"],
    logitCap: { key: "final_logit_softcapping", unlessSaid: 0 },
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
    logitDivisor: "logit_scale",
    without: ["deepstack_mapping"],
  },
  smollm3: { norms: BEFORE },
  olmo2: { norms: [...AFTER, ...OF_HEADS], overAllHeads: true, output: "own", windowUnlessSaid: 0 },
};

/** By their names in `general.architecture`. */
export const OWN_ARCHITECTURES: readonly string[] = Object.keys(OWN);

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
  "nextn_predict_layers",
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
/** Those whose gradients are proven. */
const TRAINED_ENCODINGS: readonly GgmlTypeName[] = [
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
/** What products read as it lies in the file. */
const ENCODINGS: readonly GgmlTypeName[] = [...TRAINED_ENCODINGS, "Q3_K", "Q2_K", "IQ4_NL", "IQ4_XS"];

/** @returns what keeps the trainer from a file, or undefined */
export function trainingFault(file: File): string | undefined {
  const other = file.tensors.find(({ type }) => !TRAINED_ENCODINGS.includes(type));
  return ownForwardFault(file) ?? (other && `its tensor ${other.name} is ${other.type}`);
}

/** @returns what our own forward pass does not compute, or undefined */
export function ownForwardFault(file: File): string | undefined {
  const name = String(file.metadata.get("general.architecture")?.value);
  const own = Object.hasOwn(OWN, name) ? OWN[name] : undefined;
  if (own === undefined) return `its architecture is ${name}`;
  return keyFault(file, name, own) ?? tensorFault(file, name, own);
}

/** How logits are made of what the last layer leaves: a norm, a matrix, and what some models do after it. */
export interface ModelEnding {
  /** Of x / √(mean(x²) + epsilon), multiplied by the gains of output_norm.weight. */
  readonly normEpsilon: number;
  /** Tensor whose rows are the tokens'; the token embedding where it makes the logits too. */
  readonly output: string;
  readonly outputBias?: string;
  /** Logits are multiplied by it, and then bent: cap · tanh(logit / cap). No cap is 0. */
  readonly logitScale: number;
  readonly logitCap: number;
}

/** @returns undefined of a file that our own forward pass does not compute: ownForwardFault says why */
export function endingOf(file: File): ModelEnding | undefined {
  if (ownForwardFault(file) !== undefined) return undefined;
  const name = String(file.metadata.get("general.architecture")?.value);
  const { output, logitDivisor, logitCap } = OWN[name] as OwnArchitecture;
  const value = (key: string) => file.metadata.get(`${name}.${key}`)?.value;
  const has = (tensor: string) => file.tensors.some((one) => one.name === tensor);
  const own = output !== "embedding" && has("output.weight");
  return {
    normEpsilon: Number(value("attention.layer_norm_rms_epsilon")),
    output: own ? "output.weight" : "token_embd.weight",
    ...(has("output.bias") ? { outputBias: "output.bias" } : {}),
    logitScale: logitDivisor === undefined ? 1 : 1 / Number(value(logitDivisor)),
    logitCap: logitCap === undefined ? 0 : Math.abs(Number(value(logitCap.key) ?? logitCap.unlessSaid)),
  };
}

/** What becomes of heads' values after attention's output matrix and its bias, before they are added. */
export interface HeadMixing {
  /** Whether post_attention_norm.weight norms them, with the epsilon of the model's other norms. */
  readonly isNormed: boolean;
  readonly residualScale: number;
}

/** @returns undefined of a file that our own forward pass does not compute: ownForwardFault says why */
export function headMixingOf(file: File): HeadMixing | undefined {
  if (ownForwardFault(file) !== undefined) return undefined;
  const name = String(file.metadata.get("general.architecture")?.value);
  const { norms, floats = [] } = OWN[name] as OwnArchitecture;
  const scale = Number(file.metadata.get(`${name}.residual_scale`)?.value ?? 0);
  return {
    isNormed: norms.includes("post_attention_norm"),
    // 0 is none, as the evaluator reads it.
    residualScale: floats.includes("residual_scale") && scale !== 0 ? scale : 1,
  };
}

/** Matrices of one layer that the residual goes into, and the norm whose gains it is multiplied by before, where there is one. */
export interface ResidualReader {
  readonly gains?: string;
  readonly matrices: readonly string[];
}

/** @returns of a layer who reads its residual; undefined of a file that our own forward pass does not compute: ownForwardFault says why */
export function residualReadersOf(
  file: File,
): ((layer: number) => { readonly attention: ResidualReader; readonly mlp: ResidualReader }) | undefined {
  if (ownForwardFault(file) !== undefined) return undefined;
  const { norms, gateInUp } = OWN[String(file.metadata.get("general.architecture")?.value)] as OwnArchitecture;
  const names = new Set(file.tensors.map(({ name }) => name));
  return (layer) => {
    const block = (name: string) => `blk.${layer}.${name}.weight`;
    const reader = (norm: string, matrices: readonly string[]): ResidualReader => ({
      ...(norms.includes(norm) ? { gains: block(norm) } : {}),
      matrices: matrices.map(block),
    });
    const inputs = names.has(block("attn_qkv")) ? ["attn_qkv"] : ["attn_q", "attn_k", "attn_v"];
    return {
      attention: reader("attn_norm", inputs),
      mlp: reader("ffn_norm", [...(gateInUp ? [] : ["ffn_gate"]), "ffn_up"]),
    };
  };
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
    typed(["attention.causal", ...(own.truths ?? [])], ["bool"]) ??
    typed(["rope.scaling.type"], ["string"]);
  if (wrong !== undefined) return `${name}.${wrong} is of the type ${get(wrong)?.type}`;
  const absent = [
    ...COUNTS.filter((suffix) => !(Number(get(suffix)?.value) > 0)),
    // llama.cpp norms with an epsilon of 0, and divides by what is needed.
    ...["attention.layer_norm_rms_epsilon"].filter((suffix) => !(Number(get(suffix)?.value) >= 0)),
    ...(own.needed ?? []).filter((suffix) => !Number(get(suffix)?.value)),
  ][0];
  if (absent !== undefined) return `its header lacks ${name}.${absent}`;

  const [layers, heads] = [whole("block_count") as number, whole("attention.head_count") as number];
  const width = whole("attention.key_length") ?? Math.floor((whole("embedding_length") as number) / heads);
  const turned = whole("rope.dimension_count") ?? width;
  if (layers > 1000 || heads > 2 ** 16) return `it has ${layers} layers of ${heads} heads`;
  if (heads % (whole("attention.head_count_kv") ?? heads) !== 0) return "its heads do not share keys and values evenly";
  if (width < 2 || width % 2 !== 0) return `its heads are ${width} wide`;
  if ((whole("attention.value_length") ?? width) !== width) return "keys and values differ in width";
  if ((whole("expert_count") ?? 0) !== 0) return "it is a mixture of experts";
  if ((whole("nextn_predict_layers") ?? 0) !== 0) return "its last layers predict further tokens";
  if (get("attention.causal")?.value === false) return "its attention is not causal";
  const unwanted = own.without?.find((suffix) => get(suffix) !== undefined);
  if (unwanted !== undefined) return `it has ${name}.${unwanted}`;
  if (turned !== width && !own.longRope) return "RoPE turns only a part of each head";
  if (turned < 2 || turned % 2 !== 0 || turned > width) return `RoPE turns ${turned} of a head's ${width} numbers`;
  const scaling = get("rope.scaling.type")?.value ?? "linear";
  const scalings = ["linear", "none", "yarn", ...(own.longRope ? ["longrope"] : [])];
  if (!scalings.includes(String(scaling))) return `its RoPE scaling is ${JSON.stringify(scaling)}`;
  return own.windowUnlessSaid === undefined
    ? undefined
    : windowFault(get, name, layers, own.windowUnlessSaid, { width, turned });
}

function windowFault(
  get: (suffix: string) => GgufValue | undefined,
  name: string,
  layers: number,
  unlessSaid: number,
  { width, turned }: { readonly width: number; readonly turned: number },
): string | undefined {
  const [window, pattern] = [get("attention.sliding_window"), get("attention.sliding_window_pattern")];
  if (window !== undefined && !WHOLE_TYPES.includes(window.type))
    return `${name}.attention.sliding_window is of the type ${window.type}`;
  const size = Number(window?.value ?? unlessSaid);
  // Where a window is optional, 0 is none.
  if (size < 1 && unlessSaid === 0) return undefined;
  if (size < 1 || size > 2 ** 31 - 1) return `${name}.attention.sliding_window is ${size}`;
  // llama.cpp would compute some layers, or all, with these.
  for (const [suffix, wanted] of [
    ["attention.key_length_swa", width],
    ["attention.value_length_swa", width],
    ["rope.dimension_count_swa", turned],
  ] as const) {
    const value = get(suffix);
    if (value === undefined) continue;
    if (!WHOLE_TYPES.includes(value.type) || Number(value.value) !== wanted) {
      return `${name}.${suffix} is ${String(value.value)} where other layers have ${wanted}`;
    }
  }
  if (pattern === undefined) return undefined;
  if (pattern.type !== "array") {
    return WHOLE_TYPES.includes(pattern.type)
      ? undefined
      : `${name}.attention.sliding_window_pattern is of the type ${pattern.type}`;
  }
  if (!["bool", "i32", "u32"].includes(pattern.elementType))
    return `${name}.attention.sliding_window_pattern is no list of truth values`;
  const listed = pattern.length ?? pattern.value.length;
  return listed < layers
    ? `${name}.attention.sliding_window_pattern has ${listed} values for ${layers} layers`
    : undefined;
}

function tensorFault({ metadata, tensors }: File, name: string, own: OwnArchitecture): string | undefined {
  const number = (suffix: string) => {
    const value = metadata.get(`${name}.${suffix}`)?.value;
    return value === undefined ? undefined : Number(value);
  };
  const [layers, embedding, heads, feedForward] = [
    "block_count",
    "embedding_length",
    "attention.head_count",
    "feed_forward_length",
  ].map(number) as [number, number, number, number];
  const width = number("attention.key_length") ?? Math.floor(embedding / heads);
  const [queries, keys] = [heads * width, (number("attention.head_count_kv") ?? heads) * width];
  const found = new Map<string, GgufTensor>(tensors.map((tensor) => [tensor.name, tensor]));
  const vocabulary = (found.get("token_embd.weight")?.elements ?? 0) / embedding;
  const factors = (number("rope.dimension_count") ?? width) / 2;

  const needed = new Map<string, readonly number[]>([
    ["token_embd.weight", [embedding, vocabulary]],
    ["output_norm.weight", [embedding]],
  ]);
  if (own.output === "own") needed.set("output.weight", [embedding, vocabulary]);
  const allowed = new Map<string, readonly number[]>([
    ...(own.output === undefined ? [["output.weight", [embedding, vocabulary]] as [string, number[]]] : []),
    ...(own.mayHave ?? []).map((one): [string, number[]] => [one, [one === "output.bias" ? vocabulary : factors]]),
  ]);
  const sizes: Readonly<Record<string, readonly [number, number]>> = {
    attn_qkv: [embedding, queries + 2 * keys],
    attn_q: [embedding, queries],
    attn_k: [embedding, keys],
    attn_v: [embedding, keys],
    attn_output: [queries, embedding],
    ffn_gate: [embedding, feedForward],
    ffn_up: [embedding, (own.gateInUp ? 2 : 1) * feedForward],
    ffn_down: [feedForward, embedding],
  };
  const ofHeads = own.overAllHeads
    ? { attn_q_norm: queries, attn_k_norm: keys }
    : { attn_q_norm: width, attn_k_norm: width };
  const norms: Readonly<Record<string, number>> = ofHeads;
  for (let layer = 0; layer < layers; layer++) {
    const block = (tensor: string) => `blk.${layer}.${tensor}`;
    const inputs = found.has(block("attn_qkv.weight")) ? ["attn_qkv"] : ["attn_q", "attn_k", "attn_v"];
    const others = ["attn_output", ...(own.gateInUp ? [] : ["ffn_gate"]), "ffn_up", "ffn_down"];
    for (const one of own.norms) needed.set(block(`${one}.weight`), [norms[one] ?? embedding]);
    for (const one of [...inputs, ...others]) {
      const [columns, rows] = sizes[one] as readonly [number, number];
      needed.set(block(`${one}.weight`), [columns, rows]);
      if (inputs.includes(one) || own.projectionBiases) allowed.set(block(`${one}.bias`), [rows]);
    }
  }
  const absent = [...needed.keys()].find((one) => !found.has(one));
  if (absent !== undefined) return `it has no tensor ${absent}`;
  for (const { name: tensor, dimensions, type } of tensors) {
    const wanted = needed.get(tensor) ?? allowed.get(tensor);
    if (wanted === undefined) return `it has the tensor ${tensor}`;
    const length = Math.max(wanted.length, dimensions.length);
    const fits = Array.from({ length }, (_, at) => (dimensions[at] ?? 1) === (wanted[at] ?? 1)).every(Boolean);
    if (!fits) return `its tensor ${tensor} has the shape [${dimensions.join(", ")}], not [${wanted.join(", ")}]`;
    if (!ENCODINGS.includes(type) || (wanted.length === 1 && type !== "F32")) return `its tensor ${tensor} is ${type}`;
  }
  return undefined;
}
