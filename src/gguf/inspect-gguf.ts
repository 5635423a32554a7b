/** What a GGUF file is, from its header alone, and whether inward can run it. */

import { shown } from "../base/untrusted.js";
import { InwardError } from "../errors.js";
import { type Architecture, requireKnownArchitecture, wholePromptsNote } from "./architectures.js";
import { type GgmlTypeName, holdsFloats } from "./encodings.js";
import { headerFault, headerWarnings } from "./judge-header.js";
import {
  type GgufFile,
  type GgufHeader,
  type GgufValue,
  readGguf,
  REMOVED_LAYERS_KEYS,
  SOURCE_ENCODING_KEY,
  SOURCE_SHA256_KEY,
} from "./read-gguf.js";

/** A key that the file lacks, or has with another type, is an absent field. */
export interface GgufSummary {
  readonly path: string;
  /** All files of the model in order: one, unless it is split. */
  readonly parts: readonly string[];
  readonly architecture: string;
  readonly name: string;
  /** general.license, or "unknown". */
  readonly licence: string;
  /** The tensor type that holds most of the weights, e.g. Q4_1. */
  readonly encoding: GgmlTypeName | "none";
  /** general.file_type: llama.cpp's number of what its quantizer was asked for. */
  readonly fileType?: number;
  /** Tokens. */
  readonly contextLength?: number;
  /**
   * Set where the file has other RoPE factors for longer texts: the tokens within which those for short texts hold, and contextLength
   * is no more. With both, the early tokens of a text would be turned one way or the other by how long it becomes.
   */
  readonly shortContext?: number;
  /** `rope.scaling.type`, where the file says it. */
  readonly ropeScaling?: string;
  /** What is special about asking it. */
  readonly asking?: string;
  readonly blockCount?: number;
  readonly embeddingLength?: number;
  readonly headCount?: number;
  readonly headCountKv?: number;
  /** Tokens in the list, or the architecture's vocab_size when there is no list. */
  readonly vocabularySize?: number;
  /** Whether the token list itself is in the file. */
  readonly hasVocabulary: boolean;
  readonly tokenizerModel?: string;
  readonly chatTemplate?: string;
  readonly bosTokenId?: number;
  readonly eosTokenId?: number;
  /** Texts of these two tokens as the vocabulary has them. */
  readonly bosToken?: string;
  readonly eosToken?: string;
  readonly addBos?: boolean;
  /** What in the header cannot be so; absent where nothing was found. */
  readonly fault?: string;
  /** What is silently taken though it changes which tokens a text becomes. */
  readonly warnings: readonly string[];
  /** Whether some weights are integers, for which a CPU's kernels round activations to 8 bits too. */
  readonly quantized: boolean;
  /** Whether all weights are F32. */
  readonly single: boolean;
  /** Weights in all tensors. */
  readonly parameters: number;
  readonly bytes: number;
  /** Set in files that inward re-encoded. */
  readonly reencodedFrom?: { readonly sha256: string; readonly encoding: string };
  /** Set in files that inward took layers out of, and in re-encodings of them. */
  readonly layersRemoved?: RemovedLayers;
}

/** What llama.cpp reads as: there is none. It loads such a file, and aborts at the first text. */
const NO_TOKENIZER = ["no_vocab", "none"];
/** Whose tokens spell any text, and spell it back. WordPiece, Unigram and others change the text that they read. */
const SPELLING_TOKENIZERS = ["llama", "gpt2", "gemma4"];

/** Of headers that are kept: one command looks into one file several times, and each merge of a vocabulary is looked at. */
const summaries = new WeakMap<GgufFile, GgufSummary>();

/** @throws InwardError as readGguf */
export async function inspectGguf(path: string): Promise<GgufSummary> {
  const file = await readGguf(path);
  const summary = summaries.get(file) ?? summaryOf(file);
  summaries.set(file, summary);
  return summary;
}

/**
 * Whether it has a chat template is not asked: one may be given, and base models are asked in plain text.
 * @throws InwardError MODEL_ARCHITECTURE · MODEL_HEADER · MODEL_NO_VOCABULARY · MODEL_TOKENIZER
 */
export function requireRunnable(summary: GgufSummary): Architecture {
  const known = requireKnownArchitecture(summary.architecture, summary.path);
  if (summary.fault !== undefined) throw new InwardError("MODEL_HEADER", `${summary.path}: ${summary.fault}`);
  if (!summary.hasVocabulary) throw new InwardError("MODEL_NO_VOCABULARY", `${summary.path} has no token list`);
  const { tokenizerModel } = summary;
  if (tokenizerModel === undefined || NO_TOKENIZER.includes(tokenizerModel)) {
    const named = tokenizerModel === undefined ? "names none" : `says ${shown(tokenizerModel)}`;
    throw new InwardError("MODEL_NO_VOCABULARY", `${summary.path} has no tokenizer: its tokenizer.ggml.model ${named}`);
  }
  if (!SPELLING_TOKENIZERS.includes(tokenizerModel)) {
    throw new InwardError(
      "MODEL_TOKENIZER",
      `${summary.path} has a tokenizer of the kind "${tokenizerModel}"; known: ${SPELLING_TOKENIZERS.join(", ")}`,
    );
  }
  return known;
}

