/** Python's two ways to put values into a text: `%` and `str.format`. */

import { grow, Raised, Unsupported } from "./budget.js";
import {
  exponentialText,
  fixedText,
  floatText,
  floatToInt,
  generalText,
  intText,
  intToFloat,
} from "./python-numbers.js";
import { escapeMarkup, join, Text, TextBuilder } from "./python-text.js";
import {
  Dict,
  isInt,
  isNumber,
  type Keywords,
  List,
  PythonObject,
  Range,
  representation,
  strOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./python-values.js";

const MOST_WIDTH = 1_000_000;

function blanks(count: number, fill = " "): string {
  if (count <= 0) return "";
  grow(count);
  return fill.repeat(count);
}

function checkedWidth(text: string | undefined): number {
  const width = Number(text ?? 0);
  if (width > MOST_WIDTH) throw new Raised("ValueError", "width too big");
  return width;
}

const CONVERSION = /%(?:\(([^()]*)\))?([#0\- +]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?(.)?/gsu;

/** `text % value` @throws Raised */
export function percentFormat(text: Text, value: Value): Text {
  const list = value instanceof Tuple ? value.items : [value];
  let used = 0;
  const next = (): Value => {
    const item = list[used++];
    if (item === undefined) throw new Raised("TypeError", "not enough arguments for format string");
    return item;
  };
  const whole = new TextBuilder();
  let at = 0;
  let named = false;
  for (const match of text.raw.matchAll(CONVERSION)) {
    whole.push(text.slice(at, match.index));
    at = match.index + match[0].length;
    const [, name, flags = "", wide, precise, kind] = match;
    if (kind === undefined) throw new Raised("ValueError", "incomplete format");
    if (name !== undefined) {
      if (!(value instanceof Dict)) throw new Raised("TypeError", "format requires a mapping");
      named = true;
    }
    if (kind === "%") {
      whole.push("%");
      continue;
    }
    const star = (given: string | undefined): string | undefined => {
      if (given !== "*") return given;
      const item = next();
      if (!isInt(item)) throw new Raised("TypeError", "* wants int");
      return String(BigInt(item));
    };
    let width = checkedWidth(star(wide)?.replace("-", ""));
    const places = precise === undefined ? undefined : checkedWidth(star(precise));
    let item: Value;
    if (name === undefined) {
      item = next();
    } else {
      const found = (value as Dict).get(new Text(name));
      if (found === undefined) throw new Raised("KeyError", `'${name}'`);
      item = found;
    }
    const piece = percentPiece(item, kind, flags, places, text.markup);
    const zeros = flags.includes("0") && !flags.includes("-") && "diuoxXeEfFgG".includes(kind);
    if (zeros) {
      const prefix = /^[+\- ]?(0[xXoO])?/.exec(piece.raw)?.[0] ?? "";
      whole.push(prefix + blanks(width - piece.length, "0") + piece.raw.slice(prefix.length));
      continue;
    }
    width -= piece.length;
    if (!flags.includes("-")) whole.push(blanks(width));
    whole.push(piece);
    if (flags.includes("-")) whole.push(blanks(width));
  }
  whole.push(text.slice(at));
  const mapping =
    !(value instanceof Tuple) && (value instanceof List || value instanceof Dict || value instanceof Range);
  if (used < list.length && !mapping && !named) {
    throw new Raised("TypeError", "not all arguments converted during string formatting");
  }
  return whole.build(text.markup);
}

function percentPiece(item: Value, kind: string, flags: string, places: number | undefined, markup: boolean): Text {
  if (kind === "s" || kind === "r") {
    const text = kind === "s" ? (markup && item instanceof Text ? item : strOf(item)) : representation(item);
    const whole = markup ? escapeMarkup(text) : text;
    return places === undefined ? whole : whole.slice(0, whole.unit(Math.min(places, whole.length)));
  }
  if (kind === "a") throw new Unsupported("the format %a");
  if (kind === "c") {
    if (item instanceof Text && item.length === 1) return item;
    if (isInt(item)) return new Text(characterOf(BigInt(item)));
    throw new Raised("TypeError", "%c requires int or char");
  }
  if (item instanceof Undefined && "diuoxXeEfFgG".includes(kind)) return item.fail();
  const sign = (negative: boolean) => (negative ? "-" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : "");
  if ("diuoxX".includes(kind)) {
    const decimal = "diu".includes(kind);
    if (!isNumber(item) || (!decimal && typeof item === "number")) {
      const wanted = decimal ? "a real number" : "an integer";
      throw new Raised("TypeError", `%${kind} format: ${wanted} is required, not ${typeName(item)}`);
    }
    const whole = typeof item === "number" ? floatToInt(item) : BigInt(item);
    const size = whole < 0n ? -whole : whole;
    const radix = decimal ? 10 : kind === "o" ? 8 : 16;
    let digits = radix === 10 ? intText(size) : size.toString(radix);
    digits = blanks((places ?? 0) - digits.length, "0") + digits;
    if (kind === "X") digits = digits.toUpperCase();
    const prefix = flags.includes("#") && !decimal ? `0${kind}` : "";
    return new Text(sign(whole < 0n) + prefix + digits);
  }
  if ("eEfFgG".includes(kind)) {
    if (!isNumber(item)) throw new Raised("TypeError", `must be real number, not ${typeName(item)}`);
    const float = typeof item === "number" ? item : intToFloat(BigInt(item));
    return new Text(
      sign(float < 0 || Object.is(float, -0)) + floatDigits(float, kind, places ?? 6, flags.includes("#")),
    );
  }
  throw new Raised("ValueError", `unsupported format character '${kind}'`);
}

function characterOf(code: bigint): string {
  if (code < 0n || code > 0x10ffffn) throw new Raised("OverflowError", "%c arg not in range(0x110000)");
  return String.fromCodePoint(Number(code));
}

/** |value| in one of Python's float formats. */
function floatDigits(value: number, kind: string, places: number, alternate: boolean): string {
  const lower = kind.toLowerCase();
  let digits: string;
  if (!Number.isFinite(value)) digits = Number.isNaN(value) ? "nan" : "inf";
  else if (lower === "f") digits = fixedText(value, places);
  else if (lower === "e") digits = exponentialText(value, places);
  else digits = generalText(value, places, alternate);
  return kind === lower ? digits : digits.toUpperCase();
}

/** How a format finds an attribute or an item of a value. */
export interface Lookup {
  readonly attribute: (value: Value, name: string) => Value;
  readonly item: (value: Value, key: Value) => Value;
}

interface Numbering {
  next: number | "manual";
}

/** `text.format(*args, **keywords)` @throws Raised */
export function formatText(
  text: Text,
  args: readonly Value[],
  keywords: Keywords,
  lookup: Lookup,
  numbering: Numbering = { next: 0 },
  depth = 2,
): Text {
  if (depth < 0) throw new Raised("ValueError", "Max string recursion exceeded");
  const { raw } = text;
  const whole = new TextBuilder();
  let at = 0;
  while (at < raw.length) {
    const brace = raw.slice(at).search(/[{}]/);
    if (brace < 0) break;
    whole.push(text.slice(at, at + brace));
    at += brace;
    if (raw[at + 1] === raw[at]) {
      whole.push(text.slice(at, at + 1));
      at += 2;
      continue;
    }
    if (raw[at] === "}") throw new Raised("ValueError", "Single '}' encountered in format string");
    const end = closingBrace(raw, at);
    const inside = /^([^!:]*(?:\[[^\]]*\][^!:]*)*)(?:!([^:]*))?(?::(.*))?$/s.exec(raw.slice(at + 1, end));
    if (!inside) throw new Raised("ValueError", "expected '}' before end of string");
    const [, field = "", conversion, spec = ""] = inside;
    const value = formatField(field, args, keywords, lookup, numbering);
    const shape = spec.includes("{")
      ? formatText(new Text(spec), args, keywords, lookup, numbering, depth - 1).raw
      : spec;
    const shown = converted(value, conversion);
    whole.push(text.markup ? escapeMarkup(formatValue(shown, shape)) : formatValue(shown, shape));
    at = end + 1;
  }
  whole.push(text.slice(at));
  return whole.build(text.markup);
}

function closingBrace(raw: string, start: number): number {
  let depth = 0;
  for (let at = start; at < raw.length; at++) {
    if (raw[at] === "{") depth += 1;
    if (raw[at] === "}" && --depth === 0) return at;
  }
  throw new Raised("ValueError", "Single '{' encountered in format string");
}

function formatField(
  field: string,
  args: readonly Value[],
  keywords: Keywords,
  lookup: Lookup,
  numbering: Numbering,
): Value {
  const [first = ""] = /^[^.[]*/.exec(field) ?? [];
  let name = first;
  if (first === "") {
    if (numbering.next === "manual") {
      throw new Raised("ValueError", "cannot switch from manual field specification to automatic field numbering");
    }
    name = String(numbering.next++);
  } else if (/^\d+$/.test(first)) {
    if (numbering.next !== 0 && numbering.next !== "manual") {
      throw new Raised("ValueError", "cannot switch from automatic field numbering to manual field specification");
    }
    numbering.next = "manual";
  }
  let value = /^\d+$/.test(name) ? args[Number(name)] : keywords.get(name);
  if (value === undefined) {
    if (!/^\d+$/.test(name)) throw new Raised("KeyError", `'${name}'`);
    throw new Raised("IndexError", `Replacement index ${name} out of range for positional args tuple`);
  }
  const rest = field.slice(first.length);
  const steps = [...rest.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g)];
  if (steps.map(([step]) => step).join("") !== rest) throw new Raised("ValueError", "Empty attribute in format string");
  for (const [, attribute, key] of steps) {
    if (attribute !== undefined) value = lookup.attribute(value, attribute);
    else value = lookup.item(value, /^\d+$/.test(key as string) ? BigInt(key as string) : new Text(key as string));
  }
  return value;
}

function converted(value: Value, conversion: string | undefined): Value {
  if (conversion === undefined) return value;
  if (conversion === "s") return strOf(value);
  if (conversion === "r") return representation(value);
  if (conversion === "a") throw new Unsupported("the conversion !a");
  throw new Raised("ValueError", `Unknown conversion specifier ${conversion}`);
}

const SPEC = /^(?:(.)?([<>=^]))?([+\- ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/su;

/** Python's `format(value, spec)` @throws Raised */
export function formatValue(value: Value, spec: string): Text {
  if (spec === "") return strOf(value);
  if (value === null || (value instanceof PythonObject && !(value instanceof Text))) {
    throw new Raised("TypeError", `unsupported format string passed to ${typeName(value)}.__format__`);
  }
  const match = SPEC.exec(spec);
  if (!match) throw new Raised("ValueError", `Invalid format specifier '${spec}'`);
  const [, , , , , , zero, wide] = match;
  let [, fill, align, sign, , alternate, , , grouping, places, kind] = match;
  if (zero !== undefined) {
    fill ??= "0";
    if (!(value instanceof Text)) align ??= "=";
  }
  const width = checkedWidth(wide);
  const precision = places === undefined ? undefined : checkedWidth(places);
  if (value instanceof Text) {
    if (kind !== undefined && kind !== "s") throw unknownCode(kind, value);
    if (sign !== undefined || align === "=" || grouping !== undefined || alternate !== undefined) {
      throw new Raised("ValueError", "not allowed in string format specifier");
    }
    const cut = precision === undefined ? value : value.slice(0, value.unit(Math.min(precision, value.length)));
    return aligned("", cut.plain(), align ?? "<", fill ?? " ", width);
  }
  const digits = numberDigits(value, kind, precision, alternate !== undefined);
  const mark = digits.negative ? "-" : sign === "+" || sign === " " ? sign : "";
  const size = align === "=" && fill === "0" && grouping !== undefined ? width - mark.length - digits.prefix.length : 0;
  const body = grouping === undefined ? digits.body : grouped(digits.body, grouping, digits.group, size);
  return aligned(mark + digits.prefix, new Text(body), align ?? ">", fill ?? " ", width);
}

function unknownCode(kind: string, value: Value): Raised {
  return new Raised("ValueError", `Unknown format code '${kind}' for object of type '${typeName(value)}'`);
}

interface NumberDigits {
  readonly negative: boolean;
  readonly prefix: string;
  readonly body: string;
  readonly group: number;
}

function numberDigits(
  value: boolean | bigint | number,
  kind: string | undefined,
  precision: number | undefined,
  alternate: boolean,
): NumberDigits {
  if (kind === "n") throw new Unsupported("the format code n, which depends on the machine's language");
  if (typeof value !== "number" && (kind === undefined || "bcdoxX".includes(kind))) {
    if (precision !== undefined) throw new Raised("ValueError", "Precision not allowed in integer format specifier");
    const whole = BigInt(value);
    const size = whole < 0n ? -whole : whole;
    if (kind === "c") return { negative: false, prefix: "", body: characterOf(whole), group: 3 };
    const radix = { b: 2, o: 8, x: 16, X: 16 }[kind ?? "d"] ?? 10;
    const digits = radix === 10 ? intText(size) : size.toString(radix);
    return {
      negative: whole < 0n,
      prefix: alternate && radix !== 10 ? `0${kind}` : "",
      body: kind === "X" ? digits.toUpperCase() : digits,
      group: radix === 10 ? 3 : 4,
    };
  }
  const float = typeof value === "number" ? value : intToFloat(BigInt(value));
  const negative = float < 0 || Object.is(float, -0);
  const whole = (body: string): NumberDigits => ({ negative, prefix: "", body, group: 3 });
  if (kind === undefined) {
    if (precision === undefined) return whole(floatText(Math.abs(float)));
    if (!Number.isFinite(float)) return whole(floatText(Math.abs(float)));
    const wanted = Math.max(1, precision);
    const exponent = Number(exponentialText(float, wanted - 1).split("e")[1]);
    const text =
      exponent >= -4 && exponent < wanted - 1
        ? generalText(float, wanted, alternate)
        : exponent >= -4 && exponent < wanted
          ? exponentialText(float, wanted - 1).replace(/\.?0*e/, "e")
          : generalText(float, wanted, alternate);
    return whole(/[.e]/.test(text) ? text : `${text}.0`);
  }
  if (kind === "%")
    return whole(
      Number.isFinite(float) ? `${fixedText(float * 100, precision ?? 6)}%` : `${floatText(Math.abs(float))}%`,
    );
  if ("eEfFgG".includes(kind)) return whole(floatDigits(float, kind, precision ?? 6, alternate));
  throw unknownCode(kind, value);
}

/** @param least digits and separators to fill with zeros */
function grouped(body: string, separator: string, group: number, least: number): string {
  const [, digits = "", rest = ""] = /^([0-9a-fA-F]*?)((?:[.e%].*)?)$/s.exec(body) ?? [];
  let whole = digits;
  const shown = () => whole.replace(new RegExp(`\\B(?=(?:[0-9a-fA-F]{${group}})+$)`, "g"), separator);
  while (shown().length + rest.length < least) whole = `0${whole}`;
  return shown() + rest;
}

function aligned(sign: string, body: Text, align: string, fill: string, width: number): Text {
  const missing = Math.max(0, width - sign.length - body.length);
  const left = align === "<" || align === "=" ? 0 : align === "^" ? Math.floor(missing / 2) : missing;
  const middle = align === "=" ? missing : 0;
  return join([
    new Text(blanks(left, fill) + sign + blanks(middle, fill)),
    body,
    new Text(blanks(missing - left - middle, fill)),
  ]);
}
