/** A parsed template: statements that write and expressions that have values. */

import type { Operator } from "./python-operators.js";
import type { Order, Value } from "./python-values.js";
import type { NameScope } from "./scopes.js";

export interface CallArguments {
  readonly args: readonly Expression[];
  readonly keywords: readonly (readonly [string, Expression])[];
  readonly dynamicArgs?: Expression;
  readonly dynamicKeywords?: Expression;
}

export type ComparisonSign = Order | "==" | "!=" | "in" | "not in";

export type Expression =
  | { readonly kind: "const"; readonly value: Value }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "tuple" | "list"; readonly items: readonly Expression[] }
  | { readonly kind: "dict"; readonly pairs: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: "condition"; readonly test: Expression; readonly yes: Expression; readonly no?: Expression }
  | { readonly kind: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "not"; readonly value: Expression }
  | { readonly kind: "sign"; readonly sign: "+" | "-"; readonly value: Expression }
  | { readonly kind: "operate"; readonly operator: Operator; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "concat"; readonly items: readonly Expression[] }
  | {
      readonly kind: "compare";
      readonly first: Expression;
      readonly rest: readonly (readonly [ComparisonSign, Expression])[];
    }
  | { readonly kind: "attribute"; readonly value: Expression; readonly name: string }
  | { readonly kind: "item"; readonly value: Expression; readonly key: Expression }
  | { readonly kind: "slice"; readonly value: Expression; readonly parts: readonly (Expression | undefined)[] }
  | { readonly kind: "call"; readonly value: Expression; readonly given: CallArguments }
  | FilterExpression
  | { readonly kind: "test"; readonly value: Expression; readonly name: string; readonly given: CallArguments };

export interface FilterExpression {
  readonly kind: "filter";
  /** Absent in a filter block: what the block wrote. */
  readonly value?: Expression;
  readonly name: string;
  readonly given: CallArguments;
}

export type Target =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "field"; readonly name: string; readonly field: string }
  | { readonly kind: "tuple"; readonly items: readonly Target[] };

export interface Signature {
  readonly names: readonly string[];
  /** Of the last names. */
  readonly defaults: readonly Expression[];
}

/** A statement with names of its own; `scope` is filled in by scopes.ts. */
interface Scoped {
  scope?: NameScope;
}

export type Statement =
  | { readonly kind: "output"; readonly items: readonly (Expression | string)[] }
  | {
      readonly kind: "for";
      readonly target: Target;
      readonly items: Expression;
      readonly test?: Expression;
      readonly recursive: boolean;
      readonly body: readonly Statement[];
      readonly otherwise: readonly Statement[];
      scopes?: { body: NameScope; otherwise: NameScope; test: NameScope; extended: boolean };
    }
  | {
      readonly kind: "if";
      readonly branches: readonly { readonly test: Expression; readonly body: readonly Statement[] }[];
      readonly otherwise: readonly Statement[];
    }
  | { readonly kind: "set"; readonly target: Target; readonly value: Expression }
  | (Scoped & {
      readonly kind: "set block";
      readonly target: Target;
      readonly filter?: FilterExpression;
      readonly body: readonly Statement[];
    })
  | (MacroBody & { readonly kind: "macro"; readonly name: string })
  | (MacroBody & { readonly kind: "call block"; readonly call: Expression & { readonly kind: "call" } })
  | (Scoped & { readonly kind: "filter block"; readonly filter: FilterExpression; readonly body: readonly Statement[] })
  | (Scoped & {
      readonly kind: "with";
      readonly pairs: readonly (readonly [Target, Expression])[];
      readonly body: readonly Statement[];
    })
  | (Scoped & { readonly kind: "scope"; readonly autoescape?: Expression; readonly body: readonly Statement[] })
  | (Scoped & { readonly kind: "block"; readonly name: string; readonly body: readonly Statement[] })
  | { readonly kind: "break" | "continue" }
  /** Another template: there is none to load. */
  | { readonly kind: "load"; readonly tag: string };

export interface MacroBody extends Scoped {
  readonly signature: Signature;
  readonly body: readonly Statement[];
  /** Which of caller, kwargs and varargs the body reads. */
  reads?: ReadonlySet<string>;
}
