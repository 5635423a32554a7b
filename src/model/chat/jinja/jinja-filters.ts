/** jinja2's filters, and `tojson` as chat templates have it. */

import { grow, Raised, read, step, Unsupported } from "./budget.js";
import { jsonStyle, toJson } from "./python-json.js";
import {
  attributeOf,
  bind,
  capitalize,
  getAttribute,
  getItem,
  lowerCase,
  pad,
  replace,
  splitLines,
} from "./python-methods.js";
import {
  fixedText,
  floatToInt,
  intToFloat,
  parseFloatText,
  parseInteger,
  roundFloat,
  roundInt,
} from "./python-numbers.js";
import { operate, sequenceItem, slice as sliceOf } from "./python-operators.js";
import { percentFormat } from "./python-format.js";
import { escapeMarkup, join, SPACE, Text } from "./python-text.js";
import { callTest } from "./jinja-tests.js";
import {
  defined,
  Dict,
  DictView,
  each,
  equal,
  hashKey,
  isInt,
  isNumber,
  iterate,
  iterator,
  Iter,
  type Keywords,
  lengthOf,
  List,
  ordered,
  Range,
  softText,
  sorted,
  toArray,
  strOf,
  truth,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./python-values.js";

/** @param args the value first */
type Filter = (args: readonly Value[], keywords: Keywords) => Value;

function filter(parameters: readonly string[], run: (value: Value, args: (Value | undefined)[]) => Value): Filter {
  return (args, keywords) => {
    const [value, ...rest] = bind("filter", ["value", ...parameters], args, keywords);
    return run(value as Value, rest);
  };
}

const overText = (run: (text: Text) => Value): Filter => filter([], (value) => run(softText(value)));

function integer(value: Value | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (isInt(value)) return Number(value);
  if (value instanceof Undefined) return value.fail();
  throw new Raised("TypeError", `'${typeName(value)}' object cannot be interpreted as an integer`);
}

const yes = (value: Value | undefined) => value !== undefined && truth(value);

const folded = (value: Value): Value => (value instanceof Text ? lowerCase(value) : value);

type Getter = (item: Value) => Value;

/** jinja2's make_attrgetter: dots reach into attributes of attributes. */
function getter(attribute: Value | undefined, fold: boolean, otherwise: Value = null): Getter {
  const parts: Value[] =
    attribute === undefined || attribute === null
      ? []
      : attribute instanceof Text
        ? attribute.raw.split(".").map((part) => (/^\d+$/.test(part) ? BigInt(part) : new Text(part)))
        : [attribute];
  return (item) => {
    let found = item;
    for (const part of parts) {
      found = getItem(found, part);
      if (otherwise !== null && found instanceof Undefined) found = otherwise;
    }
    return fold ? folded(found) : found;
  };
}

function lazily(generate: () => Generator<Value>): Iter {
  return new Iter(generate());
}

/** select, reject, selectattr, rejectattr. */
function selecting(keep: boolean, byAttribute: boolean): Filter {
  return ([value, ...args], keywords) =>
    lazily(function* () {
      if (!truth(value as Value)) return;
      const rest = [...args];
      if (byAttribute && rest.length === 0)
        throw new Raised("FilterArgumentError", "Missing parameter for attribute name");
      const take = byAttribute ? getter(rest.shift(), false) : (item: Value) => item;
      const [test, ...given] = rest;
      for (const item of each(value as Value)) {
        const taken = take(item);
        const passes = test === undefined ? truth(taken) : truth(callTest(nameOf(test), [taken, ...given], keywords));
        if (passes === keep) yield item;
      }
    });
}

function nameOf(value: Value): string {
  if (value instanceof Text) return value.raw;
  throw new Raised("TemplateRuntimeError", `No filter or test named ${typeName(value)}`);
}

const mapFilter: Filter = ([value, ...args], keywords) =>
  lazily(function* () {
    if (!truth(value as Value)) return;
    let change: Getter;
    if (args.length === 0 && keywords.has("attribute")) {
      const other = [...keywords.keys()].find((key) => key !== "attribute" && key !== "default");
      if (other !== undefined) throw new Raised("FilterArgumentError", `Unexpected keyword argument '${other}'`);
      change = getter(keywords.get("attribute"), false, keywords.get("default") ?? null);
    } else {
      const [name, ...given] = args;
      if (name === undefined) throw new Raised("FilterArgumentError", "map requires a filter argument");
      change = (item) => callFilter(nameOf(name), [item, ...given], keywords);
    }
    for (const item of each(value as Value)) yield change(item);
  });

function extreme(order: "<" | ">"): Filter {
  return filter(["case_sensitive?", "attribute?"], (value, [sensitive, attribute]) => {
    const key = getter(attribute, !yes(sensitive));
    let best: { item: Value; key: Value } | undefined;
    for (const item of each(value)) {
      const own = { item, key: key(item) };
      if (best === undefined || ordered(own.key, order, best.key)) best = own;
    }
    return best === undefined ? new Undefined("No aggregated item, sequence was empty.") : best.item;
  });
}

function reversed(value: Value): Value[] | undefined {
  if (value instanceof Iter) return undefined;
  if (value instanceof List || value instanceof Dict || value instanceof DictView || value instanceof Range) {
    return toArray(value).reverse();
  }
  return value instanceof Text || value instanceof Undefined ? toArray(value).reverse() : undefined;
}

function toInteger(value: Value, otherwise: Value, base: number): Value {
  const trimmed = value instanceof Text ? value.trim(undefined, true, true).raw : "";
  try {
    if (value instanceof Text) {
      const whole = parseInteger(trimmed, base);
      if (whole !== undefined) return whole;
    }
    if (isInt(value)) return BigInt(value);
    if (typeof value === "number") return floatToInt(value);
    if (value instanceof Undefined) return value.fail();
  } catch (error) {
    if (!(error instanceof Raised) || error.kind !== "ValueError") throw error;
  }
  const float = value instanceof Text ? parseFloatText(trimmed) : undefined;
  return float === undefined || !Number.isFinite(float) ? otherwise : floatToInt(float);
}

function toFloat(value: Value, otherwise: Value): Value {
  if (value instanceof Undefined) return value.fail();
  if (typeof value === "number") return value;
  if (isInt(value)) return intToFloat(BigInt(value));
  const parsed = value instanceof Text ? parseFloatText(value.trim(undefined, true, true).raw) : undefined;
  return parsed === undefined ? otherwise : parsed;
}

function round(value: Value, precision: number, how: string): Value {
  if (!["common", "ceil", "floor"].includes(how)) {
    throw new Raised("FilterArgumentError", "method must be common, ceil or floor");
  }
  if (value instanceof Undefined) return value.fail();
  if (!isNumber(value)) throw new Raised("TypeError", `type ${typeName(value)} doesn't define __round__ method`);
  if (how === "common") {
    return typeof value === "number" ? roundFloat(value, precision) : roundInt(BigInt(value), precision);
  }
  const unit = operate(10n, "**", BigInt(precision));
  const moved = operate(value, "*", unit) as bigint | number;
  const whole = typeof moved === "number" ? floatToInt(how === "ceil" ? Math.ceil(moved) : Math.floor(moved)) : moved;
  return operate(whole, "/", unit);
}

function indent(value: Value, width: Value | undefined, first: boolean, blank: boolean): Value {
  const level = width instanceof Text ? width : operate(new Text(" "), "*", width === undefined ? 4n : width);
  const text = operate(value, "+", new Text("\n"));
  if (!(text instanceof Text)) throw new Raised("TypeError", "indent needs a text");
  const [start = new Text(""), ...lines] = splitLines(text);
  const shifted = lines.map((line) => (line.raw === "" && !blank ? line : join([level as Text, line])));
  const whole = join([start, ...shifted], new Text("\n")).withMarkup(text.markup);
  return first ? join([level as Text, whole]).withMarkup(text.markup) : whole;
}

function titled(text: Text): Text {
  const pieces: Text[] = [];
  let at = 0;
  const cut = (end: number) => {
    if (end > at) {
      const piece = text.slice(at, end);
      const first = piece.unit(1);
      pieces.push(
        piece.slice(0, first).map((raw) => raw.toUpperCase()),
        lowerCase(piece.slice(first)),
      );
    }
    at = end;
  };
  for (const match of text.raw.matchAll(new RegExp(`[-${SPACE}({\\[<]+`, "g"))) {
    cut(match.index);
    cut(match.index + match[0].length);
  }
  cut(text.raw.length);
  return join(pieces).plain();
}

function truncate(value: Value, length: number, kill: boolean, end: Text, leeway: number): Value {
  if (length < end.length) throw new Raised("AssertionError", `expected length >= ${end.length}, got ${length}`);
  if (leeway < 0) throw new Raised("AssertionError", `expected leeway >= 0, got ${leeway}`);
  if (lengthOf(value) <= length + leeway) return value;
  if (!(value instanceof Text)) throw new Raised("TypeError", `a ${typeName(value)} cannot be cut`);
  const cut = value.slice(0, value.unit(length - end.length));
  const space = cut.raw.lastIndexOf(" ");
  return operate(kill || space < 0 ? cut : cut.slice(0, space), "+", end);
}

function sizeText(value: number, binary: boolean): string {
  const base = binary ? 1024 : 1000;
  if (value === 1) return "1 Byte";
  if (value < base) return `${floatToInt(value)} Bytes`;
  const prefixes = [..."kMGTPEZY"].map((letter) => (binary ? `${letter.toUpperCase()}iB` : `${letter}B`));
  const at = prefixes.findIndex((_, index) => value < base ** (index + 2));
  const index = at < 0 ? prefixes.length - 1 : at;
  return `${fixedText((base * value) / base ** (index + 2), 1)} ${prefixes[index]}`;
}

function quoteUrl(value: Value, inQuery: boolean): Text {
  const quoted = encodeURIComponent(strOf(value).raw).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return new Text(inQuery ? quoted.replaceAll("%20", "+") : quoted.replaceAll("%2F", "/"));
}

function urlEncode(value: Value): Text {
  if (value instanceof Text || iterate(value) === undefined) return quoteUrl(value, false);
  const pairs = value instanceof Dict ? new DictView(value, "items") : value;
  const pieces = [...each(pairs)].map((pair) => {
    const [key, item, ...more] = toArray(pair);
    if (key === undefined || item === undefined || more.length > 0) throw new Raised("ValueError", "pairs are wanted");
    return join([quoteUrl(key, true), quoteUrl(item, true)], new Text("="));
  });
  return join(pieces, new Text("&"));
}

function* batches(value: Value, count: number, fill: Value | undefined): Generator<Value> {
  let batch: Value[] = [];
  for (const item of each(value)) {
    if (batch.length === count) {
      yield new List(batch);
      batch = [];
    }
    batch.push(item);
  }
  if (batch.length === 0) return;
  if (fill !== undefined && fill !== null && batch.length < count) {
    grow(count - batch.length);
    while (batch.length < count) batch.push(fill);
  }
  yield new List(batch);
}

function* slices(value: Value, count: number, fill: Value | undefined): Generator<Value> {
  const items = toArray(value);
  if (count === 0) throw new Raised("ZeroDivisionError", "integer division or modulo by zero");
  const size = Math.floor(items.length / count);
  const larger = items.length - size * count;
  let at = 0;
  for (let index = 0; index < count; index++) {
    step();
    const end = at + size + (index < larger ? 1 : 0);
    const part = items.slice(at, end);
    if (fill !== undefined && fill !== null && index >= larger) part.push(fill);
    yield new List(part);
    at = end;
  }
}

function groups(value: Value, attribute: Value | undefined, otherwise: Value, sensitive: boolean): Value {
  const key = getter(attribute, !sensitive, otherwise);
  const shown = getter(attribute, false, otherwise);
  const found: { key: Value; items: Value[] }[] = [];
  for (const item of sorted(toArray(value), key)) {
    const own = key(item);
    const last = found.at(-1);
    if (last !== undefined && equal(last.key, own)) last.items.push(item);
    else found.push({ key: own, items: [item] });
  }
  return new List(
    found.map(({ key: own, items }) => {
      return new Tuple([sensitive ? own : shown(items[0] as Value), new List(items)], ["grouper", "list"]);
    }),
  );
}

function sum(value: Value, attribute: Value | undefined, start: Value): Value {
  if (start instanceof Text) throw new Raised("TypeError", "sum() can't sum strings [use ''.join(seq) instead]");
  const take = getter(attribute, false);
  let whole: Value = start;
  for (const item of each(value)) whole = operate(whole, "+", take(item));
  return whole;
}

function joined(value: Value, separator: Value | undefined, attribute: Value | undefined): Value {
  const take = attribute === undefined || attribute === null ? (item: Value) => item : getter(attribute, false);
  const between = separator === undefined ? new Text("") : strOf(separator);
  return join(
    [...each(value)].map((item) => strOf(take(item))),
    between,
  );
}

function dictSort(value: Value, sensitive: boolean, by: Value | undefined, reverse: boolean): Value {
  const which = by === undefined ? "key" : strOf(by).raw;
  if (which !== "key" && which !== "value")
    throw new Raised("FilterArgumentError", 'You can only sort by either "key" or "value"');
  if (value instanceof Undefined) return value.fail();
  if (!(value instanceof Dict))
    throw new Raised("AttributeError", `'${typeName(value)}' object has no attribute 'items'`);
  const at = which === "key" ? 0 : 1;
  const key = (pair: readonly [Value, Value]) => (sensitive ? pair[at] : folded(pair[at]));
  return new List(sorted(value.pairs(), key, reverse).map((pair) => new Tuple(pair)));
}

function sortFilter(value: Value, reverse: boolean, sensitive: boolean, attribute: Value | undefined): Value {
  const names = attribute instanceof Text ? attribute.raw.split(",").map((name) => new Text(name)) : [attribute];
  const getters = names.map((name) => getter(name, !sensitive));
  return new List(sorted(toArray(value), (item) => new List(getters.map((get) => get(item))), reverse));
}

function stripTags(value: Value): Value {
  let raw = strOf(value).raw;
  for (let start = raw.indexOf("<!--"); start >= 0; start = raw.indexOf("<!--")) {
    const end = raw.indexOf("-->", start);
    if (end < 0) break;
    raw = raw.slice(0, start) + raw.slice(end + 3);
  }
  for (let start = raw.indexOf("<"); start >= 0; start = raw.indexOf("<")) {
    const end = raw.indexOf(">", start);
    if (end < 0) break;
    raw = raw.slice(0, start) + raw.slice(end + 1);
  }
  const words = raw.split(new RegExp(`[${SPACE}]+`)).filter((word) => word !== "");
  const text = words.join(" ");
  // What follows in Python is html.unescape, with its table of 2,231 names.
  if (text.includes("&")) throw new Unsupported("the filter striptags on a text with &");
  return strOf(value).replacedBy(text);
}

const refused =
  (name: string): Filter =>
  () => {
    throw new Unsupported(`the filter ${name}`);
  };

const length = filter([], (value) => BigInt(lengthOf(value)));
const defaulting = filter(["default_value?", "boolean?"], (value, [otherwise, boolean]) =>
  value instanceof Undefined || (yes(boolean) && !truth(value))
    ? otherwise === undefined
      ? new Text("")
      : otherwise
    : value,
);
const escaping = filter([], (value) => escapeMarkup(softText(value)));

const FILTERS: Readonly<Record<string, Filter>> = {
  abs: filter([], (value) => {
    if (typeof value === "number") return Math.abs(value);
    if (isInt(value)) return BigInt(value) < 0n ? -BigInt(value) : BigInt(value);
    throw new Raised("TypeError", `bad operand type for abs(): '${typeName(value)}'`);
  }),
  attr: filter(["name"], (value, [name]) => {
    const key = strOf(name as Value).raw;
    if (attributeOf(value, key) !== undefined) return getAttribute(value, key);
    return new Undefined(`'${typeName(value)} object' has no attribute '${key}'`);
  }),
  batch: filter(["linecount", "fill_with?"], (value, [count, fill]) =>
    lazily(() => batches(value, integer(count, 0), fill)),
  ),
  capitalize: overText(capitalize),
  center: filter(["width?"], (value, [width]) => pad(softText(value), integer(width, 80), undefined, "center")),
  count: length,
  d: defaulting,
  default: defaulting,
  dictsort: filter(["case_sensitive?", "by?", "reverse?"], (value, [sensitive, by, reverse]) =>
    dictSort(value, yes(sensitive), by, yes(reverse)),
  ),
  e: escaping,
  escape: escaping,
  filesizeformat: filter(["binary?"], (value, [binary]) => {
    const size = toFloat(value, null);
    if (typeof size !== "number") throw new Raised("ValueError", "could not convert to float");
    return new Text(sizeText(size, yes(binary)));
  }),
  first: filter([], (value) => {
    const first = iterator(value).next();
    return first.done ? new Undefined("No first item, sequence was empty.") : first.value;
  }),
  float: filter(["default?"], (value, [otherwise]) => toFloat(value, otherwise === undefined ? 0 : otherwise)),
  forceescape: filter([], (value) => escapeMarkup(strOf(value))),
  format: ([value, ...args], keywords) => {
    if (args.length > 0 && keywords.size > 0) {
      throw new Raised("FilterArgumentError", "can't handle positional and keyword arguments at the same time");
    }
    const given =
      keywords.size > 0 ? new Dict([...keywords].map(([key, one]) => [new Text(key), one])) : new Tuple(args);
    return percentFormat(softText(value as Value), given);
  },
  groupby: filter(["attribute", "default?", "case_sensitive?"], (value, [attribute, otherwise, sensitive]) =>
    groups(value, attribute, otherwise ?? null, yes(sensitive)),
  ),
  indent: filter(["width?", "first?", "blank?"], (value, [width, first, blank]) =>
    indent(value, width, yes(first), yes(blank)),
  ),
  int: filter(["default?", "base?"], (value, [otherwise, base]) =>
    toInteger(value, otherwise === undefined ? 0n : otherwise, integer(base, 10)),
  ),
  items: filter([], (value) =>
    lazily(function* () {
      if (value instanceof Undefined) return;
      if (!(value instanceof Dict)) throw new Raised("TypeError", "Can only get item pairs from a mapping.");
      yield* new DictView(value, "items").items();
    }),
  ),
  join: filter(["d?", "attribute?"], (value, [separator, attribute]) => joined(value, separator, attribute)),
  last: filter([], (value) => {
    if (value instanceof Text || value instanceof List || value instanceof Range) {
      return defined(sequenceItem(value, -1n), () => "No last item, sequence was empty.");
    }
    const items = reversed(value);
    if (items === undefined) throw new Raised("TypeError", `'${typeName(value)}' object is not reversible`);
    return defined(items[0], () => "No last item, sequence was empty.");
  }),
  length,
  list: filter([], (value) => new List(toArray(value))),
  lower: overText(lowerCase),
  map: mapFilter,
  max: extreme(">"),
  min: extreme("<"),
  pprint: refused("pprint"),
  random: refused("random"),
  reject: selecting(false, false),
  rejectattr: selecting(false, true),
  replace: filter(["old", "new", "count?"], (value, [old, by, count]) => {
    return replace(strOf(value), strOf(old as Value), strOf(by as Value), count === null ? -1 : integer(count, -1));
  }),
  reverse: filter([], (value) => {
    if (value instanceof Text) return sliceOf(value, null, null, -1n);
    const items = reversed(value);
    if (items !== undefined) return new Iter(items[Symbol.iterator](), "list_reverseiterator");
    if (iterate(value) === undefined) throw new Raised("FilterArgumentError", "argument must be iterable");
    return new List(toArray(value).reverse());
  }),
  round: filter(["precision?", "method?"], (value, [precision, how]) =>
    round(value, integer(precision, 0), how === undefined ? "common" : strOf(how).raw),
  ),
  safe: filter([], (value) => softText(value).asMarkup()),
  select: selecting(true, false),
  selectattr: selecting(true, true),
  slice: filter(["slices", "fill_with?"], (value, [count, fill]) =>
    lazily(() => slices(value, integer(count, 0), fill)),
  ),
  sort: filter(["reverse?", "case_sensitive?", "attribute?"], (value, [reverse, sensitive, attribute]) =>
    sortFilter(value, yes(reverse), yes(sensitive), attribute),
  ),
  string: filter([], softText),
  striptags: filter([], stripTags),
  sum: filter(["attribute?", "start?"], (value, [attribute, start]) =>
    sum(value, attribute, start === undefined ? 0n : start),
  ),
  title: overText(titled),
  tojson: filter(
    ["ensure_ascii?", "indent?", "separators?", "sort_keys?"],
    (value, [ascii, level, separators, sortKeys]) => {
      const pair = separators === undefined || separators === null ? undefined : toArray(separators);
      return toJson(value, jsonStyle(yes(ascii), level ?? null, pair, yes(sortKeys)));
    },
  ),
  trim: filter(["chars?"], (value, [characters]) => {
    const set = characters === undefined || characters === null ? undefined : characters;
    if (set !== undefined && !(set instanceof Text)) throw new Raised("TypeError", "strip arg must be None or str");
    return softText(value).trim(set?.raw, true, true);
  }),
  truncate: filter(["length?", "killwords?", "end?", "leeway?"], (value, [size, kill, end, leeway]) =>
    truncate(
      value,
      integer(size, 255),
      yes(kill),
      end === undefined ? new Text("...") : strOf(end),
      integer(leeway, 5),
    ),
  ),
  unique: filter(["case_sensitive?", "attribute?"], (value, [sensitive, attribute]) =>
    lazily(function* () {
      const key = getter(attribute, !yes(sensitive));
      const seen = new Set<unknown>();
      for (const item of each(value)) {
        const hash = hashKey(key(item));
        if (seen.has(hash)) continue;
        seen.add(hash);
        yield item;
      }
    }),
  ),
  upper: overText((text) => text.map((raw) => raw.toUpperCase())),
  urlencode: filter([], urlEncode),
  urlize: refused("urlize"),
  wordcount: overText((text) => BigInt(text.raw.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)),
  wordwrap: refused("wordwrap"),
  xmlattr: refused("xmlattr"),
};

export function isFilter(name: string): boolean {
  return Object.hasOwn(FILTERS, name);
}

/** @throws Raised TemplateRuntimeError when there is no such filter */
export function callFilter(name: string, args: readonly Value[], keywords: Keywords): Value {
  const found = isFilter(name) ? FILTERS[name] : undefined;
  if (found === undefined) throw new Raised("TemplateRuntimeError", `No filter named '${name}' found.`);
  step();
  if (args[0] instanceof Text) read(args[0].raw.length);
  return found(args, keywords);
}
