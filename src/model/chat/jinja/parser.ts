/** A template's tokens as a tree, by jinja2's grammar: its precedences, its names for what is wrong. */

import { nested, type Raised } from "./budget.js";
import { syntaxError, type Token, tokenize } from "./lexer.js";
import type { Operator } from "./python-operators.js";
import { Text } from "./python-text.js";
import type { Value } from "./python-values.js";
import type {
  CallArguments,
  ComparisonSign,
  Expression,
  FilterExpression,
  Signature,
  Statement,
  Target,
} from "./syntax-tree.js";

const NO_ARGUMENTS: CallArguments = { args: [], keywords: [] };
const COMPARISONS = new Set(["==", "!=", "<", "<=", ">", ">="]);
const CONSTANTS: Readonly<Record<string, Value>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};

/** @throws Raised TemplateSyntaxError */
export function parseTemplate(template: string): Statement[] {
  return new Parser(tokenize(template)).statements([]);
}

class Parser {
  private at = 0;

  constructor(private readonly tokens: readonly Token[]) {}

  private get current(): Token {
    return this.tokens[Math.min(this.at, this.tokens.length - 1)] as Token;
  }

  private next(): Token {
    const token = this.current;
    this.at += 1;
    return token;
  }

  private fail(message: string): Raised {
    return syntaxError(message, this.current.line);
  }

  private is(type: Token["type"], value?: string, ahead = 0): boolean {
    const token = this.tokens[Math.min(this.at + ahead, this.tokens.length - 1)] as Token;
    return token.type === type && (value === undefined || token.value === value);
  }

  private skip(type: Token["type"], value?: string): boolean {
    if (!this.is(type, value)) return false;
    this.at += 1;
    return true;
  }

  private expect(type: Token["type"], value?: string): Token {
    if (this.is(type, value)) return this.next();
    const wanted = value ?? type.replace("_", " ");
    if (this.current.type === "eof") throw this.fail(`unexpected end of template, expected '${wanted}'`);
    throw this.fail(`expected '${wanted}', got '${this.shown()}'`);
  }

  private shown(): string {
    return this.current.value === "" ? this.current.type.replace("_", " ") : String(this.current.value);
  }

  private name(): string {
    return String(this.expect("name").value);
  }

  /** Up to one of these tags, whose name becomes the current token; up to the end for none. */
  statements(ends: readonly string[]): Statement[] {
    return nested(() => {
      const body: Statement[] = [];
      let output: (Expression | string)[] = [];
      const flush = () => {
        if (output.length > 0) body.push({ kind: "output", items: output });
        output = [];
      };
      while (!this.is("eof")) {
        if (this.is("data")) output.push(String(this.next().value));
        else if (this.skip("variable_begin")) {
          output.push(this.tuple());
          this.expect("variable_end");
        } else {
          flush();
          this.expect("block_begin");
          if (this.current.type === "name" && ends.includes(String(this.current.value))) return body;
          body.push(this.statement());
          this.expect("block_end");
        }
      }
      if (ends.length > 0) throw this.fail(`unexpected end of template, looking for '${ends.join("' or '")}'`);
      flush();
      return body;
    });
  }

  /** The body of a tag, up to one of these, which is read too. */
  private body(...ends: string[]): { body: Statement[]; end: string } {
    this.skip("operator", ":");
    this.expect("block_end");
    const body = this.statements(ends);
    return { body, end: String(this.next().value) };
  }

  private statement(): Statement {
    if (this.current.type !== "name") throw this.fail("tag name expected");
    const tag = String(this.next().value);
    switch (tag) {
      case "for":
        return this.forLoop();
      case "if":
        return this.condition();
      case "set":
        return this.set();
      case "macro": {
        const name = this.name();
        return { kind: "macro", name, signature: this.signature(), body: this.body("endmacro").body };
      }
      case "call":
        return this.callBlock();
      case "generation":
        return { kind: "scope", body: this.body("endgeneration").body };
      case "filter": {
        const filter = this.filterChain();
        return { kind: "filter block", filter, body: this.body("endfilter").body };
      }
      case "with":
        return this.withBlock();
      case "autoescape": {
        const autoescape = this.expression();
        return { kind: "scope", autoescape, body: this.body("endautoescape").body };
      }
      case "block":
        return this.block();
      case "print": {
        const items: Expression[] = [];
        while (!this.is("block_end")) {
          if (items.length > 0) this.expect("operator", ",");
          items.push(this.expression());
        }
        return { kind: "output", items };
      }
      case "break":
      case "continue":
        return { kind: tag };
      case "include":
      case "import":
      case "from":
      case "extends":
        while (!this.is("block_end") && !this.is("eof")) this.next();
        return { kind: "load", tag };
      default:
        throw this.fail(`Encountered unknown tag '${tag}'`);
    }
  }

