/** The functions that transformers gives every chat template, and jinja2's own. */

import { Raised, Unsupported } from "./budget.js";
import { pinnedTime } from "./clock.js";
import { bind, fromKeys } from "./python-methods.js";
import { Text } from "./python-text.js";
import {
  Callable,
  Dict,
  each,
  isInt,
  type Keywords,
  List,
  Namespace,
  PythonObject,
  Range,
  toArray,
  strOf,
  typeName,
  type Value,
} from "./python-values.js";

/** The sandbox allows no longer range. */
const LONGEST_RANGE = 100_000;

function dictOf(args: readonly Value[], keywords: Keywords): Dict {
  if (args.length > 1) throw new Raised("TypeError", `dict expected at most 1 argument, got ${args.length}`);
  const [source] = args;
  const pairs: (readonly [Value, Value])[] = [];
  if (source instanceof Dict) pairs.push(...source.pairs());
  else if (source !== undefined) {
    for (const item of each(source)) {
      const pair = toArray(item);
      if (pair.length !== 2) throw new Raised("ValueError", "a dictionary is made of pairs");
      pairs.push([pair[0] as Value, pair[1] as Value]);
    }
  }
  return new Dict([...pairs, ...[...keywords].map(([key, value]) => [new Text(key), value] as const)]);
}

function range(args: readonly Value[]): Value {
  const [first, second, third] = args.map((value) => {
    if (isInt(value)) return BigInt(value);
    throw new Raised("TypeError", `'${typeName(value)}' object cannot be interpreted as an integer`);
  });
  if (first === undefined || args.length > 3) throw new Raised("TypeError", "range expected 1 to 3 arguments");
  if (third === 0n) throw new Raised("ValueError", "range() arg 3 must not be zero");
  const whole = second === undefined ? new Range(0n, first, 1n) : new Range(first, second, third ?? 1n);
  if (whole.size > LONGEST_RANGE) {
    throw new Raised("OverflowError", `Range too big. The sandbox blocks ranges larger than ${LONGEST_RANGE}.`);
  }
  return whole;
}

/** `dict` is a function with one attribute of its own. */
class DictMaker extends Callable {
  constructor() {
    super("dict", dictOf);
  }
  attribute(name: string): Value | undefined {
    if (name !== "fromkeys") return undefined;
    return new Callable(name, (args, keywords) => {
      const [keys, value] = bind(name, ["iterable", "value?"], args, keywords);
      return fromKeys(keys as Value, value ?? null);
    });
  }
}

class Cycler extends PythonObject {
  readonly typeName = "Cycler";
  private at = 0;
  constructor(private readonly items: readonly Value[]) {
    super();
    if (items.length === 0) throw new Raised("RuntimeError", "at least one item has to be provided");
  }
  attribute(name: string): Value | undefined {
    const current = this.items[this.at] as Value;
    if (name === "current") return current;
    if (name === "next") {
      return new Callable(name, () => {
        const now = this.items[this.at] as Value;
        this.at = (this.at + 1) % this.items.length;
        return now;
      });
    }
    if (name !== "reset") return undefined;
    return new Callable(name, () => {
      this.at = 0;
      return null;
    });
  }
}

function joiner(args: readonly Value[], keywords: Keywords): Value {
  const [separator] = bind("joiner", ["sep?"], args, keywords);
  let used = false;
  return new Callable("joiner", () => {
    if (used) return separator === undefined ? new Text(", ") : separator;
    used = true;
    return new Text("");
  });
}

function namespace(args: readonly Value[], keywords: Keywords): Namespace {
  const made = new Namespace();
  for (const [key, value] of dictOf(args, keywords).pairs()) made.set(strOf(key).raw, value);
  return made;
}

/** What a template says when it refuses a conversation. */
export class Refused extends Raised {
  constructor(message: string) {
    super("TemplateError", message);
  }
}

export const GLOBALS: ReadonlyMap<string, Value> = new Map<string, Value>([
  ["range", new Callable("range", (args) => range(args))],
  ["dict", new DictMaker()],
  ["namespace", new Callable("namespace", namespace)],
  ["joiner", new Callable("joiner", joiner)],
  ["cycler", new Callable("cycler", (args) => new Cycler(args))],
  [
    "lipsum",
    new Callable("lipsum", () => {
      throw new Unsupported("lipsum, which is random");
    }),
  ],
  [
    "raise_exception",
    new Callable("raise_exception", (args, keywords) => {
      const [message] = bind("raise_exception", ["message"], args, keywords);
      throw new Refused(strOf(message as Value).raw);
    }),
  ],
  [
    "strftime_now",
    new Callable("strftime_now", (args, keywords) => {
      const [format] = bind("strftime_now", ["format"], args, keywords);
      if (!(format instanceof Text)) throw new Raised("TypeError", "strftime() argument 1 must be str");
      return new Text(pinnedTime(format.raw));
    }),
  ],
]);

/** A value of ours as templates see it. */
export function pythonValue(value: unknown): Value {
  if (value === null || typeof value === "boolean" || typeof value === "bigint") return value;
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : value;
  if (typeof value === "string") return new Text(value);
  if (value instanceof Text || value instanceof PythonObject) return value;
  if (Array.isArray(value)) return new List(value.map(pythonValue));
  if (typeof value === "object") {
    return new Dict(Object.entries(value).map(([key, item]) => [new Text(key), pythonValue(item)] as const));
  }
  throw new Raised("TypeError", `a template cannot be given a ${typeof value}`);
}
