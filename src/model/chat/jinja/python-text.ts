/**
 * Python's str that knows where it comes from. Each stretch that is a message's content carries the message's number, through
 * every slice, trim, split, join and replacement, so that the rendering itself tells what a person wrote and what the template
 * wrote. Placeholders could not: a template that looks at the content (`in`, `startswith`, `split('</think>')`) would branch
 * on the placeholder. Offsets are UTF-16 units here; Python counts code points, and what counts is translated at the border.
 */

import { grow, read, step } from "./budget.js";

/** Units [start, end) of a text are content of a message. */
export interface Origin {
  readonly start: number;
  readonly end: number;
  readonly message: number;
  /** Where in the content it begins; −1 when its characters were changed (upper case, escapes). */
  readonly from: number;
}

const NONE: readonly Origin[] = [];
const ASTRAL = /[\ud800-\udfff]/;

/** What str.isspace() says yes to; JavaScript's `\s` differs in U+001C to U+001F, U+0085 and U+FEFF. */
export const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const spaceOnly = new RegExp(`[${SPACE}]`);

export function isSpace(character: string): boolean {
  return spaceOnly.test(character);
}

export class Text {
  private offsets: number[] | undefined;

  /** @param markup whether it is markupsafe's Markup: what is joined to it gets escaped */
  constructor(
    readonly raw: string,
    readonly origins: readonly Origin[] = NONE,
    readonly markup = false,
  ) {}

  static content(raw: string, message: number): Text {
    return new Text(raw, raw === "" ? NONE : [{ start: 0, end: raw.length, message, from: 0 }]);
  }

  /** In code points. */
  get length(): number {
    return this.points()?.length ?? this.raw.length;
  }

  /** Unit offset of each code point; undefined when both count alike. */
  private points(): number[] | undefined {
    if (this.offsets === undefined) {
      this.offsets = [];
      read(this.raw.length);
      if (ASTRAL.test(this.raw)) {
        for (let at = 0; at < this.raw.length; at += (this.raw.codePointAt(at) as number) > 0xffff ? 2 : 1) {
          this.offsets.push(at);
        }
      }
    }
    return this.offsets.length === 0 ? undefined : this.offsets;
  }

  /** Unit offset of code point `index`, which is 0 to length. */
  unit(index: number): number {
    const points = this.points();
    return points === undefined ? index : (points[index] ?? this.raw.length);
  }

  /** Code points before unit offset `unit`. */
  point(unit: number): number {
    const points = this.points();
    if (points === undefined) return unit;
    let low = 0;
    let high = points.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((points[middle] as number) < unit) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The stretch between two unit offsets. */
  slice(start: number, end = this.raw.length): Text {
    if (start === 0 && end === this.raw.length) return this;
    if (end <= start) return new Text("", NONE, this.markup);
    if (this.origins.length === 0) return new Text(this.raw.slice(start, end), NONE, this.markup);
    const origins: Origin[] = [];
    for (const one of this.origins) {
      const from = Math.max(one.start, start);
      const to = Math.min(one.end, end);
      if (from >= to) continue;
      const moved = one.from < 0 ? -1 : one.from + from - one.start;
      origins.push({ start: from - start, end: to - start, message: one.message, from: moved });
    }
    return new Text(this.raw.slice(start, end), origins, this.markup);
  }

  /** The code point at this index, which exists. */
  character(index: number): Text {
    return this.slice(this.unit(index), this.unit(index + 1));
  }

  *characters(): Generator<Text> {
    for (let index = 0; index < this.length; index++) yield this.character(index);
  }

  plain(): Text {
    return this.withMarkup(false);
  }

  asMarkup(): Text {
    return this.withMarkup(true);
  }

  withMarkup(markup: boolean): Text {
    return this.markup === markup ? this : new Text(this.raw, this.origins, markup);
  }

  /** Changes each stretch by itself. Content stays content, but is no longer the text that was written, where it changed. */
  map(change: (stretch: string) => string): Text {
    if (this.origins.length === 0) {
      const changed = change(this.raw);
      grow(changed.length);
      return new Text(changed, NONE, this.markup);
    }
    const whole = new TextBuilder();
    let at = 0;
    for (const one of this.origins) {
      whole.push(change(this.raw.slice(at, one.start)));
      const before = this.raw.slice(one.start, one.end);
      const after = change(before);
      const from = after === before ? one.from : -1;
      whole.push(new Text(after, [{ start: 0, end: after.length, message: one.message, from }]));
      at = one.end;
    }
    whole.push(change(this.raw.slice(at)));
    return whole.build(this.markup);
  }

  /** Another text made of the whole: content of the same message as before wherever any of it was content. */
  replacedBy(raw: string): Text {
    if (raw === this.raw) return this;
    grow(raw.length);
    const message = this.origins[0]?.message;
    if (message === undefined || raw === "") return new Text(raw, NONE, this.markup);
    return new Text(raw, [{ start: 0, end: raw.length, message, from: -1 }], this.markup);
  }

  trim(characters: string | undefined, left: boolean, right: boolean): Text {
    const set = characters === undefined ? undefined : new Set(characters);
    const drops = (character: string) => (set === undefined ? isSpace(character) : set.has(character));
    let start = 0;
    let end = this.raw.length;
    while (left && start < end) {
      const character = String.fromCodePoint(this.raw.codePointAt(start) as number);
      if (!drops(character)) break;
      start += character.length;
    }
    while (right && end > start) {
      const pair = end - start >= 2 ? this.raw.slice(end - 2, end) : "";
      const character = pair !== "" && (pair.codePointAt(0) as number) > 0xffff ? pair : (this.raw[end - 1] as string);
      if (!drops(character)) break;
      end -= character.length;
    }
    // A character of white space costs more than one that is only copied.
    step((start + this.raw.length - end) / 8);
    return this.slice(start, end);
  }
}

export const EMPTY = new Text("");

/** Joins texts and keeps where each comes from. */
export class TextBuilder {
  private raw = "";
  private readonly origins: Origin[] = [];

  push(piece: Text | string): void {
    const raw = typeof piece === "string" ? piece : piece.raw;
    if (raw === "") return;
    grow(raw.length);
    const shift = this.raw.length;
    this.raw += raw;
    if (typeof piece === "string") return;
    for (const one of piece.origins) {
      const last = this.origins.at(-1);
      const start = one.start + shift;
      const end = one.end + shift;
      const continues =
        last !== undefined &&
        last.end === start &&
        last.message === one.message &&
        (last.from < 0 ? one.from < 0 : one.from === last.from + last.end - last.start);
      if (continues) this.origins[this.origins.length - 1] = { ...last, end };
      else this.origins.push({ start, end, message: one.message, from: one.from });
    }
  }

  build(markup = false): Text {
    return new Text(this.raw, this.origins.length === 0 ? NONE : [...this.origins], markup);
  }
}

export function join(pieces: Iterable<Text>, separator: Text = EMPTY): Text {
  const whole = new TextBuilder();
  let first = true;
  for (const piece of pieces) {
    if (!first) whole.push(separator);
    whole.push(piece);
    first = false;
  }
  return whole.build();
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
};

/** markupsafe's escape: Markup stays as it is. */
export function escapeMarkup(text: Text): Text {
  if (text.markup) return text;
  return text.map((stretch) => stretch.replace(/[&<>"']/g, (character) => ESCAPES[character] as string)).asMarkup();
}
