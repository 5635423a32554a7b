/** Python's values as templates see them: what is true, equal, ordered, iterable, and how each is written. */

import { grow, nested, Raised, read, step, Unsupported } from "./budget.js";
import { floatText, intText } from "./python-numbers.js";
import { join, Text, TextBuilder } from "./python-text.js";

/** int is bigint, float is number, str is Text. */
export type Value = null | boolean | bigint | number | Text | PythonObject;

/** Everything that is neither a number, a text nor None. */
export abstract class PythonObject {
  abstract readonly typeName: string;
}

export class List extends PythonObject {
  override readonly typeName: string = "list";
  constructor(readonly items: readonly Value[]) {
    super();
    grow(items.length);
  }
}

export class Tuple extends List {
  override readonly typeName: string = "tuple";
  /** @param names of its fields, where it is a named tuple */
  constructor(
    items: readonly Value[],
    readonly names: readonly string[] = [],
  ) {
    super(items);
  }
}

export class Dict extends PythonObject {
  override readonly typeName = "dict";
  private readonly entries = new Map<unknown, readonly [Value, Value]>();

  constructor(pairs: Iterable<readonly [Value, Value]> = []) {
    super();
    for (const [key, value] of pairs) this.set(key, value);
  }

  /** Only while it is made: a template cannot change one. */
  set(key: Value, value: Value): void {
    grow(1);
    const hash = hashKey(key);
    const known = this.entries.get(hash);
    this.entries.set(hash, [known === undefined ? key : known[0], value]);
  }

  /** @throws Raised TypeError when the key is not hashable */
  get(key: Value): Value | undefined {
    return this.entries.get(hashKey(key))?.[1];
  }

  has(key: Value): boolean {
    return this.entries.has(hashKey(key));
  }

  delete(key: Value): void {
    this.entries.delete(hashKey(key));
  }

  get size(): number {
    return this.entries.size;
  }

  pairs(): (readonly [Value, Value])[] {
    return [...this.entries.values()];
  }
}

export class DictView extends PythonObject {
  constructor(
    readonly dict: Dict,
    readonly kind: "keys" | "values" | "items",
  ) {
    super();
  }
  get typeName() {
    return `dict_${this.kind}`;
  }
  items(): Value[] {
    const pairs = this.dict.pairs();
    if (this.kind === "items") return pairs.map(([key, value]) => new Tuple([key, value]));
    return pairs.map(([key, value]) => (this.kind === "keys" ? key : value));
  }
}

export class Range extends PythonObject {
  readonly typeName = "range";
  readonly size: number;
  constructor(
    readonly start: bigint,
    readonly stop: bigint,
    readonly stride: bigint,
  ) {
    super();
    const span = stride > 0n ? stop - start : start - stop;
    const unit = stride > 0n ? stride : -stride;
    this.size = span <= 0n ? 0 : Number((span + unit - 1n) / unit);
  }
  at(index: number): bigint {
    return this.start + BigInt(index) * this.stride;
  }
}

/** What can be walked over once: generators of filters, reversed lists. */
export class Iter extends PythonObject {
  constructor(
    readonly iterator: Iterator<Value>,
    readonly typeName = "generator",
  ) {
    super();
  }
}

export class Undefined extends PythonObject {
  readonly typeName = "Undefined";
  constructor(
    readonly why: string,
    readonly kind = "UndefinedError",
  ) {
    super();
  }
  fail(): never {
    throw new Raised(this.kind, this.why);
  }
}

/** None is a value: only what is not there becomes undefined. */
export function defined(value: Value | undefined, why: () => string): Value {
  return value === undefined ? new Undefined(why()) : value;
}

/** Keyword arguments, in order. */
export type Keywords = ReadonlyMap<string, Value>;

export class Callable extends PythonObject {
  readonly typeName: string = "function";
  constructor(
    readonly name: string,
    readonly call: (args: readonly Value[], keywords: Keywords) => Value,
  ) {
    super();
  }
}

