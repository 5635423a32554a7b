/**
 * Which names belong to which part of a template. jinja2 settles this before it runs anything: a loop's, macro's or block's
 * own names begin as copies of the outer ones and end with it; an `if` has none of its own. Where a name is first set and
 * then read, what stands outside under the same name is not seen.
 */

import { isFilter } from "./jinja-filters.js";
import type { CallArguments, Expression, MacroBody, Statement, Target } from "./syntax-tree.js";
import { Raised } from "./budget.js";
import { isTest } from "./jinja-tests.js";

/** What a name holds when its part begins. */
export type Load = "parameter" | "resolve" | "outer" | "missing";

export class NameScope {
  readonly loads = new Map<string, Load>();
  readonly stores = new Set<string>();

  constructor(readonly parent?: NameScope) {}

  knows(name: string): boolean {
    return this.loads.has(name) || (this.parent?.knows(name) ?? false);
  }

  store(name: string): void {
    this.stores.add(name);
    if (!this.loads.has(name)) this.loads.set(name, this.parent?.knows(name) ? "outer" : "missing");
  }

  parameter(name: string): void {
    this.stores.add(name);
    this.loads.set(name, "parameter");
  }

  load(name: string): void {
    if (!this.knows(name)) this.loads.set(name, "resolve");
  }

  /** The same names for one branch of an `if`. */
  branch(): NameScope {
    const copy = new NameScope(this.parent);
    for (const [name, load] of this.loads) copy.loads.set(name, load);
    for (const name of this.stores) copy.stores.add(name);
    return copy;
  }

  /** What a branch sets may not have been set: afterwards it is the outer one or the template's variable. */
  merge(branches: readonly NameScope[]): void {
    const uncertain = new Set<string>();
    for (const branch of branches) for (const name of branch.stores) if (!this.stores.has(name)) uncertain.add(name);
    for (const branch of branches) {
      for (const [name, load] of branch.loads) this.loads.set(name, load);
      for (const name of branch.stores) this.stores.add(name);
    }
    for (const name of uncertain) this.loads.set(name, this.parent?.knows(name) ? "outer" : "resolve");
  }
}

/**
 * Fills in the scope of every statement that has one.
 * @returns the template's own scope
 * @throws Raised TemplateSyntaxError for what jinja2 refuses when it compiles
 */
export function settleScopes(body: readonly Statement[]): NameScope {
  const scope = new NameScope();
  new Visitor(scope).run(body);
  const blocks = new Set<string>();
  eachStatement(body, (statement) => {
    if (statement.kind !== "block") return;
    if (blocks.has(statement.name)) {
      throw new Raised("TemplateAssertionError", `block '${statement.name}' defined twice`);
    }
    blocks.add(statement.name);
  });
  return scope;
}

/** Names that the template reads and does not set: what it wants from outside. */
export function wantedNames(body: readonly Statement[]): string[] {
  const names = new Set<string>();
  const collect = (scope: NameScope) => {
    for (const [name, load] of scope.loads) if (load === "resolve") names.add(name);
  };
  collect(settleScopes(body));
  eachStatement(body, (statement) => {
    if (statement.kind === "for" && statement.scopes) {
      collect(statement.scopes.body);
      collect(statement.scopes.otherwise);
      collect(statement.scopes.test);
    } else if ("scope" in statement && statement.scope) collect(statement.scope);
  });
  return [...names];
}

function bodiesOf(statement: Statement): readonly (readonly Statement[])[] {
  if (statement.kind === "if") return [...statement.branches.map(({ body }) => body), statement.otherwise];
  if (statement.kind === "for") return [statement.body, statement.otherwise];
  return "body" in statement ? [statement.body] : [];
}

function eachStatement(body: readonly Statement[], visit: (statement: Statement) => void): void {
  for (const statement of body) {
    visit(statement);
    for (const inner of bodiesOf(statement)) eachStatement(inner, visit);
  }
}

interface Place {
  /** In a loop of the same function: break and continue are allowed. */
  readonly loop: boolean;
  /** Inside an `if`: an unknown filter is an error only once it is reached. */
  readonly soft: boolean;
}

class Visitor {
  constructor(
    private scope: NameScope,
    private place: Place = { loop: false, soft: false },
  ) {}

