/** Whether what a header says can be so: lies that llama.cpp aborts at, divides by, or passes over, found before it reads the file. */

import { shown } from "../base/untrusted.js";
import { keepsState } from "./architectures.js";
import { architectureFault } from "./judge-architecture.js";
import { OWN_ARCHITECTURES } from "./own-forward.js";
import type { GgufHeader, GgufValue } from "./read-gguf.js";

type Metadata = GgufHeader["metadata"];

/** Whole numbers of at least 1, where they are there. */
const COUNTS = [
  "context_length",
  "embedding_length",
  "block_count",
  "feed_forward_length",
  "attention.head_count",
  "attention.head_count_kv",
  "attention.key_length",
  "attention.value_length",
  "rope.dimension_count",
];
/** Finite numbers above 0, where they are there and llama.cpp reads them: angles are powers of them. */
const POSITIVE = ["rope.freq_base", "rope.freq_base_swa"];
/** Finite numbers of at least 0: llama.cpp asserts it. */
const NOT_NEGATIVE = ["attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"];
/** Finite numbers; what llama.cpp takes 0 of them for, and what it computes with those below 0, is the model. */
const FINITE = [
  "rope.scaling.factor",
  "rope.scale_linear",
  "rope.scaling.attn_factor",
  "logit_scale",
  "residual_scale",
  "embedding_scale",
  "attention.scale",
  "attention.clamp_kqv",
  "rope.scaling.yarn_ext_factor",
  "rope.scaling.yarn_attn_factor",
  "rope.scaling.yarn_beta_fast",
  "rope.scaling.yarn_beta_slow",
  "rope.scaling.yarn_log_multiplier",
];
/** Of these 0 means that there are none, in some layers or in all: of a recurrent model, and of lists. */
const MAY_BE_NONE = ["attention.head_count", "attention.head_count_kv", "feed_forward_length", "rope.dimension_count"];
/** llama.cpp asserts that it knows the name. */
const ROPE_SCALINGS = ["none", "linear", "yarn", "longrope"];
/** Tokens that prompts begin with, answers end at, or unknown text becomes: llama.cpp puts others in the place of a wrong one. */
const NEEDED_TOKENS = ["bos", "eos", "eot", "eom", "unknown"];

/** @returns what cannot be so, with the real value; undefined where nothing is found */
export function headerFault({
  metadata,
  encodedMetadata,
}: Pick<GgufHeader, "metadata" | "encodedMetadata">): string | undefined {
  const architecture = String(metadata.get("general.architecture")?.value);
  return (
    numberFault(metadata, architecture) ??
    scalingFault(metadata, architecture) ??
    ratioFault(metadata, architecture) ??
    architectureFault(metadata, architecture) ??
    attentionFault(metadata, architecture) ??
    tokenFault(metadata) ??
    repeatedToken(metadata, encodedMetadata)
  );
}

/** Ours is causal always, and a study needs a next token. */
function attentionFault(metadata: Metadata, architecture: string): string | undefined {
  if (metadata.get(`${architecture}.attention.causal`)?.value !== false) return undefined;
  return `${architecture}.attention.causal is false: what it reads depends on what comes after, so it has no next token`;
}

function numberFault(metadata: Metadata, architecture: string): string | undefined {
  const rules: readonly [readonly string[], (value: number) => boolean, string][] = [
    [COUNTS, (value) => Number.isSafeInteger(value) && value >= 1, "a whole number of at least 1"],
    [
      POSITIVE.filter((suffix) => !isPassedOver(suffix, architecture)),
      (value) => Number.isFinite(value) && value > 0,
      "a finite number above 0",
    ],
    [NOT_NEGATIVE, (value) => Number.isFinite(value) && value >= 0, "a finite number of at least 0"],
    [FINITE, Number.isFinite, "a finite number"],
  ];
  for (const [keys, holds, wanted] of rules) {
    for (const suffix of keys) {
      const key = `${architecture}.${suffix}`;
      const value = metadata.get(key);
      const mayBeNone =
        MAY_BE_NONE.includes(suffix) &&
        (keepsState(architecture) || (value?.type === "array" && architecture !== "llama"));
      const wrong = numbersOf(value).find((one) => !(holds(one) || (mayBeNone && one === 0)));
      if (wrong !== undefined) return `${key} is ${wrong}, not ${wanted}`;
    }
  }
  return undefined;
}

/** Architectures for which llama.cpp reads a file's two sets of RoPE factors whatever rope.scaling.type says. */
const TWO_SETS_OF_FACTORS = ["minicpm", "minicpm3", "phi3", "phimoe"];

