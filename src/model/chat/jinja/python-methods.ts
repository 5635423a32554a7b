/** What Python's built-in values have behind a dot, as the sandbox lets templates see it. */

import { grow, Raised, read, step, Unsupported } from "./budget.js";
import { formatText, type Lookup } from "./python-format.js";
import { sliceBounds, sequenceItem } from "./python-operators.js";
import { EMPTY, escapeMarkup, isSpace, join, Text } from "./python-text.js";
import {
  Callable,
  Dict,
  DictView,
  each,
  equal,
  isInt,
  type Keywords,
  List,
  Namespace,
  Range,
  strOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./python-values.js";

/** Methods that change a list or dict: the sandbox shows them and refuses their use. */
const CHANGING: Readonly<Record<string, readonly string[]>> = {
  list: ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"],
  dict: ["clear", "pop", "popitem", "setdefault", "update"],
};

/**
 * Python's getattr.
 * @returns undefined when there is no such attribute
 */
export function attributeOf(value: Value, name: string): Value | undefined {
  if (value instanceof Undefined) return name.startsWith("__") && name.endsWith("__") ? undefined : value.fail();
  if (name.startsWith("__")) return undefined;
  if (value instanceof Text) return textAttribute(value, name);
  if (value instanceof Namespace) return value.attributes.get(new Text(name));
  if (value instanceof Dict) return changing(value, name) ?? dictAttribute(value, name);
  if (value instanceof List) {
    if (value instanceof Tuple) {
      const field = value.names.indexOf(name);
      if (field >= 0) return value.items[field];
    } else {
      const refused = changing(value, name);
      if (refused !== undefined) return refused;
    }
    return listAttribute(value, name);
  }
  if (value instanceof Range) {
    if (name === "start") return value.start;
    if (name === "stop") return value.stop;
    if (name === "step") return value.stride;
    return name === "index" || name === "count" ? listAttribute(new List([...each(value)]), name) : undefined;
  }
  if (typeof value === "number") {
    return name === "is_integer" ? method(name, [], () => Number.isInteger(value)) : undefined;
  }
  if (isInt(value)) {
    if (name === "real" || name === "numerator") return BigInt(value);
    if (name === "imag") return 0n;
    if (name === "denominator") return 1n;
    if (name === "bit_length") {
      const size = BigInt(value) < 0n ? -BigInt(value) : BigInt(value);
      return method(name, [], () => BigInt(size === 0n ? 0 : size.toString(2).length));
    }
    return undefined;
  }
  if (value !== null && "attribute" in value) {
    return (value as { attribute: (name: string) => Value | undefined }).attribute(name);
  }
  return undefined;
}

function changing(value: Value, name: string): Undefined | undefined {
  if (!CHANGING[typeName(value)]?.includes(name)) return undefined;
  return new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe.`, "SecurityError");
}

/** Jinja's `value.name`: the attribute, else the item. */
export function getAttribute(value: Value, name: string): Value {
  const found = attributeOf(value, name);
  if (found !== undefined) {
    if (!name.startsWith("_")) return found;
    return new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe.`, "SecurityError");
  }
  const item = itemOf(value, new Text(name));
  return item === undefined ? notFound(value, new Text(name)) : item;
}

/** Jinja's `value[key]`: the item, else the attribute. */
export function getItem(value: Value, key: Value): Value {
  const found = itemOf(value, key);
  if (found !== undefined) return found;
  if (key instanceof Text) {
    const attribute = attributeOf(value, key.raw);
    if (attribute !== undefined) {
      if (!key.raw.startsWith("_")) return attribute;
      return new Undefined(
        `access to attribute '${key.raw}' of '${typeName(value)}' object is unsafe.`,
        "SecurityError",
      );
    }
  }
  return notFound(value, key);
}

function notFound(value: Value, key: Value): Undefined {
  const of = value === null ? "None" : `${typeName(value)} object`;
  if (key instanceof Text) return new Undefined(`'${of}' has no attribute '${key.raw}'`);
  return new Undefined(`${of} has no element ${typeName(key)}`);
}

