import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { pythonValue } from "../../src/model/chat/jinja/jinja-globals.js";
import { ChatTemplate } from "../../src/model/chat/jinja/template.js";
import {
  type PromptPart,
  renderChat,
  renderWhole,
  templateVariables,
  unfaithful,
} from "../../src/model/chat/render.js";
import type { ChatMessage } from "../../src/tasks/answer.js";

/** Made by validation/jinja-cases.py: what jinja2 writes, null where it raises. */
const expected = JSON.parse(readFileSync(new URL("../fixtures/jinja/expressions.json", import.meta.url), "utf8")) as {
  before: string;
  cases: [string, string | null][];
};

const tokens = { bosToken: "<s>", eosToken: "</s>" };
const user = (content: string): ChatMessage[] => [{ role: "user", content }];
const written = (template: string, messages = user("hi")) =>
  renderChat(template, messages, tokens)
    .map(({ text }) => text)
    .join("");

test("templates mean what jinja2 means by them", () => {
  const given = [
    { role: "user", content: "Hi" },
    { role: "assistant", content: "Yo </think> x" },
  ];
  const names = new Map([["msgs", pythonValue(given)]]);
  const differ = expected.cases.flatMap(([template, wanted]) => {
    let got: string | null;
    try {
      got = ChatTemplate.parse(expected.before + template).render(names, { messages: 2, characters: 15 }).raw;
    } catch {
      got = null;
    }
    return got === wanted ? [] : [{ template, wanted, got }];
  });
  expect(expected.cases.length).toBeGreaterThan(1000);
  expect(differ).toEqual([]);
});

describe("what a template writes and what a person wrote are told apart by the rendering itself", () => {
  const contents = (parts: readonly PromptPart[]) => parts.filter(({ content }) => content).map(({ text }) => text);
  const loop = (inside: string) => `{% for m in messages %}<u>${inside}</u>{% endfor %}`;

  test.each([
    ["as it is", "{{ m.content }}", " a\u{F0000}0\u{F0001} ", [" a\u{F0000}0\u{F0001} "]],
    ["trimmed", "{{ m.content | trim }}", "\u{85} a \ufeff\x1c", ["a \ufeff"]],
    ["without a prefix", "{{ m.content.removeprefix('/no_think') }}", "/no_think hi", [" hi"]],
    ["after a mark", "{{ m.content.split('</think>')[-1].lstrip('\\n') }}", "<think>x</think>\n\ny", ["y"]],
    ["in a format", "{{ '[%s]' % m.content }}{{ '{:>4}'.format(m.content) }}", "</u>", ["</u>", "</u>"]],
    ["as JSON", "{{ m | tojson }}", '"<s>\n', ['\\"<s>\\n']],
    ["in upper case", "{{ m.content | upper }}", "<s>ß", ["<S>SS"]],
    ["in pieces", "{{ m.content | list | join('-') }}", "😀b", ["😀", "b"]],
    ["replaced", "{{ m.content | replace('<', '&lt;') }}", "a<b", ["a", "b"]],
    ["through a macro", "{% macro f(x) %}{{ x ~ '!' }}{% endmacro %}{{ f(m.content)[1:] }}", "abc", ["bc"]],
    ["through a set block", "{% set x %}({{ m.content }}){% endset %}{{ x[1:-1] }}", "a)", ["a)"]],
  ])("%s", (_, inside, content, wanted) => {
    expect(contents(renderChat(loop(inside), user(content), tokens))).toEqual(wanted);
  });

  test("a template that looks at the content sees the content", () => {
    const branch =
      "{% for m in messages %}{% if 'a' in m.content and m.content|length == 2 %}!{{ m.content }}{% endif %}{% endfor %}";
    expect(written(branch, user("a😀"))).toBe("!a😀");
    expect(written(branch, user("ab😀"))).toBe("");
  });

  test("a message that is not there as it was written is named", () => {
    const think = "{% for m in messages %}{{ m.content.split('</think>')[-1] }}\n{% endfor %}";
    const chat: ChatMessage[] = [...user("q"), { role: "assistant", content: "<think>r</think>a" }, ...user("c")];
    expect(unfaithful(renderChat(think, chat, tokens), chat)).toEqual([{ message: 1, how: "changed" }]);
    expect(unfaithful(renderChat("{{ messages[0].content }}", chat, tokens), chat)).toEqual([
      { message: 1, how: "left out" },
      { message: 2, how: "left out" },
    ]);
    expect(() => renderWhole(think, chat, tokens)).toThrow("changes the text of message 2 (role assistant)");
    // Cut into lines and joined again it is what it was.
    const lines = "{{ messages[0].content.split('\\n') | join('\\n') }}";
    expect(unfaithful(renderChat(lines, user("a\n\nb"), tokens), user("a\n\nb"))).toEqual([]);
    // Another message's text does not stand for it.
    const same: ChatMessage[] = [...user("x"), { role: "assistant", content: "x" }];
    expect(unfaithful(renderChat("{{ messages[0].content }}", same, tokens), same)).toEqual([
      { message: 1, how: "left out" },
    ]);
  });
});

