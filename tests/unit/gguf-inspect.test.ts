/** What inward says about a model file, and which files it will run. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { GgufValue } from "../../src/gguf/read-gguf.js";
import { dominantEncoding, type GgufSummary, inspectGguf, requireRunnable } from "../../src/gguf/inspect-gguf.js";
import { type TinyModelOptions, writeTinyModel } from "../helpers/tiny-model.js";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "inward-gguf-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function inspectTiny(options: TinyModelOptions) {
  return inspectGguf((await writeTinyModel(join(folder, "tiny.gguf"), options)).path);
}

test("says everything about a tiny ChatML model", async () => {
  const { bytes, path, vocabulary } = await writeTinyModel(join(folder, "chatml.gguf"), { encoding: "Q8_0" });
  expect(await inspectGguf(path)).toEqual({
    path,
    parts: [path],
    architecture: "llama",
    name: "Tiny Random",
    licence: "mit",
    encoding: "Q8_0",
    contextLength: 512,
    blockCount: 2,
    embeddingLength: 64,
    headCount: 4,
    headCountKv: 2,
    warnings: [],
    vocabularySize: 265,
    hasVocabulary: true,
    tokenizerModel: "gpt2",
    chatTemplate: vocabulary.chatTemplate || undefined,
    bosTokenId: 1,
    eosTokenId: 2,
    bosToken: "<|im_start|>",
    eosToken: "<|im_end|>",
    addBos: false,
    // Embedding and output; per block q, o, k, v, three feed-forward matrices and two norms; the last norm.
    parameters: 2 * 265 * 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64) + 64,
    quantized: true,
    single: false,
    bytes,
  });
});

test("says what differs in a Llama 3 model", async () => {
  const summary = await inspectTiny({ chat: "llama3" });
  expect(summary).toMatchObject({
    addBos: true,
    encoding: "F32",
    vocabularySize: 268,
    bosTokenId: 262,
    eosTokenId: 267,
  });
});

test.each<[string, GgufValue, keyof GgufSummary]>([
  ["general.name", { type: "u32", value: 7 }, "name"],
  ["general.license", { type: "string", value: "  " }, "licence"],
])("%s that is no text is unknown", async (key, value, field) => {
  expect(await inspectTiny({ metadata: { [key]: value } })).toMatchObject({ [field]: "unknown" });
});

test.each<[string, GgufValue, keyof GgufSummary]>([
  ["llama.context_length", { type: "f32", value: 12.5 }, "contextLength"],
  ["llama.block_count", { type: "i32", value: -1 }, "blockCount"],
  ["tokenizer.ggml.add_bos_token", { type: "u32", value: 1 }, "addBos"],
  ["tokenizer.chat_template", { type: "string", value: "" }, "chatTemplate"],
  ["llama.attention.head_count_kv", { type: "array", elementType: "u32", value: [2, 2] }, "headCountKv"],
])("%s that cannot be meant is absent", async (key, value, field) => {
  expect((await inspectTiny({ metadata: { [key]: value } }))[field]).toBeUndefined();
});

test("a count may have any integer type", async () => {
  const summary = await inspectTiny({ metadata: { "llama.context_length": { type: "u64", value: 4096n } } });
  expect(summary.contextLength).toBe(4096);
});

test("the encoding is the type that holds most weights, not most tensors or bytes", () => {
  const tensor = (type: "F32" | "Q4_1", elements: number) => ({ type, elements }) as never;
  const tensors = [tensor("F32", 40), tensor("F32", 40), tensor("Q4_1", 96), tensor("F32", 8)];
  expect(dominantEncoding({ tensors })).toBe("Q4_1");
  expect(dominantEncoding({ tensors: [] })).toBe("none");
});

describe("requireRunnable", () => {
  test.each<[string, TinyModelOptions, string, string]>([
    ["another architecture", { architecture: "t5" }, "MODEL_ARCHITECTURE", "t5"],
    ["no vocabulary", { vocabulary: false }, "MODEL_NO_VOCABULARY", "token list"],
  ])("refuses %s", async (_, options, code, words) => {
    const summary = await inspectTiny(options);
    expect(() => requireRunnable(summary)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(words) }),
    );
  });

  test("accepts a whole model, and one without a template, which may be a base model", async () => {
    requireRunnable(await inspectTiny({}));
    requireRunnable(await inspectTiny({ chatTemplate: false }));
  });
});
