/** Spans are the words that they are named after, in the very ids that are asked. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LocatedPrompt } from "../../src/model/language-model.js";
import { settleChat } from "../../src/model/chat/settled-chat.js";
import { inspectGguf } from "../../src/gguf/inspect-gguf.js";
import { openTokenizer, type Tokenizer } from "../../src/model/engines/start-engine.js";
import { writePlantedModel } from "../../src/probe/planted-model.js";
import {
  alignSpans,
  findSpans,
  type MarkedQuestion,
  markHypothetical,
  markObjectLevel,
} from "../../src/probe/spans.js";
import { propertyNamed } from "../../src/properties/all-properties.js";
import { HYPOTHETICAL_VARIANTS, hypotheticalVariant, wordedFor } from "../../src/properties/wordings.js";
import { loadBuiltInTask } from "../../src/study/load-task.js";
import { ALL_TASKS } from "../../src/tasks/built-in.js";
import { inFormOf } from "../../src/tasks/plain-form.js";
import type { TaskDefinition } from "../../src/tasks/task.js";
import { writeTinyModel } from "../helpers/tiny-model.js";
import type { TinyChat } from "../helpers/tiny-vocabulary.js";

const folder = mkdtempSync(join(tmpdir(), "inward-spans-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const property = propertyNamed("first_word");

/** A span's words, letter by letter as its tokens hold them. */
function heldBy({ text, starts, ends }: LocatedPrompt, tokens: readonly number[]): string {
  let [held, at] = ["", 0];
  for (const token of tokens) {
    held += text.slice(Math.max(at, starts[token] as number), ends[token]);
    at = Math.max(at, ends[token] as number);
  }
  return held;
}

const definitionOf = (words: Partial<TaskDefinition>): TaskDefinition => ({
  name: "made",
  kind: "sequence",
  summary: "",
  question: "Go on: {string}",
  answerForm: "any",
  examples: [],
  properties: ["first_word"],
  maxTokens: 4,
  licence: "",
  source: "",
  ...words,
});

function asked(definition: TaskDefinition, text: string, template = hypotheticalVariant("minimal").template) {
  const words = { examples: true, system: "" };
  const question = property.question;
  return [
    markObjectLevel(definition, { text }, words),
    markHypothetical(definition, { text }, property, { ...words, template, question }),
  ] as const;
}

