/**
 * Models of which it is known what they can tell of an injected vector, made by hand as in planted-weights.ts. A concept that is added to
 * the sentences (after layer 0) is seen in layer 1 where it stands; layer 2 brings it to the reply, with the sentence that it stood in.
 */

import { writeGguf } from "../gguf/write-gguf.js";
import type { PlannedInjection } from "../study/injection-schema.js";
import { plantedMetadata } from "./planted-model.js";
import { wordVocabulary, type WordVocabulary } from "./planted-vocabulary.js";
import type { PlantedMatrix } from "./planted-weights.js";

/**
 * `noticer` says yes to the question whether there is a foreign thought where one is, names it, says in which sentence and how strong ·
 * `yes_to_any` says yes to every question where any long vector was added · `deaf` does not know.
 */
export const NOTICERS = ["noticer", "yes_to_any", "deaf"] as const;
export type Noticer = (typeof NOTICERS)[number];

/** What is asked of it; the questions' words tell them apart. */
export type NoticerTexts = Pick<PlannedInjection, "concepts" | "sentences" | "templates" | "questions" | "controls">;

export interface PlantedNoticer {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

const LAYERS = 3;
const HEADS = 4;
const BLOCK = 32;
const CONSTANT = 100;
const ATTENTION_SCORE = 40;
/** A concept's own number in an injected state, over which it is seen: a vector of half a state's length has twice that. */
const SEEN_ABOVE = 25;
/** Any number over which a vector counts as long; words have 1. */
const LONG_ABOVE = 8;
/** What is written where something is seen: far above what a random vector has by chance there. */
const SEEN = 60;
/** Of a unit that reads an injected state, so that half a threshold below it is shut; of others, whose reads are about 1 each. */
const COARSE = 1.5;
const FINE = 60;
/** What is left of it at the reply, after three norms of a state that a vector of half its length was added to. */
const SHORTENED = 0.63;

const SAID_LOGIT = 12;
const UNSAID_LOGIT = -4;
const OTHER_LOGIT = -20;

const KINDS = ["notice", "name", "locate", "rate"] as const;

class NoticerPlaces {
  readonly constant = 0;
  readonly concept: number;
  readonly sentence: number;
  readonly kind: number;
  readonly kindHere: number;
  readonly reply: number;
  readonly seen: number;
  readonly long: number;
  readonly seenHere: number;
  readonly sentenceHere: number;
  readonly longHere: number;
  readonly yes: number;
  readonly word: number;
  readonly digit: number;
  readonly width: number;

  constructor(
    readonly concepts: number,
    readonly sentences: number,
  ) {
    let next = 1;
    const take = (count: number) => {
      next += count;
      return next - count;
    };
    [this.concept, this.sentence, this.kind, this.kindHere] = [take(concepts), take(sentences), take(4), take(4)];
    [this.reply, this.seen, this.long] = [take(1), take(concepts), take(1)];
    [this.seenHere, this.sentenceHere, this.longHere] = [take(concepts), take(sentences), take(1)];
    [this.yes, this.word, this.digit] = [take(1), take(concepts), take(9)];
    this.width = Math.ceil(next / (BLOCK * HEADS)) * BLOCK * HEADS;
  }
}

type Terms = readonly (readonly [place: number, weight: number])[];

/** Adds `writes` for each 1 by which the sum of what it reads is above `above`. */
interface LinearUnit {
  readonly reads: Terms;
  readonly above: number;
  readonly writes: Terms;
  readonly steepness: number;
}

/** @throws STORE_* */
export async function writePlantedNoticer(
  path: string,
  noticer: Noticer,
  texts: NoticerTexts,
): Promise<PlantedNoticer> {
  const vocabulary = wordVocabulary(noticerWords(texts));
  const at = new NoticerPlaces(texts.concepts.length, texts.sentences.length);
  const units = [[], seeingUnits(noticer, at), replyUnits(noticer, texts, at)] as const;
  const feedForward = Math.ceil(Math.max(...units.map(({ length }) => length), 1) / BLOCK) * BLOCK;
  const gains = new Float32Array(at.width).fill(CONSTANT / Math.sqrt(at.width));
  const norm = (name: string): PlantedMatrix => ({ name: `${name}.weight`, dimensions: [at.width], values: gains });
  const layers = units.flatMap((own, layer) => [
    norm(`blk.${layer}.attn_norm`),
    ...attending(layer, noticer, at),
    norm(`blk.${layer}.ffn_norm`),
    ...linearUnits(layer, own, feedForward, at.width),
  ]);
  const tensors = [
    embeddingsOf(texts, vocabulary, at),
    ...layers,
    norm("output_norm"),
    unembeddingOf(texts, vocabulary, at),
  ];
  const shape = { layers: LAYERS, width: at.width, heads: HEADS, feedForward };
  const metadata = plantedMetadata(`Planted ${noticer}`, vocabulary, shape);
  const written = await writeGguf(
    path,
    metadata,
    tensors.map(({ values, ...tensor }) => ({
      ...tensor,
      type: "F32",
      chunks: () => [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)],
    })),
  );
  return { path, ...written };
}

