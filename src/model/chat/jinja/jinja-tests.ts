/** jinja2's tests: what may follow `is`. */

import { Raised } from "./budget.js";
import { isFilter } from "./jinja-filters.js";
import { bind, isLower, isUpper } from "./python-methods.js";
import { operate } from "./python-operators.js";
import { Text } from "./python-text.js";
import {
  Callable,
  contains,
  Dict,
  equal,
  hashKey,
  isInt,
  isNumber,
  iterate,
  type Keywords,
  List,
  ordered,
  type Order,
  PythonObject,
  Range,
  strOf,
  Undefined,
  type Value,
} from "./python-values.js";

type Test = (value: Value, other: Value) => Value;

const remainder = (value: Value, by: Value) => operate(value, "%", by);
const inOrder =
  (order: Order): Test =>
  (value, other) =>
    ordered(value, order, other);

/** Tests of the value alone. */
const ALONE: Readonly<Record<string, (value: Value) => Value>> = {
  odd: (value) => equal(remainder(value, 2n), 1n),
  even: (value) => equal(remainder(value, 2n), 0n),
  defined: (value) => !(value instanceof Undefined),
  undefined: (value) => value instanceof Undefined,
  filter: (value) => named(value, isFilter),
  test: (value) => named(value, isTest),
  none: (value) => value === null,
  boolean: (value) => typeof value === "boolean",
  false: (value) => value === false,
  true: (value) => value === true,
  integer: (value) => typeof value === "bigint",
  float: (value) => typeof value === "number",
  lower: (value) => isLower(strOf(value).raw),
  upper: (value) => isUpper(strOf(value).raw),
  string: (value) => value instanceof Text,
  mapping: (value) => value instanceof Dict,
  number: (value) => isNumber(value),
  sequence: (value) =>
    value instanceof Text ||
    value instanceof List ||
    value instanceof Dict ||
    value instanceof Range ||
    value instanceof Undefined,
  iterable: (value) => iterate(value) !== undefined || (value instanceof PythonObject && "loopLength" in value),
  callable: (value) =>
    value instanceof Callable || value instanceof Undefined || (value instanceof PythonObject && "loopLength" in value),
  escaped: (value) => value instanceof Text && value.markup,
};

/** Python looks the value up in a dict, whatever it is. */
function named(value: Value, known: (name: string) => boolean): boolean {
  hashKey(value);
  return value instanceof Text && known(value.raw);
}

const equals: Test = (value, other) => equal(value, other);
const differs: Test = (value, other) => !equal(value, other);

/** Tests against another value. */
const AGAINST: Readonly<Record<string, Test>> = {
  divisibleby: (value, other) => equal(remainder(value, other), 0n),
  sameas: same,
  in: (value, other) => contains(other, value),
  "==": equals,
  eq: equals,
  equalto: equals,
  "!=": differs,
  ne: differs,
  ">": inOrder(">"),
  gt: inOrder(">"),
  greaterthan: inOrder(">"),
  ge: inOrder(">="),
  ">=": inOrder(">="),
  "<": inOrder("<"),
  lt: inOrder("<"),
  lessthan: inOrder("<"),
  "<=": inOrder("<="),
  le: inOrder("<="),
};

/** Python's `is`; equal texts and ints are taken for the same one, as its constants are. */
function same(value: Value, other: Value): boolean {
  if (value instanceof Text && other instanceof Text) return value.raw === other.raw && value.markup === other.markup;
  if (isInt(value) && isInt(other)) return value === other;
  return Object.is(value, other);
}

export function isTest(name: string): boolean {
  return Object.hasOwn(ALONE, name) || Object.hasOwn(AGAINST, name);
}

/** @param args the value first @throws Raised */
export function callTest(name: string, args: readonly Value[], keywords: Keywords): Value {
  if (Object.hasOwn(ALONE, name)) {
    const [value] = bind(name, ["value"], args, keywords);
    return (ALONE[name] as (value: Value) => Value)(value as Value);
  }
  if (!Object.hasOwn(AGAINST, name)) throw new Raised("TemplateRuntimeError", `No test named '${name}' found.`);
  const second = { divisibleby: "num", in: "seq" }[name] ?? "other";
  const [value, other] = bind(name, ["value", second], args, keywords);
  return (AGAINST[name] as Test)(value as Value, other as Value);
}
