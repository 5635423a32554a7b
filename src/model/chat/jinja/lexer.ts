/** Cuts a template into tokens as jinja2's lexer does with trim_blocks and lstrip_blocks. */

import { Raised, Unsupported } from "./budget.js";
import { SPACE, Text } from "./python-text.js";

export interface Token {
  readonly type:
    | "data"
    | "name"
    | "string"
    | "integer"
    | "float"
    | "operator"
    | "block_begin"
    | "block_end"
    | "variable_begin"
    | "variable_end"
    | "eof";
  /** What a string says, what a number is, the name or operator itself. */
  readonly value: string | number | bigint;
  readonly line: number;
}

export function syntaxError(message: string, line: number): Raised {
  return new Raised("TemplateSyntaxError", `${message} (line ${line})`);
}

const sticky = (source: string) => new RegExp(source, "yu");
const WHITE = sticky(`[${SPACE}]+`);
const RAW_BEGIN = sticky(`\\{%[-+]?[${SPACE}]*raw[${SPACE}]*(?:-%\\}[${SPACE}]*|%\\})`);
const RAW_END = new RegExp(`\\{%([-+]?)[${SPACE}]*endraw[${SPACE}]*(?:\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?)`, "gu");
const BLOCK_END = sticky(`\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?`);
const VARIABLE_END = sticky(`-\\}\\}[${SPACE}]*|\\}\\}`);
const FLOAT = sticky("(?<!\\.)(?:\\d+_)*\\d+(?:(?:\\.(?:\\d+_)*\\d+)?[eE][+-]?(?:\\d+_)*\\d+|\\.(?:\\d+_)*\\d+)");
const INTEGER = sticky("0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\\da-fA-F])+|[1-9](?:_?\\d)*|0(?:_?0)*");
const NAME = sticky("[\\p{ID_Continue}\\p{N}_]+");
const STRING = sticky("'[^'\\\\]*(?:\\\\[^][^'\\\\]*)*'|\"[^\"\\\\]*(?:\\\\[^][^\"\\\\]*)*\"");
const OPERATOR = sticky("//|\\*\\*|==|!=|>=|<=|[-+/*%~[\\](){}><=.:|,;]");
const IDENTIFIER = /^[\p{ID_Start}_]\p{ID_Continue}*$/u;
const PAIRS: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/** @throws Raised TemplateSyntaxError */
export function tokenize(template: string): Token[] {
  const source = template.replace(/\r\n|\r/g, "\n").replace(/\n$/, "");
  return new Lexer(source).run();
}

type Take = (lexer: Lexer, text: string, open: string[]) => void;

/** What may stand in a tag, in the order in which it is tried. */
const RULES: readonly (readonly [RegExp, Take])[] = [
  [WHITE, () => {}],
  [FLOAT, (lexer, text) => lexer.add("float", Number(text.replaceAll("_", "")))],
  [INTEGER, (lexer, text) => lexer.add("integer", BigInt(text.replaceAll("_", "")))],
  [NAME, (lexer, text) => lexer.name(text)],
  [STRING, (lexer, text) => lexer.string(text)],
  [OPERATOR, (lexer, text, open) => lexer.operator(text, open)],
];

class Lexer {
  private readonly tokens: Token[] = [];
  private at = 0;
  private line = 1;
  private lineStarting = true;

  constructor(private readonly source: string) {}

  run(): Token[] {
    while (this.at < this.source.length) this.root();
    this.add("eof", "");
    return this.tokens;
  }

  add(type: Token["type"], value: Token["value"]): void {
    this.tokens.push({ type, value, line: this.line });
  }