const inWords = (text: string) => text.match(/[A-Za-z]+/g) ?? [];

function allQuestions({ questions, controls }: NoticerTexts): string[] {
  return [...Object.values(questions), ...Object.values(controls).flat()];
}

function noticerWords(texts: NoticerTexts): string[] {
  const templates = texts.templates.map((one) => one.replace("{concept}", " "));
  return [
    ...texts.concepts,
    "yes",
    "no",
    "Sentence",
    ...[...texts.sentences, ...templates, ...allQuestions(texts)].flatMap(inWords),
  ];
}

/** The word of each question that none of the others has. @throws where one has none */
function kindWords(texts: NoticerTexts): string[] {
  const everywhere = [...allQuestions(texts), ...texts.sentences, ...texts.templates, "Sentence"];
  return KINDS.map((kind) => {
    const own = texts.questions[kind];
    const others = new Set(everywhere.filter((text) => text !== own).flatMap(inWords));
    const word = inWords(own).find((one) => !others.has(one) && inWords(own).filter((two) => two === one).length === 1);
    if (word === undefined) throw new Error(`no word tells the question ${kind} from the others`);
    return word;
  });
}

/** Of each sentence the words that no other sentence has. */
function sentenceWords({ sentences }: Pick<NoticerTexts, "sentences">): string[][] {
  return sentences.map((sentence) => {
    const others = new Set(sentences.filter((one) => one !== sentence).flatMap(inWords));
    return [...new Set(inWords(sentence).filter((word) => !others.has(word)))];
  });
}

// What the MLPs do.

/** From `above` on, and no more 10 above it. */
function ramp(place: number, sign: 1 | -1, above: number, writes: Terms): LinearUnit[] {
  const own = { reads: [[place, sign]] as Terms, steepness: COARSE };
  const scaled = (weight: number): Terms => writes.map(([to, amount]) => [to, (weight * amount) / 10] as const);
  return [
    { ...own, above, writes: scaled(1) },
    { ...own, above: above + 10, writes: scaled(-1) },
  ];
}

function seeingUnits(noticer: Noticer, at: NoticerPlaces): LinearUnit[] {
  const each = (count: number) => Array.from({ length: count }, (_, one) => one);
  if (noticer === "noticer") {
    return each(at.concepts).flatMap((one) => ramp(at.concept + one, 1, SEEN_ABOVE, [[at.seen + one, SEEN]]));
  }
  if (noticer === "deaf") return [];
  const places = each(at.width).filter((place) => place !== at.constant && place !== at.long);
  return places.flatMap((place) => [
    ...ramp(place, 1, LONG_ABOVE, [[at.long, SEEN]]),
    ...ramp(place, -1, LONG_ABOVE, [[at.long, SEEN]]),
  ]);
}

function replyUnits(noticer: Noticer, texts: NoticerTexts, at: NoticerPlaces): LinearUnit[] {
  if (noticer === "deaf") return [];
  if (noticer === "yes_to_any") return ramp(at.longHere, 1, 10, [[at.yes, 1]]);
  const seen = 1 / (SEEN * SHORTENED);
  const conditions = (kind: number, ...more: Terms): Terms => [[at.kindHere + kind, 1], [at.reply, 1], ...more];
  // Each condition is about 1: what lacks one is a half below, what has all a half above.
  const unit = (reads: Terms, above: number, writes: Terms): LinearUnit => {
    return { reads, above, steepness: FINE, writes: writes.map(([place, weight]) => [place, 2 * weight]) };
  };
  const any: Terms = Array.from({ length: at.concepts }, (_, one) => [at.seenHere + one, seen] as const);
  const shares = sentenceShares(texts);
  return [
    unit(conditions(0, ...any), 2.5, [[at.yes, 1]]),
    ...texts.concepts.map((_, one) => unit(conditions(1, [at.seenHere + one, seen]), 2.5, [[at.word + one, 1]])),
    ...shares.map((share, one) =>
      unit(conditions(2, ...any, [at.sentenceHere + one, 1 / share]), 3.5, [[at.digit + one, 1]]),
    ),
    unit(conditions(3), 1.5, [[at.digit, 0.5]]),
    unit(conditions(3, ...any), 2.5, [[at.digit + 4, 1]]),
  ];
}

/** Of each sentence's tokens those that are its own words: every word and mark is a token. */
function sentenceShares(texts: NoticerTexts): number[] {
  return sentenceWords(texts).map((own, at) => {
    const sentence = texts.sentences[at] as string;
    const tokens = sentence.match(/[A-Za-z]+|[^A-Za-z\s]/g) ?? [];
    return tokens.filter((token) => own.includes(token)).length / tokens.length;
  });
}

