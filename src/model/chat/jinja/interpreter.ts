/** Runs a parsed template as jinja2 runs it in transformers' sandbox. */

import { nested, Raised, step, Unsupported } from "./budget.js";
import { callFilter } from "./jinja-filters.js";
import { getAttribute, getItem } from "./python-methods.js";
import { operate, signedValue, slice } from "./python-operators.js";
import type {
  CallArguments,
  ComparisonSign,
  Expression,
  FilterExpression,
  MacroBody,
  Statement,
  Target,
} from "./syntax-tree.js";
import type { NameScope } from "./scopes.js";
import { callTest } from "./jinja-tests.js";
import { join, Text, TextBuilder } from "./python-text.js";
import {
  Callable,
  contains,
  defined,
  Dict,
  each,
  equal,
  iterator,
  Iter,
  type Keywords,
  lengthOf,
  List,
  Namespace,
  ordered,
  PythonObject,
  toArray,
  strOf,
  truth,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./python-values.js";

type Ending = "break" | "continue" | undefined;
type Loop = Statement & { kind: "for" };

/** What the template is given, and what its outermost part has set. */
class Context {
  readonly set = new Map<string, Value>();

  constructor(readonly given: ReadonlyMap<string, Value>) {}

  resolve(name: string): Value | undefined {
    return this.set.has(name) ? this.set.get(name) : this.given.get(name);
  }
}

/** The names of one part while it runs; undefined is jinja2's `missing`. */
class Frame {
  readonly names = new Map<string, Value | undefined>();

  constructor(
    readonly context: Context,
    scope: NameScope,
    readonly parent?: Frame,
    /** Names set here are the template's own. */
    readonly top = false,
  ) {
    for (const [name, load] of scope.loads) {
      const value = load === "outer" ? parent?.get(name) : load === "resolve" ? context.resolve(name) : undefined;
      this.names.set(name, value);
    }
  }

  get(name: string): Value | undefined {
    for (let frame: Frame | undefined = this; frame !== undefined; frame = frame.parent) {
      if (frame.names.has(name)) return frame.names.get(name);
    }
    return undefined;
  }

  set(name: string, value: Value): void {
    this.names.set(name, value);
    if (this.top) this.context.set.set(name, value);
  }
}

/** `loop` inside a for. */
class LoopState extends PythonObject {
  readonly typeName = "LoopContext";
  index0 = -1;
  private before: Value | undefined;
  private now: Value | undefined;
  private ahead: IteratorResult<Value> | undefined;
  private size: number | undefined;
  private lastChanged: Value | undefined;
  private items: Iterator<Value>;

  constructor(
    private readonly source: Value,
    private readonly depth0: number,
    private readonly recurse: ((items: Value) => Value) | undefined,
  ) {
    super();
    this.items = iterator(source);
  }

  next(): Value | undefined {
    const next = this.ahead ?? this.items.next();
    this.ahead = undefined;
    if (next.done) return undefined;
    this.index0 += 1;
    this.before = this.now;
    this.now = next.value;
    return next.value;
  }

  private peek(): IteratorResult<Value> {
    this.ahead ??= this.items.next();
    return this.ahead;
  }

  loopLength(): number {
    if (this.size === undefined) {
      if (this.source instanceof Iter) {
        const rest: Value[] = [];
        for (let next = this.items.next(); !next.done; next = this.items.next()) {
          step();
          rest.push(next.value);
        }
        this.items = rest[Symbol.iterator]();
        const peeked = this.ahead !== undefined && !this.ahead.done ? 1 : 0;
        this.size = rest.length + this.index0 + 1 + peeked;
      } else this.size = lengthOf(this.source);
    }
    return this.size;
  }

  attribute(name: string): Value | undefined {
    switch (name) {
      case "index":
        return BigInt(this.index0 + 1);
      case "index0":
        return BigInt(this.index0);
      case "first":
        return this.index0 === 0;
      case "last":
        return this.peek().done === true;
      case "length":
        return BigInt(this.loopLength());
      case "revindex":
        return BigInt(this.loopLength() - this.index0);
      case "revindex0":
        return BigInt(this.loopLength() - this.index0 - 1);
      case "depth":
        return BigInt(this.depth0 + 1);
      case "depth0":
        return BigInt(this.depth0);
      case "previtem":
        return this.index0 === 0 ? new Undefined("there is no previous item") : (this.before ?? null);
      case "nextitem": {
        const next = this.peek();
        return next.done ? new Undefined("there is no next item") : next.value;
      }
      case "cycle":
        return new Callable(name, (args) => {
          if (args.length === 0) throw new Raised("TypeError", "no items for cycling given");
          return args[this.index0 % args.length] as Value;
        });
      case "changed":
        return new Callable(name, (args) => {
          const given = new Tuple(args);
          if (this.lastChanged !== undefined && equal(this.lastChanged, given)) return false;
          this.lastChanged = given;
          return true;
        });
      default:
        return undefined;
    }
  }

  call(args: readonly Value[]): Value {
    if (this.recurse === undefined) {
      throw new Raised("TypeError", "The loop must have the 'recursive' marker to be called recursively.");
    }
    if (args.length !== 1) throw new Raised("TypeError", "loop() takes one argument");
    return this.recurse(args[0] as Value);
  }

  written(): string {
    return `<LoopContext ${this.index0 + 1}/${this.loopLength()}>`;
  }
}

class Macro extends PythonObject {
  readonly typeName = "Macro";

  constructor(
    readonly name: string | undefined,
    private readonly body: MacroBody,
    readonly run: (values: ReadonlyMap<string, Value>) => Value,
  ) {
    super();
  }

  /** jinja2's order: places, then names, then what the macro asks for by its special names. */
  call(args: readonly Value[], keywords: Keywords): Value {
    const { names } = this.body.signature;
    const reads = this.body.reads ?? new Set();
    const values = new Map<string, Value>();
    const rest = new Map(keywords);
    names.forEach((name, index) => {
      const given = index < args.length ? args[index] : rest.get(name);
      if (given !== undefined) values.set(name, given);
      if (index >= args.length) rest.delete(name);
    });
    if (reads.has("caller")) {
      // None is no caller either.
      values.set("caller", rest.get("caller") ?? new Undefined("No caller defined"));
      rest.delete("caller");
    }
    if (reads.has("kwargs"))
      values.set("kwargs", new Dict([...rest].map(([key, value]) => [new Text(key), value] as const)));
    else if (rest.size > 0) {
      throw new Raised("TypeError", `macro '${this.name}' takes no keyword argument '${[...rest.keys()][0]}'`);
    }
    if (reads.has("varargs")) values.set("varargs", new Tuple(args.slice(names.length)));
    else if (args.length > names.length) {
      throw new Raised("TypeError", `macro '${this.name}' takes not more than ${names.length} argument(s)`);
    }
    return this.run(values);
  }

  attribute(name: string): Value | undefined {
    if (name === "name") return this.name === undefined ? null : new Text(this.name);
    if (name === "arguments") return new Tuple(this.body.signature.names.map((one) => new Text(one)));
    if (name === "caller") return this.body.reads?.has("caller") ?? false;
    if (name === "catch_kwargs") return this.body.reads?.has("kwargs") ?? false;
    if (name === "catch_varargs") return this.body.reads?.has("varargs") ?? false;
    return undefined;
  }

  written(): string {
    return this.name === undefined ? "<Macro anonymous>" : `<Macro '${this.name}'>`;
  }
}

/** @throws Raised, OverBudget, Unsupported */
export function runTemplate(body: readonly Statement[], scope: NameScope, given: ReadonlyMap<string, Value>): Text {
  const context = new Context(given);
  const out = new TextBuilder();
  executeAll(body, new Frame(context, scope, undefined, true), out);
  return out.build();
}

function executeAll(body: readonly Statement[], frame: Frame, out: TextBuilder): Ending {
  for (const statement of body) {
    const ending = execute(statement, frame, out);
    if (ending !== undefined) return ending;
  }
  return undefined;
}

/** What a part writes, for a part that captures it. */
function captured(write: (out: TextBuilder) => void): Text {
  const out = new TextBuilder();
  write(out);
  return out.build();
}

/** Runs a body in a scope of its own and keeps what it writes. */
function capturedBody(
  statement: Statement & { kind: "set block" | "filter block" },
  frame: Frame,
): { readonly inner: Frame; readonly text: Text; readonly ending: Ending } {
  const inner = new Frame(frame.context, statement.scope as NameScope, frame);
  let ending: Ending;
  const text = captured((own) => {
    ending = executeAll(statement.body, inner, own);
  });
  return { inner, text, ending };
}

function execute(statement: Statement, frame: Frame, out: TextBuilder): Ending {
  step();
  switch (statement.kind) {
    case "output":
      for (const item of statement.items) out.push(typeof item === "string" ? item : strOf(evaluate(item, frame)));
      return undefined;
    case "if":
      for (const { test, body } of statement.branches) {
        if (truth(evaluate(test, frame))) return executeAll(body, frame, out);
      }
      return executeAll(statement.otherwise, frame, out);
    case "for":
      nested(() => {
        if (!statement.recursive) return forLoop(statement, frame, evaluate(statement.items, frame), 0, out);
        out.push(strOf(recursiveLoop(statement, frame, evaluate(statement.items, frame), 0)));
      });
      return undefined;
    case "set":
      requireNamespaces(statement.target, frame);
      assign(statement.target, evaluate(statement.value, frame), frame);
      return undefined;
    case "set block": {
      const { inner, text, ending } = capturedBody(statement, frame);
      if (ending !== undefined) return ending;
      assign(statement.target, statement.filter === undefined ? text : filtered(statement.filter, inner, text), frame);
      return undefined;
    }
    case "macro":
      frame.set(statement.name, makeMacro(statement, frame, statement.name));
      return undefined;
    case "call block": {
      const caller = makeMacro(statement, frame, undefined);
      const { args, keywords } = evaluateArguments(statement.call.given, frame);
      if (keywords.has("caller")) throw new Raised("TypeError", "got multiple values for keyword argument 'caller'");
      const called = evaluate(statement.call.value, frame);
      out.push(strOf(callValue(called, args, new Map([...keywords, ["caller", caller]]))));
      return undefined;
    }
    case "filter block": {
      const { inner, text, ending } = capturedBody(statement, frame);
      if (ending !== undefined) return ending;
      out.push(strOf(filtered(statement.filter, inner, text)));
      return undefined;
    }
    case "with": {
      const inner = new Frame(frame.context, statement.scope as NameScope, frame);
      for (const [target, value] of statement.pairs) assign(target, evaluate(value, frame), inner);
      return executeAll(statement.body, inner, out);
    }
    case "scope":
      if (statement.autoescape !== undefined && truth(evaluate(statement.autoescape, frame))) {
        throw new Unsupported("autoescape");
      }
      return executeAll(statement.body, new Frame(frame.context, statement.scope as NameScope, frame), out);
    case "block":
      executeAll(statement.body, new Frame(frame.context, statement.scope as NameScope), out);
      return undefined;
    case "break":
    case "continue":
      return statement.kind;
    case "load":
      throw new Raised("TypeError", `no loader for this environment specified (${statement.tag})`);
  }
}

function requireNamespaces(target: Target, frame: Frame): void {
  if (target.kind === "tuple") for (const item of target.items) requireNamespaces(item, frame);
  if (target.kind === "field" && !(frame.get(target.name) instanceof Namespace)) {
    throw new Raised("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
  }
}

function assign(target: Target, value: Value, frame: Frame): void {
  if (target.kind === "name") frame.set(target.name, value);
  else if (target.kind === "field") {
    const space = frame.get(target.name);
    if (!(space instanceof Namespace)) {
      throw new Raised("TypeError", `'${typeName(space ?? null)}' object does not support item assignment`);
    }
    space.set(target.field, value);
  } else {
    const items: Value[] = [];
    for (const item of each(value)) {
      items.push(item);
      if (items.length > target.items.length) break;
    }
    if (items.length !== target.items.length) {
      const which = items.length > target.items.length ? "too many values" : "not enough values";
      throw new Raised("ValueError", `${which} to unpack (expected ${target.items.length})`);
    }
    target.items.forEach((one, index) => {
      assign(one, items[index] as Value, frame);
    });
  }
}

/** Only the items that the loop's own test lets through, each tested when it is reached. */
function* tested(loop: Loop, frame: Frame, items: Value): Generator<Value> {
  const inner = new Frame(frame.context, loop.scopes?.test as NameScope, frame);
  for (const item of each(items)) {
    assign(loop.target, item, inner);
    if (truth(evaluate(loop.test as Expression, inner))) yield item;
  }
}

function forLoop(loop: Loop, frame: Frame, items: Value, depth: number, out: TextBuilder): void {
  const scopes = loop.scopes as NonNullable<Loop["scopes"]>;
  const source = loop.test === undefined ? items : new Iter(tested(loop, frame, items));
  const recurse = loop.recursive ? (inner: Value) => recursiveLoop(loop, frame, inner, depth + 1) : undefined;
  const state = new LoopState(source, depth, recurse);
  let ran = false;
  for (let item = state.next(); item !== undefined; item = state.next()) {
    step();
    const inner = new Frame(frame.context, scopes.body, frame);
    if (scopes.extended) inner.names.set("loop", state);
    assign(loop.target, item, inner);
    const ending = executeAll(loop.body, inner, out);
    // jinja2 marks a loop as run at the end of its body: one left by break or continue has not run for its `else`.
    if (ending === undefined) ran = true;
    if (ending === "break") break;
  }
  if (!ran && loop.otherwise.length > 0)
    executeAll(loop.otherwise, new Frame(frame.context, scopes.otherwise, frame), out);
}

function recursiveLoop(loop: Loop, frame: Frame, items: Value, depth: number): Value {
  return nested(() => captured((out) => forLoop(loop, frame, items, depth, out)));
}

function makeMacro(body: MacroBody, frame: Frame, name: string | undefined): Macro {
  const { names, defaults } = body.signature;
  return new Macro(name, body, (values) =>
    nested(() => {
      const inner = new Frame(frame.context, body.scope as NameScope, frame);
      for (const [key, value] of values) inner.names.set(key, value);
      names.forEach((key, index) => {
        if (values.has(key)) return;
        const fallback = defaults[index - (names.length - defaults.length)];
        inner.names.set(
          key,
          fallback === undefined ? new Undefined(`parameter '${key}' was not provided`) : evaluate(fallback, inner),
        );
      });
      return captured((out) => executeAll(body.body, inner, out));
    }),
  );
}

function filtered({ value, name, given }: FilterExpression, frame: Frame, text: Text): Value {
  const { args, keywords } = evaluateArguments(given, frame);
  const input = value === undefined ? text : filtered(value as FilterExpression, frame, text);
  return callFilter(name, [input, ...args], keywords);
}

interface Evaluated {
  readonly args: readonly Value[];
  readonly keywords: Keywords;
}

const NO_KEYWORDS: Keywords = new Map();

function evaluateArguments(given: CallArguments, frame: Frame): Evaluated {
  const args = given.args.map((one) => evaluate(one, frame));
  if (given.dynamicArgs !== undefined) args.push(...toArray(evaluate(given.dynamicArgs, frame)));
  if (given.keywords.length === 0 && given.dynamicKeywords === undefined) return { args, keywords: NO_KEYWORDS };
  const keywords = new Map(given.keywords.map(([name, one]) => [name, evaluate(one, frame)]));
  if (given.dynamicKeywords !== undefined) {
    const more = evaluate(given.dynamicKeywords, frame);
    if (!(more instanceof Dict)) throw new Raised("TypeError", "argument after ** must be a mapping");
    for (const [key, value] of more.pairs()) {
      if (!(key instanceof Text)) throw new Raised("TypeError", "keywords must be strings");
      if (keywords.has(key.raw)) throw new Raised("TypeError", `got multiple values for keyword argument '${key.raw}'`);
      keywords.set(key.raw, value);
    }
  }
  return { args, keywords };
}

function callValue(called: Value, args: readonly Value[], keywords: Keywords): Value {
  step();
  if (called instanceof Undefined) return called.fail();
  if (called instanceof Callable || called instanceof Macro) return called.call(args, keywords);
  if (called instanceof LoopState) return called.call(args);
  throw new Raised("TypeError", `'${typeName(called)}' object is not callable`);
}

function compare(left: Value, comparison: ComparisonSign, right: Value): boolean {
  switch (comparison) {
    case "==":
      return equal(left, right);
    case "!=":
      return !equal(left, right);
    case "in":
      return contains(right, left);
    case "not in":
      return !contains(right, left);
    default:
      return ordered(left, comparison, right);
  }
}

function evaluate(node: Expression, frame: Frame): Value {
  step();
  switch (node.kind) {
    case "const":
      return node.value;
    case "name":
      return defined(frame.get(node.name), () => `'${node.name}' is undefined`);
    case "tuple":
      return new Tuple(node.items.map((item) => evaluate(item, frame)));
    case "list":
      return new List(node.items.map((item) => evaluate(item, frame)));
    case "dict":
      return new Dict(node.pairs.map(([key, value]) => [evaluate(key, frame), evaluate(value, frame)] as const));
    case "condition":
      if (truth(evaluate(node.test, frame))) return evaluate(node.yes, frame);
      if (node.no !== undefined) return evaluate(node.no, frame);
      return new Undefined("the inline if-expression evaluated to false and no else section was defined.");
    case "and": {
      const left = evaluate(node.left, frame);
      return truth(left) ? evaluate(node.right, frame) : left;
    }
    case "or": {
      const left = evaluate(node.left, frame);
      return truth(left) ? left : evaluate(node.right, frame);
    }
    case "not":
      return !truth(evaluate(node.value, frame));
    case "sign":
      return signedValue(node.sign, evaluate(node.value, frame));
    case "operate":
      return operate(evaluate(node.left, frame), node.operator, evaluate(node.right, frame));
    case "concat":
      return join(node.items.map((item) => strOf(evaluate(item, frame))));
    case "compare": {
      let left = evaluate(node.first, frame);
      for (const [comparison, next] of node.rest) {
        const right = evaluate(next, frame);
        if (!compare(left, comparison, right)) return false;
        left = right;
      }
      return true;
    }
    case "attribute":
      return getAttribute(evaluate(node.value, frame), node.name);
    case "item":
      return getItem(evaluate(node.value, frame), evaluate(node.key, frame));
    case "slice": {
      const value = evaluate(node.value, frame);
      const [start, stop, stride] = node.parts.map((part) => (part === undefined ? undefined : evaluate(part, frame)));
      return slice(value, start, stop, stride);
    }
    case "call": {
      const called = evaluate(node.value, frame);
      const { args, keywords } = evaluateArguments(node.given, frame);
      return callValue(called, args, keywords);
    }
    case "filter": {
      const value = evaluate(node.value as Expression, frame);
      const { args, keywords } = evaluateArguments(node.given, frame);
      return callFilter(node.name, [value, ...args], keywords);
    }
    case "test": {
      const value = evaluate(node.value, frame);
      const { args, keywords } = evaluateArguments(node.given, frame);
      return callTest(node.name, [value, ...args], keywords);
    }
  }
}
