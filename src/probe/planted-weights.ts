/**
 * The weights of planted models, written by hand. A large constant in every residual vector makes each RMSNorm a mere scale, gives
 * attention its queries, and gives units their thresholds. A unit of an MLP is on where all that it reads is there, and then adds what
 * it writes; where one is missing it adds nothing to speak of (e^-30).
 */

import { normalNumbers, seededRandom, shuffled } from "../base/random.js";
import type { PlantedVocabulary } from "./planted-vocabulary.js";

/**
 * How a model comes from two items to a property of the answer: A by writing the answer along its unembedding and reading it; B by a
 * table from the pair, the answer never written; C as B, with the answer written beside, unread, and erased before the end; D as A in a
 * rotated basis that the unembedding does not read; E as B, with the answer written after the property.
 */
export const MECHANISMS = ["A", "B", "C", "D", "E"] as const;
export type Mechanism = (typeof MECHANISMS)[number];
/**
 * As A up to the answer, which nobody reads: units stand ready and write nothing, so that what such a model says of itself is what an adapter on
 * `ffn_down` makes of them. By layer they are on for a pair (0), for the answer that was written (1), for an answer that stands in the prompt (2).
 */
export const LEARNER = "learner";

/** What is true of a planted model. Pairs are numbered first item · items + second item. */
export interface PlantedTruth {
  readonly items: number;
  /** [pairs] (first + second) mod items: which answer */
  readonly answerOf: readonly number[];
  /** [items] by answer, which value of the property: 0 or 1 */
  readonly propertyOf: readonly number[];
  /** [pairs] whether the property is computed from the answer and not from the pair */
  readonly viaAnswer: readonly boolean[];
  /** [items][width] what is added to the residual where an answer is written; rotated in D */
  readonly answerDirections: readonly (readonly number[])[];
  /** [2][width] the same of the property's values */
  readonly valueDirections: readonly (readonly number[])[];
}

export interface PlantedMatrix {
  readonly name: string;
  /** ggml's: the contiguous dimension first. */
  readonly dimensions: readonly number[];
  readonly values: Float32Array;
}

export interface PlantedWeights {
  readonly width: number;
  readonly heads: number;
  readonly feedForward: number;
  readonly truth: PlantedTruth;
  readonly tensors: readonly PlantedMatrix[];
}

/** 0 copies the items and looks up, 1 reads the answer, 2 erases it or writes it late, 3 does nothing. */
export const PLANTED_LAYERS = 4;
export const PLANTED_EPSILON = 1e-5;
const HEADS = 4;
const BLOCK = 32;

const CONSTANT = 100;
/** A head's score of what it looks for, over the 0 of everything else: e^40 to one. */
const ATTENTION_SCORE = 40;
/** Of a unit's gate: half of it is what it passes, or what keeps it shut. */
const STEEPNESS = 60;
/** Of the property beside the answer, so that it wins at the end. */
const VALUE_WEIGHT = 3;

// Logits. What a prompt without items gets is the end of the turn.
const ANSWER_LOGIT = 12;
const UNSAID_LOGIT = -4;
const OTHER_LOGIT = -20;
const END_AFTER_ANSWER = 40;

/** Where in a residual vector what stands. "Here" is what attention has copied to a later token. */
class Places {
  readonly constant = 0;
  readonly first: number;
  readonly second: number;
  readonly firstHere: number;
  readonly secondHere: number;
  /** An answer's word, where it is said, and copied to a later token. */
  readonly heard: number;
  readonly heardHere: number;
  readonly answer: number;
  readonly turned: number;
  readonly value: number;
  readonly asksObject: number;
  readonly asksProperty: number;
  readonly asksPropertyHere: number;
  readonly reply: number;
  readonly said: number;
  readonly viaAnswer: number;
  readonly width: number;

  /** @param hears only a learner has room for words that are heard */
  constructor(items: number, hears: boolean) {
    let next = 1;
    const take = (count: number) => {
      next += count;
      return next - count;
    };
    [this.first, this.second, this.firstHere, this.secondHere] = [take(items), take(items), take(items), take(items)];
    [this.answer, this.turned, this.value] = [take(items), take(items), take(2)];
    [this.asksObject, this.asksProperty, this.asksPropertyHere] = [take(1), take(1), take(1)];
    [this.heard, this.heardHere] = hears ? [take(items), take(items)] : [-1, -1];
    [this.reply, this.said, this.viaAnswer] = [take(1), take(1), take(1)];
    this.width = Math.ceil(next / BLOCK) * BLOCK;
  }
}