/** @returns undefined where Python raises TypeError or LookupError */
function itemOf(value: Value, key: Value): Value | undefined {
  if (value instanceof Undefined) return value.fail();
  if (value instanceof Dict) {
    try {
      return value.get(key);
    } catch (error) {
      if (error instanceof Raised && error.kind === "TypeError") return undefined;
      throw error;
    }
  }
  if (value instanceof Text || value instanceof List || value instanceof Range) {
    return isInt(key) ? sequenceItem(value, BigInt(key)) : undefined;
  }
  return undefined;
}

export const lookup: Lookup = { attribute: getAttribute, item: getItem };

/**
 * Puts arguments in the order of the parameters.
 * @param parameters by name; a `?` behind one that may be left out; all positional-only when none may be named
 * @throws Raised TypeError
 */
export function bind(
  name: string,
  parameters: readonly string[],
  args: readonly Value[],
  keywords: Keywords,
): (Value | undefined)[] {
  if (args.length > parameters.length) {
    throw new Raised("TypeError", `${name}() takes at most ${parameters.length} arguments (${args.length} given)`);
  }
  const names = parameters.map((parameter) => parameter.replace("?", ""));
  const bound: (Value | undefined)[] = names.map((_, index) => args[index]);
  for (const [key, value] of keywords) {
    const index = names.indexOf(key);
    if (index < 0) throw new Raised("TypeError", `${name}() got an unexpected keyword argument '${key}'`);
    if (bound[index] !== undefined)
      throw new Raised("TypeError", `${name}() got multiple values for argument '${key}'`);
    bound[index] = value;
  }
  const absent = parameters.findIndex((parameter, index) => !parameter.endsWith("?") && bound[index] === undefined);
  if (absent >= 0) throw new Raised("TypeError", `${name}() missing required argument '${names[absent]}'`);
  return bound;
}

/** A method whose arguments have no names. */
function method(name: string, parameters: readonly string[], run: (args: (Value | undefined)[]) => Value): Callable {
  return new Callable(name, (args, keywords) => {
    if (keywords.size > 0) throw new Raised("TypeError", `${name}() takes no keyword arguments`);
    return run(bind(name, parameters, args, keywords));
  });
}

function dictAttribute(dict: Dict, name: string): Value | undefined {
  switch (name) {
    case "get":
      return method(name, ["key", "default?"], ([key, fallback]) => {
        const found = dict.get(key as Value);
        return found === undefined ? (fallback ?? null) : found;
      });
    case "keys":
    case "values":
    case "items":
      return method(name, [], () => new DictView(dict, name));
    case "copy":
      return method(name, [], () => new Dict(dict.pairs()));
    case "fromkeys":
      return method(name, ["iterable", "value?"], ([keys, value]) => fromKeys(keys as Value, value ?? null));
    default:
      return undefined;
  }
}

export function fromKeys(keys: Value, value: Value): Dict {
  return new Dict([...each(keys)].map((key) => [key, value] as const));
}

function listAttribute(list: List, name: string): Value | undefined {
  switch (name) {
    case "count":
      return method(name, ["value"], ([value]) =>
        BigInt(list.items.filter((item) => equal(item, value as Value)).length),
      );
    case "index":
      return method(name, ["value", "start?", "stop?"], ([value, start, stop]) => {
        const cut = sliceBounds(start, stop, undefined, list.items.length);
        for (let at = cut.start; at < cut.stop; at++)
          if (equal(list.items[at] as Value, value as Value)) return BigInt(at);
        throw new Raised("ValueError", "value is not in list");
      });
    case "copy":
      return list instanceof Tuple ? undefined : method(name, [], () => new List([...list.items]));
    default:
      return undefined;
  }
}

type TextMethod = (text: Text, args: (Value | undefined)[]) => Value;

/** @throws Raised TypeError */
function textOf(value: Value | undefined, what: string): Text {
  if (value instanceof Text) return value;
  throw new Raised("TypeError", `${what} must be str, not ${typeName(value as Value)}`);
}

