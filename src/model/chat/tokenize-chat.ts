/**
 * Turns prompt parts into token ids: control tokens only where the template wrote them, exactly one BOS, and a proof that
 * no control id came out of a person's text.
 */
import { InwardError } from "../../errors.js";
import { cutAtControlTokens } from "./control-tokens.js";
import type { PromptPart } from "./render-chat.js";
import { tokenizePlain } from "./tokenize-plain.js";

/** What tokenizing needs to know of a model's vocabulary. */
export interface ChatVocabulary {
  /** Plain text to ids, special tokens never parsed, no BOS added. */
  readonly tokenizePlain: (text: string) => readonly number[];
  /** Text of every control token, by id. */
  readonly controlTokens: ReadonlyMap<string, number>;
  /** The BOS id, when the vocabulary has one. */
  readonly bosId?: number;
  /** Whether the model was trained with BOS before every sequence (`tokenizer.ggml.add_bos_token`). */
  readonly addBos: boolean;
}

/**
 * Text between two control tokens is tokenized as one piece, template words and content together, as the model's own
 * tokenizer would: cutting at the content's border would change merges there.
 * @throws CHAT_CONTROL_TOKEN, CHAT_BOS
 */
export function tokenizeChat(parts: readonly PromptPart[], vocabulary: ChatVocabulary): number[] {
  const ids: number[] = [];
  let plain = "";
  const flush = () => {
    for (const id of tokenizePlain(plain, vocabulary)) ids.push(id);
    plain = "";
  };
  for (const part of parts) {
    for (const piece of part.content ? [part.text] : cutAtControlTokens(part.text, vocabulary.controlTokens)) {
      if (typeof piece === "string") {
        plain += piece;
      } else {
        flush();
        ids.push(piece);
      }
    }
  }
  flush();
  return withOneBos(ids, vocabulary);
}

function withOneBos(ids: number[], { bosId, addBos }: ChatVocabulary): number[] {
  if (bosId === undefined || !addBos) {
    // ChatML models such as SmolLM2 use their BOS id as a turn marker: it may recur, but never twice at the beginning.
    if (bosId !== undefined && ids[0] === bosId && ids[1] === bosId) {
      throw new InwardError("CHAT_BOS", `The prompt begins with BOS token ${bosId} twice.`);
    }
    return ids;
  }
  const whole = ids[0] === bosId ? ids : [bosId, ...ids];
  const count = whole.filter((id) => id === bosId).length;
  if (count !== 1) throw new InwardError("CHAT_BOS", `The prompt holds BOS token ${bosId} ${count} times.`);
  return whole;
}