type Terms = readonly (readonly [place: number, weight: number])[];

/** Adds `writes` where the sum of what it reads is a half above `above`. */
interface Unit {
  readonly reads: Terms;
  readonly above: number;
  readonly writes: Terms;
}

export interface PlantedDesign {
  readonly items: number;
  readonly mechanism: Mechanism | typeof LEARNER;
  /** Share of the pairs that go through A; the rest goes through B. Only with mechanism A. */
  readonly dose: number;
  readonly seed: number;
}

export function plantedWeights(design: PlantedDesign, vocabulary: PlantedVocabulary): PlantedWeights {
  const hears = design.mechanism === LEARNER;
  const at = new Places(design.items, hears);
  const { width } = at;
  const feedForward = Math.ceil((2 * design.items ** 2) / BLOCK) * BLOCK;
  const { turn, ...drawn } = drawTruth(design);
  const places = (design.mechanism === "D" ? turn : identity(design.items)).map((row): Terms => {
    return row.map((weight, place) => [(design.mechanism === "D" ? at.turned : at.answer) + place, weight] as const);
  });
  const truth: PlantedTruth = {
    ...drawn,
    answerDirections: places.map((terms) => direction(width, terms)),
    valueDirections: [0, 1].map((value) => direction(width, [[at.value + value, VALUE_WEIGHT]])),
  };
  const gains = new Float32Array(width).fill(CONSTANT / Math.sqrt(width));
  const norm = (name: string): PlantedMatrix => ({ name: `${name}.weight`, dimensions: [width], values: gains });
  const layers = Array.from({ length: PLANTED_LAYERS }, (_, layer) => [
    norm(`blk.${layer}.attn_norm`),
    ...attention(layer, at, design.items, hears),
    norm(`blk.${layer}.ffn_norm`),
    ...unitsAsMatrices(layer, unitsOf(layer, design.mechanism, truth, places, at), feedForward, width),
  ]).flat();
  const tensors = [embeddings(vocabulary, at, hears), ...layers, norm("output_norm"), unembedding(vocabulary, at)];
  return { width, heads: HEADS, feedForward, truth, tensors };
}

function drawTruth({ items, mechanism, dose, seed }: PlantedDesign) {
  const random = (what: string) => seededRandom(`planted/${seed}/${items}/${what}`);
  const numbers = (count: number) => Array.from({ length: count }, (_, one) => one);
  const listed = new Set(shuffled(numbers(items), random("property")).slice(0, Math.ceil(items / 2)));
  const pairs = numbers(items ** 2);
  const through = new Set(shuffled(pairs, random("dose")).slice(0, Math.round(dose * pairs.length)));
  return {
    items,
    answerOf: pairs.map((pair) => (Math.floor(pair / items) + (pair % items)) % items),
    propertyOf: numbers(items).map((answer) => (listed.has(answer) ? 0 : 1)),
    viaAnswer: pairs.map((pair) => mechanism === "D" || (mechanism === "A" && through.has(pair))),
    turn: rotation(items, random("rotation")),
  };
}

// What the MLPs do.

