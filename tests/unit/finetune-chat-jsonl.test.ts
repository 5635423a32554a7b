/** The strict reader of OpenAI chat JSONL. */
import { describe, expect, test } from "vitest";
import { parseChatJsonl, readChatJsonl } from "../../src/finetune/chat-jsonl.js";

const parse = (text: string) => parseChatJsonl(new TextEncoder().encode(text), "set.jsonl");
const user = { role: "user", content: "Say a color." };
const assistant = { role: "assistant", content: "teal" };
const lineOf = (value: unknown) => JSON.stringify(value);
const good = lineOf({ messages: [user, assistant] });

describe("what is read", () => {
  test("a line without a system message stays so: what stands before it is the chat format's to say", () => {
    expect(parse(good)).toEqual([{ messages: [user, assistant] }]);
  });

  test("a system message of the line's own stays", () => {
    const system = { role: "system", content: "Be brief." };
    expect(parse(lineOf({ messages: [system, user, assistant] }))).toEqual([{ messages: [system, user, assistant] }]);
  });

  test("several turns, blank lines, a byte order mark, Windows line ends, metadata, text of any script", () => {
    const turns = [user, assistant, user, { role: "assistant", content: "青 “$&” <|im_end|>\n" }];
    const text = `\ufeff${good}\r\n\r\n  \n${lineOf({ messages: turns, metadata: { task: "colors" } })}`;
    const [, second] = parse(text);
    expect(second?.messages).toEqual(turns);
    expect(parse(text)).toHaveLength(2);
  });
});

describe("what is refused, with its line", () => {
  const cases: [string, string, RegExp][] = [
    ["no JSON", "{", /line 2 is not JSON/],
    ["a list", "[]", /line 2: the line: must be a mapping/],
    ["no messages", lineOf({ metadata: {} }), /line 2: messages: is missing; it must be a list/],
    ["one message", lineOf({ messages: [assistant] }), /line 2: messages: needs a question and its answer/],
    ["last is the user's", lineOf({ messages: [assistant, user] }), /line 2: the last message is the user's/],
    ["empty answer", lineOf({ messages: [user, { ...assistant, content: "" }] }), /last message is empty/],
    ["a late system message", lineOf({ messages: [user, { role: "system", content: "" }, assistant] }), /messages\.1/],
    ["unknown role", lineOf({ messages: [{ role: "tool", content: "1" }, assistant] }), /messages\.0\.role/],
    ["content in parts", lineOf({ messages: [{ role: "user", content: [{ type: "text" }] }, assistant] }), /be text/],
    ["content null", lineOf({ messages: [user, { role: "assistant", content: null }] }), /messages\.1\.content: /],
    ["weight", lineOf({ messages: [user, { ...assistant, weight: 0 }] }), /messages\.1: the key "weight" is not supp/],
    ["tools", lineOf({ messages: [user, assistant], tools: [] }), /line 2: the key "tools" is not supported/],
    ["function_call", lineOf({ messages: [user, { role: "assistant", function_call: {} }] }), /"function_call" is not/],
    ["name", lineOf({ messages: [{ ...user, name: "Ann" }, assistant] }), /"name" is not supported/],
    ["a slip", lineOf({ message: [user, assistant] }), /"message" does not exist. Did you mean "messages"/],
    ["a slip inside", lineOf({ messages: [{ role: "user", contents: "x" }, assistant] }), /Did you mean "content"/],
  ];
  test.each(cases)("%s", (_, line, message) => {
    const attempt = () => parse(`${good}\n${line}\n`);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(expect.objectContaining({ code: "TRAIN_EXAMPLE" }));
  });

  test("an empty file is TRAIN_EMPTY_SET", () => {
    expect(() => parse("\n\n")).toThrow(expect.objectContaining({ code: "TRAIN_EMPTY_SET" }));
  });

  test("bytes that are not UTF-8, and a file that is not there", async () => {
    expect(() => parseChatJsonl(Uint8Array.of(0x22, 0xff, 0x22), "set.jsonl")).toThrow("not UTF-8");
    await expect(readChatJsonl("nowhere.jsonl")).rejects.toMatchObject({ code: "TRAIN_EXAMPLE" });
  });
});

describe("what is not one conversation a line", () => {
  const asked = '{"role":"user","content":"a"}';
  test.each([
    [
      "a key twice",
      `{"messages":[],"messages":[${asked},{"role":"assistant","content":"b"}]}`,
      'the key "messages" stands twice',
    ],
    ["a role twice", '{"messages":[{"role":"user","role":"system","content":"a"}]}', 'the key "role" stands twice'],
    [
      "a lone surrogate",
      `{"messages":[{"role":"user","content":"a\\ud800"},{"role":"assistant","content":"b"}]}`,
      "content: holds a NUL or a lone surrogate",
    ],
    ["NUL", `{"messages":[${asked},{"role":"assistant","content":"b\\u0000"}]}`, "content: holds a NUL"],
    [
      "metadata without end",
      `{"messages":[${asked}],"metadata":${"[".repeat(20_000)}${"]".repeat(20_000)}}`,
      "nested more than 64 deep",
    ],
  ])("%s is refused with its line", (_, line, message) => {
    expect(() => parse(`${good}\n${line}`)).toThrow(
      expect.objectContaining({ code: "TRAIN_EXAMPLE", message: expect.stringContaining(message) }),
    );
    expect(() => parse(`${good}\n${line}`)).toThrow(/^set\.jsonl, line 2: /);
  });

  test.each([
    ["an unknown key", `{"messages":[{"role":"user","content":"a","${"k".repeat(200_000)}":1}]}`],
    ["a thousand unknown keys", `{"messages":[],${Array.from({ length: 15_000 }, (_, at) => `"k${at}":1`)}}`],
    ["no message after no message", `{"messages":[${"{},".repeat(60_000)}{}]}`],
    ["no JSON", "{".repeat(200_000)],
  ])("a line of 200 kB with %s is refused at once, in one line", (_, line) => {
    const begun = performance.now();
    expect(() => parse(line)).toThrow(expect.objectContaining({ message: expect.stringMatching(/^.{1,300}$/) }));
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  test("a file of 20 MB takes no time that grows with its square", () => {
    const line = lineOf({ messages: [{ role: "user", content: "word ".repeat(20) }, assistant] });
    const begun = performance.now();
    expect(parse(`${line}\n`.repeat(110_000))).toHaveLength(110_000);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });
});