function intOf(value: Value | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (isInt(value)) return Number(value);
  throw new Raised("TypeError", `'${typeName(value)}' object cannot be interpreted as an integer`);
}

const strip =
  (left: boolean, right: boolean): TextMethod =>
  (text, [characters]) => {
    if (characters === undefined || characters === null) return text.trim(undefined, left, right);
    return text.trim(textOf(characters, "strip arg").raw, left, right);
  };

const cased =
  (change: (raw: string) => string): TextMethod =>
  (text) =>
    text.map(change);

const is =
  (test: (raw: string) => boolean): TextMethod =>
  (text) =>
    test(text.raw);

const every = (pattern: RegExp) => is((raw) => raw !== "" && [...raw].every((character) => pattern.test(character)));

const starts =
  (matches: (raw: string, part: string) => boolean): TextMethod =>
  (text, [part, start, stop]) => {
    const cut = sliceBounds(start, stop, undefined, text.length);
    if (intOf(start === null ? undefined : start, 0) > text.length) return false;
    if (cut.start > cut.stop) return false;
    const raw = start === undefined ? text.raw : text.raw.slice(text.unit(cut.start), text.unit(cut.stop));
    const parts = part instanceof Tuple ? part.items : [part as Value];
    return parts.some((one) => matches(raw, textOf(one, "first arg").raw));
  };

const find =
  (fromEnd: boolean, must: boolean): TextMethod =>
  (text, [part, start, stop]) => {
    const wanted = textOf(part, "substring").raw;
    const cut = sliceBounds(start, stop, undefined, text.length);
    let at = -1;
    if (cut.start <= cut.stop && intOf(start === null ? undefined : start, 0) <= text.length) {
      const offset = text.unit(cut.start);
      const raw = text.raw.slice(offset, text.unit(cut.stop));
      const unit = fromEnd ? raw.lastIndexOf(wanted) : raw.indexOf(wanted);
      if (unit >= 0) at = text.point(offset + unit);
    }
    if (at < 0 && must) throw new Raised("ValueError", "substring not found");
    return BigInt(at);
  };

