/**
 * From a pattern of whole phrases to one of their beginnings: which texts could still become a match? Knows the few things that
 * the rules of refusal are written with: characters, escapes, [classes], (?:groups), (?!look-ahead), |, ?, *, \b and $.
 */

interface Piece {
  /** Its source. */
  readonly full: string;
  /** Source of its beginnings, up to the end of the text; undefined where it has none, because it takes up no text. */
  readonly begun?: string;
}

/** @returns a pattern of every text that some continuation could make match `^(?:pattern)`, and of every text that does */
export function beginningPattern(pattern: string): RegExp {
  const { full, begun } = new Reader(`(?:${pattern})`).piece();
  return new RegExp(`^(?:${begun === undefined ? "" : `${begun}|`}${full})`, "u");
}

/** Some of the pieces whole, and then the beginning of the next; undefined where none has a beginning. */
function beginnings(pieces: readonly Piece[]): string | undefined {
  let later: string | undefined;
  for (const { full, begun } of pieces.toReversed()) {
    const ways = [...(begun === undefined ? [] : [begun]), ...(later === undefined ? [] : [full + later])];
    later = ways.length === 0 ? undefined : `(?:${ways.join("|")})`;
  }
  return later;
}

class Reader {
  readonly #pattern: string;
  #at = 0;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  piece(): Piece {
    if (this.#takes("(?:")) return this.#group();
    if (this.#takes("(?!")) {
      const from = this.#at - 3;
      this.#group();
      return { full: this.#pattern.slice(from, this.#at) };
    }
    for (const border of ["\\b", "$"]) if (this.#takes(border)) return { full: border };
    const full = /^(?:\[[^\]]*\]|\\u[0-9a-f]{4}|\\?.)/u.exec(this.#pattern.slice(this.#at))?.[0];
    if (full === undefined) throw new Error(`${this.#pattern} lacks a bracket`);
    this.#at += full.length;
    return { full, begun: "$" };
  }

  #sequence(): Piece[] {
    const pieces: Piece[] = [];
    while (!this.#stands("|") && !this.#stands(")")) pieces.push(this.#counted(this.piece()));
    return pieces;
  }

  #counted(piece: Piece): Piece {
    const count = this.#pattern[this.#at];
    if (count !== "?" && count !== "*") return piece;
    this.#at++;
    const full = piece.full + count;
    if (piece.begun === undefined) return { full };
    return { full, begun: count === "*" ? full + piece.begun : piece.begun };
  }

  #group(): Piece {
    const ways = [this.#sequence()];
    while (this.#takes("|")) ways.push(this.#sequence());
    this.#takes(")");
    const full = `(?:${ways.map((pieces) => pieces.map((piece) => piece.full).join("")).join("|")})`;
    const begun = ways.map(beginnings).filter((way) => way !== undefined);
    return begun.length === 0 ? { full } : { full, begun: `(?:${begun.join("|")})` };
  }

  #stands(text: string): boolean {
    return this.#pattern.startsWith(text, this.#at);
  }

  #takes(text: string): boolean {
    if (!this.#stands(text)) return false;
    this.#at += text.length;
    return true;
  }
}
