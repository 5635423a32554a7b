/** How a model is spoken to, found by trying its template: what no template says of itself. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type ChatFormat, withSystem } from "../../src/model/chat/format.js";
import { renderText } from "../../src/model/chat/render.js";
import { type ChatWish, settleChat } from "../../src/model/chat/settled-chat.js";
import type { ChatMessage } from "../../src/tasks/answer.js";

const tokens = { bosToken: "<s>", eosToken: "</s>" };
const settle = (chatTemplate: string, wish?: ChatWish) => settleChat({ path: "m.gguf", chatTemplate, ...tokens }, wish);
const user = (content: string): ChatMessage => ({ role: "user", content });
const system = (content: string): ChatMessage => ({ role: "system", content });
const read = (format: ChatFormat, ...messages: ChatMessage[]) =>
  renderText(format, withSystem(format, messages), tokens);
const refused = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

// Of our own making, each with the habit of a family of templates.
const TURNS =
  "{% for m in turns %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";
const HEAD = (otherwise: string) =>
  `{% if messages[0].role == 'system' %}{% set said = messages[0].content %}{% set turns = messages[1:] %}{% else %}{% set said = ${otherwise} %}{% set turns = messages %}{% endif %}`;
const ALTERNATES =
  "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}{{ '[INST] ' + m.content + ' [/INST]' if m.role == 'user' else m.content + eos_token }}{% endfor %}";
const REFUSES = `{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% set turns = messages %}${TURNS}`;
const REFUSES_EMPTY = `{% if messages[0].content == '' %}{{ raise_exception('Say something') }}{% endif %}{% set turns = messages %}${TURNS}`;
const SHOUTS =
  "{% for m in messages %}{{ '<|' + m.role + '|>' + (m.content | upper if m.role == 'system' else m.content) }}{% endfor %}";
const LEAVES_OUT = `{% set turns = messages | selectattr('role', 'ne', 'system') | list %}${TURNS}`;
const FOLDS = `${HEAD("''")}{{ bos_token }}{% for m in turns %}{{ '<|' + m.role + '|>' }}{% if loop.first and messages[0].role == 'system' %}{{ said + '\\n\\n' }}{% endif %}{{ m.content + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}`;
const HIDES = `${HEAD("'You are Robin.'")}{{ '<|system|>' + said + '<|end|>' }}${TURNS}`;
const HIDES_FROM_EMPTY = `${HEAD("''")}{{ '<|system|>' + (said or 'You are Robin.') + '<|end|>' }}${TURNS}`;
const DATED = `${HEAD("''")}{{ '<|system|>Today: ' + strftime_now('%d %b %Y') + '. ' + said + '<|end|>' }}${TURNS}`;
const PLAIN_ROLES = `{% set turns = messages %}${TURNS}`;

describe("the system message", () => {
  test.each([
    ["raises on one", ALTERNATES, /takes none \(.*Roles must alternate/],
    ["says that it has no such role", REFUSES, /System role not supported/],
    ["leaves it out without a word", LEAVES_OUT, /leaves system messages out/],
    ["writes it in other letters", SHOUTS, /changes the text of system messages/],
    ["writes it into the user's turn", FOLDS, /blank lines/],
  ])("a template that %s gets none, and the plan says why", (_, template, why) => {
    const chat = settle(template);
    expect(chat.system).toMatchObject({ kind: "omit", why: expect.stringMatching(why) });
    expect(chat.words.system).toMatch(why);
    expect(read(chat, system(""), user("Hi."))).toBe(renderText(template, [user("Hi.")], tokens));
  });

  test("where the template has no place, one that says something is refused, in the wish as in a question", () => {
    expect(() => settle(REFUSES, { system: { kind: "text", text: "Be brief." } })).toThrow(
      refused("CHAT_SYSTEM", /Be brief.*System role not supported/),
    );
    expect(() => read(settle(REFUSES), system("Be brief."), user("Hi."))).toThrow(
      refused("CHAT_SYSTEM", /Be brief.*System role not supported/),
    );
  });

  test.each([
    ["would leave blank lines", FOLDS, "<s><|user|>Be brief.\n\nHi.<|end|><|assistant|>"],
    ["is refused", REFUSES_EMPTY, "<|system|>Be brief.<|end|><|user|>Hi.<|end|><|assistant|>"],
  ])("where an empty one alone %s, one that says something stands in its place", (_, template, whole) => {
    const chat = settle(template);
    expect(chat.system).toMatchObject({ kind: "omit", onlyEmpty: true });
    expect(read(chat, system("Be brief."), user("Hi."))).toBe(whole);
    expect(read(chat, system(""), user("Hi."))).toBe(read(chat, user("Hi.")));
    // Whoever asks for none gets none.
    expect(() => read(settle(template, { system: { kind: "omit" } }), system("Be brief."), user("Hi."))).toThrow(
      refused("CHAT_SYSTEM", /it is to be left out/),
    );
  });

  test("an empty one keeps a hidden one out, which the plan quotes", () => {
    const chat = settle(HIDES);
    expect(chat.system).toEqual({ kind: "text", text: "" });
    expect(chat.words.system).toContain("You are Robin.");
    for (const asked of [[user("Hi.")], [system(""), user("Hi.")]]) {
      expect(read(chat, ...asked)).toBe("<|system|><|end|><|user|>Hi.<|end|><|assistant|>");
    }
  });

  test.each([
    ["omitting", HIDES, { kind: "omit" } as const],
    ["an empty one", HIDES_FROM_EMPTY, { kind: "text", text: "" } as const],
    ["nothing said", HIDES_FROM_EMPTY, undefined],
  ])("%s that would let a hidden one in is refused with its words", (_, template, wished) => {
    expect(() => settle(template, { system: wished })).toThrow(refused("CHAT_SYSTEM", /You are Robin/));
  });

  test("a hidden one that is named stands, being seen", () => {
    const chat = settle(HIDES_FROM_EMPTY, { system: { kind: "text", text: "You are Robin." } });
    expect(read(chat, user("Hi."))).toBe("<|system|>You are Robin.<|end|><|user|>Hi.<|end|><|assistant|>");
  });

  test("text stands before conversations that have none, and gives way to a question's own", () => {
    const chat = settle(PLAIN_ROLES, { system: { kind: "text", text: "Be brief." } });
    const whole = "<|system|>Be brief.<|end|><|user|>Hi.<|end|><|assistant|>";
    expect(read(chat, user("Hi."))).toBe(whole);
    expect(read(chat, system(""), user("Hi."))).toBe(whole);
    expect(read(chat, system("Sing."), user("Hi."))).toBe(whole.replace("Be brief.", "Sing."));
  });

  test("asked for, an empty one stands in a user's turn too, and none at all where roles are plain", () => {
    expect(read(settle(FOLDS, { system: { kind: "text", text: "" } }), user("Hi."))).toContain("<|user|>\n\nHi.");
    expect(read(settle(PLAIN_ROLES, { system: { kind: "omit" } }), user("Hi."))).toBe(
      "<|user|>Hi.<|end|><|assistant|>",
    );
  });

  test("what a template writes in any case is said, under the pinned date", () => {
    const chat = settle(DATED);
    expect(chat.words.system).toContain("Today: 26 Jul 2024");
    expect(chat.sample).toBe("<|system|>Today: 26 Jul 2024. <|end|><|user|>{question}<|end|><|assistant|>");
  });
});

describe("thinking", () => {
  const opening = (condition: string) =>
    `${PLAIN_ROLES}{% if ${condition} %}{{ '<think></think>' }}{% else %}{{ '<think>' }}{% endif %}`;
  test.each([
    ["enable_thinking is defined and enable_thinking is false", { enable_thinking: false }],
    ["not thinking", { thinking: false }],
    ["no_think", { no_think: true }],
    ["reasoning_effort == 'none'", { reasoning_effort: "none" }],
    ['thinking_mode == "disabled"', { thinking_mode: "disabled" }],
    ["thinking_budget is defined and thinking_budget == 0", { thinking_budget: 0 }],
  ])("%s: off by the template's own variable", (condition, variables) => {
    const chat = settle(opening(condition));
    expect(chat.variables).toEqual(variables);
    expect(chat.words.thinking).toMatch(/^switched off/);
    expect(chat.opensReasoning).toBeUndefined();
    expect(read(chat, user("Hi."))).toMatch(/<think><\/think>$/);
  });

  test("a template that opens reasoning whatever is said is found out", () => {
    const chat = settle(`${PLAIN_ROLES}{{ '<think>\\n' }}`);
    expect(chat).toMatchObject({
      variables: {},
      opensReasoning: "<think>",
      words: { thinking: expect.stringMatching(/cannot be switched off/) },
    });
  });

  test("how much is thought is no switch, and a value is never printed into the prompt", () => {
    const chat = settle(`{{ 'Reasoning: ' + (reasoning_effort or 'medium') }}${PLAIN_ROLES}`);
    expect(chat.variables).toEqual({});
    expect(chat.words.thinking).toMatch(/no value for nothing/);
    expect(chat.sample).toContain("Reasoning: medium");
  });

  test("what a template does with earlier reasoning alone is no switch; that it takes it out is known", () => {
    const keeps =
      "{% set turns = messages %}{% for m in turns %}{{ '<|' + m.role + '|>' + (m.content if keep_thinking or '</think>' not in m.content else m.content.split('</think>')[-1]) + '<|end|>' }}{% endfor %}{{ '<|assistant|>' }}";
    const chat = settle(keeps);
    expect(chat.variables).toEqual({});
    expect(chat.dropsReasoning).toEqual(["<think>"]);
    expect(settle(PLAIN_ROLES).dropsReasoning).toEqual([]);
  });
});

test("another template, or none, in the place of the file's own", () => {
  const given = { path: "mine.jinja", template: PLAIN_ROLES };
  expect(settleChat({ path: "m.gguf" }, { format: given })).toMatchObject({
    templatePath: "mine.jinja",
    template: PLAIN_ROLES,
  });
  expect(settleChat({ path: "m.gguf" }, { format: "plain" })).toMatchObject({ kind: "plain", variables: {} });
  expect(() => settleChat({ path: "m.gguf" })).toThrow(refused("MODEL_NO_CHAT_TEMPLATE", /m\.gguf/));
});

test.each(["chatml", "llama-3", "llama-3.1"])(
  "%s is spoken to as before: an empty system message, nothing switched",
  (name) => {
    const template = readFileSync(new URL(`../fixtures/chat-templates/${name}.jinja`, import.meta.url), "utf8");
    expect(settle(template)).toMatchObject({ system: { kind: "text", text: "" }, variables: {} });
  },
);
