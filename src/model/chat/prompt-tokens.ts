/** Turns prompt parts into token ids: special tokens only where the template wrote them, and BOS where the vocabulary wants it. */

import { InwardError } from "../../errors.js";
import type { LocatedPrompt } from "../language-model.js";
import type { PromptPart } from "./render.js";
import { TokenFinder } from "./token-finder.js";
import type { ChatVocabulary } from "./vocabulary.js";

/** A stretch of a prompt that is tokenized by itself. */
interface TokenizedStretch {
  readonly ids: readonly number[];
  /** In the parts' texts joined, in UTF-16 code units. */
  readonly start: number;
  readonly text: string;
  /** Whether it is the text of one special token. */
  readonly special: boolean;
}

/**
 * Text between two special tokens is tokenized as one piece, template words and content together, as the model's own
 * tokenizer would: cutting at the content's border would change merges there.
 * @throws CHAT_CONTROL_TOKEN, CHAT_UNWRITABLE
 */
export function tokenizeChat(parts: readonly PromptPart[], vocabulary: ChatVocabulary): number[] {
  const ids: number[] = [];
  for (const stretch of stretches(parts, vocabulary)) for (const id of stretch.ids) ids.push(id);
  return withBos(ids, vocabulary);
}

function stretches(parts: readonly PromptPart[], vocabulary: ChatVocabulary): TokenizedStretch[] {
  const made: TokenizedStretch[] = [];
  let [at, plain] = [0, ""];
  const flush = () => {
    const before = made[made.length - 1]?.ids.at(-1) ?? -1;
    const text = vocabulary.stripsAfter?.has(before) ? plain.replace(/^[ \t-\r]+/, "") : plain;
    const ids = vocabulary.tokenizePlain(text, true);
    if (ids.length > 0) made.push({ ids, start: at - text.length, text, special: false });
    plain = "";
  };
  for (const part of parts) {
    const end = at + part.text.length;
    for (const piece of part.content ? [part.text] : cutAtSpecialTokens(part.text, vocabulary)) {
      if (typeof piece === "string") {
        plain += piece;
        at += piece.length;
      } else {
        flush();
        // Its text is what the part has before the next piece.
        const text = specialText(piece, vocabulary);
        made.push({ ids: [piece], start: at, text, special: true });
        at += text.length;
      }
    }
    if (at !== end) throw new InwardError("INTERNAL", `A part of a prompt ends at ${end}, its pieces at ${at}.`);
  }
  flush();
  return made;
}

const textsOfSpecial = new WeakMap<ReadonlyMap<string, number>, ReadonlyMap<number, string>>();

function specialText(id: number, { controlTokens }: Pick<ChatVocabulary, "controlTokens">): string {
  let texts = textsOfSpecial.get(controlTokens);
  if (texts === undefined) {
    texts = new Map([...controlTokens].map(([text, one]) => [one, text]));
    textsOfSpecial.set(controlTokens, texts);
  }
  return texts.get(id) as string;
}

const finders = new WeakMap<ReadonlyMap<string, number>, TokenFinder>();

/** @returns the text in order: plain stretches as they are (never empty), special tokens as ids */
export function cutAtSpecialTokens(
  text: string,
  { controlTokens }: Pick<ChatVocabulary, "controlTokens">,
): (string | number)[] {
  let finder = finders.get(controlTokens);
  if (finder === undefined) {
    finder = new TokenFinder(controlTokens);
    finders.set(controlTokens, finder);
  }
  return finder.cut(text);
}

/** One is added where the template wrote none at the beginning. What it writes itself, at every turn if need be, is its own. */
function withBos(ids: number[], { bosId, addBos }: ChatVocabulary): number[] {
  return addBos && bosId !== undefined && ids[0] !== bosId ? [bosId, ...ids] : ids;
}

/** What locating needs beside: what a token stands for. */
interface SpellingVocabulary extends ChatVocabulary {
  bytes(id: number): Buffer;
}

/**
 * @param shift messages that the parts have before those that were given
 * @throws CHAT_UNWRITABLE where the tokens' texts are not the prompt's, as where a vocabulary writes a character otherwise
 */
export function locateTokens(
  parts: readonly PromptPart[],
  vocabulary: SpellingVocabulary,
  shift: number,
): LocatedPrompt {
  const text = parts.map((part) => part.text).join("");
  const [ids, starts, ends]: [number[], number[], number[]] = [[], [], []];
  const put = (id: number, start: number, end: number) => {
    ids.push(id);
    starts.push(start);
    ends.push(end);
  };
  for (const stretch of stretches(parts, vocabulary)) {
    if (stretch.special) put(stretch.ids[0] as number, stretch.start, stretch.start + stretch.text.length);
    else placeStretch(stretch, vocabulary, put);
  }
  const tokenIds = withBos(ids, vocabulary);
  const added = tokenIds.length - ids.length;
  const none = new Array<number>(added).fill(0);
  let at = 0;
  const contents = parts.flatMap(({ text: { length }, content, message }) => {
    at += length;
    return content && message !== undefined ? [{ message: message - shift, start: at - length, end: at }] : [];
  });
  return { text, tokenIds, starts: [...none, ...starts], ends: [...none, ...ends], contents };
}

function placeStretch(
  { ids, start, text }: TokenizedStretch,
  vocabulary: SpellingVocabulary,
  put: (id: number, start: number, end: number) => void,
): void {
  const spelled = ids.map((id) => vocabulary.bytes(id));
  const bytes = Buffer.from(text);
  // SentencePiece sets a blank before a word.
  const lead = spelled.reduce((sum, { length }) => sum + length, 0) - bytes.length;
  const whole = Buffer.concat(spelled);
  if ((lead !== 0 && lead !== 1) || !whole.subarray(lead).equals(bytes) || (lead === 1 && whole[0] !== 0x20)) {
    const shown = [text, whole.toString("utf8")].map((one) => JSON.stringify(one.slice(0, 80)));
    throw new InwardError("CHAT_UNWRITABLE", `Tokens of ${shown[0]} stand for ${shown[1]}: they cannot be placed.`);
  }
  // [bytes] the character that each belongs to, and where that ends.
  const [firsts, lasts] = [new Uint32Array(bytes.length), new Uint32Array(bytes.length)];
  let [byte, unit] = [0, 0];
  for (const character of text) {
    const length = Buffer.byteLength(character);
    firsts.fill(unit, byte, byte + length);
    unit += character.length;
    lasts.fill(unit, byte, byte + length);
    byte += length;
  }
  let at = -lead;
  for (const [index, { length }] of spelled.entries()) {
    const [from, to] = [Math.max(0, at), at + length];
    const empty = to <= from;
    const place = from < bytes.length ? (firsts[from] as number) : text.length;
    put(ids[index] as number, start + place, start + (empty ? place : (lasts[to - 1] as number)));
    at += length;
  }
}