  private moveTo(end: number): void {
    for (let at = this.at; at < end; at++) if (this.source[at] === "\n") this.line += 1;
    this.lineStarting = this.source[end - 1] === "\n";
    this.at = end;
  }

  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    return pattern.exec(this.source)?.[0];
  }

  /** Text up to the next tag, and the tag. */
  private root(): void {
    const opening = /\{[%#{]/g;
    opening.lastIndex = this.at;
    const found = opening.exec(this.source);
    if (!found) {
      this.add("data", this.source.slice(this.at));
      this.moveTo(this.source.length);
      return;
    }
    const after = this.source[found.index + 2] ?? "";
    const sign = after === "-" || after === "+" ? after : "";
    this.data(this.source.slice(this.at, found.index), sign, found[0] !== "{{");
    this.moveTo(found.index);
    const raw = found[0] === "{%" ? this.match(RAW_BEGIN) : undefined;
    if (raw !== undefined) {
      this.moveTo(this.at + raw.length);
      this.raw();
      return;
    }
    this.moveTo(this.at + 2 + sign.length);
    if (found[0] === "{#") this.comment();
    else this.inside(found[0] === "{%");
  }

  /** White space before a tag goes where the tag says so, or where a block stands alone in its line. */
  private data(text: string, sign: string, strips: boolean): void {
    let kept = text;
    if (sign === "-") {
      kept = new Text(text).trim(undefined, false, true).raw;
    } else if (sign !== "+" && strips) {
      const lineStart = text.lastIndexOf("\n") + 1;
      const blank = new Text(text.slice(lineStart)).trim(undefined, true, false).raw === "";
      if (blank && (lineStart > 0 || this.lineStarting)) kept = text.slice(0, lineStart);
    }
    if (kept !== "") this.add("data", kept);
  }

  private raw(): void {
    RAW_END.lastIndex = this.at;
    const end = RAW_END.exec(this.source);
    if (!end) throw syntaxError("Missing end of raw directive", this.line);
    this.data(this.source.slice(this.at, end.index), end[1] ?? "", true);
    this.moveTo(end.index + end[0].length);
  }

  private comment(): void {
    const end = this.source.indexOf("#}", this.at);
    if (end < 0) throw syntaxError("Missing end of comment tag", this.line);
    const sign = end > this.at ? this.source[end - 1] : "";
    this.moveTo(end + 2);
    if (sign === "-") this.moveTo(this.at + (this.match(WHITE)?.length ?? 0));
    else if (sign !== "+" && this.source[this.at] === "\n") this.moveTo(this.at + 1);
  }

  /** A tag's tokens, up to its end. */
  private inside(block: boolean): void {
    this.add(block ? "block_begin" : "variable_begin", "");
    const open: string[] = [];
    while (this.at < this.source.length) {
      const end = open.length === 0 ? this.match(block ? BLOCK_END : VARIABLE_END) : undefined;
      if (end !== undefined) {
        this.add(block ? "block_end" : "variable_end", "");
        this.moveTo(this.at + end.length);
        return;
      }
      this.token(open);
    }
  }

  private token(open: string[]): void {
    for (const [pattern, take] of RULES) {
      const text = this.match(pattern);
      if (text === undefined) continue;
      take(this, text, open);
      this.moveTo(this.at + text.length);
      return;
    }
    throw syntaxError(`unexpected char ${JSON.stringify(this.source[this.at])}`, this.line);
  }

  name(text: string): void {
    if (!IDENTIFIER.test(text)) throw syntaxError("Invalid character in identifier", this.line);
    this.add("name", text);
  }

  string(text: string): void {
    this.add("string", unescaped(text.slice(1, -1), this.line));
  }

  operator(text: string, open: string[]): void {
    this.balance(text, open);
    this.add("operator", text);
  }

  private balance(operator: string, open: string[]): void {
    const closing = PAIRS[operator];
    if (closing !== undefined) open.push(closing);
    else if (")]}".includes(operator)) {
      const expected = open.pop();
      if (expected !== operator) throw syntaxError(`unexpected '${operator}'`, this.line);
    }
  }
}

const SIMPLE: Readonly<Record<string, string>> = {
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\n": "",
};

/** Python's "unicode-escape". An unknown escape stays as it is written. */
function unescaped(text: string, line: number): string {
  return text.replace(/\\([0-7]{1,3}|x.{0,2}|u.{0,4}|U.{0,8}|.)/gsu, (whole, code: string) => {
    if (/^[0-7]/.test(code)) return String.fromCodePoint(Number.parseInt(code, 8));
    const kind = code[0] as string;
    const digits = code.slice(1);
    const width = { x: 2, u: 4, U: 8 }[kind];
    if (width !== undefined) {
      const value = Number.parseInt(digits, 16);
      if (!new RegExp(`^[\\da-fA-F]{${width}}$`).test(digits) || value > 0x10ffff) {
        throw syntaxError(`truncated \\${kind} escape`, line);
      }
      return String.fromCodePoint(value);
    }
    if (kind === "N") throw new Unsupported("a \\N escape in a template's text");
    if (SIMPLE[code] !== undefined) return SIMPLE[code];
    const point = code.codePointAt(0) as number;
    if (point < 0x80) return whole;
    // jinja2 writes such a character as an escape of its own first, whose backslash this one then quotes.
    const [letter, size] = point < 0x100 ? ["x", 2] : point < 0x10000 ? ["u", 4] : ["U", 8];
    return `\\${letter}${point.toString(16).padStart(size as number, "0")}`;
  });
}