/** Text methods by name: their parameters, what they do, and whether arguments may be named. */
const TEXT_METHODS: Readonly<Record<string, readonly [readonly string[], TextMethod, named?: true]>> = {
  strip: [["chars?"], strip(true, true)],
  lstrip: [["chars?"], strip(true, false)],
  rstrip: [["chars?"], strip(false, true)],
  upper: [[], cased((raw) => raw.toUpperCase())],
  lower: [[], (text) => lowerCase(text)],
  casefold: [[], cased((raw) => raw.toLowerCase().replaceAll("ß", "ss").replaceAll("ς", "σ"))],
  swapcase: [
    [],
    cased((raw) => [...raw].map((one) => (isUpper(one) ? one.toLowerCase() : one.toUpperCase())).join("")),
  ],
  capitalize: [[], (text) => capitalize(text)],
  title: [[], (text) => text.replacedBy(titleCase(text.raw))],
  isalpha: [[], every(/\p{L}/u)],
  isdigit: [[], every(/[\p{Nd}²³¹⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐]/u)],
  isdecimal: [[], every(/\p{Nd}/u)],
  isnumeric: [[], every(/\p{N}/u)],
  isalnum: [[], every(/[\p{L}\p{N}]/u)],
  isspace: [[], is((raw) => raw !== "" && [...raw].every(isSpace))],
  isupper: [[], is((raw) => isUpper(raw))],
  islower: [[], is((raw) => isLower(raw))],
  istitle: [[], is((raw) => /\p{L}/u.test(raw) && titleCase(raw) === raw && raw.toLowerCase() !== raw)],
  isascii: [[], is((raw) => /^[\0-\x7f]*$/.test(raw))],
  isidentifier: [[], is((raw) => /^[\p{ID_Start}_][\p{ID_Continue}]*$/u.test(raw))],
  isprintable: [[], is((raw) => !/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(raw))],
  startswith: [["prefix", "start?", "end?"], starts((raw, part) => raw.startsWith(part))],
  endswith: [["suffix", "start?", "end?"], starts((raw, part) => raw.endsWith(part))],
  find: [["sub", "start?", "end?"], find(false, false)],
  rfind: [["sub", "start?", "end?"], find(true, false)],
  index: [["sub", "start?", "end?"], find(false, true)],
  rindex: [["sub", "start?", "end?"], find(true, true)],
  count: [
    ["sub", "start?", "end?"],
    (text, [part, start, stop]) => {
      const cut = sliceBounds(start, stop, undefined, text.length);
      const wanted = textOf(part, "substring").raw;
      if (cut.start > cut.stop) return 0n;
      const inside = text.slice(text.unit(cut.start), text.unit(cut.stop));
      if (wanted === "") return BigInt(inside.length + 1);
      return BigInt(inside.raw.split(wanted).length - 1);
    },
  ],
  replace: [
    ["old", "new", "count?"],
    (text, [old, by, count]) => replace(text, textOf(old, "old"), textOf(by, "new"), intOf(count, -1)),
  ],
  split: [["sep?", "maxsplit?"], (text, [by, most]) => splitMethod(text, by, most, false), true],
  rsplit: [["sep?", "maxsplit?"], (text, [by, most]) => splitMethod(text, by, most, true), true],
  splitlines: [
    ["keepends?"],
    (text, [keep]) => new List(splitLines(text, keep !== undefined && keep !== false && keep !== 0n)),
    true,
  ],
  partition: [["sep"], (text, [by]) => partition(text, textOf(by, "sep"), false)],
  rpartition: [["sep"], (text, [by]) => partition(text, textOf(by, "sep"), true)],
  removeprefix: [
    ["prefix"],
    (text, [part]) => (text.raw.startsWith(textOf(part, "prefix").raw) ? text.slice((part as Text).raw.length) : text),
  ],
  removesuffix: [
    ["suffix"],
    (text, [part]) => {
      const { raw } = textOf(part, "suffix");
      return raw !== "" && text.raw.endsWith(raw) ? text.slice(0, text.raw.length - raw.length) : text;
    },
  ],
  join: [
    ["iterable"],
    (text, [items]) => {
      const pieces = [...each(items as Value)].map((item, index) => {
        if (item instanceof Text) return text.markup ? escapeMarkup(item) : item;
        if (text.markup) return escapeMarkup(strOf(item));
        throw new Raised("TypeError", `sequence item ${index}: expected str instance, ${typeName(item)} found`);
      });
      return join(pieces, text).withMarkup(text.markup);
    },
  ],
  center: [["width", "fill?"], (text, [width, fill]) => pad(text, intOf(width, 0), fill, "center")],
  ljust: [["width", "fill?"], (text, [width, fill]) => pad(text, intOf(width, 0), fill, "left")],
  rjust: [["width", "fill?"], (text, [width, fill]) => pad(text, intOf(width, 0), fill, "right")],
  zfill: [
    ["width"],
    (text, [width]) => {
      const sign = /^[+-]/.test(text.raw) ? 1 : 0;
      const missingZeros = Math.max(0, intOf(width, 0) - text.length);
      grow(missingZeros);
      return join([text.slice(0, sign), new Text("0".repeat(missingZeros)), text.slice(sign)]);
    },
  ],
  expandtabs: [["tabsize?"], (text, [size]) => expandTabs(text, intOf(size, 8)), true],
};

const UNSUPPORTED_TEXT = ["encode", "translate", "maketrans"];

