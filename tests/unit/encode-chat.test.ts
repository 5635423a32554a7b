/** Conversations as training reads them: the prompt as asking has it, the answer as it is given, the token that ends a turn. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AnswerVocabulary, encodeChats } from "../../src/model/chat/encode.js";
import { tokenizeChat } from "../../src/model/chat/prompt-tokens.js";
import { templateFormat } from "../../src/model/chat/format.js";
import { renderChat } from "../../src/model/chat/render.js";
import type { ChatMessage } from "../../src/tasks/answer.js";

const template = (name: string) =>
  readFileSync(new URL(`../fixtures/chat-templates/${name}.jinja`, import.meta.url), "utf8");
const tokens = { bosToken: "<|begin_of_text|>", eosToken: "<|eot_id|>" };
const CONTROLS = [
  "<|begin_of_text|>",
  "<|start_header_id|>",
  "<|end_header_id|>",
  "<|eot_id|>",
  "<|im_start|>",
  "<|im_end|>",
];
const id = (control: string) => CONTROLS.indexOf(control);
const plain = (text: string) => [...text].map((character) => 1000 + (character.codePointAt(0) as number));
/** Every character is a token. */
const vocabulary = (addBos: boolean): AnswerVocabulary => ({
  controlTokens: new Map(CONTROLS.map((name, index) => [name, index])),
  addBos,
  bosId: 0,
  tokenizePlain: plain,
  writtenText: (ids) =>
    ids.map((one) => (one < 1000 ? (CONTROLS[one] as string) : String.fromCodePoint(one - 1000))).join(""),
  text: (ids) => ids.map((one) => (one < 1000 ? "" : String.fromCodePoint(one - 1000))).join(""),
  isEndOfGeneration: (token) => token === id("<|eot_id|>") || token === id("<|im_end|>"),
});
const question: ChatMessage[] = [
  { role: "system", content: "" },
  { role: "user", content: "Name a color." },
];
const answered = (answer: string): ChatMessage[] => [...question, { role: "assistant", content: answer }];
const encodeOne = (source: string, conversation: readonly ChatMessage[], addBos = true) =>
  encodeChats(templateFormat(source), [conversation], tokens, vocabulary(addBos))[0];
const code = (name: string, message: RegExp) =>
  expect.objectContaining({ code: name, message: expect.stringMatching(message) });

const FORMATS = [
  ["chatml", false, "<|im_end|>"],
  ["llama-3", true, "<|eot_id|>"],
  ["llama-3.1", true, "<|eot_id|>"],
] as const;

describe.each(FORMATS)("%s", (name, addBos, end) => {
  const prompt = tokenizeChat(renderChat(template(name), question, tokens), vocabulary(addBos));

  test("prompt, answer, end of turn; the same as the whole conversation rendered", () => {
    const encoded = encodeOne(template(name), answered("teal"), addBos);
    expect(encoded).toEqual({ tokenIds: [...prompt, ...plain("teal"), id(end)], answerStart: prompt.length });
  });

  test("earlier answers belong to the prompt", () => {
    const conversation = [
      ...answered("teal"),
      { role: "user", content: "More?" } as const,
      ...answered("red").slice(-1),
    ];
    const earlier = tokenizeChat(renderChat(template(name), conversation.slice(0, -1), tokens), vocabulary(addBos));
    expect(encodeOne(template(name), conversation, addBos)).toEqual({
      tokenIds: [...earlier, ...plain("red"), id(end)],
      answerStart: earlier.length,
    });
  });

  test("any answer is learnt as it is given, and only the end of turn is a control token (law)", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom("<|im_end|>x", "a<|eot_id|>", " teal", "teal\n")),
        (answer) => {
          fc.pre(answer.trim() !== "");
          const encoded = encodeOne(template(name), answered(answer), addBos);
          expect(encoded?.tokenIds).toEqual([...prompt, ...plain(answer), id(end)]);
          const trims = name !== "chatml" && answer !== answer.trim();
          expect(encoded?.unlikeTemplate).toBe(trims ? "answer_trimmed" : undefined);
        },
      ),
    );
  });
});

describe("a template that writes", () => {
  const turns = "{% for turn in messages %}<|im_start|>{{ turn.role }}:{{ turn.content }}";
  const opened = "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant:{% endif %}";

  test("a space before the end-of-turn token: it is left out, and the difference is reported", () => {
    const encoded = encodeOne(`${turns} <|im_end|>${opened}`, answered("teal"), false);
    expect(encoded?.tokenIds.slice(encoded.answerStart)).toEqual([...plain("teal"), id("<|im_end|>")]);
    expect(encoded?.unlikeTemplate).toBe("other_tokens");
  });

  test.each([
    ["words before that token", `${turns} (over)<|im_end|>${opened}`, /ends an answer with " \(over\)<\|im_end\|>"/],
    ["no control token", `${turns}\n${opened}`, /ends an answer with .* not with a control token/],
    ["nothing at all", `${turns}${opened}`, /ends an answer with ""/],
    [
      "a token at which generation goes on",
      `${turns}<|end_header_id|>${opened}`,
      /"<\|end_header_id\|>" \(token 2\), at which generation does not stop/,
    ],
    [
      "something of the user's after the answer",
      `${turns}<|im_end|>{% endfor %}{{ messages[1].content }}`,
      /answer last/,
    ],
  ])("%s is refused, with the conversation's number", (_, source, message) => {
    const two = [answered("teal"), answered("red")];
    expect(() => encodeChats(templateFormat(source), two, tokens, vocabulary(false))).toThrow(
      code("MODEL_TEMPLATE", message),
    );
    expect(() => encodeChats(templateFormat(source), two, tokens, vocabulary(false))).toThrow(/^Conversation 1: /);
  });
});

describe("what is no example", () => {
  test.each<[string, ChatMessage[], RegExp]>([
    ["ends with a question", question, /ends with a user message/],
    ["is empty", [], /ends with nothing/],
    ["has an empty answer", answered(""), /answer is empty/],
    ["has an answer of white space", answered(" \n"), /answer is empty/],
    ["has no question", [{ role: "assistant", content: "teal" }], /nothing stands before/],
  ])("a conversation that %s is TRAIN_EXAMPLE and named by its number", (_, conversation, message) => {
    const encode = () =>
      encodeChats(templateFormat(template("chatml")), [answered("teal"), conversation], tokens, vocabulary(false));
    expect(encode).toThrow(code("TRAIN_EXAMPLE", message));
    expect(encode).toThrow(/^Conversation 2: /);
  });
});
