import { foldCase, normalize } from "./text.js";

// From a pattern of whole phrases to one of their beginnings: which texts could still become a match? Knows the few things that
// the rules of refusal are written with: characters, escapes, [classes], (?:groups), (?!look-ahead), |, ?, *, \b and $.

interface Piece {
  /** Its source. */
  readonly full: string;
  /** Source of its beginnings, up to the end of the text; undefined where it has none, because it takes up no text. */
  readonly begun?: string;
}

/** @returns a pattern of every text that some continuation could make match `^(?:pattern)`, and of every text that does */
function beginningPattern(pattern: string): RegExp {
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

/**
 * Texts that decline instead of answering. The rules look for what only a refusal says, at the place where a refusal says it:
 * stories contain apologies and people who cannot help smiling, and lists of words contain "sorry" and "unknown".
 */

const ADVERB = "(?:very |so |really |truly |afraid |just |only |simply )*";
const MODEL =
  "(?:ai\\b|artificial intelligence|(?:large |small )*language model|chat ?bot\\b|virtual assistant|text-based (?:ai|model)|computer program)";
const DECLINED =
  "(?:answer|assist|comply|respond to|reply to|predict|determine|provide|fulfil|generate|complete (?:this|that|the|your)|continue (?:this|that|with this|the list|the sequence)|help (?:you|with)|give (?:you )?(?:an?|the) (?:answer|response|prediction)|do (?:that|this) for you|know (?:what|how) (?:i|my|you))";

/** A closing quote right after means that a character in a story speaks. */
const NOT_SPOKEN = '(?![,.!]?["\\u201d])';

const AT_THE_START = [
  `i(?:'m| am) ${ADVERB}sorry\\b${NOT_SPOKEN}`,
  `sorry(?:$|[,.!:;]${NOT_SPOKEN}|,? (?:but|i|for|about|that)\\b)`,
  `(?:i apologi[sz]e|i must apologi[sz]e|(?:my |please accept my )?apologies)(?:$|[,.!]${NOT_SPOKEN}|,? (?:but|for|that|i)\\b)`,
  `(?:unfortunately,? )?i (?:cannot|can't|can not|will not|won't|do not|don't) ${ADVERB}${DECLINED}`,
  `(?:unfortunately,? )?i(?:'m| am) ${ADVERB}(?:unable|not able|not allowed|not permitted|not programmed) to ${DECLINED}`,
  "i (?:do not|don't) have (?:the ability|the capability|enough (?:information|context)|access to|personal|feelings|preferences|opinions)",
  "i (?:must|have to|will have to) (?:respectfully )?decline\\b",
  "i(?: would|'d) (?:rather|prefer) not (?:to )?(?:say|answer|choose|respond)",
  "i refuse to (?:answer|choose|respond)",
  "there (?:is not|isn't) enough (?:information|context)",
  `it is (?:not possible|impossible) (?:for me )?to ${DECLINED}`,
];
const STARTS = AT_THE_START.map((rule) => new RegExp(`^(?:${rule})`, "u"));
const START_BEGUN = beginningPattern(AT_THE_START.join("|"));

const ANYWHERE = [new RegExp(`\\bas an? ${MODEL}`, "u"), new RegExp(`\\bi(?:'m| am) ${ADVERB}an? ${MODEL}`, "u")];

/** Only where nothing else is said. */
const WHOLE = new Set([
  "n/a",
  "no answer",
  "no comment",
  "i cannot",
  "i can't",
  "i don't know",
  "i do not know",
  "i'm not sure",
  "i am not sure",
  "cannot answer",
  "can't answer",
  "unable to answer",
  "cannot be determined",
]);

const WHOLE_TEXTS = [...WHOLE];
/** What the normal form takes off the beginning, and off the end, of a text. */
const BEFORE = /^[\s"'`\u2018-\u201b\u201c-\u201f\u00ab\u00bb\u2039\u203a]+/u;
const AFTER =
  /^[\s"'`\u2018-\u201b\u201c-\u201f\u00ab\u00bb\u2039\u203a.,;:!?\u2026\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f]*$/u;
/** Characters after a match that a rule may still look at. */
const LOOK_AHEAD = 2;

function plain(text: string): string {
  return text
    .replace(/[\u2018\u2019]/gu, "'")
    .toLowerCase()
    .replace(/\s+/gu, " ")
    .trim();
}

export function isRefusal(text: string): boolean {
  const said = plain(text);
  return (
    WHOLE.has(normalize(said)) || STARTS.some((rule) => rule.test(said)) || ANYWHERE.some((rule) => rule.test(said))
  );
}

/**
 * Whether a text that begins so is a refusal whatever follows (`refusal`), can still become one by its beginning or as a whole
 * (`open`), or only by calling itself a language model later on, which any text can (`answer`).
 */
export function refusalBegun(beginning: string): "refusal" | "open" | "answer" {
  const said = plain(beginning);
  const begun = [...(START_BEGUN.test(said) ? STARTS : []), ...ANYWHERE];
  const matches = begun.map((rule) => rule.exec(said)).filter((match) => match !== null);
  if (matches.some((match) => match.index + match[0].length + LOOK_AHEAD <= said.length)) return "refusal";
  if (begun.length > ANYWHERE.length || matches.length > 0) return "open";
  const bare = foldCase(said).replace(BEFORE, "");
  const couldBeWhole = WHOLE_TEXTS.some(
    (whole) => whole.startsWith(bare) || (bare.startsWith(whole) && AFTER.test(bare.slice(whole.length))),
  );
  return couldBeWhole ? "open" : "answer";
}
