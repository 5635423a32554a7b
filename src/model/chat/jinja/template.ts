/**
 * Chat templates as transformers compiles them: jinja2 in its immutable sandbox, with trim_blocks, lstrip_blocks, loop controls,
 * the `generation` tag, and transformers' own tojson, dict, namespace, raise_exception and strftime_now.
 *
 * What differs, each refused by name and never rendered otherwise: text that shows an address in memory or is random (a
 * generator or a method written out, `random`, `lipsum`); the filters pprint, urlize, wordwrap and xmlattr; str.encode and
 * str.translate; `%a`; striptags of a text with &; complex numbers; slices of a constant that has none (jinja2 makes an undefined of
 * them); autoescape; loading other templates, for which transformers has no loader either.
 */

import { OverBudget, Raised, Unsupported, withBudget } from "./budget.js";
import { GLOBALS, Refused } from "./jinja-globals.js";
import { runTemplate } from "./interpreter.js";
import { parseTemplate } from "./parser.js";
import type { Statement } from "./syntax-tree.js";
import { type NameScope, settleScopes, wantedNames } from "./scopes.js";
import type { Text } from "./python-text.js";
import type { Value } from "./python-values.js";

/** Why a template does not render. */
export class TemplateFailure extends Error {
  /** @param kind `refuses`: raise_exception; `fails`: an error as in Python; `budget`; `unsupported`; `syntax` */
  constructor(
    readonly kind: "refuses" | "fails" | "budget" | "unsupported" | "syntax",
    message: string,
  ) {
    super(message);
  }
}

/** A template may use so many steps for itself, and so many more for each message and character it is given. */
const STEPS = 1_000_000;
const STEPS_PER_MESSAGE = 5_000;
const STEPS_PER_CHARACTER = 4;
const UNITS = 16_000_000;
const UNITS_PER_CHARACTER = 64;
const DEPTH = 150;

export class ChatTemplate {
  private constructor(
    private readonly body: readonly Statement[],
    private readonly scope: NameScope,
  ) {}

  /** @throws TemplateFailure */
  static parse(source: string): ChatTemplate {
    return coded("syntax", () =>
      withBudget({ steps: STEPS, units: UNITS, depth: DEPTH }, () => {
        const body = parseTemplate(source);
        return new ChatTemplate(body, settleScopes(body));
      }),
    );
  }

  /**
   * @param variables beside the globals, which they go before
   * @param size what it is given: messages, and characters in them
   * @throws TemplateFailure
   */
  render(variables: ReadonlyMap<string, Value>, size: { messages: number; characters: number }): Text {
    const budget = {
      steps: STEPS + STEPS_PER_MESSAGE * size.messages + STEPS_PER_CHARACTER * size.characters,
      units: UNITS + UNITS_PER_CHARACTER * size.characters,
      depth: DEPTH,
    };
    return coded("fails", () =>
      withBudget(budget, () => runTemplate(this.body, this.scope, new Map([...GLOBALS, ...variables]))),
    );
  }

  /** Names that the template reads and never sets, functions of ours left out: its own variables among them. */
  wants(): string[] {
    return wantedNames(this.body).filter((name) => !GLOBALS.has(name));
  }
}

function coded<T>(kind: "syntax" | "fails", work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof Refused) throw new TemplateFailure("refuses", error.message);
    if (error instanceof Raised) throw new TemplateFailure(kind, `${error.kind}: ${error.message}`);
    if (error instanceof OverBudget) throw new TemplateFailure("budget", error.message);
    if (error instanceof Unsupported) throw new TemplateFailure("unsupported", error.message);
    // Nesting that the engine's own stack does not hold, or a text beyond the longest that there is.
    if (error instanceof RangeError) throw new TemplateFailure("budget", "it nests too deep, or makes too long a text");
    throw error;
  }
}