  run(body: readonly Statement[]): void {
    this.allNames(body);
    for (const statement of body) this.inner(statement);
  }

  /** Names that this part itself reads and sets, in the order of its text. */
  private names(statement: Statement): void {
    switch (statement.kind) {
      case "output":
        for (const item of statement.items) if (typeof item !== "string") this.read(item);
        return;
      case "for":
        this.read(statement.items);
        return;
      case "if": {
        const whole = this.scope;
        const outside = this.place;
        this.place = { ...outside, soft: true };
        // Each `elif` is visited by itself, as a branch of its own inside the branches.
        const [first, ...others] = statement.branches;
        if (first === undefined) return;
        this.read(first.test);
        const branches = [this.branch(whole, () => this.allNames(first.body))];
        const elif = whole.branch();
        this.scope = elif;
        for (const { test, body } of others) {
          this.read(test);
          elif.merge([this.branch(elif, () => this.allNames(body))]);
        }
        this.scope = whole;
        branches.push(elif);
        branches.push(this.branch(whole, () => this.allNames(statement.otherwise)));
        whole.merge(branches);
        this.place = outside;
        return;
      }
      case "set":
        this.read(statement.value);
        this.write(statement.target);
        return;
      case "set block":
        this.write(statement.target);
        return;
      case "macro":
        this.scope.store(statement.name);
        return;
      case "call block":
        this.read(statement.call);
        return;
      case "filter block":
        this.read(statement.filter);
        return;
      case "with":
        for (const [, value] of statement.pairs) this.read(value);
        return;
      case "break":
      case "continue":
        if (!this.place.loop) throw new Raised("SyntaxError", `'${statement.kind}' outside loop`);
        return;
    }
  }

  private allNames(body: readonly Statement[]): void {
    for (const statement of body) this.names(statement);
  }

  private branch(whole: NameScope, visit: () => void): NameScope {
    const own = whole.branch();
    const outer = this.scope;
    this.scope = own;
    visit();
    this.scope = outer;
    return own;
  }

  /** What stands inside a statement and has names of its own. */
  private inner(statement: Statement): void {
    const make = (
      place: Partial<Place>,
      prepare: (scope: NameScope) => void,
      body: readonly Statement[],
      parent?: NameScope,
    ) => {
      const scope = new NameScope(parent ?? this.scope);
      const visitor = new Visitor(scope, { loop: this.place.loop, soft: false, ...place });
      prepare(scope);
      visitor.run(body);
      return scope;
    };
    switch (statement.kind) {
      case "for": {
        const targets = targetNames(statement.target);
        if (targets.includes("loop") || storesLoop(statement.body)) {
          throw new Raised("TemplateSyntaxError", "Can't assign to special loop variable in for-loop target");
        }
        const extended = statement.recursive || reads(statement.body, "loop");
        const body = make(
          { loop: true },
          (scope) => {
            if (extended) scope.parameter("loop");
            for (const name of targets) scope.parameter(name);
          },
          statement.body,
        );
        const otherwise = make({}, () => {}, statement.otherwise);
        const test = new NameScope(this.scope);
        for (const name of targets) test.parameter(name);
        if (statement.test !== undefined) new Visitor(test).read(statement.test);
        statement.scopes = { body, otherwise, test, extended };
        return;
      }
      case "if":
        for (const body of [...statement.branches.map((branch) => branch.body), statement.otherwise]) {
          const visitor = new Visitor(this.scope, { ...this.place, soft: true });
          for (const one of body) visitor.inner(one);
        }
        return;
      case "set block":
        statement.scope = make({}, () => {}, statement.body);
        if (statement.filter !== undefined) new Visitor(statement.scope).read(statement.filter);
        return;
      case "macro":
      case "call block":
        statement.scope = make(
          { loop: false },
          (scope) => {
            for (const name of statement.signature.names) scope.parameter(name);
            for (const value of statement.signature.defaults) new Visitor(scope).read(value);
            statement.reads = specials(statement);
            for (const name of statement.reads) scope.parameter(name);
          },
          statement.body,
        );
        return;
      case "filter block":
      case "scope":
        statement.scope = make({}, () => {}, statement.body);
        return;
      case "with":
        statement.scope = make(
          {},
          (scope) => {
            for (const [target] of statement.pairs) for (const name of targetNames(target)) scope.parameter(name);
          },
          statement.body,
        );
        return;
      case "block":
        statement.scope = new NameScope();
        new Visitor(statement.scope).run(statement.body);
        return;
    }
  }

