/** Tasks and chat JSONL, changed at random: refused with a code, or read whole. */
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { parseChatJsonl } from "../../src/finetune/chat-jsonl.js";
import { loadTask } from "../../src/study/load-task.js";
import { heuristicAnswers } from "../../src/tasks/heuristics.js";
import type { Task } from "../../src/tasks/task.js";
import { changeBytes, changeStructure, changeText, type Dice, fuzz } from "./mutations.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-fuzz-task-"));
});

const TASKS = [
  `name: birds
kind: sequence
question: "Go on with these birds: {string}"
examples: [{ text: owl wren, answer: crow rook }]
properties: [first_word, second_character]
strings: birds.jsonl
licence: MIT
`,
  `name: shy
kind: options
question: |
  Choose.
  {string}
answerForm: option_letter
maxTokens: 4
properties: [matches_shy]
disposition: shy
strings: { train: birds.jsonl, heldOut: held.jsonl }
`,
];
const birds = [
  { text: "robin finch", id: "one" },
  { text: "stork heron" },
  { text: "gull tern “$&”" },
  { text: "kite hawk", id: "x.y-z" },
  { text: "青い 鳥" },
];
const shy = (letters: string) =>
  [...letters].map((target, at) => ({ text: `Number ${letters}${at}. Go?\n\nA - Yes\nB - No`, target }));
const jsonl = (rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

function changedLines(rows: readonly unknown[], dice: Dice): Buffer {
  if (dice.once(3)) return changeBytes(Buffer.from(jsonl(rows)), dice);
  if (dice.once(2)) return Buffer.from(changeText(jsonl(rows), dice));
  const changed = changeStructure(rows, dice);
  return Buffer.from(Array.isArray(changed) ? jsonl(changed) : JSON.stringify(changed));
}

/** JSON.stringify writes NUL and lone surrogates as escapes, and nothing else of that form but behind a backslash of the text's own. */
function requireReadable(value: unknown): void {
  expect(JSON.stringify(value).replaceAll("\\\\", "")).not.toMatch(/\\u0000|\\ud[89a-f]/);
}

/** Each line of the files is one item, as it stands there. */
async function requireWhole(task: Task, input: string): Promise<void> {
  const { path, strings } = JSON.parse(input) as { path: string; strings: string[] };
  const rows = strings
    .join("\n")
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line.replace(/^\ufeff/, "")) as { text: string });
  const items = [...task.train, ...task.heldOut];
  expect(items.map(({ text }) => text).sort()).toEqual(rows.map(({ text }) => text).sort());
  expect(new Set(items.map(({ id }) => id)).size).toBe(items.length);
  expect(new Set(items.map(({ text }) => text)).size).toBe(items.length);
  requireReadable(task);
  expect(task.definition.question.split("{string}")).toHaveLength(2);
  expect((await loadTask(path)).sha256).toBe(task.sha256);
  for (const { text } of items) heuristicAnswers(task.definition.kind, text, task.definition.answerForm);
}

test("a task", async () => {
  const { accepted, refused } = await fuzz(
    "task",
    (dice, at) => {
      const which = dice.below(2);
      const yaml = TASKS[which] as string;
      const path = join(folder, `task-${at}.yaml`);
      const inYaml = dice.once(2);
      const changed = dice.once(2) ? changeText(yaml, dice) : stringify(changeStructure(parse(yaml), dice));
      const text = inYaml ? changed : yaml;
      const files: Record<string, Buffer> =
        which === 0
          ? { birds: inYaml ? Buffer.from(jsonl(birds)) : changedLines(birds, dice) }
          : {
              birds: inYaml ? Buffer.from(jsonl(shy("AB"))) : changedLines(shy("AB"), dice),
              held: Buffer.from(jsonl(shy("BAB"))),
            };
      const strings = Object.values(files).map((bytes) => bytes.toString("utf8"));
      const result = async () => {
        for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, `${name}.jsonl`), bytes);
        await writeFile(path, text);
        return loadTask(path);
      };
      return { input: JSON.stringify({ path, strings, text }), result: result() };
    },
    requireWhole,
  );
  expect(Math.min(accepted, refused)).toBeGreaterThan(0);
});

const CHATS = [
  {
    messages: [
      { role: "user", content: "Say a color." },
      { role: "assistant", content: "teal" },
    ],
  },
  {
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Say “$&” 青." },
      { role: "assistant", content: "<|im_end|>\n" },
      { role: "user", content: "Again." },
      { role: "assistant", content: "x" },
    ],
    metadata: { from: "us", n: [1, 2] },
  },
];

test("chat JSONL", async () => {
  const { accepted, refused } = await fuzz(
    "chat",
    (dice) => {
      const bytes = changedLines(CHATS, dice);
      return { input: bytes.toString("utf8"), result: () => parseChatJsonl(bytes, "fuzz.jsonl") };
    },
    (examples, input) => {
      const lines = input.split(/\r?\n/).map((line) => line.replace(/^\ufeff/, ""));
      const said = lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line).messages);
      // The model's chat format decides about a system message that a line does not have.
      expect(examples.map(({ messages }) => messages)).toEqual(said);
      requireReadable(examples);
    },
  );
  expect(Math.min(accepted, refused)).toBeGreaterThan(0);
});
