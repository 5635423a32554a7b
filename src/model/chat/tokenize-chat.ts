/**
 * Turns prompt parts into token ids: control tokens only where the template wrote them, exactly one BOS, and a proof that
 * no control id came out of a person's text.
 */
import { InwardError } from "../../errors.js";
import type { PromptPart } from "./render-chat.js";

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
  const controlIds = new Set(vocabulary.controlTokens.values());
  let plain = "";
  const flush = () => {
    if (plain === "") return;
    for (const id of vocabulary.tokenizePlain(plain)) {
      if (controlIds.has(id)) {
        throw new InwardError(
          "CHAT_CONTROL_TOKEN",
          `Plain text became control token ${id}: ${JSON.stringify(plain.slice(0, 120))}`,
        );
      }
      ids.push(id);
    }
    plain = "";
  };
  const pattern = controlPattern(vocabulary.controlTokens);
  for (const part of parts) {
    if (part.content || !pattern) {
      plain += part.text;
      continue;
    }
    for (const piece of part.text.split(pattern)) {
      const control = vocabulary.controlTokens.get(piece);
      if (control === undefined) {
        plain += piece;
      } else {
        flush();
        ids.push(control);
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

const patterns = new WeakMap<ReadonlyMap<string, number>, RegExp | undefined>();

/** Matches any control token's text, the longest first. */
function controlPattern(controlTokens: ReadonlyMap<string, number>): RegExp | undefined {
  if (patterns.has(controlTokens)) return patterns.get(controlTokens);
  const texts = [...controlTokens.keys()].filter((text) => text !== "").sort((a, b) => b.length - a.length);
  const escaped = texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
  const pattern = escaped.length === 0 ? undefined : new RegExp(`(${escaped.join("|")})`);
  patterns.set(controlTokens, pattern);
  return pattern;
}
