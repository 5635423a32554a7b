/**
 * A byte-level BPE vocabulary of 256 byte tokens, a few merges, and the control tokens of ChatML or Llama 3, with a template for each;
 * that of a base model, without one, whose merges reach over the end of a line; and one of SentencePiece with byte fallback, whose
 * template is ChatML's.
 */

export type TinyChat = "chatml" | "llama3" | "base" | "sentencepiece";

export interface TinyVocabulary {
  /** tokenizer.ggml.model; merges where it is "gpt2", scores where it is "llama". */
  readonly kind: "gpt2" | "llama";
  /** Token texts, by id; of "gpt2" in GPT-2's byte alphabet. */
  readonly tokens: readonly string[];
  /** 1 normal, 2 unknown, 3 control, 6 byte, by id. */
  readonly tokenTypes: readonly number[];
  readonly merges: readonly string[];
  readonly scores: readonly number[];
  readonly pre: "smollm" | "llama-bpe" | "default";
  readonly bosId: number;
  readonly eosId: number;
  /** Ids that a tiny model is made to prefer: letters, digits, space, merges, the end of a turn. */
  readonly speakableIds: readonly number[];
  /** None for a base model. */
  readonly chatTemplate: string | false;
}

/** Like the real templates, the ChatML one invents a system turn when the messages have none. */
const CHATML_TEMPLATE = `{%- if messages[0]['role'] != 'system' -%}
{{- '<|im_start|>system\\nA system turn that nobody asked for.<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}`;

const LLAMA3_TEMPLATE = `{{- bos_token -}}
{%- for message in messages -%}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}`;

const CHATML_CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const LLAMA3_CONTROLS = [
  "<|begin_of_text|>",
  "<|end_of_text|>",
  "<|start_header_id|>",
  "<|end_header_id|>",
  "<|eom_id|>",
  "<|eot_id|>",
];
const BASE_CONTROLS = ["<|begin_of_text|>", "<|end_of_text|>"];
/** In GPT-2's alphabet Ġ is a space, and Ċ a line end. */
const MERGES = ["t h", "th e", "Ġ the", "Ġ a", "a n", "an d"];
const MERGED = MERGES.map((pair) => pair.replace(" ", ""));
const LINE_MERGES = ["Ċ Ċ", ". Ċ"];
const LINE_MERGED = LINE_MERGES.map((pair) => pair.replace(" ", ""));

export function tinyVocabulary(chat: TinyChat): TinyVocabulary {
  if (chat === "base") return baseVocabulary();
  if (chat === "sentencepiece") return tinySentencePieces();
  const controls = chat === "chatml" ? CHATML_CONTROLS : LLAMA3_CONTROLS;
  const normal = [...byteAlphabet(), ...MERGED];
  // Where SmolLM2 and Llama 3 have them: before and after the ordinary tokens.
  const tokens = chat === "chatml" ? [...controls, ...normal] : [...normal, ...controls];
  const endOfTurn = chat === "chatml" ? "<|im_end|>" : "<|eot_id|>";
  const speakable = [..."abcdefghijklmnopqrstuvwxyz0123456789Ġ", ...MERGED, endOfTurn];
  return {
    kind: "gpt2",
    scores: [],
    tokens,
    tokenTypes: tokens.map((token) => (controls.includes(token) ? 3 : 1)),
    merges: MERGES,
    pre: chat === "chatml" ? "smollm" : "llama-bpe",
    bosId: tokens.indexOf(chat === "chatml" ? "<|im_start|>" : "<|begin_of_text|>"),
    eosId: tokens.indexOf(endOfTurn),
    speakableIds: speakable.map((token) => tokens.indexOf(token)),
    chatTemplate: chat === "chatml" ? CHATML_TEMPLATE : LLAMA3_TEMPLATE,
  };
}

/** In SentencePiece's writing ▁ is a blank, and a word's beginning. */
const SENTENCE_PIECES = [
  ..."▁abcdefghijklmnopqrstuvwxyz",
  ...["th", "the", "▁the", "▁t", "▁a", "an", "and", "▁and", "he", "re", "er", "eb", "ra", "▁z", "▁ze", "▁▁"],
];

function tinySentencePieces(): TinyVocabulary {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...SENTENCE_PIECES, "<|im_start|>", "<|im_end|>"];
  const eosId = tokens.indexOf("<|im_end|>");
  return {
    kind: "llama",
    tokens,
    tokenTypes: tokens.map((token, id) => {
      if (id < 3) return id === 0 ? 2 : 3;
      return bytes.includes(token) ? 6 : token.startsWith("<") ? 3 : 1;
    }),
    // The longer ones come to be by merging: the earlier in the list, the sooner.
    scores: tokens.map((token) => -Math.max(0, SENTENCE_PIECES.indexOf(token))),
    merges: [],
    pre: "default",
    bosId: 1,
    eosId,
    speakableIds: [...SENTENCE_PIECES.map((token) => tokens.indexOf(token)), eosId],
    chatTemplate: CHATML_TEMPLATE,
  };
}

/** It ends lines often, in each of the ways in which its tokens can. */
function baseVocabulary(): TinyVocabulary {
  const tokens = [...byteAlphabet(), ...MERGED, ...LINE_MERGED, ...BASE_CONTROLS];
  const speakable = [..."abcdefghijklmnopqrstuvwxyz.Ċ", "Ġ", ...MERGED, ...LINE_MERGED, "<|end_of_text|>"];
  return {
    kind: "gpt2",
    scores: [],
    tokens,
    tokenTypes: tokens.map((token) => (BASE_CONTROLS.includes(token) ? 3 : 1)),
    merges: [...MERGES, ...LINE_MERGES],
    pre: "llama-bpe",
    bosId: tokens.indexOf("<|begin_of_text|>"),
    eosId: tokens.indexOf("<|end_of_text|>"),
    speakableIds: speakable.map((token) => tokens.indexOf(token)),
    chatTemplate: false,
  };
}

/** GPT-2's printable stand-in for each byte: itself where Latin-1 has a visible character, else one from 256 up. */
function byteAlphabet(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    return String.fromCodePoint(visible ? byte : next++);
  });
}