  private forLoop(): Statement {
    const target = this.target();
    this.expect("name", "in");
    const items = this.tuple(false);
    const test = this.skip("name", "if") ? this.expression() : undefined;
    const recursive = this.skip("name", "recursive");
    const { body, end } = this.body("endfor", "else");
    const otherwise = end === "else" ? this.body("endfor").body : [];
    return { kind: "for", target, items, recursive, body, otherwise, ...(test === undefined ? {} : { test }) };
  }

  private condition(): Statement {
    const branches: { test: Expression; body: Statement[] }[] = [];
    for (;;) {
      const test = this.tuple(false);
      const { body, end } = this.body("elif", "else", "endif");
      branches.push({ test, body });
      if (end === "elif") continue;
      const otherwise = end === "else" ? this.body("endif").body : [];
      return { kind: "if", branches, otherwise };
    }
  }

  private set(): Statement {
    const target = this.target(true);
    if (this.skip("operator", "=")) return { kind: "set", target, value: this.tuple() };
    const filter = this.skip("operator", "|") ? this.filterChain() : undefined;
    return { kind: "set block", target, body: this.body("endset").body, ...(filter === undefined ? {} : { filter }) };
  }

  private callBlock(): Statement {
    const signature = this.is("operator", "(") ? this.signature() : { names: [], defaults: [] };
    const call = this.expression();
    if (call.kind !== "call") throw this.fail("expected call");
    return { kind: "call block", signature, call, body: this.body("endcall").body };
  }

  private withBlock(): Statement {
    const pairs: [Target, Expression][] = [];
    while (!this.is("block_end")) {
      if (pairs.length > 0) this.expect("operator", ",");
      const target = this.target();
      this.expect("operator", "=");
      pairs.push([target, this.expression()]);
    }
    return { kind: "with", pairs, body: this.body("endwith").body };
  }

  private block(): Statement {
    const name = this.name();
    if (this.is("name", "scoped") || this.is("name", "required"))
      throw this.fail("scoped and required blocks are not known");
    const { body } = this.body("endblock");
    this.skip("name", name);
    return { kind: "block", name, body };
  }

  private signature(): Signature {
    const names: string[] = [];
    const defaults: Expression[] = [];
    this.expect("operator", "(");
    while (!this.is("operator", ")")) {
      if (names.length > 0) this.expect("operator", ",");
      names.push(this.name());
      if (this.skip("operator", "=")) defaults.push(this.expression());
      else if (defaults.length > 0) throw this.fail("non-default argument follows default argument");
    }
    this.expect("operator", ")");
    return { names, defaults };
  }

  private target(fields = false): Target {
    const items: Target[] = [];
    let tuple = false;
    for (;;) {
      if (items.length > 0) this.expect("operator", ",");
      if (this.tupleEnds()) break;
      items.push(this.oneTarget(fields));
      if (!this.is("operator", ",")) break;
      tuple = true;
    }
    if (tuple) return { kind: "tuple", items };
    if (items[0] === undefined) throw this.fail(`Expected an expression, got '${this.shown()}'`);
    return items[0];
  }

  private oneTarget(fields: boolean): Target {
    if (this.skip("operator", "(")) {
      const inner = this.target();
      this.expect("operator", ")");
      return inner;
    }
    const name = this.name();
    if (Object.hasOwn(CONSTANTS, name)) throw this.fail("can't assign to 'const'");
    if (fields && this.skip("operator", ".")) return { kind: "field", name, field: this.name() };
    return { kind: "name", name };
  }

  private tupleEnds(): boolean {
    return this.is("variable_end") || this.is("block_end") || this.is("operator", ")");
  }

  private tuple(conditions = true, parenthesized = false): Expression {
    const items: Expression[] = [];
    let tuple = false;
    for (;;) {
      if (items.length > 0) this.expect("operator", ",");
      if (this.tupleEnds()) break;
      items.push(this.expression(conditions));
      if (!this.is("operator", ",")) break;
      tuple = true;
    }
    if (!tuple) {
      if (items[0] !== undefined) return items[0];
      if (!parenthesized) throw this.fail(`Expected an expression, got '${this.shown()}'`);
    }
    return { kind: "tuple", items };
  }

  private expression(conditions = true): Expression {
    return nested(() => (conditions ? this.conditional() : this.or()));
  }

