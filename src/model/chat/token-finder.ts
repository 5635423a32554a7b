/** Finds the texts of special tokens in a text. */

interface OfOneLength {
  /** UTF-8 bytes, by which llama.cpp orders them. */
  readonly bytes: number;
  /** UTF-16 code units. */
  readonly units: number;
  readonly firstUnits: ReadonlySet<number>;
}

/**
 * Cuts a text at the texts of tokens as llama.cpp does: the longest tokens first, wherever they stand, each from the left.
 * Time grows with the text's length alone, however often a token stands in it.
 */
export class TokenFinder {
  private readonly lengths: readonly OfOneLength[];
  private readonly firstUnits = new Set<number>();

  /** @param ids of the tokens, by their text; an empty text is never found */
  constructor(private readonly ids: ReadonlyMap<string, number>) {
    const lengths = new Map<string, { bytes: number; units: number; firstUnits: Set<number> }>();
    for (const text of ids.keys()) {
      if (text === "") continue;
      const first = text.charCodeAt(0);
      const bytes = Buffer.byteLength(text);
      const key = `${bytes} ${text.length}`;
      const known = lengths.get(key) ?? { bytes, units: text.length, firstUnits: new Set<number>() };
      known.firstUnits.add(first);
      lengths.set(key, known);
      this.firstUnits.add(first);
    }
    this.lengths = [...lengths.values()].sort((a, b) => b.bytes - a.bytes);
  }

  /** @returns the text in order: stretches between tokens as they are (never empty), tokens as ids */
  cut(text: string): (string | number)[] {
    if (text === "") return [];
    const found = this.find(text);
    if (found.size === 0) return [text];
    const pieces: (string | number)[] = [];
    let from = 0;
    for (const start of [...found.keys()].sort((a, b) => a - b)) {
      if (start > from) pieces.push(text.slice(from, start));
      const token = found.get(start) as string;
      pieces.push(this.ids.get(token) as number);
      from = start + token.length;
    }
    if (from < text.length) pieces.push(text.slice(from));
    return pieces;
  }

  /** Texts of the tokens by where they begin; none overlaps another. */
  private find(text: string): Map<number, string> {
    const found = new Map<number, string>();
    const candidates: number[] = [];
    for (let at = 0; at < text.length; at++) if (this.firstUnits.has(text.charCodeAt(at))) candidates.push(at);
    if (candidates.length === 0) return found;
    const taken = new Uint8Array(text.length);
    for (const { units, firstUnits } of this.lengths) {
      let free = 0;
      for (const at of candidates) {
        if (at < free || taken[at] === 1 || !firstUnits.has(text.charCodeAt(at))) continue;
        const token = text.slice(at, at + units);
        if (token.length !== units || !this.ids.has(token) || taken.subarray(at, at + units).includes(1)) continue;
        taken.fill(1, at, at + units);
        found.set(at, token);
        free = at + units;
      }
    }
    return found;
  }
}
