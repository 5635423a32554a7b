/** The tiny models are real: llama.cpp loads them and generates, and what inward re-encodes from them too. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getLlama, type Llama, LlamaLogLevel } from "node-llama-cpp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inspectGguf } from "../../src/gguf/inspect-gguf.js";
import { reencodeGguf } from "../../src/gguf/derived-copies.js";
import { type TinyModel, type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

let llama: Llama;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-gguf-"));
  llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
});

afterAll(async () => {
  await llama.dispose();
  await rm(folder, { recursive: true, force: true });
});

/** Eight greedy tokens and what they say, after a text that is tokenized with its control tokens. */
async function generate(path: string, prompt: string): Promise<{ prompt: number[]; tokens: number[]; text: string }> {
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
  try {
    const context = await model.createContext({ contextSize: 128, threads: 1 });
    const promptTokens = model.tokenize(prompt, true);
    const tokens: number[] = [];
    for await (const token of context.getSequence().evaluate(promptTokens, { temperature: 0, yieldEogToken: true })) {
      tokens.push(token);
      if (tokens.length === 8) break;
    }
    return { prompt: promptTokens.map(Number), tokens, text: model.detokenize(tokens as never, false) };
  } finally {
    await model.dispose();
  }
}

describe("writeTinyModel", () => {
  const cases: [string, TinyModelOptions, string, string[]][] = [
    ["chatml", {}, "<|im_start|>user\nthe cat<|im_end|>\n", ["<|im_start|>", "u", "s", "e", "r", "Ċ", "the", "Ġ", "c"]],
    ["llama3", { chat: "llama3" }, "<|begin_of_text|>the and<|eot_id|>", ["<|begin_of_text|>", "the", "Ġa", "n", "d"]],
    ["Q8_0", { encoding: "Q8_0" }, "the", ["the"]],
    ["Q4_1", { encoding: "Q4_1" }, "the", ["the"]],
    ["F16", { encoding: "F16" }, "the", ["the"]],
  ];

  test.each(cases)("%s: loads, tokenizes and generates", async (name, options, prompt, expected) => {
    const model = await writeTinyModel(join(folder, `${name}.gguf`), options);
    const answer = await generate(model.path, prompt);
    const texts = answer.prompt.map((id) => model.vocabulary.tokens[id]);
    expect(texts.slice(0, expected.length)).toEqual(expected);
    expect(answer.tokens).toHaveLength(8);
    expect(answer.tokens.every((id) => model.vocabulary.speakableIds.includes(id))).toBe(true);
  });

  test("its answer depends on the prompt and on the seed, and is the same each time", async () => {
    const one = await writeTinyModel(join(folder, "seed-1.gguf"), { seed: 1 });
    const two = await writeTinyModel(join(folder, "seed-2.gguf"), { seed: 2 });
    const first = await generate(one.path, "abc");
    expect(await generate(one.path, "abc")).toEqual(first);
    expect((await generate(one.path, "xyz")).text).not.toBe(first.text);
    expect((await generate(two.path, "abc")).text).not.toBe(first.text);
  });
});

describe("reencodeGguf", () => {
  let quantized: TinyModel;

  beforeAll(async () => {
    quantized = await writeTinyModel(join(folder, "source.gguf"), { encoding: "Q4_1", seed: 3 });
  });

  test.each(["f32", "f16"] as const)("a re-encoding as %s loads in llama.cpp and generates", async (encoding) => {
    const target = join(folder, `again.${encoding}.gguf`);
    await reencodeGguf(quantized.path, target, encoding, { sourceSha256: quantized.sha256 });
    const answer = await generate(target, "hello");
    expect(answer.tokens).toHaveLength(8);
    expect(answer.tokens.every((id) => quantized.vocabulary.speakableIds.includes(id))).toBe(true);
    expect((await inspectGguf(target)).encoding).toBe(encoding.toUpperCase());
  });
});