  private conditional(): Expression {
    let yes = this.or();
    while (this.skip("name", "if")) {
      const test = this.or();
      const no = this.skip("name", "else") ? nested(() => this.conditional()) : undefined;
      yes = { kind: "condition", test, yes, ...(no === undefined ? {} : { no }) };
    }
    return yes;
  }

  private or(): Expression {
    let left = this.and();
    while (this.skip("name", "or")) left = { kind: "or", left, right: this.and() };
    return left;
  }

  private and(): Expression {
    let left = this.not();
    while (this.skip("name", "and")) left = { kind: "and", left, right: this.not() };
    return left;
  }

  private not(): Expression {
    if (this.skip("name", "not")) return { kind: "not", value: nested(() => this.not()) };
    return this.compare();
  }

  private compare(): Expression {
    const first = this.sum();
    const rest: [ComparisonSign, Expression][] = [];
    for (;;) {
      if (this.current.type === "operator" && COMPARISONS.has(String(this.current.value))) {
        const comparison = this.next().value as ComparisonSign;
        rest.push([comparison, this.sum()]);
      } else if (this.skip("name", "in")) {
        rest.push(["in", this.sum()]);
      } else if (this.is("name", "not") && this.is("name", "in", 1)) {
        this.at += 2;
        rest.push(["not in", this.sum()]);
      } else break;
    }
    return rest.length === 0 ? first : { kind: "compare", first, rest };
  }

  private operatorOf(...wanted: Operator[]): Operator | undefined {
    if (this.current.type !== "operator") return undefined;
    const found = wanted.find((operator) => operator === this.current.value);
    if (found !== undefined) this.at += 1;
    return found;
  }

  private binary(operand: () => Expression, ...wanted: Operator[]): Expression {
    let left = operand();
    for (let found = this.operatorOf(...wanted); found !== undefined; found = this.operatorOf(...wanted)) {
      left = { kind: "operate", operator: found, left, right: operand() };
    }
    return left;
  }

  private sum(): Expression {
    return this.binary(() => this.concat(), "+", "-");
  }

  private concat(): Expression {
    const items = [this.product()];
    while (this.skip("operator", "~")) items.push(this.product());
    return items.length === 1 ? (items[0] as Expression) : { kind: "concat", items };
  }

  private product(): Expression {
    return this.binary(() => this.power(), "*", "/", "//", "%");
  }

  private power(): Expression {
    return this.binary(() => this.unary(), "**");
  }

  private unary(filters = true): Expression {
    let node: Expression;
    if (this.is("operator", "-") || this.is("operator", "+")) {
      const sign = this.next().value as "+" | "-";
      node = { kind: "sign", sign, value: nested(() => this.unary(false)) };
    } else node = this.primary();
    node = this.postfix(node);
    return filters ? this.filterExpression(node) : node;
  }

  private primary(): Expression {
    const token = this.current;
    if (token.type === "name") {
      this.at += 1;
      const name = String(token.value);
      return Object.hasOwn(CONSTANTS, name)
        ? { kind: "const", value: CONSTANTS[name] as Value }
        : { kind: "name", name };
    }
    if (token.type === "string") {
      let text = "";
      while (this.is("string")) text += String(this.next().value);
      return { kind: "const", value: new Text(text) };
    }
    if (token.type === "integer" || token.type === "float") {
      this.at += 1;
      return { kind: "const", value: token.value as Value };
    }
    if (this.skip("operator", "(")) {
      const inner = this.tuple(true, true);
      this.expect("operator", ")");
      return inner;
    }
    if (this.skip("operator", "[")) return { kind: "list", items: this.listed("]", () => this.expression()) };
    if (this.skip("operator", "{")) {
      const pairs = this.listed("}", () => {
        const key = this.expression();
        this.expect("operator", ":");
        return [key, this.expression()] as const;
      });
      return { kind: "dict", pairs };
    }
    throw this.fail(`unexpected '${this.shown()}'`);
  }

  private listed<T>(end: string, one: () => T): T[] {
    const items: T[] = [];
    while (!this.is("operator", end)) {
      if (items.length > 0) this.expect("operator", ",");
      if (this.is("operator", end)) break;
      items.push(one());
    }
    this.expect("operator", end);
    return items;
  }

