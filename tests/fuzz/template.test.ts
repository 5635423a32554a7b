/** Chat templates are programs of strangers: whatever they say, rendering ends soon, in little memory, with a text or with MODEL_TEMPLATE. */
import { expect, test } from "vitest";
import { renderChat, renderText, templateVariables } from "../../src/model/chat/render.js";
import { changeText, type Dice, fuzz } from "./mutations.js";

const MESSAGES = [
  { role: "system" as const, content: "Be brief." },
  { role: "user" as const, content: "{{ 1 }} “$&” <|im_start|>" },
  { role: "assistant" as const, content: "" },
];
const TOKENS = { bosToken: "<s>", eosToken: "</s>" };
const NUMBERS = [
  "0",
  "1",
  "-1",
  "3",
  "100000",
  "10**6",
  "2**31",
  "2**64",
  "10**18",
  "9".repeat(400),
  "1e308",
  "1e400",
  "-0.0",
  "true",
];
const TEXTS = [
  "''",
  "'a'",
  "'abc' * 1000",
  "messages[1].content",
  "bos_token",
  "'é😀\\u0000'",
  "'%s%d'",
  "'a'*100000",
  "'{0.x}'",
];
const FILTERS = [
  "length",
  "list",
  "string",
  "upper",
  "title",
  "trim",
  "join",
  "join('a' * 1000)",
  "sort",
  "unique",
  "reverse",
  "first",
  "last",
  "min",
  "max",
  "sum",
  "batch(2)",
  "batch(10**9, 'x')",
  "slice(10**6)",
  "slice(3)",
  "indent(10**9)",
  "indent(2)",
  "center(10**9)",
  "center(9)",
  "tojson",
  "tojson(indent=10**9)",
  "int",
  "int(base=36)",
  "float",
  "round(400)",
  "round(-400)",
  "abs",
  "replace('', 'aaaaaaaa')",
  "replace('a', 'aaaaaaaa')",
  "truncate(10**9)",
  "striptags",
  "escape",
  "urlencode",
  "wordcount",
  "filesizeformat",
  "format(1, 2)",
  "default('x')",
  "groupby('role')",
  "map('upper')",
  "map(attribute='content')",
  "map('replace', 'a', 'aa')",
  "select",
  "reject('none')",
  "selectattr('role')",
  "items",
  "dictsort",
  "safe",
  "attr('x')",
];
const METHODS = [
  "split()",
  "split('')",
  "strip()",
  "ljust(10**9)",
  "zfill(10**12)",
  "center(10**10)",
  "rjust(5)",
  "replace('', 'x' * 10000)",
  "join(['a'] * 100000)",
  "format(1)",
  "format(a=1)",
  "expandtabs(10**9)",
  "splitlines()",
  "count('')",
  "encode()",
  "items()",
  "keys()",
  "get('a')",
  "append(1)",
  "pop()",
  "__class__",
  "__class__.__mro__",
  "__init__.__globals__",
  "update({})",
  "startswith(('a', 'b'))",
  "title()",
  "lower()",
  "partition('a')",
  "rsplit('a', 10**9)",
];

function expression(dice: Dice, depth: number): string {
  const inner = () => expression(dice, depth - 1);
  if (depth <= 0)
    return dice.of([...NUMBERS, ...TEXTS, "messages", "x", "[]", "{}", "none", "loop", "range", "namespace(a=1)"]);
  switch (dice.below(14)) {
    case 0:
      return `(${inner()} ${dice.of(["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and", "or", "is not"])} ${inner()})`;
    case 1:
    case 2:
    case 3:
      return `(${inner()}) | ${dice.of(FILTERS)}`;
    case 4:
    case 5:
      return `(${inner()}).${dice.of(METHODS)}`;
    case 6:
      return `range(${inner()})`;
    case 7:
      return `[${inner()}, ${inner()}] * ${dice.of(NUMBERS)}`;
    case 8:
      return `(${inner()})[${inner()}]`;
    case 9:
      return `(${inner()})[${inner()}:${inner()}:${dice.of(NUMBERS)}]`;
    case 10:
      return `{${inner()}: ${inner()}}`;
    case 11:
      return `${dice.of(["f", "loop", "dict", "joiner", "cycler", "raise_exception", "strftime_now", "lipsum"])}(${inner()})`;
    case 12:
      return `(${inner()} if ${inner()} else ${inner()})`;
    default:
      return dice.of(["(", "not ", "-", "- -"]) === "(" ? `(${inner()})` : `not (${inner()})`;
  }
}

