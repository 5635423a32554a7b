/** The words of planted models: a token for each item, answer and value of the property, and what a prompt about them is written in. */

import { byteStandIns } from "../model/chat/vocabulary.js";
import { HYPOTHETICAL_VARIANTS } from "../properties/wordings.js";

/** Items and answers that there are words for. */
export const MOST_PLANTED_ITEMS = 12;

const FIRSTS = "badger camel donkey eagle falcon goose heron lizard monkey otter panda rabbit".split(" ");
const SECONDS = "acorn basket candle drum engine feather guitar hammer ladder mirror needle pillow".split(" ");
const ANSWERS = "amber black coral green indigo lilac maroon orange pink red silver white".split(" ");

/** Of the property, in the order of `PlantedTruth.values`. */
export const PLANTED_VALUES = ["yes", "no"] as const;
/** What stands in the object-level question alone, and in the question about the property alone. */
const OBJECT_WORD = "goes";
const PROPERTY_WORD = "listed";

export const PLANTED_QUESTION = `Which color ${OBJECT_WORD} with {string}? Reply with one word only.`;
export const PLANTED_PROPERTY_QUESTION = `Would your response be a ${PROPERTY_WORD} color? Reply with yes or no only.`;

const CONTROLS = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"];
const CONTROL = 3;
const NORMAL = 1;

/** Every turn begins with its role's token and ends with one for all; an answer begins right after its role's token. */
export const PLANTED_TEMPLATE =
  "{%- for message in messages -%}{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}{%- endfor -%}" +
  "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}";

/** Ids of one word: as it stands after a mark or at a beginning, and after a blank. */
export type WordIds = readonly [bare: number, afterBlank: number];

/** Words that are one token each, with the bytes and marks that any text has. */
export interface WordVocabulary {
  /** By id, in GPT-2's byte alphabet. */
  readonly tokens: readonly string[];
  readonly tokenTypes: readonly number[];
  readonly merges: readonly string[];
  readonly beginId: number;
  readonly endId: number;
  /** With which an answer begins. */
  readonly replyId: number;
  /** @throws when it is no word of this vocabulary */
  readonly idsOf: (word: string) => WordIds;
}

export interface PlantedVocabulary extends WordVocabulary {
  readonly firsts: readonly string[];
  readonly seconds: readonly string[];
  readonly answers: readonly string[];
  readonly objectWord: WordIds;
  readonly propertyWord: WordIds;
}

const BLANK = "\u0120";

/** @param items of each slot, and answers: at most MOST_PLANTED_ITEMS */
export function plantedVocabulary(items: number): PlantedVocabulary {
  const [firsts, seconds, answers] = [FIRSTS, SECONDS, ANSWERS].map((words) => words.slice(0, items));
  const texts = [PLANTED_QUESTION, PLANTED_PROPERTY_QUESTION, ...HYPOTHETICAL_VARIANTS.map(({ template }) => template)];
  const inTexts = texts.flatMap((text) => text.replaceAll(/\{\w+\}/g, " ").match(/[A-Za-z]+/g) ?? []);
  const all = wordVocabulary([...FIRSTS, ...SECONDS, ...ANSWERS, ...PLANTED_VALUES, ...inTexts]);
  return {
    ...all,
    firsts: firsts as string[],
    seconds: seconds as string[],
    answers: answers as string[],
    objectWord: all.idsOf(OBJECT_WORD),
    propertyWord: all.idsOf(PROPERTY_WORD),
  };
}

export function wordVocabulary(some: readonly string[]): WordVocabulary {
  const words = [...new Set(some)];
  const merges = mergesFor(words);
  const tokens = [...CONTROLS, ...byteStandIns(), ...merges.map(([one, other]) => one + other)];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const idsOf = (word: string): WordIds => {
    const [bare, afterBlank] = [ids.get(word), ids.get(BLANK + word)];
    if (bare === undefined || afterBlank === undefined) throw new Error(`${word} is no word of a planted model`);
    return [bare, afterBlank];
  };
  return {
    tokens,
    tokenTypes: tokens.map((token) => (CONTROLS.includes(token) ? CONTROL : NORMAL)),
    merges: merges.map((pair) => pair.join(" ")),
    beginId: tokens.indexOf("<|begin|>"),
    endId: tokens.indexOf("<|end|>"),
    replyId: tokens.indexOf("<|assistant|>"),
    idsOf,
  };
}

type MergedPair = readonly [one: string, other: string];

/**
 * Merges by which each word becomes one token, with and without a blank before it. A word's own come after those of the words before
 * it, and byte-pair encoding takes earlier ones first: so none can change what an earlier word came to.
 */
function mergesFor(words: readonly string[]): MergedPair[] {
  const merges: MergedPair[] = [];
  const ranks = new Map<string, number>();
  const tokens = new Set<string>();
  for (const word of words.flatMap((one) => [one, BLANK + one])) {
    let symbols = encoded(word, ranks);
    while (symbols.length > 1) {
      const pair = symbols.slice(0, 2) as unknown as MergedPair;
      ranks.set(pair.join(" "), merges.length);
      // Two merges may make one text; a token stands once.
      if (tokens.has(pair.join(""))) throw new Error(`${word} wants a second way to ${pair.join("")}`);
      tokens.add(pair.join(""));
      merges.push(pair);
      symbols = encoded(word, ranks);
    }
  }
  return merges;
}

function encoded(word: string, ranks: ReadonlyMap<string, number>): string[] {
  const symbols = [...word];
  for (;;) {
    let best: { readonly at: number; readonly rank: number } | undefined;
    for (let at = 0; at + 1 < symbols.length; at++) {
      const rank = ranks.get(`${symbols[at]} ${symbols[at + 1]}`);
      if (rank !== undefined && (best === undefined || rank < best.rank)) best = { at, rank };
    }
    if (best === undefined) return symbols;
    symbols.splice(best.at, 2, `${symbols[best.at]}${symbols[best.at + 1]}`);
  }
}