  private postfix(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.is("operator", ".") || this.is("operator", "[")) node = this.subscript(node);
      else if (this.is("operator", "(")) node = { kind: "call", value: node, given: this.arguments() };
      else return node;
    }
  }

  private filterExpression(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.is("operator", "|")) node = this.filters(node);
      else if (this.skip("name", "is")) node = this.test(node);
      else if (this.is("operator", "(")) node = { kind: "call", value: node, given: this.arguments() };
      else return node;
    }
  }

  private subscript(value: Expression): Expression {
    if (this.skip("operator", ".")) {
      const token = this.next();
      if (token.type === "name") return { kind: "attribute", value, name: String(token.value) };
      if (token.type !== "integer") throw this.fail("expected name or number");
      return { kind: "item", value, key: { kind: "const", value: token.value as bigint } };
    }
    this.expect("operator", "[");
    const parts: (Expression | { slice: (Expression | undefined)[] })[] = [];
    while (!this.is("operator", "]")) {
      if (parts.length > 0) this.expect("operator", ",");
      parts.push(this.subscribed());
    }
    this.expect("operator", "]");
    const [only] = parts;
    if (only !== undefined && parts.length === 1) {
      return "slice" in only ? { kind: "slice", value, parts: only.slice } : { kind: "item", value, key: only };
    }
    const items = parts.map((part) => {
      if ("slice" in part) throw this.fail("a slice among several subscripts is not known");
      return part;
    });
    return { kind: "item", value, key: { kind: "tuple", items } };
  }

  private subscribed(): Expression | { slice: (Expression | undefined)[] } {
    const absent = () => this.is("operator", ":") || this.is("operator", "]") || this.is("operator", ",");
    const start = this.is("operator", ":") ? undefined : this.expression();
    if (!this.skip("operator", ":")) return start as Expression;
    const stop = absent() ? undefined : this.expression();
    const stride = this.skip("operator", ":") && !absent() ? this.expression() : undefined;
    return { slice: [start, stop, stride] };
  }

  private arguments(): CallArguments {
    this.expect("operator", "(");
    const args: Expression[] = [];
    const keywords: [string, Expression][] = [];
    let dynamicArgs: Expression | undefined;
    let dynamicKeywords: Expression | undefined;
    const ensure = (right: boolean) => {
      if (!right) throw this.fail("invalid syntax for function call expression");
    };
    let comma = false;
    while (!this.is("operator", ")")) {
      if (comma) {
        this.expect("operator", ",");
        if (this.is("operator", ")")) break;
      }
      comma = true;
      if (this.skip("operator", "*")) {
        ensure(dynamicArgs === undefined && dynamicKeywords === undefined);
        dynamicArgs = this.expression();
      } else if (this.skip("operator", "**")) {
        ensure(dynamicKeywords === undefined);
        dynamicKeywords = this.expression();
      } else if (this.current.type === "name" && this.is("operator", "=", 1)) {
        ensure(dynamicKeywords === undefined);
        const key = this.name();
        this.expect("operator", "=");
        if (keywords.some(([other]) => other === key)) throw this.fail(`keyword argument repeated: ${key}`);
        keywords.push([key, this.expression()]);
      } else {
        ensure(dynamicArgs === undefined && dynamicKeywords === undefined && keywords.length === 0);
        args.push(this.expression());
      }
    }
    this.expect("operator", ")");
    return {
      args,
      keywords,
      ...(dynamicArgs === undefined ? {} : { dynamicArgs }),
      ...(dynamicKeywords === undefined ? {} : { dynamicKeywords }),
    };
  }

  private dotted(): string {
    let name = this.name();
    while (this.skip("operator", ".")) name += `.${this.name()}`;
    return name;
  }

  private filters(start: Expression): Expression {
    let node = start;
    while (this.skip("operator", "|")) node = this.oneFilter(node);
    return node;
  }

  private oneFilter(value: Expression | undefined): FilterExpression {
    const name = this.dotted();
    const given = this.is("operator", "(") ? this.arguments() : NO_ARGUMENTS;
    return { kind: "filter", name, given, ...(value === undefined ? {} : { value }) };
  }

  /** A filter block's filters: the first without its bar. */
  private filterChain(): FilterExpression {
    return this.filters(this.oneFilter(undefined)) as FilterExpression;
  }

  private test(value: Expression): Expression {
    const negated = this.skip("name", "not");
    const name = this.dotted();
    let given = NO_ARGUMENTS;
    if (this.is("operator", "(")) given = this.arguments();
    else if (this.testArgument()) {
      if (this.is("name", "is")) throw this.fail("You cannot chain multiple tests with is");
      given = { args: [this.postfix(this.primary())], keywords: [] };
    }
    const test: Expression = { kind: "test", value, name, given };
    return negated ? { kind: "not", value: test } : test;
  }

  private testArgument(): boolean {
    const { type, value } = this.current;
    if (type === "name") return value !== "else" && value !== "or" && value !== "and";
    return (
      type === "string" ||
      type === "integer" ||
      type === "float" ||
      (type === "operator" && (value === "[" || value === "{"))
    );
  }
}