describe.each(["chatml", "llama3", "sentencepiece", "base"] as const)("%s", (chat: TinyChat) => {
  const kind = chat === "base" ? "plain" : "template";
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    const path = join(folder, `${chat}.gguf`);
    await writeTinyModel(path, { chat, contextLength: 8192 });
    tokenizer = await openTokenizer(
      path,
      settleChat(await inspectGguf(path), kind === "plain" ? { format: "plain" } : {}),
    );
  });
  afterAll(() => tokenizer.dispose());

  const spansOf = async (question: MarkedQuestion) => {
    const [located] = await tokenizer.locate([question.messages]);
    const [ids] = await tokenizer.tokenize([question.messages]);
    expect(located?.tokenIds).toEqual(ids);
    return { located: located as LocatedPrompt, spans: findSpans(located as LocatedPrompt, question) };
  };

  test("every built-in task, every wording: tokens of a span hold its words, and tokens cover the prompt", async () => {
    for (const { name } of ALL_TASKS.filter((_, at) => at % 3 === 0)) {
      const task = await loadBuiltInTask(ALL_TASKS.find((one) => one.name === name) as TaskDefinition);
      const text = task.train[0]?.text as string;
      const definition = inFormOf(kind, task.definition);
      const [variant] = HYPOTHETICAL_VARIANTS.slice(name.length % HYPOTHETICAL_VARIANTS.length);
      for (const question of asked(definition, text, wordedFor(kind, variant as (typeof HYPOTHETICAL_VARIANTS)[0]))) {
        const { located, spans } = await spansOf(question);
        expect(heldBy(located, [...located.tokenIds.keys()])).toBe(located.text);
        const string = spans.find((span) => span.name === "string");
        if (string?.ok) expect(string.text).toBe(text.trim());
        else expect(string?.reason).toMatch(/earlier turn|label of a turn/);
        for (const span of spans) {
          if (!span.ok) continue;
          const held = heldBy(located, span.tokens);
          const words = span.text.split(" … ");
          for (const one of words) expect(held).toContain(one);
          // What it holds beside is what it says.
          const beside = span.shared.reduce((sum, { outside }) => sum + outside.length, 0);
          const own = words.reduce((sum, one) => sum + one.length, 0);
          expect(held.length).toBe(own + beside);
        }
      }
    }
  });

  test("a string of control tokens, marks and emoji is itself", async () => {
    for (const text of ["<|im_end|> <|eot_id|>", "né 🙂 ¿", "a\u0301 — ▁b", " blanks around "]) {
      if (text.includes("▁") && chat === "sentencepiece") continue;
      for (const question of asked(definitionOf({}), text)) {
        const { located, spans } = await spansOf(question);
        const string = spans.find(({ name }) => name === "string");
        expect(string).toMatchObject({ ok: true, text: text.trim() });
        if (string?.ok) expect(heldBy(located, string.tokens).trim()).toContain(text.trim());
        if (string?.ok && text.startsWith("<|im_end|>")) expect(string.tokens.length).toBeGreaterThan(6);
      }
    }
  });

  test("words of the string that stand elsewhere too are not taken for it", async () => {
    const definition = definitionOf({ question: "the hen and the hen: {string} or the hen?" });
    for (const question of asked(definition, "the hen")) {
      const { located, spans } = await spansOf(question);
      const string = spans.find(({ name }) => name === "string");
      const [first] = string?.ok ? string.tokens : [];
      expect(located.text.slice(0, located.starts[first as number]).trimEnd()).toMatch(/the hen and the hen:$/);
    }
  });

  test("a line that is changed in quoting is said to be", async () => {
    const [object, hypothetical] = asked(definitionOf({}), "one\nUser: two");
    const { spans } = await spansOf(object);
    expect(spans.find(({ name }) => name === "string")).toMatchObject({ ok: true });
    if (kind === "plain") return;
    const [first] = asked(definitionOf({ examples: [{ text: "x", answer: "y" }] }), "one\nUser: two").slice(1);
    const quoted = (await spansOf(first as MarkedQuestion)).spans.find(({ name }) => name === "string");
    expect(quoted).toMatchObject({ ok: false, reason: expect.stringMatching(/label of a turn/) });
    expect((await spansOf(hypothetical)).spans.find(({ name }) => name === "string")).toMatchObject({ ok: true });
  });
});

describe("both questions", () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    const { path } = await writePlantedModel(join(folder, "planted.gguf"), { mechanism: "A", items: 4 });
    tokenizer = await openTokenizer(path);
  });
  afterAll(() => tokenizer.dispose());

  const aligned = async (definition: TaskDefinition, template?: string) => {
    const questions = asked(definition, "badger acorn", template);
    const [one, other] = await tokenizer.locate(questions.map(({ messages }) => messages));
    const spans = questions.map((question, at) =>
      findSpans([one, other][at] as LocatedPrompt, question, { ids: [7], texts: ["x"] }),
    );
    return Object.fromEntries(alignSpans(spans[0] as never, spans[1] as never).map((span) => [span.name, span]));
  };

  test("spans of the same words have the same ids", async () => {
    const spans = await aligned(definitionOf({ question: "Which color goes with {string}? Reply." }));
    for (const name of ["question", "string", "item_1", "item_2", "instruction", "last_prompt_token"])
      expect(spans[name]?.same).toEqual({ ok: true });
    expect(spans.item_1?.objectLevel).toMatchObject({
      tokens: [7],
      text: "badger",
      shared: [{ outside: " ", blank: true }],
    });
    expect(spans.string?.hypothetical).toMatchObject({ ok: true, text: "badger acorn" });
    expect(spans.property?.objectLevel).toMatchObject({ ok: false });
    const after = { tokens: [expect.any(Number)], ids: [7], text: "x", shared: [] };
    expect(spans.reply_1?.objectLevel).toMatchObject({ ok: true, ...after });
    expect(spans.reply_1?.same).toEqual({ ok: false, reason: "replies to two questions, the same token" });
  });

  test("a blank that merges into the first word is told", async () => {
    const spans = await aligned(definitionOf({ question: "{string} goes with" }), "Here: {prompt} {property}");
    expect(spans.item_1?.same).toEqual({ ok: false, reason: 'a token holds " " there as well' });
    expect(spans.item_2?.same).toEqual({ ok: true });
  });
});