export class Namespace extends PythonObject {
  readonly typeName = "Namespace";
  readonly attributes = new Dict();
  set(name: string, value: Value): void {
    if (name.startsWith("_")) {
      throw new Raised(
        "SecurityError",
        `Chat templates cannot store underscore-prefixed attributes on a namespace: ${name}`,
      );
    }
    this.attributes.set(new Text(name), value);
  }
}

export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "int";
  if (typeof value === "number") return "float";
  if (value instanceof Text) return value.markup ? "Markup" : "str";
  return value.typeName;
}

export function isNumber(value: Value): value is boolean | bigint | number {
  return typeof value === "boolean" || typeof value === "bigint" || typeof value === "number";
}

export function isInt(value: Value): value is boolean | bigint {
  return typeof value === "boolean" || typeof value === "bigint";
}

export function truth(value: Value): boolean {
  if (value === null || value === false || value === 0n || value === 0) return false;
  if (value instanceof Text) return value.raw !== "";
  if (value instanceof Undefined) return false;
  if (value instanceof List) return value.items.length > 0;
  if (value instanceof Dict || value instanceof Range) return value.size > 0;
  if (value instanceof DictView) return value.dict.size > 0;
  const length = value instanceof PythonObject ? lengthOfOwn(value) : undefined;
  return length !== 0;
}

/** A loop says its own length; it lives beside the interpreter. */
function lengthOfOwn(value: PythonObject): number | undefined {
  return "loopLength" in value ? (value as { loopLength: () => number }).loopLength() : undefined;
}

/** @throws Raised TypeError */
export function lengthOf(value: Value): number {
  if (value instanceof Text) return value.length;
  if (value instanceof List) return value.items.length;
  if (value instanceof Dict || value instanceof Range) return value.size;
  if (value instanceof DictView) return value.dict.size;
  if (value instanceof Undefined) return 0;
  const own = value instanceof PythonObject ? lengthOfOwn(value) : undefined;
  if (own !== undefined) return own;
  throw new Raised("TypeError", `object of type '${typeName(value)}' has no len()`);
}

/** @returns undefined when Python's iter() raises TypeError */
export function iterate(value: Value): Iterator<Value> | undefined {
  if (value instanceof Text) return value.characters();
  if (value instanceof List) return value.items[Symbol.iterator]();
  if (value instanceof Dict) return new DictView(value, "keys").items()[Symbol.iterator]();
  if (value instanceof DictView) return value.items()[Symbol.iterator]();
  if (value instanceof Iter) return value.iterator;
  if (value instanceof Undefined) return [][Symbol.iterator]();
  if (value instanceof Range) return rangeItems(value);
  return undefined;
}

function* rangeItems(range: Range): Generator<Value> {
  for (let index = 0; index < range.size; index++) yield range.at(index);
}

/** @throws Raised TypeError */
export function iterator(value: Value): Iterator<Value> {
  const found = iterate(value);
  if (found === undefined) throw new Raised("TypeError", `'${typeName(value)}' object is not iterable`);
  return found;
}

/** Walks over a value once, a step each. @throws Raised TypeError at the first item */
export function* each(value: Value): Generator<Value> {
  const items = iterator(value);
  for (let next = items.next(); !next.done; next = items.next()) {
    step();
    yield next.value;
  }
}

export function toArray(value: Value): Value[] {
  return [...each(value)];
}

let nextIdentity = 0;
const identities = new WeakMap<PythonObject, string>();

/** Values that are equal and hashable have the same. @throws Raised TypeError for what is not hashable */
export function hashKey(value: Value): unknown {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (typeof value === "bigint") return value;
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : value;
  if (value instanceof Text) return `s${value.raw}`;
  if (value instanceof Tuple) return nested(() => `(${value.items.map((item) => hashPart(hashKey(item))).join()})`);
  if (value instanceof List || value instanceof Dict || value instanceof DictView) {
    throw new Raised("TypeError", `unhashable type: '${typeName(value)}'`);
  }
  if (value instanceof Undefined) return "Undefined";
  let identity = identities.get(value);
  if (identity === undefined) {
    identity = `#${nextIdentity++}`;
    identities.set(value, identity);
  }
  return identity;
}

