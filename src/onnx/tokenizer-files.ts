/**
 * What transformers.js reads beside the graph: config.json, tokenizer.json, tokenizer_config.json, generation_config.json, all from the
 * GGUF's header. A vocabulary is written where the way in which its text is cut into words is known by name.
 */

import { InwardError } from "../errors.js";
import type { GgufFile, GgufValue } from "../gguf/read-gguf.js";
import type { Decoder } from "./decoder.js";

export interface TokenizerSource {
  /** The chat template; none for a base model. */
  readonly template?: string;
  /** All tokens at which an answer ends. */
  readonly endIds: readonly number[];
}

/** Token types of a GGUF. */
const CONTROL = 3;
const DEFINED = 4;

interface PreTokenizer {
  /** Cuts before byte-level BPE, each part on its own. */
  readonly cuts: readonly object[];
  /** Whether a word that is a token is taken whole, whatever its merges say. */
  readonly ignoreMerges?: true;
}

const LETTERS_OF = (digits: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const split = (Regex: string) => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false });

/** By tokenizer.ggml.pre, each as llama.cpp cuts. */
const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  "gpt-2": { cuts: [split(GPT2)] },
  smollm: { cuts: [{ type: "Digits", individual_digits: true }, split(GPT2)] },
  "llama-bpe": { cuts: [split(LETTERS_OF("\\p{N}{1,3}"))], ignoreMerges: true },
  qwen2: { cuts: [split(LETTERS_OF("\\p{N}"))] },
  "deepseek-r1-qwen": { cuts: [split(LETTERS_OF("\\p{N}"))] },
};

export type WrittenTokenizer = Readonly<Record<string, object>>;

/** @throws ONNX_MODEL where the vocabulary cannot be written, with the reason */
export function tokenizerFiles(
  file: GgufFile,
  decoder: Decoder,
  { template, endIds }: TokenizerSource,
): WrittenTokenizer {
  const vocabulary = readVocabulary(file);
  const { bosId, eosId, tokens, addBos } = vocabulary;
  const pad = eosId ?? endIds[0] ?? 0;
  const named = (id: number | undefined) => (id === undefined ? null : (tokens[id] as string));
  return {
    "config.json": {
      model_type: decoder.architecture,
      architectures: [
        { llama: "LlamaForCausalLM", qwen2: "Qwen2ForCausalLM", qwen3: "Qwen3ForCausalLM" }[decoder.architecture],
      ],
      hidden_size: decoder.embedding,
      intermediate_size: decoder.feedForward,
      num_hidden_layers: decoder.layers,
      num_attention_heads: decoder.heads,
      num_key_value_heads: decoder.keyValueHeads,
      head_dim: decoder.headWidth,
      vocab_size: decoder.vocabulary,
      max_position_embeddings: decoder.context,
      rms_norm_eps: decoder.normEpsilon,
      rope_theta: decoder.ropeBase,
      bos_token_id: bosId ?? null,
      eos_token_id: eosId ?? null,
    },
    "generation_config.json": {
      bos_token_id: bosId ?? null,
      eos_token_id: [...endIds],
      pad_token_id: pad,
      do_sample: false,
    },
    "tokenizer.json": tokenizerJson(vocabulary),
    "tokenizer_config.json": {
      tokenizer_class: "PreTrainedTokenizer",
      model_max_length: decoder.context,
      padding_side: "left",
      clean_up_tokenization_spaces: false,
      add_bos_token: addBos,
      bos_token: named(bosId),
      eos_token: named(eosId),
      pad_token: named(pad),
      ...(template === undefined ? {} : { chat_template: template }),
    },
  };
}

interface ReadVocabulary {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly merges: readonly string[];
  readonly pre: PreTokenizer;
  readonly bosId?: number;
  readonly eosId?: number;
  readonly addBos: boolean;
}

function readVocabulary({ metadata, path }: GgufFile): ReadVocabulary {
  const get = (key: string): GgufValue | undefined => metadata.get(`tokenizer.ggml.${key}`);
  const list = <Value>(key: string): readonly Value[] => {
    const value = get(key);
    return value?.type === "array" ? (value.value as readonly unknown[] as readonly Value[]) : [];
  };
  const whole = (key: string) => {
    const value = get(key)?.value;
    return typeof value === "number" || typeof value === "bigint" ? Number(value) : undefined;
  };
  const refuse = (why: string) => new InwardError("ONNX_MODEL", `${path}: no tokenizer.json is written of it: ${why}`);
  const model = String(get("model")?.value);
  if (model !== "gpt2")
    throw refuse(`its tokenizer.ggml.model is ${JSON.stringify(model)}; written is byte-level BPE (gpt2)`);
  const pre = String(get("pre")?.value ?? "default");
  const known = Object.hasOwn(PRE_TOKENIZERS, pre) ? PRE_TOKENIZERS[pre] : undefined;
  if (known === undefined) {
    throw refuse(
      `its tokenizer.ggml.pre is ${JSON.stringify(pre)}; known are ${Object.keys(PRE_TOKENIZERS).join(", ")}`,
    );
  }
  const tokens = list<string>("tokens");
  const double = tokens.length - new Set(tokens).size;
  if (double > 0) throw refuse(`${double} of its tokens have the text of another`);
  return {
    tokens,
    types: list<number>("token_type"),
    merges: list<string>("merges"),
    pre: known,
    bosId: whole("bos_token_id"),
    eosId: whole("eos_token_id"),
    addBos: get("add_bos_token")?.value === true,
  };
}

/** No normalizer: llama.cpp takes characters as they are, composed or not. */
function tokenizerJson({ tokens, types, merges, pre, bosId, addBos }: ReadVocabulary): object {
  const added = tokens.flatMap((content, id) => {
    if (types[id] !== CONTROL && types[id] !== DEFINED) return [];
    const common = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    return [{ id, content, ...common, special: types[id] === CONTROL }];
  });
  const bos = addBos && bosId !== undefined ? (tokens[bosId] as string) : undefined;
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        ...pre.cuts,
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: bos === undefined ? null : withBos(bos, bosId as number),
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: pre.ignoreMerges ?? false,
      vocab: Object.fromEntries(tokens.map((text, id) => [text, id])),
      merges: [...merges],
    },
  };
}

function withBos(text: string, id: number): object {
  const special = { SpecialToken: { id: text, type_id: 0 } };
  return {
    type: "TemplateProcessing",
    single: [special, { Sequence: { id: "A", type_id: 0 } }],
    pair: [special, { Sequence: { id: "A", type_id: 0 } }, special, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { [text]: { id: text, ids: [id], tokens: [text] } },
  };
}