function textAttribute(text: Text, name: string): Value | undefined {
  if (name === "format") {
    return new Callable(name, (args, keywords) => formatText(text, args, keywords, lookup));
  }
  if (name === "format_map") {
    return method(name, ["mapping"], ([mapping]) => {
      if (!(mapping instanceof Dict)) throw new Raised("TypeError", "format_map() needs a mapping");
      const pairs = mapping.pairs().filter(([key]) => key instanceof Text);
      return formatText(text, [], new Map(pairs.map(([key, value]) => [(key as Text).raw, value])), lookup);
    });
  }
  if (UNSUPPORTED_TEXT.includes(name)) throw new Unsupported(`str.${name}`);
  const found = Object.hasOwn(TEXT_METHODS, name) ? TEXT_METHODS[name] : undefined;
  if (found === undefined) return undefined;
  const [parameters, run, named] = found;
  return new Callable(name, (args, keywords) => {
    if (!named && keywords.size > 0) throw new Raised("TypeError", `str.${name}() takes no keyword arguments`);
    read(text.raw.length);
    return run(text, bind(name, parameters, args, keywords));
  });
}

export function isUpper(raw: string): boolean {
  return raw.toUpperCase() === raw && raw.toLowerCase() !== raw;
}

export function isLower(raw: string): boolean {
  return raw.toLowerCase() === raw && raw.toUpperCase() !== raw;
}

/** A sigma's lower case depends on what stands around it, so the whole is asked first. */
export function lowerCase(text: Text): Text {
  const pieces = text.map((raw) => raw.toLowerCase());
  const raw = text.raw.toLowerCase();
  return pieces.raw === raw ? pieces : text.replacedBy(raw);
}

export function capitalize(text: Text): Text {
  const first = text.unit(Math.min(1, text.length));
  return join([text.slice(0, first).map(titleCharacter), lowerCase(text.slice(first))]).withMarkup(text.markup);
}

const TITLES: Readonly<Record<string, string>> = {
  Ǆ: "ǅ",
  ǆ: "ǅ",
  Ǉ: "ǈ",
  ǉ: "ǈ",
  Ǌ: "ǋ",
  ǌ: "ǋ",
  Ǳ: "ǲ",
  ǳ: "ǲ",
  ŉ: "ʼN",
};

/** Unicode's title case, which JavaScript lacks: digraphs have their own, Georgian has none, ß becomes Ss. */
function titleCharacter(character: string): string {
  if (/^[ა-ჿ]/.test(character)) return character;
  const upper = character.toUpperCase();
  return TITLES[character] ?? (upper.length > character.length ? upper[0] + upper.slice(1).toLowerCase() : upper);
}

function titleCase(raw: string): string {
  let inside = false;
  let whole = "";
  for (const character of raw) {
    whole += inside ? character.toLowerCase() : titleCharacter(character);
    inside = character.toLowerCase() !== character.toUpperCase();
  }
  return whole;
}

export function replace(text: Text, old: Text, by: Text, count: number): Text {
  const inserted = text.markup ? escapeMarkup(by) : by;
  const pieces: Text[] = [];
  let at = 0;
  let left = count < 0 ? Number.POSITIVE_INFINITY : count;
  if (old.raw === "") {
    const cuts = Math.min(left, text.length + 1);
    for (let index = 0; index < cuts; index++) {
      pieces.push(inserted);
      if (index < text.length) pieces.push(text.character(index));
    }
    pieces.push(text.slice(text.unit(Math.min(cuts, text.length))));
    return join(pieces).withMarkup(text.markup);
  }
  for (let found = text.raw.indexOf(old.raw); found >= 0 && left > 0; found = text.raw.indexOf(old.raw, at)) {
    pieces.push(text.slice(at, found), inserted);
    at = found + old.raw.length;
    left -= 1;
  }
  pieces.push(text.slice(at));
  step(pieces.length);
  return join(pieces).withMarkup(text.markup);
}

function splitMethod(text: Text, by: Value | undefined, most: Value | undefined, fromEnd: boolean): List {
  const limit = intOf(most, -1);
  if (by === undefined || by === null) return new List(splitSpaces(text, limit, fromEnd));
  const separator = textOf(by, "separator").raw;
  if (separator === "") throw new Raised("ValueError", "empty separator");
  return new List(splitAt(text, separator, limit < 0 ? Number.POSITIVE_INFINITY : limit, fromEnd));
}

