/** Python's operators: arithmetic, joining, subscripts, slices. */

import { grow, Raised } from "./budget.js";
import { percentFormat } from "./python-format.js";
import { floorDivide, floorDivideFloat, intPower, intProduct, intToFloat } from "./python-numbers.js";
import { escapeMarkup, join, Text } from "./python-text.js";
import { isInt, isNumber, List, Range, Tuple, typeName, Undefined, type Value } from "./python-values.js";

export type Operator = "+" | "-" | "*" | "/" | "//" | "%" | "**";

/** @throws Raised as Python does */
export function operate(a: Value, operator: Operator, b: Value): Value {
  if (a instanceof Undefined) return a.fail();
  if (a instanceof Text && operator === "%") return percentFormat(a, b);
  if (b instanceof Undefined) return b.fail();
  if (isNumber(a) && isNumber(b)) return arithmetic(a, operator, b);
  if (operator === "+") {
    if (a instanceof Text && b instanceof Text) {
      if (!a.markup && !b.markup) return join([a, b]);
      return join([escapeMarkup(a), escapeMarkup(b)]).asMarkup();
    }
    if (a instanceof List && b instanceof List && a instanceof Tuple === b instanceof Tuple) {
      grow(a.items.length + b.items.length);
      return likeSequence(a, [...a.items, ...b.items]);
    }
  }
  if (operator === "*") {
    if (isInt(b) && (a instanceof Text || a instanceof List)) return repeated(a, b);
    if (isInt(a) && (b instanceof Text || b instanceof List)) return repeated(b, a);
  }
  const shown = operator === "**" ? "** or pow()" : operator;
  throw new Raised("TypeError", `unsupported operand type(s) for ${shown}: '${typeName(a)}' and '${typeName(b)}'`);
}

function likeSequence(kind: List, items: readonly Value[]): List {
  return kind instanceof Tuple ? new Tuple(items) : new List(items);
}

function repeated(value: Text | List, count: boolean | bigint): Value {
  const times = Math.max(0, Number(count));
  if (value instanceof Text) {
    if (value.raw === "" || times === 0) return new Text("", [], value.markup);
    grow(value.raw.length * times);
    if (value.origins.length === 0) return new Text(value.raw.repeat(times), [], value.markup);
    return join(Array.from({ length: times }, () => value)).withMarkup(value.markup);
  }
  if (value.items.length === 0 || times === 0) return likeSequence(value, []);
  grow(value.items.length * times);
  return likeSequence(value, Array.from({ length: times }, () => value.items).flat());
}

function arithmetic(a: boolean | bigint | number, operator: Operator, b: boolean | bigint | number): Value {
  if (typeof a !== "number" && typeof b !== "number") return wholeArithmetic(BigInt(a), operator, BigInt(b));
  const [left, right] = [toFloat(a), toFloat(b)];
  switch (operator) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "/":
      return divide(left, right);
    case "//":
      return floorDivideFloat(left, right).quotient;
    case "%":
      if (right === 0) throw new Raised("ZeroDivisionError", "float modulo");
      return floorDivideFloat(left, right).rest;
    case "**":
      return floatPower(left, right);
  }
}

function wholeArithmetic(a: bigint, operator: Operator, b: bigint): Value {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return intProduct(a, b);
    case "/":
      return divide(intToFloat(a), intToFloat(b));
    case "//":
      return floorDivide(a, b).quotient;
    case "%":
      return floorDivide(a, b).rest;
    case "**":
      return b < 0n ? floatPower(intToFloat(a), intToFloat(b)) : intPower(a, b);
  }
}

function toFloat(value: boolean | bigint | number): number {
  return typeof value === "number" ? value : intToFloat(BigInt(value));
}

function divide(a: number, b: number): number {
  if (b === 0) throw new Raised("ZeroDivisionError", "division by zero");
  return a / b;
}