function scalingFault(metadata: Metadata, architecture: string): string | undefined {
  const key = (suffix: string) => `${architecture}.rope.${suffix}`;
  const said = metadata.get(key("scaling.type"));
  const type = said?.type === "string" ? said.value : "linear";
  if (!ROPE_SCALINGS.includes(type)) {
    return `${key("scaling.type")} is ${JSON.stringify(type.slice(0, 100))}, not one of ${ROPE_SCALINGS.join(", ")}`;
  }
  const factor = ropeFactor(metadata, architecture);
  if (!Number.isFinite(Math.fround(1 / factor))) {
    return `${key("scaling.factor")} is ${factor}, which positions cannot be divided by`;
  }
  // YaRN's magnitude is 1 + 0.1 ln(factor), which llama.cpp divides by, too.
  const spread = 1 + 0.1 * Math.log(factor);
  if (type === "yarn" && !(Math.abs(spread) > 1e-6)) {
    return `${key("scaling.factor")} is ${factor}, of which YaRN has no magnitude`;
  }
  const [original] = numbersOf(metadata.get(key("scaling.original_context_length")));
  if (original === undefined) return undefined;
  const least = type === "longrope" || TWO_SETS_OF_FACTORS.includes(architecture) ? 1 : 0;
  if (Number.isSafeInteger(original) && original >= least) return undefined;
  return `${key("scaling.original_context_length")} is ${original}, not a whole number of at least ${least}`;
}

/** What positions are divided by: there is an older key, and 0 is none. */
function ropeFactor(metadata: Metadata, architecture: string): number {
  const [newer, older] = ["scaling.factor", "scale_linear"].map(
    (suffix) => numbersOf(metadata.get(`${architecture}.rope.${suffix}`))[0],
  );
  return (newer ?? older) || 1;
}

function ratioFault(metadata: Metadata, architecture: string): string | undefined {
  const all = (suffix: string) => numbersOf(metadata.get(`${architecture}.${suffix}`));
  const heads = all("attention.head_count");
  for (const [layer, keyHeads] of all("attention.head_count_kv").entries()) {
    const queryHeads = heads[layer] ?? heads[0];
    if (queryHeads !== undefined && keyHeads > 0 && queryHeads % keyHeads !== 0) {
      return `${queryHeads} heads cannot share ${keyHeads} key-value heads evenly`;
    }
  }
  const [width] = all("embedding_length");
  const uneven = heads.find((count) => width !== undefined && count > 0 && width % count !== 0);
  if (uneven !== undefined && all("attention.key_length").length === 0) {
    return `${uneven} heads cannot share an embedding of ${width} evenly`;
  }
  return undefined;
}

/** Normal, unknown, control, user-defined, unused, byte; 0 is none of these. llama.cpp writes nothing for a token of another type. */
const MOST_TOKEN_TYPE = 6;

function tokenFault(metadata: Metadata): string | undefined {
  const types = numbersOf(metadata.get("tokenizer.ggml.token_type"));
  const wild = types.findIndex((type) => !(type >= 0 && type <= MOST_TOKEN_TYPE));
  if (wild >= 0) return `tokenizer.ggml.token_type gives token ${wild} the type ${types[wild]}, which is none`;
  const tokens = metadata.get(TOKENS);
  if (tokens?.type !== "array") return undefined;
  const count = tokens.length ?? tokens.value.length;
  for (const key of NEEDED_TOKENS.map((name) => `tokenizer.ggml.${name}_token_id`)) {
    const wrong = numbersOf(metadata.get(key)).find((id) => !(id >= 0 && id < count));
    if (wrong !== undefined) return `${key} is ${wrong}, but its vocabulary has ${count} tokens`;
  }
  return undefined;
}

const TOKENS = "tokenizer.ggml.tokens";

/** llama.cpp asserts that no two tokens are the same, as it names them: up to a NUL, and one without a text by its number. */
function repeatedToken(metadata: Metadata, encoded: GgufHeader["encodedMetadata"]): string | undefined {
  const [tokens, bytes] = [metadata.get(TOKENS), encoded.get(TOKENS)];
  if (tokens?.type !== "array" || tokens.elementType !== "string" || bytes === undefined) return undefined;
  // Bytes that are no UTF-8 may read the same and be others, but never the other way round.
  if (!tokens.value.includes("") && new Set(tokens.value).size === tokens.value.length && !hasNul(tokens.value)) return;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const seen = new Map<string, number>();
  // Behind the types of the value and of its elements, and their number.
  for (let at = 16, id = 0; id < tokens.value.length; id++) {
    const length = Number(buffer.readBigUInt64LE(at));
    const name = buffer.toString("latin1", at + 8, at + 8 + length).split("\0", 1)[0] || `[EMPTY_${id}]`;
    const before = seen.get(name);
    if (before !== undefined)
      return `${TOKENS} has ${shown(tokens.value[id])} twice, as token ${before} and as token ${id}`;
    seen.set(name, id);
    at += 8 + length;
  }
  return undefined;
}

function hasNul(texts: readonly unknown[]): boolean {
  return texts.some((text) => typeof text === "string" && text.includes("\0"));
}

/** The numbers of a value that is one or an array of them; of anything else, none: llama.cpp refuses other types by name. */
function numbersOf(value: GgufValue | undefined): number[] {
  if (value === undefined) return [];
  const values = value.type === "array" ? value.value : [value.value];
  return values.flatMap((one) => (typeof one === "number" || typeof one === "bigint" ? [Number(one)] : []));
}

/**
 * Numbers that change what a model computes, and the architectures for which llama.cpp reads them. Of the architectures that our own
 * forward pass knows, all others go without, in llama.cpp and here.
 */
