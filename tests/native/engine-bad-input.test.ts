/** Proof 6, through the worker process: bad input is a coded error each, this process lives, and what was open can still be asked. */
import { copyFileSync, mkdtempSync, renameSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startEngine } from "../../src/model/engines/start-engine.js";
import type { AskRequest, LanguageModel } from "../../src/model/language-model.js";
import { resolveModel } from "../../src/model/resolve-model.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import { ENGINES } from "../helpers/engines.js";
import { openEngine, answer, workOf } from "../helpers/native-engine.js";
import type { StudyEngine } from "../../src/study/study.js";
import { writeTinyAdapter } from "../helpers/tiny-adapter.js";
import { writeTinyModel } from "../helpers/tiny-model.js";

const folder = mkdtempSync(join(tmpdir(), "inward-bad-input-"));
const path = join(folder, "tiny.gguf");
const settings = { ...DEFAULT_ENGINE, engine: "native", device: "cpu", threads: 1 } as const;
const ask = (content: string): AskRequest => ({
  messages: [
    { role: "system", content: "" },
    { role: "user", content },
  ],
  maxTokens: 4,
  temperature: 0,
  topTokens: 3,
});
const USUAL = [ask("cat"), ask("cat dog"), ask("hen")];

let model: LanguageModel;
let usual: string;
const answers = async (from: LanguageModel) => JSON.stringify(await from.ask(USUAL));
beforeAll(async () => {
  await writeTinyModel(path, { contextLength: 64 });
  model = await startEngine(path, settings);
  usual = await answers(model);
});
afterAll(async () => {
  await model.dispose();
  rmSync(folder, { recursive: true, force: true });
});

describe("a group with one bad item is refused whole, and the same model answers the next one as ever", () => {
  const { messages } = ask("cat");
  test.each<[string, () => Promise<unknown>, object]>([
    [
      "a prompt longer than the context",
      () => model.ask([...USUAL, ask("x".repeat(80))]),
      { code: "ENGINE_CONTEXT", message: expect.stringMatching(/^Question 4 .* at least \d+ tokens; .* holds 64\.$/) },
    ],
    ["a token id below 0", () => model.nextTokens(messages, [[], [-1]], 3), { code: "ENGINE_TOKEN" }],
    ["one beyond the vocabulary", () => model.nextTokens(messages, [[265]], 3), { code: "ENGINE_TOKEN" }],
    // As 32 bits, these would be the tokens 5, 1 and 0.
    ["one beyond 32 bits", () => model.nextTokens(messages, [[2 ** 32 + 5]], 3), { code: "ENGINE_TOKEN" }],
    ["half a token", () => model.nextTokens(messages, [[1.5]], 3), { code: "ENGINE_TOKEN" }],
    ["not a number", () => model.nextTokens(messages, [[Number.NaN]], 3), { code: "ENGINE_TOKEN" }],
  ])("%s", async (_, refused, error) => {
    await expect(refused()).rejects.toMatchObject(error);
    expect(await answers(model)).toBe(usual);
  });
});

test("a prompt without a token", async () => {
  const silent = join(folder, "silent.gguf");
  const chatTemplate = "{%- for message in messages -%}{{- message['role'] + message['content'] -}}{%- endfor -%}";
  await writeTinyModel(silent, { contextLength: 64, chatTemplate });
  const open = await startEngine(silent, settings);
  const before = await answers(open);
  await expect(open.ask([...USUAL, { ...ask(""), messages: [] }])).rejects.toMatchObject({
    code: "ENGINE_EMPTY_PROMPT",
    message: expect.stringContaining("Question 4"),
  });
  expect(await answers(open)).toBe(before);
  await open.dispose();
});