function floatPower(a: number, b: number): number {
  if (a === 0 && b < 0) throw new Raised("ZeroDivisionError", "0.0 cannot be raised to a negative power");
  if (a === 1 || (a === -1 && !Number.isFinite(b) && !Number.isNaN(b))) return 1;
  const power = a ** b;
  if (Number.isNaN(power) && !Number.isNaN(a) && !Number.isNaN(b)) {
    throw new Raised("TypeError", "a complex number");
  }
  if (!Number.isFinite(power) && Number.isFinite(a) && Number.isFinite(b)) {
    throw new Raised("OverflowError", "Numerical result out of range");
  }
  return power;
}

export function signedValue(sign: "+" | "-", value: Value): Value {
  if (value instanceof Undefined) return value.fail();
  if (typeof value === "number") return sign === "-" ? -value : value;
  if (isInt(value)) return sign === "-" ? -BigInt(value) : BigInt(value);
  throw new Raised("TypeError", `bad operand type for unary ${sign}: '${typeName(value)}'`);
}

/** Python's index of a sequence, negative ones from its end. @returns undefined when out of range */
export function sequenceItem(sequence: Text | List | Range, index: bigint): Value | undefined {
  const length =
    sequence instanceof Text ? sequence.length : sequence instanceof List ? sequence.items.length : sequence.size;
  const at = index < 0n ? index + BigInt(length) : index;
  if (at < 0n || at >= BigInt(length)) return undefined;
  const place = Number(at);
  if (sequence instanceof Text) return sequence.character(place);
  return sequence instanceof List ? (sequence.items[place] as Value) : sequence.at(place);
}

/** First index, one beyond the last, stride. */
export interface Bounds {
  readonly start: number;
  readonly stop: number;
  readonly stride: number;
}

/** Python's slice.indices(length). @throws Raised TypeError, ValueError */
export function sliceBounds(
  start: Value | undefined,
  stop: Value | undefined,
  stride: Value | undefined,
  length: number,
): Bounds {
  const given = (value: Value | undefined): number | undefined => {
    if (value === undefined || value === null) return undefined;
    if (isInt(value)) return Number(value);
    throw new Raised("TypeError", "slice indices must be integers or None or have an __index__ method");
  };
  const by = given(stride) ?? 1;
  if (by === 0) throw new Raised("ValueError", "slice step cannot be zero");
  const clamp = (value: number | undefined, missing: number): number => {
    if (value === undefined) return missing;
    const at = value < 0 ? value + length : value;
    return by > 0 ? Math.min(Math.max(at, 0), length) : Math.min(Math.max(at, -1), length - 1);
  };
  return {
    start: clamp(given(start), by > 0 ? 0 : length - 1),
    stop: clamp(given(stop), by > 0 ? length : -1),
    stride: by,
  };
}

/** @throws Raised TypeError for what has no slices */
export function slice(value: Value, start?: Value, stop?: Value, stride?: Value): Value {
  if (value instanceof Undefined) return value.fail();
  if (value instanceof Text) {
    const cut = sliceBounds(start, stop, stride, value.length);
    if (cut.stride === 1) return value.slice(value.unit(cut.start), value.unit(Math.max(cut.start, cut.stop)));
    return join(indices(cut).map((index) => value.character(index))).withMarkup(value.markup);
  }
  if (value instanceof List) {
    const cut = sliceBounds(start, stop, stride, value.items.length);
    const items = indices(cut).map((index) => value.items[index] as Value);
    return likeSequence(value, items);
  }
  if (value instanceof Range) {
    const cut = sliceBounds(start, stop, stride, value.size);
    const by = value.stride * BigInt(cut.stride);
    return new Range(value.at(cut.start), value.at(cut.stop), by);
  }
  throw new Raised("TypeError", `'${typeName(value)}' object is not subscriptable`);
}

function indices({ start, stop, stride }: Bounds): number[] {
  const count = Math.max(0, Math.ceil((stop - start) / stride));
  grow(count);
  return Array.from({ length: count }, (_, at) => start + at * stride);
}
