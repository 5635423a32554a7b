/**
 * SentencePiece's merging, as llama.cpp does it for vocabularies of the kind "llama" (SPM), but for a stretch of text that stands
 * anywhere: llama.cpp sets a word's beginning before every text that it is given, which a text that goes on does not have.
 */

import { Heap } from "../../base/heap.js";

/** What SentencePiece writes for a blank. */
const BLANK = "\u2581";

export interface SentencePieces {
  /** Ids of the tokens that text may become, by their text. */
  readonly ids: ReadonlyMap<string, number>;
  /** Of each id: pairs with the greatest are merged first. Single precision, as the file has them. */
  readonly scores: Float32Array;
  /** Ids of the tokens for single bytes; undefined where the vocabulary has none for it. */
  readonly byteIds: readonly (number | undefined)[];
  /** UTF-16 code units of the longest token. */
  readonly longest: number;
}

/** @returns undefined where a character has neither a token nor tokens for its bytes */
export function mergeSentencePieces(
  text: string,
  { ids, scores, byteIds, longest }: SentencePieces,
): number[] | undefined {
  const escaped = text.replaceAll(" ", BLANK);
  const idOf = (from: number, to: number): number | undefined => ids.get(escaped.slice(from, to));
  const { begins, ends, next } = mergedSymbols(escaped, longest, (from, to) => {
    const id = idOf(from, to);
    return id === undefined ? undefined : scores[id];
  });
  const merged: number[] = [];
  for (let symbol = 0; symbol >= 0 && symbol < begins.length; symbol = next[symbol] as number) {
    const [from, to] = [begins[symbol] as number, ends[symbol] as number];
    const id = idOf(from, to);
    if (id !== undefined) {
      merged.push(id);
      continue;
    }
    for (const byte of Buffer.from(escaped.slice(from, to))) {
      const byteId = byteIds[byte];
      if (byteId === undefined) return undefined;
      merged.push(byteId);
    }
  }
  return merged;
}

interface Symbols {
  readonly begins: Int32Array;
  readonly ends: Int32Array;
  /** Number of the next symbol that was not merged into an earlier one; -1 after the last. */
  readonly next: Int32Array;
}

/** Starts from single characters and merges the neighbours with the greatest score, the leftmost of equals, while there are any. */
function mergedSymbols(
  text: string,
  longest: number,
  scoreOf: (from: number, to: number) => number | undefined,
): Symbols {
  const starts: number[] = [];
  for (let at = 0; at < text.length; at += (text.codePointAt(at) as number) > 0xffff ? 2 : 1) starts.push(at);
  const count = starts.length;
  const begins = Int32Array.from(starts);
  const ends = Int32Array.from(starts, (_, symbol) => starts[symbol + 1] ?? text.length);
  const next = Int32Array.from(starts, (_, symbol) => (symbol + 1 < count ? symbol + 1 : -1));
  const previous = Int32Array.from(starts, (_, symbol) => symbol - 1);
  const queue = new Heap(comesBefore);
  const offer = (left: number, right: number): void => {
    if (left < 0 || right < 0) return;
    const [from, to] = [begins[left] as number, ends[right] as number];
    if (to - from > longest) return;
    const score = scoreOf(from, to);
    if (score !== undefined) queue.push({ left, right, end: to, score });
  };
  for (let symbol = 1; symbol < count; symbol++) offer(symbol - 1, symbol);
  for (let pair = queue.pop(); pair; pair = queue.pop()) {
    const { left, right, end } = pair;
    // Either side may have been merged since: a symbol that is gone is empty, one that has grown ends elsewhere.
    if (begins[left] === ends[left] || begins[right] === ends[right]) continue;
    if (next[left] !== right || ends[right] !== end) continue;
    ends[left] = end;
    begins[right] = end;
    const after = next[right] as number;
    next[left] = after;
    if (after >= 0) previous[after] = left;
    offer(previous[left] as number, left);
    offer(left, after);
  }
  return { begins, ends, next };
}

interface Neighbours {
  readonly left: number;
  readonly right: number;
  /** Where the right symbol ended when the pair was seen. */
  readonly end: number;
  readonly score: number;
}

/** The greatest score first, the leftmost of equals. */
function comesBefore(one: Neighbours, other: Neighbours): boolean {
  return one.score > other.score || (one.score === other.score && one.left < other.left);
}