/** The tensor type that holds most of the weights; the first in the file when two hold the same. */
export function dominantEncoding(file: Pick<GgufHeader, "tensors">): GgmlTypeName | "none" {
  return weightsByType(file)[0]?.[0] ?? "none";
}

/** How many weights each tensor type holds, most first; in the file's order where two hold the same. */
export function weightsByType(file: Pick<GgufHeader, "tensors">): [GgmlTypeName, number][] {
  const weights = new Map<GgmlTypeName, number>();
  for (const tensor of file.tensors) weights.set(tensor.type, (weights.get(tensor.type) ?? 0) + tensor.elements);
  return [...weights].sort(([, a], [, b]) => b - a);
}

function summaryOf(file: GgufFile): GgufSummary {
  const get = (key: string): GgufValue | undefined => file.metadata.get(key);
  const architecture = text(get("general.architecture")) ?? "unknown";
  const tokens = get("tokenizer.ggml.tokens");
  const tokenCount = tokens?.type === "array" ? (tokens.length ?? tokens.value.length) : 0;
  const tokenText = (id: number | undefined) => {
    const token = tokens?.type === "array" && id !== undefined ? tokens.value[id] : undefined;
    return typeof token === "string" ? token : undefined;
  };
  const bosTokenId = count(get("tokenizer.ggml.bos_token_id"));
  const eosTokenId = count(get("tokenizer.ggml.eos_token_id"));
  const sourceSha256 = text(get(SOURCE_SHA256_KEY));
  const sourceEncoding = text(get(SOURCE_ENCODING_KEY));
  return {
    path: file.path,
    parts: file.parts.map(({ path }) => path),
    architecture,
    name: text(get("general.name")) ?? "unknown",
    licence: text(get("general.license")) ?? "unknown",
    encoding: dominantEncoding(file),
    fileType: count(get("general.file_type")),
    ...contextOf(file, architecture),
    ropeScaling: text(get(`${architecture}.rope.scaling.type`)),
    asking: wholePromptsNote(architecture),
    blockCount: count(get(`${architecture}.block_count`)),
    embeddingLength: count(get(`${architecture}.embedding_length`)),
    headCount: count(get(`${architecture}.attention.head_count`)),
    headCountKv: count(get(`${architecture}.attention.head_count_kv`)),
    vocabularySize: tokenCount > 0 ? tokenCount : count(get(`${architecture}.vocab_size`)),
    hasVocabulary: tokenCount > 0,
    tokenizerModel: text(get("tokenizer.ggml.model")),
    chatTemplate: text(get("tokenizer.chat_template")),
    bosTokenId,
    eosTokenId,
    bosToken: tokenText(bosTokenId),
    eosToken: tokenText(eosTokenId),
    addBos: flag(get("tokenizer.ggml.add_bos_token")),
    fault: headerFault(file),
    warnings: headerWarnings(file),
    quantized: file.tensors.some(({ type }) => !holdsFloats(type)),
    single: file.tensors.every(({ type }) => type === "F32"),
    parameters: file.tensors.reduce((sum, tensor) => sum + tensor.elements, 0),
    bytes: file.fileBytes,
    reencodedFrom:
      sourceSha256 !== undefined && sourceEncoding !== undefined
        ? { sha256: sourceSha256, encoding: sourceEncoding }
        : undefined,
    layersRemoved: layersRemoved(file),
  };
}

function contextOf(
  { metadata, tensors }: GgufFile,
  architecture: string,
): Pick<GgufSummary, "contextLength" | "shortContext"> {
  const whole = count(metadata.get(`${architecture}.context_length`));
  if (!tensors.some(({ name }) => name === "rope_factors_long.weight")) return { contextLength: whole };
  const short = count(metadata.get(`${architecture}.rope.scaling.original_context_length`)) ?? whole;
  return { contextLength: whole && short && Math.min(whole, short), shortContext: short };
}

function layersRemoved({ metadata }: GgufFile): RemovedLayers | undefined {
  const sha256 = text(metadata.get(REMOVED_LAYERS_KEYS.sourceSha256));
  const of = count(metadata.get(REMOVED_LAYERS_KEYS.of));
  const layers = metadata.get(REMOVED_LAYERS_KEYS.layers);
  if (sha256 === undefined || of === undefined || layers?.type !== "array") return undefined;
  return { sha256, of, layers: layers.value.map(Number) };
}

/** A text that is there; a blank one says nothing. */
function text(value: GgufValue | undefined): string | undefined {
  return value?.type === "string" && value.value.trim() !== "" ? value.value : undefined;
}

/** A whole number of any integer type, not negative. */
function count(value: GgufValue | undefined): number | undefined {
  if (value === undefined || (typeof value.value !== "number" && typeof value.value !== "bigint")) return undefined;
  const number = Number(value.value);
  return Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

function flag(value: GgufValue | undefined): boolean | undefined {
  return value?.type === "bool" ? value.value : undefined;
}

/** Which layers were taken out of which file; the others moved up. */
export interface RemovedLayers {
  readonly sha256: string;
  /** Layers that it has. */
  readonly of: number;
  /** Numbers of the removed ones there, from 0, ascending. */
  readonly layers: readonly number[];
}
