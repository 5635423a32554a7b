/** A vocabulary that the addon has read, as chats need it: of a file that its engine has open, whose one reading serves evaluating and tokenizing, or alone. */

import type { NativeTokens } from "../../../native/index.js";
import { InwardError } from "../../errors.js";
import type { GgufFile, GgufValue } from "../../gguf/read-gguf.js";
import type { LlamaVocabulary, TokenKinds, VocabularyMetadata } from "../chat/vocabulary.js";

/** As llama.cpp numbers them (`llama_token_attr`). */
const BITS = { unknown: 1, normal: 4, control: 8, userDefined: 16, byte: 32, rstrip: 256 } as const satisfies Record<
  keyof TokenKinds,
  number
>;

/**
 * @param file the header of the file that is open
 * @throws ENGINE_UNAVAILABLE an addon that does not know of vocabularies
 */
export function engineVocabulary(engine: NativeTokens, file: GgufFile): LlamaVocabulary {
  if (engine.vocabulary === undefined) {
    throw new InwardError(
      "ENGINE_UNAVAILABLE",
      "the native addon was built before it knew vocabularies; build it again: node scripts/build-native.mjs",
    );
  }
  const { attributes, ends, bos, eos, eot, addsBos, addsEos } = engine.vocabulary();
  const orNull = (id: number) => (id < 0 ? null : id);
  return {
    fileInfo: { metadata: { tokenizer: { ggml: metadataOf(file) } } },
    tokens: {
      bos: orNull(bos),
      eos: orNull(eos),
      eot: orNull(eot),
      shouldPrependBosToken: addsBos,
      shouldAppendEosToken: addsEos,
    },
    getTokenAttributes: (id) => kindsOf(attributes[id] ?? 0),
    isEogToken: (id) => id === eos || id === eot || ends[id] === 1,
    tokenize: (text) => [...engine.tokenize(text)],
    detokenize: (ids) => engine.detokenize(Int32Array.from(ids)),
  };
}

function kindsOf(bits: number): TokenKinds {
  const has = (bit: number) => (bits & bit) !== 0;
  return {
    unknown: has(BITS.unknown),
    normal: has(BITS.normal),
    control: has(BITS.control),
    userDefined: has(BITS.userDefined),
    byte: has(BITS.byte),
    rstrip: has(BITS.rstrip),
  };
}

function metadataOf({ metadata, path }: GgufFile): VocabularyMetadata {
  const get = (key: string): GgufValue["value"] | undefined => metadata.get(`tokenizer.ggml.${key}`)?.value;
  const [model, tokens, scores, pre] = [get("model"), get("tokens"), get("scores"), get("pre")];
  if (typeof model !== "string" || !Array.isArray(tokens)) {
    throw new InwardError("MODEL_NO_VOCABULARY", `${path} has no token list`);
  }
  const number = (key: string) => {
    const value = get(key);
    return typeof value === "number" || typeof value === "bigint" ? Number(value) : undefined;
  };
  const spacePrefix = get("add_space_prefix");
  return {
    model,
    tokens: tokens.map(String),
    ...(typeof pre === "string" ? { pre } : {}),
    ...(Array.isArray(scores) ? { scores: scores.map(Number) } : {}),
    ...(typeof spacePrefix === "boolean" ? { add_space_prefix: spacePrefix } : {}),
    bos_token_id: number("bos_token_id"),
    eos_token_id: number("eos_token_id"),
  };
}
