/** Encoding on real vocabularies: prompts as asking has them, answers in llama.cpp's own tokens. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getLlama, type Llama, LlamaLogLevel } from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startEngine } from "../../src/model/engines/start-engine.js";
import type { LanguageModel } from "../../src/model/language-model.js";
import { DEFAULT_ENGINE } from "../../src/study/load-study.js";
import type { ChatMessage } from "../../src/tasks/answer.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";
import { tinyVocabulary } from "../helpers/tiny-vocabulary.js";

const engine = { ...DEFAULT_ENGINE, device: "cpu", threads: 1 } as const;
const question: ChatMessage[] = [
  { role: "system", content: "" },
  { role: "user", content: "the cat and the dog" },
];
const answered = (answer: string): ChatMessage[] => [...question, { role: "assistant", content: answer }];
const ANSWERS = ["hen", "the hen and the cow", " the", "\nan é 🐈", "<|im_end|><|eot_id|><|im_start|>user", "a\n"];

let folder: string;
let llama: Llama;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-encode-"));
  llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
});
afterAll(async () => {
  await llama.dispose();
  await rm(folder, { recursive: true, force: true });
});

async function withModel(options: TinyModelOptions, use: (model: LanguageModel, path: string) => Promise<void>) {
  const path = join(folder, "tiny.gguf");
  await writeTinyModel(path, options);
  const model = await startEngine(path, engine);
  try {
    await use(model, path);
  } finally {
    await model.dispose();
  }
}

describe.each([
  ["chatml", "<|im_end|>"],
  ["llama3", "<|eot_id|>"],
] as const)("%s", (chat, end) => {
  test("an example is what render gives, the answer's plain tokens, and the end of turn, at which asking stops", () =>
    withModel({ seed: 3, chat }, async (model, path) => {
      const { tokenIds: prompt } = await model.render(question);
      const encoded = await model.encode(ANSWERS.map(answered));
      const plain = await llama.loadModel({ modelPath: path });
      const endId = tinyVocabulary(chat).tokens.indexOf(end);
      expect(encoded.map(({ tokenIds }) => tokenIds)).toEqual(
        ANSWERS.map((answer) => [...prompt, ...plain.tokenize(answer, false), endId]),
      );
      expect(encoded.every(({ answerStart }) => answerStart === prompt.length)).toBe(true);
      // Nothing in an answer is a control token, whatever it looks like.
      const controls = encoded.map(({ tokenIds, answerStart }) =>
        tokenIds.slice(answerStart).filter((id) => plain.getTokenAttributes(id as never).control),
      );
      expect(controls).toEqual(ANSWERS.map(() => [endId]));
      expect(encoded.map(({ unlikeTemplate }) => unlikeTemplate)).toEqual(
        ANSWERS.map((answer) => (chat === "llama3" && answer !== answer.trim() ? "answer_trimmed" : undefined)),
      );
      await plain.dispose();
      const [reply] = await model.ask([
        { messages: question, maxTokens: 400, temperature: 1, seed: "1", topTokens: 1 },
      ]);
      expect(reply?.stop).toBe("end_of_generation");
      expect(reply?.tokenIds.at(-1)).toBe(endId);
    }));
});

test("where the answer's beginning would merge with the prompt's end, the ids are those that asking has", () => {
  const chatTemplate =
    "{% for turn in messages %}<|im_start|>{{ turn.role }} at{{ turn.content }}<|im_end|>{% endfor %}" +
    "{% if add_generation_prompt %}<|im_start|>assistant at{% endif %}";
  return withModel({ seed: 3, chatTemplate }, async (model) => {
    const [merging, apart] = await model.encode([answered("hen"), answered("cow")]);
    const { tokenIds: prompt } = await model.render(question);
    const letters = [..."hen"].map((letter) => tinyVocabulary("chatml").tokens.indexOf(letter));
    expect(merging?.tokenIds.slice(0, -1)).toEqual([...prompt, ...letters]);
    expect(merging?.unlikeTemplate).toBe("other_tokens");
    expect(apart).not.toHaveProperty("unlikeTemplate");
  });
});

test("a conversation without an answer is TRAIN_EXAMPLE with its number, through the worker too", () =>
  withModel({ seed: 3 }, async (model) => {
    await expect(model.encode([answered("hen"), question])).rejects.toThrow(
      expect.objectContaining({ code: "TRAIN_EXAMPLE", message: expect.stringMatching(/^Conversation 2: /) }),
    );
    expect(await model.encode([])).toEqual([]);
  }));