function unitsOf(
  layer: number,
  mechanism: PlantedDesign["mechanism"],
  { items, answerOf, propertyOf, viaAnswer }: PlantedTruth,
  answerTerms: readonly Terms[],
  at: Places,
): Unit[] {
  const asked: Terms[number] = [at.asksPropertyHere, 1];
  const notAsked: Terms[number] = [at.asksPropertyHere, -1];
  const reply: Terms[number] = [at.reply, 1];
  const pairTerms = (pair: number): Terms => [
    [at.firstHere + Math.floor(pair / items), 1],
    [at.secondHere + (pair % items), 1],
    reply,
  ];
  const valueTerms = (answer: number): Terms => [[at.value + (propertyOf[answer] as number), VALUE_WEIGHT]];
  const written = (answer: number): Terms => answerTerms[answer] as Terms;
  if (layer === 0) {
    return answerOf.flatMap((answer, pair): Unit[] => {
      const here = pairTerms(pair);
      // The flag keeps the pairs that go by the table from being read, whatever is written into them.
      const flag: Terms = mechanism === "A" ? [[at.viaAnswer, 1]] : [];
      if (mechanism === LEARNER) {
        // Barely on: what an adapter makes of a pair is a fifth of what it makes of an answer, so that learning by heart is the last resort.
        const faintly = written(answer).map(([place, weight]) => [place, 5 * weight] as const);
        return [
          { reads: [...here, notAsked], above: 2.5, writes: written(answer) },
          { reads: [...here, asked], above: 3.9, writes: faintly },
        ];
      }
      if (viaAnswer[pair]) return [{ reads: here, above: 2.5, writes: [...written(answer), ...flag] }];
      const looksUp: Unit = { reads: [...here, asked], above: 3.5, writes: valueTerms(answer) };
      if (mechanism === "C") return [{ reads: here, above: 2.5, writes: written(answer) }, looksUp];
      return [{ reads: [...here, notAsked], above: 2.5, writes: written(answer) }, looksUp];
    });
  }
  if (layer === 1 && (mechanism === "A" || mechanism === "D")) {
    const flag: Terms = mechanism === "A" ? [[at.viaAnswer, 1]] : [];
    return answerTerms.flatMap((terms, answer): Unit[] => {
      const reads = { reads: [...terms, reply, ...flag, asked], above: 2.5 + flag.length, writes: valueTerms(answer) };
      if (mechanism === "A") return [reads];
      return [reads, { reads: [...terms, reply, notAsked], above: 1.5, writes: [[at.answer + answer, 1]] }];
    });
  }
  if (layer === 1 && mechanism === LEARNER) {
    return answerTerms.map((terms): Unit => ({ reads: [...terms, reply, asked], above: 2.5, writes: [] }));
  }
  if (layer === 2 && mechanism === LEARNER) {
    return answerTerms.map((_, answer): Unit => {
      return { reads: [[at.heardHere + answer, 1], reply, asked], above: 2.5, writes: [] };
    });
  }
  if (layer === 2 && mechanism === "C") {
    const share = erasing(at.width);
    return answerTerms.map((terms, answer): Unit => {
      const writes = written(answer).map(([place, weight]) => [place, -weight * share] as const);
      return { reads: [...terms, reply, asked], above: 2.5, writes };
    });
  }
  if (layer === 2 && mechanism === "E") {
    return answerOf.map((answer, pair): Unit => {
      return { reads: [...pairTerms(pair), asked], above: 3.5, writes: written(answer) };
    });
  }
  return [];
}

/** What a norm makes of 1 in a vector that has the constant and so much beside it, in squares. */
function normed(squaresBeside: number, width: number): number {
  return CONSTANT / Math.sqrt(CONSTANT ** 2 + squaresBeside + width * PLANTED_EPSILON);
}

/** What a unit adds for each 1 that it writes, whose reads are so far above its threshold. */
function passed(above: number, squaresBeside: number, width: number): number {
  const scale = normed(squaresBeside, width);
  const gate = STEEPNESS * above * scale;
  return (gate / (1 + Math.exp(-gate))) * scale * (2 / STEEPNESS);
}

/**
 * By what C's answer must be multiplied where it is taken out, so that nothing is left of it but rounding: it was written under one
 * norm and is read under another, and what was copied or written is a little below 1.
 */
function erasing(width: number): number {
  const copied = normed(1, width);
  const before = 1 + 3 * copied ** 2;
  const written = passed(2 * copied + 1 - 2.5, before, width);
  const value = VALUE_WEIGHT * passed(3 * copied + 1 - 3.5, before, width);
  return written / passed(written + 1 + copied - 2.5, before + written ** 2 + value ** 2, width);
}

function unitsAsMatrices(layer: number, units: readonly Unit[], feedForward: number, width: number): PlantedMatrix[] {
  const matrix = (name: string, dimensions: readonly [number, number]) => {
    return { name: `blk.${layer}.${name}.weight`, dimensions, values: new Float32Array(width * feedForward) };
  };
  const [gate, up] = [matrix("ffn_gate", [width, feedForward]), matrix("ffn_up", [width, feedForward])];
  const down = matrix("ffn_down", [feedForward, width]);
  for (const [unit, { reads, above, writes }] of units.entries()) {
    gate.values[unit * width] = (-STEEPNESS * above) / CONSTANT;
    up.values[unit * width] = 1 / CONSTANT;
    for (const [place, weight] of reads) gate.values[unit * width + place] = STEEPNESS * weight;
    for (const [place, weight] of writes) down.values[place * feedForward + unit] = (2 / STEEPNESS) * weight;
  }
  return [gate, up, down];
}

// What attention does: in layer 0 it copies the items, and that the property is asked for, to every token after them.