function hashPart(hash: unknown): string {
  return typeof hash === "string" ? JSON.stringify(hash) : String(hash);
}

export function equal(a: Value, b: Value): boolean {
  step();
  if (a === b) return !Number.isNaN(a);
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b) === 0;
  if (a instanceof Text && b instanceof Text) {
    if (a.raw.length !== b.raw.length) return false;
    read(a.raw.length);
    return a.raw === b.raw;
  }
  if (a instanceof Undefined && b instanceof Undefined) return true;
  if (a instanceof List && b instanceof List) {
    if (a instanceof Tuple !== b instanceof Tuple || a.items.length !== b.items.length) return false;
    return nested(() => a.items.every((item, index) => sameOrEqual(item, b.items[index] as Value)));
  }
  if (a instanceof Dict && b instanceof Dict) {
    if (a.size !== b.size) return false;
    return nested(() =>
      a.pairs().every(([key, value]) => {
        const other = b.get(key);
        return other !== undefined && sameOrEqual(value, other);
      }),
    );
  }
  if (a instanceof Range && b instanceof Range) {
    return a.size === b.size && (a.size === 0 || (a.start === b.start && (a.size === 1 || a.stride === b.stride)));
  }
  if (a instanceof DictView && b instanceof DictView && a.kind !== "values" && b.kind !== "values") {
    const [own, other] = [a.items(), b.items()];
    return own.length === other.length && own.every((item) => contains(b, item));
  }
  return false;
}

/** Containers ask first whether it is the very same: nan is in [nan]. */
function sameOrEqual(a: Value, b: Value): boolean {
  return Object.is(a, b) || equal(a, b);
}

/** @returns NaN where either is */
function compareNumbers(a: boolean | bigint | number, b: boolean | bigint | number): number {
  const left: bigint | number = typeof a === "boolean" ? BigInt(a) : a;
  const right: bigint | number = typeof b === "boolean" ? BigInt(b) : b;
  // JavaScript compares a bigint with a number exactly.
  if (Number.isNaN(left) || Number.isNaN(right)) return Number.NaN;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** By code point, as Python orders texts. */
function compareTexts(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const [left, right] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (left === right) continue;
    const surrogate = (unit: number) => unit >= 0xd800 && unit <= 0xdfff;
    if (surrogate(left) !== surrogate(right)) return surrogate(left) ? 1 : -1;
    return left - right;
  }
  return a.length - b.length;
}

export type Order = "<" | "<=" | ">" | ">=";

/** @throws Raised TypeError where Python cannot order these */
export function ordered(a: Value, order: Order, b: Value): boolean {
  step();
  if (a instanceof Undefined) return a.fail();
  if (b instanceof Undefined) return b.fail();
  let difference: number | undefined;
  if (isNumber(a) && isNumber(b)) difference = compareNumbers(a, b);
  else if (a instanceof Text && b instanceof Text) {
    step(Math.min(a.raw.length, b.raw.length) / 8);
    difference = compareTexts(a.raw, b.raw);
  } else if (a instanceof List && b instanceof List && a instanceof Tuple === b instanceof Tuple) {
    const index = a.items.findIndex((item, at) => at >= b.items.length || !sameOrEqual(item, b.items[at] as Value));
    if (index >= 0 && index < b.items.length) {
      return nested(() => ordered(a.items[index] as Value, order, b.items[index] as Value));
    }
    difference = a.items.length - b.items.length;
  }
  if (difference === undefined) {
    throw new Raised(
      "TypeError",
      `'${order}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`,
    );
  }
  if (order === "<") return difference < 0;
  if (order === "<=") return difference <= 0;
  return order === ">" ? difference > 0 : difference >= 0;
}

/** Stable, by `<` alone, as sorted() does. */
export function sorted<T>(items: readonly T[], key: (item: T) => Value, reverse = false): T[] {
  const keyed = items.map((item) => ({ item, key: key(item) }));
  if (reverse) keyed.reverse();
  keyed.sort((a, b) => (ordered(a.key, "<", b.key) ? -1 : ordered(b.key, "<", a.key) ? 1 : 0));
  if (reverse) keyed.reverse();
  return keyed.map(({ item }) => item);
}