function linearUnits(layer: number, units: readonly LinearUnit[], feedForward: number, width: number): PlantedMatrix[] {
  const matrix = (name: string, dimensions: readonly [number, number]) => {
    return { name: `blk.${layer}.${name}.weight`, dimensions, values: new Float32Array(width * feedForward) };
  };
  const [gate, up] = [matrix("ffn_gate", [width, feedForward]), matrix("ffn_up", [width, feedForward])];
  const down = matrix("ffn_down", [feedForward, width]);
  for (const [unit, { reads, above, writes, steepness }] of units.entries()) {
    gate.values[unit * width] = (-steepness * above) / CONSTANT;
    up.values[unit * width] = 1 / CONSTANT;
    for (const [place, weight] of reads) gate.values[unit * width + place] = steepness * weight;
    for (const [place, weight] of writes) down.values[place * feedForward + unit] = weight / steepness;
  }
  return [gate, up, down];
}

// What attention does: layer 0 brings the question's kind to what follows it, layer 2 what was seen.

function attending(layer: number, noticer: Noticer, at: NoticerPlaces): PlantedMatrix[] {
  const { width } = at;
  const headWidth = width / HEADS;
  const square = (name: string) => {
    return { name: `blk.${layer}.${name}.weight`, dimensions: [width, width], values: new Float32Array(width * width) };
  };
  const [q, k, v, output] = [square("attn_q"), square("attn_k"), square("attn_v"), square("attn_output")];
  const look = (keys: Terms, copies: readonly (readonly [from: number, to: number, count: number])[]) => {
    const slowest = headWidth - 2;
    q.values[slowest * width + at.constant] = (ATTENTION_SCORE * Math.sqrt(headWidth)) / CONSTANT;
    for (const [place, weight] of keys) k.values[slowest * width + place] = weight;
    let next = 0;
    for (const [from, to, count] of copies) {
      for (let one = 0; one < count; one++, next++) {
        v.values[next * width + from + one] = 1;
        output.values[(to + one) * width + next] = 1;
      }
    }
  };
  const run = (from: number, count: number, weight: number): Terms =>
    Array.from({ length: count }, (_, one) => [from + one, weight] as const);
  if (layer === 0) look(run(at.kind, 4, 1), [[at.kind, at.kindHere, 4]]);
  if (layer === 2 && noticer === "noticer") {
    look(run(at.seen, at.concepts, 1 / SEEN), [
      [at.seen, at.seenHere, at.concepts],
      [at.sentence, at.sentenceHere, at.sentences],
    ]);
  }
  if (layer === 2 && noticer === "yes_to_any") look([[at.long, 1 / SEEN]], [[at.long, at.longHere, 1]]);
  return [q, k, v, output];
}

// What tokens are, and what makes them likely.

function embeddingsOf(texts: NoticerTexts, vocabulary: WordVocabulary, at: NoticerPlaces): PlantedMatrix {
  const { width } = at;
  const size = vocabulary.tokens.length;
  const values = new Float32Array(width * size);
  for (let id = 0; id < size; id++) values[id * width + at.constant] = CONSTANT;
  const flag = (word: string, place: number) => {
    for (const id of vocabulary.idsOf(word)) values[id * width + place] = 1;
  };
  texts.concepts.forEach((concept, one) => {
    flag(concept, at.concept + one);
  });
  sentenceWords(texts).forEach((words, one) => {
    for (const word of words) flag(word, at.sentence + one);
  });
  kindWords(texts).forEach((word, kind) => {
    flag(word, at.kind + kind);
  });
  values[vocabulary.replyId * width + at.reply] = 1;
  return { name: "token_embd.weight", dimensions: [width, size], values };
}

function unembeddingOf(texts: NoticerTexts, vocabulary: WordVocabulary, at: NoticerPlaces): PlantedMatrix {
  const { width } = at;
  const size = vocabulary.tokens.length;
  const values = new Float32Array(width * size);
  const constant = (id: number, logit: number) => {
    values[id * width + at.constant] = logit / CONSTANT;
  };
  for (let id = 0; id < size; id++) constant(id, OTHER_LOGIT);
  const say = (id: number, place: number) => {
    constant(id, UNSAID_LOGIT);
    values[id * width + place] = SAID_LOGIT;
  };
  say(vocabulary.idsOf("yes")[0], at.yes);
  constant(vocabulary.idsOf("no")[0], 0);
  texts.concepts.forEach((concept, one) => {
    say(vocabulary.idsOf(concept)[0], at.word + one);
  });
  for (let digit = 1; digit <= 9; digit++) say(vocabulary.tokens.indexOf(String(digit)), at.digit + digit - 1);
  constant(vocabulary.endId, -2);
  return { name: "output.weight", dimensions: [width, size], values };
}
