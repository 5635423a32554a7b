/** Files of prompts: what a line means, and what is refused with its place. */
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { settledAsking } from "../../src/run/ask-file.js";
import { doubtfulKeys, parsePrompts, parseScoredLines, readPromptFile } from "../../src/run/prompt-lines.js";

const bytes = (...lines: string[]) => Buffer.from(lines.join("\n"));
const user = (content: string) => ({ role: "user", content });
const system = (content: string) => ({ role: "system", content });

test("prompts, conversations and their system messages; ids are the line's own, else its number", () => {
  const lines = bytes(
    '{"prompt":"a"}',
    "",
    '{"prompt":"b","system":"s","id":"x"}',
    '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"r"},{"role":"user","content":"c"}],"id":7}',
    '{"messages":[{"role":"system","content":"t"},{"role":"user","content":"d"}],"label":"kept","n_shots":2}',
  );
  expect(parsePrompts(lines, "p.jsonl")).toEqual([
    { id: "1", messages: [system(""), user("a")] },
    { id: "x", messages: [system("s"), user("b")] },
    { id: "7", messages: [system(""), user("q"), { role: "assistant", content: "r" }, user("c")] },
    { id: "5", messages: [system("t"), user("d")], meta: { label: "kept", n_shots: 2 } },
  ]);
});

test("a text file is one prompt a line, as it stands", () => {
  expect(parsePrompts(bytes('{"prompt":"a"}', " b "), "p.txt").map(({ messages }) => messages[1]?.content)).toEqual([
    '{"prompt":"a"}',
    " b ",
  ]);
});

test("continuations are scored, and only there", () => {
  const line = '{"prompt":"a","continuations":["b",""]}';
  expect(parseScoredLines(bytes(line), "s.jsonl")[0]?.continuations).toEqual(["b", ""]);
  expect(() => parsePrompts(bytes(line), "s.jsonl")).toThrow(/line 1: continuations.*npx inward score-text/);
  expect(() => parseScoredLines(bytes('{"prompt":"a"}'), "s.jsonl")).toThrow(/line 1: continuations: is missing/);
});

test("a key that is nearly a setting is kept and said, once; others are not", () => {
  const read = parsePrompts(
    bytes(
      '{"prompt":"a","temprature":0.7,"label":"x"}',
      '{"prompt":"b","temprature":1,"id":"second","sytem":"s"}',
      '{"prompt":"c","idx":3}',
    ),
    "p.jsonl",
  );
  expect(read.map(({ meta }) => meta)).toEqual([
    { temprature: 0.7, label: "x" },
    { temprature: 1, sytem: "s" },
    { idx: 3 },
  ]);
  expect(doubtfulKeys(read)).toEqual([
    'There are 2 lines with the key "temprature" (the first: "1"), which is kept beside the answer and changes nothing; if you meant temperature: it holds for the whole file: --temperature.',
    'There is 1 line with the key "sytem" (the first: "second"), which is kept beside the answer and changes nothing; if you meant system, write it so.',
  ]);
});

describe("refused, with the line", () => {
  test.each([
    ["no JSON", "hello", /p.jsonl, line 2 is not JSON/],
    ["no object", "[1]", /line 2/],
    ["half a character", '{"prompt":"\\ud800"}', /line 2.*lone surrogate/],
    ["NUL", '{"prompt":"a\\u0000"}', /line 2.*NUL/],
    ["a key twice", '{"prompt":"a","prompt":"b"}', /line 2.*twice/],
    ["a number for a prompt", '{"prompt":5}', /line 2: prompt: must be text/],
    ["neither prompt nor messages", '{"promt":"a"}', /line 2: it has neither.*Did you mean "prompt"/],
    ["both", '{"prompt":"a","messages":[{"role":"user","content":"b"}]}', /line 2: it has both/],
    ["no messages", '{"messages":[]}', /line 2: messages: is empty/],
    ["another role", '{"messages":[{"role":"tool","content":"a"}]}', /line 2: messages.0.role/],
    ["an image", '{"messages":[{"role":"user","content":[{"type":"image"}]}]}', /line 2: messages.0.content/],
    [
      "an answer last",
      '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}',
      /assistant's/,
    ],
    [
      "a late system message",
      '{"messages":[{"role":"user","content":"a"},{"role":"system","content":"b"}]}',
      /only the first/,
    ],
    ["a setting of another tool", '{"prompt":"a","temperature":0.7}', /line 2: temperature: .*--temperature/],
    ["a setting in other letters", '{"prompt":"a","Top-P":0.7}', /line 2: Top-P: nothing is cut off/],
    ["a key of ours in other letters", '{"prompt":"a","ID":7}', /line 2: ID: is written id/],
    [
      "a system message under another name",
      '{"prompt":"a","system_prompt":"s"}',
      /line 2: system_prompt: give it as system/,
    ],
    ["the id of an earlier line", '{"prompt":"a","id":1}', /the id "1" is that of p.jsonl, line 1 too/],
    ["an id that is no name", '{"prompt":"a","id":1.5}', /line 2: id: must be text or a whole number/],
    ["a prototype", '{"prompt":"a","__proto__":{}}', /__proto__/],
  ])("%s", (_, line, message) => {
    expect(() => parsePrompts(bytes('{"prompt":"first"}', line), "p.jsonl")).toThrow(
      expect.objectContaining({ code: "PROMPTS_INVALID", message: expect.stringMatching(message) }),
    );
  });

  test("a file without a prompt, bytes that are no UTF-8, NUL in a text file, and what is no file", async () => {
    const invalid = expect.objectContaining({ code: "PROMPTS_INVALID" });
    expect(() => parsePrompts(bytes("", "  "), "p.jsonl")).toThrow(invalid);
    expect(() => parsePrompts(Buffer.from([0x22, 0xff, 0x22]), "p.jsonl")).toThrow(invalid);
    expect(() => parsePrompts(bytes("a\0b"), "p.txt")).toThrow(invalid);
    await expect(readPromptFile("/dev/null")).rejects.toThrow(invalid);
    await expect(readPromptFile("/nowhere.jsonl")).rejects.toThrow(invalid);
    expect((await readPromptFile("-", Readable.from([Buffer.from("a"), Buffer.from("b")]))).toString()).toBe("ab");
  });
});

test.each([
  { temperature: -1 },
  { temperature: Number.NaN },
  { samples: 3 },
  { samples: 0, temperature: 1 },
  { maxTokens: 1.5 },
  { top: -1 },
])("settings that cannot be meant are refused: %o", (settings) => {
  expect(() => settledAsking(settings)).toThrow(expect.objectContaining({ code: "USAGE" }));
});