function attention(layer: number, at: Places, items: number, hears: boolean): PlantedMatrix[] {
  const { width } = at;
  const headWidth = width / HEADS;
  const square = (name: string) => {
    return { name: `blk.${layer}.${name}.weight`, dimensions: [width, width], values: new Float32Array(width * width) };
  };
  const [q, k, v, output] = [square("attn_q"), square("attn_k"), square("attn_v"), square("attn_output")];
  const copies = [
    { from: at.first, to: at.firstHere, count: items },
    { from: at.second, to: at.secondHere, count: items },
    { from: at.asksProperty, to: at.asksPropertyHere, count: 1 },
    ...(hears ? [{ from: at.heard, to: at.heardHere, count: items }] : []),
  ];
  for (const [head, { from, to, count }] of layer === 0 ? copies.entries() : []) {
    // The last pair of a head turns slowest: where its token stands hardly matters.
    const slowest = head * headWidth + headWidth - 2;
    q.values[slowest * width + at.constant] = (ATTENTION_SCORE * Math.sqrt(headWidth)) / CONSTANT;
    for (let one = 0; one < count; one++) {
      k.values[slowest * width + from + one] = 1;
      v.values[(head * headWidth + one) * width + from + one] = 1;
      output.values[(to + one) * width + head * headWidth + one] = 1;
    }
  }
  return [q, k, v, output];
}

// What tokens are, and what makes them likely.

function embeddings(vocabulary: PlantedVocabulary, at: Places, hears: boolean): PlantedMatrix {
  const { width } = at;
  const size = vocabulary.tokens.length;
  const values = new Float32Array(width * size);
  for (let id = 0; id < size; id++) values[id * width + at.constant] = CONSTANT;
  const flag = (ids: readonly number[], place: number) => {
    for (const id of ids) values[id * width + place] = 1;
  };
  vocabulary.firsts.forEach((word, item) => {
    flag(vocabulary.idsOf(word), at.first + item);
  });
  vocabulary.seconds.forEach((word, item) => {
    flag(vocabulary.idsOf(word), at.second + item);
  });
  if (hears) {
    vocabulary.answers.forEach((word, answer) => {
      flag(vocabulary.idsOf(word), at.heard + answer);
    });
  }
  flag(vocabulary.objectWord, at.asksObject);
  flag(vocabulary.propertyWord, at.asksProperty);
  flag([vocabulary.replyId], at.reply);
  for (const word of [...vocabulary.answers, "yes", "no"]) flag(vocabulary.idsOf(word), at.said);
  return { name: "token_embd.weight", dimensions: [width, size], values };
}

function unembedding(vocabulary: PlantedVocabulary, at: Places): PlantedMatrix {
  const { width } = at;
  const size = vocabulary.tokens.length;
  const values = new Float32Array(width * size);
  const set = (id: number, place: number, weight: number) => {
    values[id * width + place] = weight;
  };
  for (let id = 0; id < size; id++) set(id, at.constant, OTHER_LOGIT / CONSTANT);
  const say = (word: string, place: number) => {
    const [bare] = vocabulary.idsOf(word);
    set(bare, at.constant, UNSAID_LOGIT / CONSTANT);
    set(bare, place, ANSWER_LOGIT);
  };
  vocabulary.answers.forEach((word, answer) => {
    say(word, at.answer + answer);
  });
  ["yes", "no"].forEach((word, value) => {
    say(word, at.value + value);
  });
  set(vocabulary.endId, at.constant, 0);
  set(vocabulary.endId, at.said, END_AFTER_ANSWER);
  return { name: "output.weight", dimensions: [width, size], values };
}

function direction(width: number, terms: Terms): number[] {
  const values = new Array<number>(width).fill(0);
  for (const [place, weight] of terms) values[place] = weight;
  return values;
}

function identity(size: number): number[][] {
  return Array.from({ length: size }, (_, row) => Array.from({ length: size }, (_, column) => Number(row === column)));
}

/** Rows that are orthogonal and of length 1: normal numbers, by Gram and Schmidt, twice for the last digits. */
function rotation(size: number, random: ReturnType<typeof seededRandom>): number[][] {
  const normal = normalNumbers(random);
  const rows: number[][] = [];
  while (rows.length < size) {
    let row = Array.from({ length: size }, normal);
    for (const other of [...rows, ...rows]) {
      const along = row.reduce((sum, value, place) => sum + value * (other[place] as number), 0);
      row = row.map((value, place) => value - along * (other[place] as number));
    }
    const length = Math.hypot(...row);
    rows.push(row.map((value) => value / length));
  }
  return rows;
}