/** `item in container` @throws Raised TypeError */
export function contains(container: Value, item: Value): boolean {
  if (container instanceof Text) {
    if (item instanceof Text) {
      read(container.raw.length);
      return container.raw.includes(item.raw);
    }
    throw new Raised("TypeError", `'in <string>' requires string as left operand, not ${typeName(item)}`);
  }
  if (container instanceof Dict) return container.has(item);
  if (container instanceof DictView && container.kind === "keys") return container.dict.has(item);
  if (iterate(container) === undefined) {
    throw new Raised("TypeError", `argument of type '${typeName(container)}' is not iterable`);
  }
  for (const one of each(container)) if (sameOrEqual(one, item)) return true;
  return false;
}

/** Python's str(). */
export function strOf(value: Value): Text {
  if (value instanceof Text) return value.plain();
  if (value instanceof Undefined) return new Text("");
  return representation(value);
}

/** markupsafe's soft_str(): a Markup stays one. */
export function softText(value: Value): Text {
  return value instanceof Text ? value : strOf(value);
}

/** Python's repr(). @throws Unsupported where it shows an address in memory */
export function representation(value: Value): Text {
  step();
  if (value === null) return new Text("None");
  if (typeof value === "boolean") return new Text(value ? "True" : "False");
  if (typeof value === "bigint") return new Text(intText(value));
  if (typeof value === "number") return new Text(floatText(value));
  if (value instanceof Text) return quoted(value);
  if (value instanceof Undefined) return new Text("Undefined");
  if (value instanceof Range) {
    const stride = value.stride === 1n ? "" : `, ${value.stride}`;
    return new Text(`range(${value.start}, ${value.stop}${stride})`);
  }
  if (value instanceof Namespace) return nested(() => representationOfOne(value));
  return guarded(value, () => representationOfOne(value));
}

/** What is being written: Python writes a container inside itself as dots. */
const open = new Set<PythonObject>();

function guarded(value: PythonObject, write: () => Text): Text {
  if (open.has(value)) return new Text(value instanceof Dict ? "{...}" : "[...]");
  open.add(value);
  try {
    return nested(write);
  } finally {
    open.delete(value);
  }
}

const COMMA = new Text(", ");

function representationOfOne(value: PythonObject): Text {
  const around = (before: string, items: readonly Text[], after: string) =>
    join([new Text(before), join(items, COMMA), new Text(after)]);
  if (value instanceof Tuple) {
    return around("(", value.items.map(representation), value.items.length === 1 ? ",)" : ")");
  }
  if (value instanceof List) return around("[", value.items.map(representation), "]");
  if (value instanceof Dict) {
    const pairs = value.pairs().map(([key, item]) => join([representation(key), representation(item)], new Text(": ")));
    return around("{", pairs, "}");
  }
  if (value instanceof DictView) return around(`${value.typeName}([`, value.items().map(representation), "])");
  if (value instanceof Namespace) return around("<Namespace ", [representation(value.attributes)], ">");
  if ("written" in value) return new Text((value as { written: () => string }).written());
  throw new Unsupported(`writing a ${value.typeName}, which shows an address in memory`);
}

function quoted(value: Text): Text {
  const quote = value.raw.includes("'") && !value.raw.includes('"') ? '"' : "'";
  const whole = new TextBuilder();
  whole.push(value.markup ? `Markup(${quote}` : quote);
  whole.push(value.plain().map((stretch) => escapeUnprintable(stretch, quote)));
  whole.push(value.markup ? `${quote})` : quote);
  return whole.build();
}

const UNPRINTABLE = /[\p{C}\p{Z}\\'"]/gu;

function escapeUnprintable(text: string, quote: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    if (character === " ") return character;
    if (character === "'" || character === '"') return character === quote ? `\\${character}` : character;
    if (character === "\\") return "\\\\";
    if (character === "\n") return "\\n";
    if (character === "\r") return "\\r";
    if (character === "\t") return "\\t";
    const code = character.codePointAt(0) as number;
    if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
  });
}