const READ_FOR: Readonly<Record<string, readonly string[]>> = {
  "attention.scale": ["granite"],
  logit_scale: ["granite"],
  residual_scale: ["granite"],
  embedding_scale: ["granite"],
  attn_logit_softcapping: ["gemma2"],
  final_logit_softcapping: ["gemma2", "gemma3"],
  "attention.sliding_window": ["gemma2", "gemma3", "olmo2"],
  "attention.clamp_kqv": [],
  "rope.freq_base_swa": ["gemma2", "gemma3"],
  "rope.scaling.yarn_ext_factor": [],
  "rope.scaling.yarn_attn_factor": [],
  "rope.scaling.yarn_beta_fast": [],
  "rope.scaling.yarn_beta_slow": [],
  "rope.scaling.yarn_log_multiplier": [],
};

function isPassedOver(suffix: string, architecture: string): boolean {
  const readers = READ_FOR[suffix];
  return readers !== undefined && OWN_ARCHITECTURES.includes(architecture) && !readers.includes(architecture);
}

function ignoredNumbers(metadata: Metadata): string[] {
  const architecture = String(metadata.get("general.architecture")?.value);
  const one = (suffix: string) => numbersOf(metadata.get(`${architecture}.${suffix}`))[0];
  const width = one("attention.key_length") ?? (one("embedding_length") ?? 0) / (one("attention.head_count") ?? 1);
  /** With which the model is computed all the same; of those that are not named here, 0 and 1. */
  const usual: Readonly<Record<string, readonly number[]>> = {
    "attention.scale": [0, 1 / Math.sqrt(width)],
    attn_logit_softcapping: [0],
    final_logit_softcapping: [0],
    "attention.sliding_window": [0],
    "attention.clamp_kqv": [0],
    "rope.freq_base_swa": [one("rope.freq_base") ?? 10_000],
    "rope.scaling.yarn_ext_factor": [1],
    // The whole magnitude, as the converter writes it.
    "rope.scaling.yarn_attn_factor": [1 + 0.1 * Math.log(Math.max(1, ropeFactor(metadata, architecture)))],
    "rope.scaling.yarn_beta_fast": [32],
    "rope.scaling.yarn_beta_slow": [1],
    "rope.scaling.yarn_log_multiplier": [0],
  };
  const isYarn = metadata.get(`${architecture}.rope.scaling.type`)?.value === "yarn";
  return Object.keys(READ_FOR).flatMap((suffix) => {
    const value = isPassedOver(suffix, architecture) ? one(suffix) : undefined;
    if (suffix.includes("yarn") && !isYarn) return [];
    // Single precision of the file.
    const isUsual = (usual[suffix] ?? [0, 1]).some((number) => Math.abs((value ?? 0) - number) <= 1e-6 * number);
    if (value === undefined || isUsual) return [];
    return [
      `${architecture}.${suffix} is ${value}, which llama.cpp ignores for this architecture, and inward with it: the model may be computed otherwise than it was trained`,
    ];
  });
}

/** What llama.cpp takes in silence though it changes which tokens a text becomes. */
export function headerWarnings({ metadata }: Pick<GgufHeader, "metadata">): string[] {
  const text = (key: string) => {
    const value = metadata.get(key);
    return value?.type === "string" ? value.value : undefined;
  };
  const model = text("tokenizer.ggml.model");
  const warnings: string[] = [];
  if (model === "gpt2" && text("tokenizer.ggml.pre") === "default") {
    warnings.push(
      'tokenizer.ggml.pre is "default": the file does not say how its tokenizer cuts text into words, so that its tokens may be others than the model was trained on',
    );
  }
  if (model === "gpt2") warnings.push(...mergeWarnings(metadata));
  if (model === "llama" && !metadata.has("tokenizer.ggml.scores")) {
    warnings.push("tokenizer.ggml.scores is missing: nothing says which pieces of a text become tokens first");
  }
  if (model !== undefined && !metadata.has("tokenizer.ggml.token_type")) {
    warnings.push("tokenizer.ggml.token_type is missing: nothing says which tokens are control tokens");
  }
  return [...warnings, ...ignoredNumbers(metadata)];
}

/** A merge that makes no token does nothing in llama.cpp, and the tokens that it stands for are never made. */
function mergeWarnings(metadata: Metadata): string[] {
  const [merges, tokens] = [metadata.get("tokenizer.ggml.merges"), metadata.get("tokenizer.ggml.tokens")];
  if (merges?.type !== "array" || tokens?.type !== "array") return [];
  const known = new Set(tokens.value);
  const idle = merges.value.filter((merge) => {
    const blank = typeof merge === "string" ? merge.indexOf(" ", 1) : -1;
    return blank < 0 || !known.has(`${String(merge).slice(0, blank)}${String(merge).slice(blank + 1)}`);
  });
  if (idle.length === 0) return [];
  const of = `${idle.length} of ${merges.value.length} merges`;
  return [
    `tokenizer.ggml.merges: ${of} make no token of the vocabulary, such as ${shown(idle[0])}: texts may become other tokens than the model was trained on`,
  ];
}