function splitAt(text: Text, separator: string, limit: number, fromEnd: boolean): Text[] {
  const pieces: Text[] = [];
  let left = limit;
  if (fromEnd) {
    let end = text.raw.length;
    while (left > 0) {
      const at = end < separator.length ? -1 : text.raw.lastIndexOf(separator, end - separator.length);
      if (at < 0) break;
      pieces.push(text.slice(at + separator.length, end));
      end = at;
      left -= 1;
    }
    pieces.push(text.slice(0, end));
    return pieces.reverse();
  }
  let start = 0;
  while (left > 0) {
    const at = text.raw.indexOf(separator, start);
    if (at < 0) break;
    pieces.push(text.slice(start, at));
    start = at + separator.length;
    left -= 1;
  }
  pieces.push(text.slice(start));
  step(pieces.length);
  return pieces;
}

function splitSpaces(text: Text, limit: number, fromEnd: boolean): Text[] {
  const most = limit < 0 ? Number.POSITIVE_INFINITY : limit;
  const words: [number, number][] = [];
  let start = -1;
  for (let at = 0; at <= text.raw.length; at++) {
    const space = at === text.raw.length || isSpace(text.raw[at] as string);
    if (!space && start < 0) start = at;
    if (space && start >= 0) {
      words.push([start, at]);
      start = -1;
    }
  }
  const cut = ([from, to]: [number, number]) => text.slice(from, to);
  if (words.length <= most) return words.map(cut);
  if (fromEnd) {
    const kept = most === 0 ? [] : words.slice(-most);
    const [, end] = words[words.length - kept.length - 1] as [number, number];
    return [text.slice(0, end), ...kept.map(cut)];
  }
  const [rest] = words[most] as [number, number];
  return [...words.slice(0, most).map(cut), text.slice(rest)];
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: Python ends lines at these too
const LINE_END = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;

export function splitLines(text: Text, keepEnds = false): Text[] {
  const lines: Text[] = [];
  let at = 0;
  for (const match of text.raw.matchAll(LINE_END)) {
    const end = match.index + match[0].length;
    lines.push(text.slice(at, keepEnds ? end : match.index));
    at = end;
  }
  if (at < text.raw.length) lines.push(text.slice(at));
  return lines;
}

function partition(text: Text, by: Text, fromEnd: boolean): Tuple {
  if (by.raw === "") throw new Raised("ValueError", "empty separator");
  const at = fromEnd ? text.raw.lastIndexOf(by.raw) : text.raw.indexOf(by.raw);
  const empty = EMPTY.withMarkup(text.markup);
  if (at < 0) return new Tuple(fromEnd ? [empty, empty, text] : [text, empty, empty]);
  return new Tuple([text.slice(0, at), by, text.slice(at + by.raw.length)]);
}

export function pad(text: Text, width: number, fill: Value | undefined, where: "left" | "right" | "center"): Text {
  const character = fill === undefined ? new Text(" ") : textOf(fill, "The fill character");
  if (character.length !== 1) throw new Raised("TypeError", "The fill character must be exactly one character long");
  const missingUnits = Math.max(0, width - text.length);
  if (missingUnits === 0) return text;
  grow(missingUnits);
  const before =
    where === "left" ? 0 : where === "right" ? missingUnits : Math.floor(missingUnits / 2) + (missingUnits & width & 1);
  const some = (count: number) => new Text(character.raw.repeat(count));
  return join([some(before), text, some(missingUnits - before)]).withMarkup(text.markup);
}

function expandTabs(text: Text, size: number): Text {
  const pieces: Text[] = [];
  let column = 0;
  for (const character of text.characters()) {
    if (character.raw === "\t") {
      const width = size <= 0 ? 0 : size - (column % size);
      pieces.push(new Text(" ".repeat(width)));
      column += width;
    } else {
      pieces.push(character);
      column = character.raw === "\n" || character.raw === "\r" ? 0 : column + 1;
    }
  }
  return join(pieces);
}