describe.each(ENGINES)("files that %s cannot run", (engine) => {
  const string = (value: string) => ({ type: "string" as const, value });

  test.each([
    ["no tokenizer keys at all", { vocabulary: false }, /has no token list/],
    [
      "tokens, and a tokenizer that is none",
      { metadata: { "tokenizer.ggml.model": string("no_vocab") } },
      /"no_vocab"/,
    ],
    ["tokens, and another word for none", { metadata: { "tokenizer.ggml.model": string("none") } }, /"none"/],
    [
      "tokens, and no text for a tokenizer",
      { metadata: { "tokenizer.ggml.model": { type: "u32", value: 3 } } },
      /names none/,
    ],
  ] as const)("%s", async (name, options, message) => {
    const bare = join(folder, `${name}.gguf`);
    await writeTinyModel(bare, options);
    const error = { code: "MODEL_NO_VOCABULARY", message: expect.stringMatching(message) };
    await expect(startEngine(bare, { ...settings, engine })).rejects.toMatchObject(error);
  });

  test("an adapter for another architecture", async () => {
    const adapter = join(folder, "qwen2.gguf");
    await writeTinyAdapter(adapter, { metadata: { "general.architecture": string("qwen2") } });
    const error = { code: "ADAPTER_SHAPE", message: expect.stringContaining("qwen2") };
    await expect(startEngine(path, { ...settings, engine }, { adapter: { path: adapter } })).rejects.toMatchObject(
      error,
    );
  });

  test("one that was verified, and is gone or shorter when it is opened", async () => {
    const passing = join(folder, `passing-${engine}.gguf`);
    copyFileSync(path, passing);
    const env = { INWARD_MODELS: join(folder, "models") };
    const verified = await resolveModel(passing, { encoding: "as_shipped", env });
    truncateSync(passing, verified.bytes - 1000);
    await expect(startEngine(verified.path, { ...settings, engine })).rejects.toMatchObject({
      code: "MODEL_TRUNCATED",
    });
    rmSync(passing);
    await expect(startEngine(verified.path, { ...settings, engine })).rejects.toMatchObject({
      code: "MODEL_NOT_FOUND",
    });
  });
});

describe("a file that changes while it is open", () => {
  async function opened(name: string, how: StudyEngine = settings): Promise<{ file: string; open: LanguageModel }> {
    const file = join(folder, name);
    copyFileSync(path, file);
    return { file, open: await startEngine(file, how) };
  }

  test("deleted, and replaced by a shorter one: what was opened goes on, what is opened next is refused", async () => {
    const { file, open } = await opened("replaced.gguf");
    rmSync(file);
    expect(await answers(open)).toBe(usual);
    const shorter = join(folder, "shorter.gguf");
    copyFileSync(path, shorter);
    truncateSync(shorter, 100_000);
    renameSync(shorter, file);
    expect(await answers(open)).toBe(usual);
    await open.dispose();
    await expect(startEngine(file, settings)).rejects.toMatchObject({ code: "MODEL_TRUNCATED" });
  });

  // llama.cpp maps the weights: Linux ends a process that reads where the file no longer is.
  test.runIf(process.platform === "linux")(
    "cut short in place: the worker is gone, with a code, and nobody else",
    async () => {
      const mapped = { ...settings, forward: "llama.cpp" } as const;
      const { file, open } = await opened("cut.gguf", mapped);
      const said = await answers(open);
      truncateSync(file, 5000);
      await expect(open.ask(USUAL)).rejects.toMatchObject({ code: "ENGINE_CRASHED" });
      await expect(open.ask(USUAL)).rejects.toMatchObject({ code: "ENGINE_CRASHED" });
      await open.dispose();
      expect(await answers(model)).toBe(usual);
      copyFileSync(path, file);
      const again = await startEngine(file, mapped);
      expect(await answers(again)).toBe(said);
      await again.dispose();
    },
  );

  test("cut short in place under our own forward pass, which has read it: what was opened goes on", async () => {
    const { file, open } = await opened("cut-own.gguf", { ...settings, forward: "own" });
    const said = await answers(open);
    truncateSync(file, 5000);
    expect(await answers(open)).toBe(said);
    await open.dispose();
  });
});

test("a cache too small for one item refuses the group with it, and answers one without", async () => {
  const small = await openEngine(path, { mostCells: 8 });
  const fits = workOf([{ ids: [5, 6, 7, 8], maxTokens: 4 }]);
  const alone = answer(small, fits).answers;
  const tooLong = workOf([
    { ids: [5, 6, 7, 8], maxTokens: 4 },
    { ids: [5, 6, 7, 8, 9], maxTokens: 4 },
  ]);
  expect(() => small.begin(tooLong)).toThrow(
    expect.objectContaining({ code: "ENGINE_MEMORY", message: expect.stringContaining("an item of 9 tokens") }),
  );
  expect(answer(small, fits).answers).toEqual(alone);
  small.dispose();
});