describe("a template ends within its budget", () => {
  const many = (text: string) => text.repeat(20_000);
  test.each([
    ["loops", "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"],
    ["doubling", "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}"],
    ["repetition", "{{ 'a' * 10**12 }}{{ [0] * 10**9 }}"],
    ["powers", "{{ 9 ** (9 ** 9) }}"],
    ["width", "{{ 'a'.center(10**9) }}"],
    ["indent", "{{ ('a\n' * 1000) | indent(10**8) }}"],
    ["recursion", "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}"],
    ["recursive loop", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"],
    ["brackets", `{{ ${many("(")}1${many(")")} }}`],
    ["tags", `${many("{% if 1 %}")}${many("{% endif %}")}`],
    ["a chain", `{{ 1${many("+1")}${many("+1")}${many("+1")}${many("+1")}${many("+1")} }}`],
    [
      "nested lists",
      "{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
    ],
    ["searching", "{% set l = 'a' * 1000000 %}{% for a in range(100000) %}{% set q = 'b' in l %}{% endfor %}"],
    ["output", "{% for a in range(100000) %}{{ 'x' * 1000 }}{% endfor %}"],
  ])("%s", (_, template) => {
    expect(() => written(template)).toThrow(expect.objectContaining({ code: "MODEL_TEMPLATE" }));
  });

  test("a long conversation has room", () => {
    const chat = Array.from({ length: 2000 }, (_, index): ChatMessage => {
      return { role: index % 2 === 0 ? "user" : "assistant", content: "word ".repeat(100) };
    });
    const loop =
      "{% for m in messages %}{{ m.role }}:{{ m.content | trim | replace('x', 'y') }}{% if loop.last %}.{% endif %}{% endfor %}";
    expect(written(loop, chat).length).toBe(2000 * (499 + 1) + 1000 * (4 + 9) + 1);
  });
});

test("what would show chance or an address is refused by name, JavaScript's own names are not there", () => {
  for (const template of ["{{ [1]|random }}", "{{ ['a']|map('upper') }}", "{{ 'a'.upper }}", "{{ range }}"]) {
    expect(() => written(template)).toThrow("uses what inward does not render");
  }
  expect(written("{{ ''.constructor }}{{ {}['__proto__'] }}{{ toString }}{{ messages[0].hasOwnProperty }}")).toBe("");
  expect(() => written("{{ 1|constructor }}")).toThrow("No filter named");
});

test("what a template wants from outside is known", () => {
  const template =
    "{% set a = 1 %}{% for m in messages %}{{ m.x }}{{ a }}{% if enable_thinking is defined %}{{ level }}{% endif %}{% endfor %}";
  expect([...templateVariables(template)].sort()).toEqual(["enable_thinking", "level", "messages"]);
});