  private write(target: Target): void {
    if (target.kind === "name") this.scope.store(target.name);
    else if (target.kind === "field") this.scope.load(target.name);
    else for (const item of target.items) this.write(item);
  }

  read(expression: Expression): void {
    walk(expression, (node, soft) => {
      if (node.kind === "name") this.scope.load(node.name);
      if (soft || this.place.soft) return;
      if (node.kind === "filter" && !isFilter(node.name)) {
        throw new Raised("TemplateAssertionError", `No filter named '${node.name}'.`);
      }
      if (node.kind === "test" && !isTest(node.name)) {
        throw new Raised("TemplateAssertionError", `No test named '${node.name}'.`);
      }
    });
  }
}

/** caller, kwargs and varargs, where the body reads them and the signature does not name them. */
function specials(macro: MacroBody): Set<string> {
  const found = new Set<string>();
  for (const name of ["caller", "kwargs", "varargs"]) {
    if (reads(macro.body, name) && !macro.signature.names.includes(name)) found.add(name);
  }
  return found;
}

function targetNames(target: Target): string[] {
  if (target.kind === "tuple") return target.items.flatMap(targetNames);
  return target.kind === "name" ? [target.name] : [];
}

function storesLoop(body: readonly Statement[]): boolean {
  let found = false;
  eachStatement(body, (statement) => {
    if (
      (statement.kind === "set" || statement.kind === "set block" || statement.kind === "for") &&
      targetNames(statement.target).includes("loop")
    ) {
      found = true;
    }
  });
  return found;
}

/** Whether a name is read anywhere inside, blocks left out. */
function reads(body: readonly Statement[], name: string): boolean {
  return body.some((statement) => {
    if (statement.kind === "block") return false;
    return (
      expressionsOf(statement).some((expression) => {
        let found = false;
        walk(expression, (node) => {
          if (node.kind === "name" && node.name === name) found = true;
        });
        return found;
      }) || bodiesOf(statement).some((inner) => reads(inner, name))
    );
  });
}

function expressionsOf(statement: Statement): readonly Expression[] {
  switch (statement.kind) {
    case "output":
      return statement.items.filter((item) => typeof item !== "string");
    case "for":
      return statement.test === undefined ? [statement.items] : [statement.items, statement.test];
    case "if":
      return statement.branches.map(({ test }) => test);
    case "set":
      return [statement.value];
    case "set block":
      return statement.filter === undefined ? [] : [statement.filter];
    case "macro":
      return statement.signature.defaults;
    case "call block":
      return [statement.call, ...statement.signature.defaults];
    case "filter block":
      return [statement.filter];
    case "with":
      return statement.pairs.map(([, value]) => value);
    default:
      return [];
  }
}

function walk(node: Expression, visit: (node: Expression, soft: boolean) => void, soft = false): void {
  visit(node, soft);
  const into = (child: Expression | undefined, softer = soft) => {
    if (child !== undefined) walk(child, visit, softer);
  };
  const given = ({ args, keywords, dynamicArgs, dynamicKeywords }: CallArguments) => {
    for (const one of args) into(one);
    for (const [, one] of keywords) into(one);
    into(dynamicArgs);
    into(dynamicKeywords);
  };
  switch (node.kind) {
    case "tuple":
    case "list":
    case "concat":
      for (const item of node.items) into(item);
      return;
    case "dict":
      for (const [key, value] of node.pairs) {
        into(key);
        into(value);
      }
      return;
    case "condition":
      into(node.test, true);
      into(node.yes, true);
      into(node.no, true);
      return;
    case "and":
    case "or":
    case "operate":
      into(node.left);
      into(node.right);
      return;
    case "not":
    case "sign":
    case "attribute":
      into(node.value);
      return;
    case "compare":
      into(node.first);
      for (const [, item] of node.rest) into(item);
      return;
    case "item":
      into(node.value);
      into(node.key);
      return;
    case "slice":
      into(node.value);
      for (const part of node.parts) into(part);
      return;
    case "call":
      into(node.value);
      given(node.given);
      return;
    case "filter":
    case "test":
      into(node.value);
      given(node.given);
      return;
  }
}