function statements(dice: Dice, depth: number): string {
  const inner = () => (depth <= 0 ? `{{ ${expression(dice, 1)} }}` : statements(dice, depth - 1));
  const value = () => expression(dice, 1 + dice.below(3));
  switch (dice.below(9)) {
    case 0:
      return `{% for x in ${value()} %}${inner()}{% endfor %}`;
    case 1:
      return `{% for x in range(${dice.of(NUMBERS)}) %}{% for y in range(${dice.of(NUMBERS)}) %}${inner()}{% endfor %}{% endfor %}`;
    case 2:
      return `{% set x = ${value()} %}${inner()}{{ x }}`;
    case 3:
      return `{% macro f(a) %}${inner()}{{ f(${value()}) }}{% endmacro %}{{ f(${value()}) }}`;
    case 4:
      return `{% for x in ${value()} recursive %}${inner()}{{ loop([x, x]) }}{% endfor %}`;
    case 5:
      return `{% set x %}${inner().repeat(1 + dice.below(3))}{% endset %}{{ x * ${dice.of(NUMBERS)} }}`;
    case 6:
      return `{% set n = namespace(a=[]) %}{% for i in range(${dice.of(NUMBERS)}) %}{% set n.a = n.a + ${dice.of(["n.a", "[n.a]", "[i]", "[n]"])} %}{% endfor %}{{ n.a }}`;
    case 7:
      return `{% if ${value()} %}${inner()}{% else %}${inner()}{% endif %}`;
    default:
      return `{{ ${value()} }}`;
  }
}

/** Nested as deep as a file can be long. */
function deep(dice: Dice): string {
  const levels = dice.of([100, 5000, 200_000]);
  const [open, close] = dice.of([
    ["(", ")"],
    ["[", "]"],
    ["{1:", "}"],
    ["not ", ""],
    ["-", ""],
    ["1+", ""],
    ["1 if 1 else ", ""],
    ["a.b|", ""],
    ["'a'~", ""],
    ["2**", ""],
  ]);
  if (dice.once(3)) return `${"{% if 1 %}".repeat(levels)}x${"{% endif %}".repeat(levels)}`;
  return `{{ ${open.repeat(levels)}1${close.repeat(levels)} }}`;
}

test("a chat template", async () => {
  const tally = await fuzz(
    "template",
    (dice) => {
      const written = dice.once(12)
        ? deep(dice)
        : Array.from({ length: 1 + dice.below(3) }, () => statements(dice, dice.below(3))).join("\n");
      const template = dice.once(5) ? changeText(written.slice(0, 5000), dice) : written;
      const result = () => {
        const parts = renderChat(template, MESSAGES, TOKENS);
        return { parts, text: renderText(template, MESSAGES, TOKENS), wants: templateVariables(template) };
      };
      return { input: template, result };
    },
    ({ parts, text }) => {
      expect(parts.map((part) => part.text).join("") === text).toBe(true);
      for (const { content, message, text: said } of parts) {
        if (content) expect(MESSAGES[message ?? 9]?.content).toContain(said);
      }
      expect(text.length).toBeLessThan(20_000_000);
    },
    100,
  );
  expect(Math.min(tally.accepted, tally.refused)).toBeGreaterThan(3);
});
